"""ChatSession: the order of one turn, and what is left however it ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from assistant import (
    ChatSession,
    Document,
    InvalidRequestError,
    Message,
    PromptError,
    PromptTemplate,
    Reply,
    ServiceError,
    SessionBusyError,
    StreamInterruptedError,
    Usage,
)
from assistant.buffers import BufferMemory
from assistant.reply import CancelToken, SourceItem
from assistant.session import CONTINUE
from assistant.tokens import estimate_request, estimate_tokens
from tests.scripted import ScriptedClient, ends

SEED = """The following is a friendly conversation.

Current conversation:
{history}

Human:{input}

Assistant:"""


def session_with(*script: Any, **options: Any) -> tuple[ChatSession, ScriptedClient]:
    client = ScriptedClient(script=list(script), prefill=options.pop("prefill", False))
    options.setdefault("memory", BufferMemory())
    return ChatSession(client, **options), client


def said(client: ScriptedClient, index: int = -1) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in client.sent[index].messages]


def test_a_turn_is_in_the_transcript_from_the_start_and_grows() -> None:
    session, client = session_with(ends("Ho", "la"))
    reply = session.stream("¿Hola?")
    assert [(turn.user, turn.reply, turn.stop_reason) for turn in session.transcript] == [("¿Hola?", None, None)]
    assert client.sent == []
    steps = iter(reply)
    next(steps)
    assert session.transcript[0].reply == "Ho"
    assert list(steps) == ["la"]
    turn = session.transcript[0]
    assert (turn.reply, turn.stop_reason, turn.model, turn.usage) == (
        "Hola",
        "end_turn",
        "scripted",
        Usage(10, 5, cost=0.001),
    )


def test_turns_are_sent_as_messages_with_system_and_settings() -> None:
    session, client = session_with(system="Be brief.", temperature=0.5, max_tokens=99, stop_sequences=["X"])
    session.send("one")
    session.send("two", temperature=0.1)
    assert said(client) == [("user", "one"), ("assistant", "echo: one"), ("user", "two")]
    options = client.sent[1].options
    assert (options["system"], options["temperature"], options["max_tokens"]) == ("Be brief.", 0.1, 99)
    assert options["stop_sequences"] == ("X",)
    assert client.sent[0].options["temperature"] == 0.5


def test_the_model_that_is_asked_for_is_the_model_that_is_called() -> None:
    session, client = session_with(model="other")
    session.send("a")
    session.send("b", model="third")
    assert [sent.options["model"] for sent in client.sent] == ["other", "third"]
    assert [turn.model for turn in session.transcript] == ["other", "third"]


def test_a_second_turn_at_once_is_refused_and_changes_nothing() -> None:
    session, _ = session_with()
    reply = session.stream("one")
    with pytest.raises(SessionBusyError):
        session.stream("two")
    for blocked in (session.retry, session.undo, session.reset, session.continue_):
        with pytest.raises(SessionBusyError):
            blocked()
    reply.drain()
    session.send("two")
    assert [turn.user for turn in session.transcript] == ["one", "two"]


def test_exactly_one_of_many_threads_gets_the_session() -> None:
    session, _ = session_with()
    barrier = threading.Barrier(8)
    replies: list[Reply] = []
    busy: list[SessionBusyError] = []

    def race() -> None:
        barrier.wait(30)
        try:
            replies.append(session.stream("x"))
        except SessionBusyError as error:
            busy.append(error)

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(replies), len(busy)) == (1, 7)


@pytest.mark.parametrize("begun", [False, True])
def test_a_dropped_reply_frees_the_session_and_keeps_what_was_shown(begun: bool) -> None:
    session, client = session_with(ends("Ho", "la"))
    if begun:
        for _ in session.stream("one"):
            break
    else:
        session.stream("one")
    turn = session.transcript[0]
    assert (turn.reply, turn.stop_reason) == ("Ho" if begun else None, "cancelled")
    session.send("two")
    expected = [("user", "one"), ("assistant", "Ho")] if begun else []
    assert said(client) == [*expected, ("user", "two")]


def test_an_interruption_keeps_the_partial_text_in_transcript_and_context() -> None:
    session, client = session_with(["Ho", StreamInterruptedError("cut")])
    with pytest.raises(StreamInterruptedError) as caught:
        session.send("one")
    assert caught.value.partial == "Ho"
    turn = session.transcript[0]
    assert (turn.reply, turn.stop_reason) == ("Ho", "interrupted")
    assert "cut" in (turn.error or "")
    session.send("two")
    assert said(client) == [("user", "one"), ("assistant", "Ho"), ("user", "two")]


def test_a_failure_before_any_text_stays_in_the_transcript_and_out_of_the_context() -> None:
    session, client = session_with([ServiceError("down")])
    with pytest.raises(ServiceError):
        session.send("one")
    assert [(turn.user, turn.reply, turn.stop_reason) for turn in session.transcript] == [("one", None, "error")]
    reply = session.retry().drain()
    assert reply.text == "echo: one"
    assert len(session.transcript) == 1
    session.send("two")
    assert said(client) == [("user", "one"), ("assistant", "echo: one"), ("user", "two")]


def test_a_request_that_is_wrong_leaves_no_turn_and_a_free_session() -> None:
    session, _ = session_with()
    with pytest.raises(InvalidRequestError):
        session.stream("   ")
    with pytest.raises(TypeError, match="temprature"):
        session.stream("x", temprature=1)  # type: ignore[call-arg]
    assert session.transcript == []
    assert not session.busy


def test_retry_supersedes_the_last_reply() -> None:
    session, client = session_with(ends("first"), ends("second"))
    session.send("one")
    session.retry(temperature=0.9).drain()
    assert [(turn.user, turn.reply) for turn in session.transcript] == [("one", "second")]
    assert client.sent[1].options["temperature"] == 0.9
    assert said(client, 1) == [("user", "one")]
    assert session.usage.output_tokens == 10


def test_a_retry_that_fails_before_any_text_leaves_the_old_reply() -> None:
    session, client = session_with(ends("first"), [ServiceError("down")])
    session.send("one")
    with pytest.raises(ServiceError):
        session.retry().drain()
    assert [turn.reply for turn in session.transcript] == ["first"]
    session.send("two")
    assert said(client)[:2] == [("user", "one"), ("assistant", "first")]


def test_undo_takes_the_last_turn_out_of_transcript_and_context() -> None:
    session, client = session_with()
    session.send("one")
    session.send("two")
    removed = session.undo()
    assert removed is not None
    assert removed.user == "two"
    session.send("three")
    assert said(client) == [("user", "one"), ("assistant", "echo: one"), ("user", "three")]
    session.undo()
    session.undo()
    assert session.undo() is None


def test_reset_begins_anew_and_keeps_the_bill() -> None:
    session, client = session_with()
    session.send("one")
    session.reset()
    assert session.transcript == []
    assert session.usage.output_tokens == 5
    session.send("two")
    assert said(client) == [("user", "two")]


@pytest.mark.parametrize("prefill", [True, False])
def test_continue_appends_to_the_same_turn(prefill: bool) -> None:
    session, client = session_with(ends("one two", reason="max_tokens"), ends(" three"), prefill=prefill)
    session.send("count")
    reply = session.continue_()
    assert [session.transcript[0].reply, reply.drain().text] == ["one two", " three"]
    tail = [("user", "count"), ("assistant", "one two")] + ([] if prefill else [("user", CONTINUE)])
    assert said(client) == tail
    turn = session.transcript[0]
    assert (len(session.transcript), turn.reply, turn.stop_reason) == (1, "one two three", "end_turn")
    assert turn.usage.output_tokens == 10
    session.send("on")
    assert said(client) == [("user", "count"), ("assistant", "one two three"), ("user", "on")]


def test_a_continued_turn_keeps_its_documents() -> None:
    session, client = session_with(ends("one", reason="max_tokens"), ends(" two"))
    terms = Document.from_text("All your data are yours.", "terms.txt")
    session.send("Resume", documents=[terms])
    session.continue_().drain()
    session.send("¿Y ahora?")
    for sent in client.sent:
        assert sent.messages[0].documents == (terms,)


def test_a_continuation_that_fails_keeps_what_there_was() -> None:
    session, _ = session_with(["one", StreamInterruptedError("cut")], [ServiceError("down")])
    with pytest.raises(StreamInterruptedError):
        session.send("count")
    with pytest.raises(ServiceError):
        session.continue_().drain()
    assert [turn.reply for turn in session.transcript] == ["one"]


def test_there_is_nothing_to_continue_after_a_whole_answer() -> None:
    session, _ = session_with()
    with pytest.raises(InvalidRequestError, match="not cut off"):
        session.continue_()
    session.send("x")
    with pytest.raises(InvalidRequestError, match="not cut off"):
        session.continue_()
    assert not session.busy


def test_the_seeds_template_holds_the_whole_conversation_in_one_message() -> None:
    session, client = session_with(prompt=SEED, stop_sequences=["END"])
    session.send("hola")
    session.send("¿{history}?")
    messages = client.sent[1].messages
    assert len(messages) == 1
    assert "Current conversation:\nH: hola\nA: echo: " in messages[0].text
    assert messages[0].text.endswith("Human:¿{history}?\n\nAssistant:")
    assert client.sent[1].options["stop_sequences"] == ("\nH:", "\nHuman:", "END")
    assert [turn.user for turn in session.transcript] == ["hola", "¿{history}?"]


def test_a_template_with_input_alone_wraps_each_text_and_the_transcript_stays_raw() -> None:
    session, client = session_with(prompt=PromptTemplate("<q>{input}</q>"))
    session.send("one")
    session.send("two")
    assert said(client) == [("user", "<q>one</q>"), ("assistant", "echo: <q>one</q>"), ("user", "<q>two</q>")]
    assert [turn.user for turn in session.transcript] == ["one", "two"]


def test_a_template_without_either_is_the_system_prompt() -> None:
    session, client = session_with(prompt="You are {name}.".replace("{name}", "Ada"))
    session.send("one")
    assert client.sent[0].options["system"] == "You are Ada."


def test_prompts_that_a_session_cannot_fill_are_refused_at_once() -> None:
    with pytest.raises(PromptError, match="exclude"):
        session_with(system="x", prompt="y")
    with pytest.raises(PromptError, match="language"):
        session_with(prompt="{input} in {language}")
    with pytest.raises(PromptError, match=r"no \{input\}"):
        session_with(prompt="{history}")


def test_documents_stay_in_front_of_later_turns_and_are_sent_once() -> None:
    session, client = session_with()
    terms = Document.from_text("All your data are yours.", "terms.txt")
    session.send("Resume", documents=[terms])
    session.send("¿Soy dueño de mis datos?")
    first, second = client.sent[0].messages, client.sent[1].messages
    assert [message.documents for message in first] == [(terms,)]
    assert first[0].cache
    assert [message.documents for message in second] == [(terms,), (), ()]
    assert session.transcript[0].documents == (terms,)


def test_a_long_paste_becomes_a_document_and_the_transcript_keeps_the_text() -> None:
    session, client = session_with()
    paste = "Resume en 5 ideas:\n" + "El servicio trata los datos de la persona usuaria. " * 1200 + "FIN"
    session.send(paste)
    session.send("¿Soy dueño de mis datos?")
    assert session.transcript[0].user == paste
    for sent in client.sent:
        assert [document.text for document in sent.messages[0].documents] == [paste]
        assert sum(len(message.text) for message in sent.messages) < 3000
    assert client.sent[0].messages[0].text.startswith("Resume en 5 ideas:")


def test_what_is_too_large_to_stay_is_sent_whole_with_its_own_turn() -> None:
    client = ScriptedClient(context_window=20_000)
    session = ChatSession(client)
    paste = "Resume en 5 ideas:\n" + "El servicio trata los datos de la persona usuaria. " * 1200
    reply = session.send(paste)
    assert [document.text for document in client.sent[0].messages[0].documents] == [paste]
    assert "unpinned" in [notice.code for notice in reply.notices]
    session.send("¿Soy dueño de mis datos?")
    assert [message.documents for message in client.sent[1].messages] == [(), (), ()]


def test_a_template_that_is_sent_around_every_turn_counts_in_the_models_window() -> None:
    client = ScriptedClient(context_window=4_000, script=[ends("vale")] * 9)
    session = ChatSession(client, prompt="Sé breve. " * 150 + "{input}", max_tokens=100)
    for _ in range(8):
        session.send("hola")
    last = client.sent[-1]
    assert estimate_request(last.messages, last.options["system"]) + 100 <= 4_000
    assert len(last.messages) > 1
    assert [notice.code for notice in session.transcript[-1].notices] == ["oldest_left_out"]
    session.transcript[-1].stop_reason = "max_tokens"
    session.continue_().drain()
    last = client.sent[-1]
    assert estimate_request(last.messages, last.options["system"]) + 100 <= 4_000


def test_documents_wait_while_a_model_with_a_smaller_window_is_asked() -> None:
    client = ScriptedClient(context_window=100_000)
    session = ChatSession(client)
    terms = Document.from_text("El servicio trata los datos. " * 1500, "terms.txt")
    session.send("Resume", documents=[terms])
    client.context_window = 8_000
    reply = session.send("¿Soy dueño de mis datos?")
    assert [(notice.code, notice.values) for notice in reply.notices] == [
        ("documents_left_out", {"names": "terms.txt"})
    ]
    assert [message.documents for message in client.sent[1].messages] == [(), (), ()]
    client.context_window = 100_000
    assert session.send("¿Y ahora?").notices == []
    assert client.sent[2].messages[0].documents == (terms,)


@pytest.mark.parametrize("kind", ["document", "prompt"])
def test_turns_make_room_for_what_goes_out_with_the_new_one(kind: str) -> None:
    client = ScriptedClient(context_window=20_000)
    long = "El servicio trata los datos de la persona usuaria. " * 500
    session = ChatSession(client, prompt=long if kind == "prompt" else None)
    session.memory.max_token_limit = 100_000  # type: ignore[misc]
    for _ in range(10):
        session.memory.add_turn("datos " * 500, "datos " * 500)
    documents = [Document.from_text(long)] if kind == "document" else []
    reply = session.send("Resume", documents=documents)
    (sent,) = client.sent
    assert estimate_tokens(long) < estimate_request(sent.messages, sent.options["system"]) + 1024 < 18_000
    assert "oldest_left_out" in [notice.code for notice in reply.notices]


def test_a_session_is_saved_and_restored_whole() -> None:
    session, client = session_with(["Ho", StreamInterruptedError("cut")], system="S", model="m", temperature=0.3)
    with pytest.raises(StreamInterruptedError):
        session.send("one", documents=[Document.from_text("text")])
    session.send("two")
    data = json.loads(json.dumps(session.to_dict()))
    again = ChatSession.from_dict(client, data)
    assert again.transcript == session.transcript
    assert again.usage == session.usage
    assert again.to_dict() == session.to_dict()
    again.send("three")
    assert said(client) == [
        ("user", "one"), ("assistant", "Ho"), ("user", "two"), ("assistant", "echo: two"), ("user", "three")
    ]  # fmt: skip
    assert client.sent[-1].options["system"] == "S"
    with pytest.raises(InvalidRequestError, match="version"):
        ChatSession.from_dict(client, {**data, "version": 99})


def test_a_running_turn_is_saved_as_interrupted() -> None:
    session, client = session_with(ends("Ho", "la"))
    steps = iter(session.stream("one"))
    next(steps)
    turn = ChatSession.from_dict(client, session.to_dict()).transcript[0]
    assert (turn.reply, turn.stop_reason) == ("Ho", "interrupted")


def test_what_a_model_reports_corrects_the_estimates_for_it() -> None:
    session, _ = session_with(*[ends("x", usage=Usage(4000, 1)) for _ in range(3)], model="calibrated-model")
    text = "una frase de ejemplo " * 100
    plain = estimate_tokens(text)
    for _ in range(3):
        session.send(text)
    assert estimate_tokens(text, "calibrated-model") > 1.3 * plain
    assert estimate_tokens(text) == plain


def test_stopping_from_another_thread_frees_the_session_for_the_next_turn() -> None:
    reading, woken = threading.Event(), threading.Event()

    class Blocks(ScriptedClient):
        def stream(self, messages: Any, **options: Any) -> Reply:
            def source(token: CancelToken) -> Iterator[SourceItem]:
                yield "Ho"
                with token.waking(woken.set):
                    reading.set()
                    woken.wait(30)

            return Reply(source, model="m")

    session = ChatSession(Blocks(), memory=BufferMemory())
    reply = session.stream("one")
    reader = threading.Thread(target=reply.drain)
    reader.start()
    assert reading.wait(30)
    reply.cancel()
    reader.join(30)
    assert (session.transcript[0].reply, session.transcript[0].stop_reason) == ("Ho", "cancelled")
    assert not session.busy


def test_messages_can_be_plain_data() -> None:
    client = ScriptedClient()
    client.complete(
        [
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
            {"role": "assistant", "content": "b"},
            Message("user", "c"),
        ]
    )
    assert said(client) == [("user", "a"), ("assistant", "b"), ("user", "c")]
    for wrong in (
        [],
        [{"role": "system", "content": "x"}],
        [Message("assistant", "x")],
        [Message("user", " ")],
        [{"role": "user"}],
    ):
        with pytest.raises(InvalidRequestError):
            client.stream(wrong)
