"""Undo, retry and edit of any turn: memory and transcript agree, also while a summary is being written."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from assistant.documents import Document
from assistant.errors import InvalidRequestError, ServiceError, SessionBusyError
from assistant.memory import SummaryBufferMemory
from assistant.reply import Reply
from assistant.session import ChatSession

from .scripted import ScriptedClient, ends
from .summarizing import FACT, FILLER, PATIENCE, Summarizer, facts, known, said

DOWN = [ServiceError("down")]


def session_with(
    summarizer: Summarizer, count: int = 0, limit: int = 600, *, settled: bool = True
) -> tuple[ChatSession, ScriptedClient]:
    """A session of `count` turns with a fact in each; what is due is folded where it is `settled`."""
    client = ScriptedClient()
    session = ChatSession(client, memory=SummaryBufferMemory(summarizer, max_token_limit=limit))
    for number in range(count):
        tell(session, client, number)
        if settled:
            assert session.memory.flush(PATIENCE)
    return session, client


def tell(session: ChatSession, client: ScriptedClient, number: int) -> None:
    text, answer = said(number)
    client.script.append(ends(answer))
    session.send(text)


def memory_of(session: ChatSession) -> SummaryBufferMemory:
    assert isinstance(session.memory, SummaryBufferMemory)
    return session.memory


def told(session: ChatSession) -> set[str]:
    """The facts of the transcript that a model should know: a turn that failed before any text was never answered."""
    return {fact for turn in session.transcript if turn.reply for fact in FACT.findall(turn.user)}


def agree(session: ChatSession) -> bool:
    # Of one moment: a summary may be taken in at any time.
    state = memory_of(session).to_dict()
    ids = [turn.id for turn in session.transcript if turn.reply]
    kept = [turn["id"] for turn in state["turns"]]
    return known(memory_of(session)) == told(session) and [*ids[: state["mark"]["covered"]], *kept] == ids


@pytest.mark.parametrize("index", [0, 10, 28, 29])
def test_an_edit_replaces_the_turn_and_all_after_it(index: int) -> None:
    session, client = session_with(Summarizer(), 30)
    assert memory_of(session).covered > 15
    old = session.transcript
    client.script.append(ends(FILLER))
    reply = session.edit(old[index].id, said(500)[0], temperature=0.3).drain()
    assert reply.text == FILLER
    assert client.sent[-1].options["temperature"] == 0.3
    line = session.transcript
    assert [turn.id for turn in line[:-1]] == [turn.id for turn in old[:index]]
    assert (line[-1].user, line[-1].reply) == (said(500)[0], FILLER)
    assert line[-1].id not in {turn.id for turn in old}
    asked = "\n".join(message.text for message in client.sent[-1].messages)
    assert set(FACT.findall(asked)) == facts(index) | facts(1, start=500), "what was edited away is not sent"
    assert agree(session)
    assert session.memory.flush(PATIENCE)
    assert agree(session)


@pytest.mark.parametrize("index", [0, 5, 11])
def test_an_edit_wins_over_a_summary_that_is_being_written(index: int) -> None:
    summarizer = Summarizer()
    summarizer.gate = threading.Event()
    session, _ = session_with(summarizer, 12, limit=500, settled=False)
    assert summarizer.asked.wait(PATIENCE)
    session.edit(session.transcript[index].id, said(500)[0]).drain()
    assert agree(session)
    summarizer.gate.set()
    assert session.memory.flush(PATIENCE)
    assert agree(session)
    assert told(session) == facts(index) | facts(1, start=500)
    assert memory_of(session).problem is None, "nothing failed"


@pytest.mark.parametrize("act", ["undo", "retry"])
def test_undo_and_retry_win_over_a_summary_that_is_being_written(act: str) -> None:
    summarizer = Summarizer()
    summarizer.gate = threading.Event()
    session, client = session_with(summarizer, 12, limit=500, settled=False)
    assert summarizer.asked.wait(PATIENCE)
    folding = summarizer.prompts[0].count("<turn>")
    if act == "undo":
        while len(session.transcript) > folding:
            session.undo()
    else:
        client.script.append(ends("otra"))
        session.retry().drain()
    assert agree(session)
    summarizer.gate.set()
    assert session.memory.flush(PATIENCE)
    assert agree(session)


@pytest.mark.parametrize("index", [0, 9, 29])
def test_an_edit_that_fails_before_any_text_leaves_everything_as_it_was_and_costs_no_summary(index: int) -> None:
    summarizer = Summarizer()
    session, client = session_with(summarizer, 30)
    before, summary, paid = session.transcript, memory_of(session).summary, len(summarizer.prompts)
    client.script.append(DOWN)
    with pytest.raises(ServiceError):
        session.edit(before[index].id, said(500)[0]).drain()
    assert session.transcript == before
    assert agree(session)
    assert session.memory.flush(PATIENCE)
    assert (memory_of(session).summary, len(summarizer.prompts)) == (summary, paid)
    assert not session.busy


def test_an_edit_that_is_cut_off_keeps_what_was_said() -> None:
    session, client = session_with(Summarizer(), 3)
    client.script.append(["Primero", ServiceError("cut")])
    with pytest.raises(ServiceError):
        session.edit(session.transcript[1].id, "otra cosa").drain()
    assert [turn.reply for turn in session.transcript] == [FILLER, "Primero"]
    assert agree(session)


def test_an_edit_of_a_turn_that_was_never_answered_stays_when_it_fails_again() -> None:
    session, client = session_with(Summarizer(), 2)
    for text in ("una", "dos"):
        client.script.append(DOWN)
        with pytest.raises(ServiceError):
            (session.send if text == "una" else lambda text: session.edit(session.transcript[-1].id, text).drain())(
                text
            )
    assert [turn.user for turn in session.transcript[2:]] == ["dos"]
    assert agree(session)


def test_an_edit_that_can_not_be_sent_is_refused_and_changes_nothing() -> None:
    session, client = session_with(Summarizer(), 3)
    before = session.transcript
    with pytest.raises(InvalidRequestError, match="'t9'"):
        session.edit("t9", "hola")
    with pytest.raises(InvalidRequestError, match="nothing to send"):
        session.edit(before[0].id, "  ")
    with pytest.raises(TypeError, match="temprature"):
        session.edit(before[0].id, "hola", temprature=1)  # type: ignore[call-arg]
    assert session.transcript == before
    assert agree(session)
    with session.stream("hola"), pytest.raises(SessionBusyError):
        session.edit(before[0].id, "hola")
    assert len(client.sent) == 3


def test_an_edit_keeps_the_documents_of_its_turn_and_drops_those_that_came_later() -> None:
    terms, later, other = (Document.from_text(text, f"{text}.txt") for text in ("terms", "later", "other"))
    session = ChatSession(ScriptedClient())
    session.send("one", documents=[terms])
    session.send("two", documents=[later])
    session.edit(session.transcript[0].id, "uno").drain()
    assert (session.memory.pinned, session.transcript[0].documents) == ((terms,), (terms,))
    session.edit(session.transcript[0].id, "eins", documents=[other]).drain()
    assert (session.memory.pinned, session.transcript[0].documents) == ((other,), (other,))
    session.edit(session.transcript[0].id, "un", documents=[]).drain()
    assert session.memory.pinned == ()


def test_documents_come_back_with_the_turns_of_an_edit_that_failed() -> None:
    terms, later, other = (Document.from_text(text, f"{text}.txt") for text in ("terms", "later", "other"))
    session = ChatSession(client := ScriptedClient())
    session.send("one", documents=[terms])
    session.send("two", documents=[later])
    session.memory.unpin(terms.id)
    client.script.append(DOWN)
    with pytest.raises(ServiceError):
        session.edit(session.transcript[0].id, "uno", documents=[other]).drain()
    assert session.memory.pinned == (later,), "neither what was unpinned by hand nor what was never answered"
    session.undo()
    assert session.memory.pinned == ()


def test_a_document_of_a_turn_that_was_never_answered_goes_with_it() -> None:
    session, client = session_with(Summarizer(), 1)
    client.script.append(DOWN)
    with pytest.raises(ServiceError):
        session.send("two", documents=[Document.from_text("terms")])
    session.undo()
    assert session.memory.pinned == ()


def test_a_long_paste_is_remembered_in_the_same_words_when_the_limit_moves() -> None:
    session, client = session_with(Summarizer(), limit=1000)
    paste = FILLER * 250
    client.script.append(ends("Leído."))
    session.send(paste)
    for limit in (100_000, 500):
        memory_of(session).max_token_limit = limit
        session.send("¿Qué decía?")
        session.undo()
        client.script.append(DOWN)
        with pytest.raises(ServiceError):
            session.retry().drain()
        session.send("¿Qué decía?")
        session.undo()
        sent = client.sent[-1].messages
        assert [document.text for document in sent[0].documents] == [paste]
        assert paste not in sent[0].text
        session = ChatSession.from_dict(client, session.to_dict())


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=pytest.mark.soak if seed > 2 else ()) for seed in range(60)])
def test_memory_and_transcript_agree_after_any_order_of_what_can_be_done(seed: int) -> None:
    chance = random.Random(seed)
    summarizer = Summarizer(failing=0.2, seed=seed)
    session, client = session_with(summarizer)

    def attempt(action: Callable[..., Reply], *given: str) -> None:
        if chance.random() < 0.2:
            client.script.append(chance.choice([DOWN, ["Medio", ServiceError("cut")]]))
        with suppress(ServiceError):
            action(*given).drain()
        client.script.clear()

    for number in range(120):
        choice = chance.random()
        line = session.transcript
        if choice < 0.6 or not line:
            attempt(session.stream, said(number)[0])
        elif choice < 0.7:
            session.undo()
        elif choice < 0.8:
            attempt(session.retry)
        elif choice < 0.93:
            attempt(session.edit, chance.choice(line).id, said(number)[0])
        elif choice < 0.97:
            session.memory.flush(PATIENCE)
        else:
            session = ChatSession.from_dict(client, session.to_dict())
            # The saved memory would ask the client of the session for its summaries.
            session.memory = SummaryBufferMemory.from_dict(summarizer, session.memory.to_dict())
        assert agree(session)
    assert session.memory.flush(PATIENCE)
    assert agree(session)
