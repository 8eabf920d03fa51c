"""The engine: its slots, its memory, what cancels it, and how a process with it ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant.clients import llama
from assistant.clients.local import LocalClient
from assistant.errors import LocalModelError
from assistant.messages import Completed, Event, Message, Notice
from assistant.reply import CancelToken
from tests import local_model
from tests.local_model import GREEDY, OnChunk, Stopped, embedded, engine_of, gguf, text_chunk

one_core, no_data_directory = local_model.one_core, local_model.no_data_directory


@pytest.fixture
def single(no_data_directory: Path) -> LocalClient:
    """One conversation at a time."""
    return LocalClient(context_window=1024, slots=1)


# --- cancelling, waiting, reading -------------------------------------------------------------------------------------


def test_a_second_turn_reads_only_what_is_new(single: LocalClient) -> None:
    first = [Message("user", "Tell me a story about a cat and a dog in a small town by the sea.")]
    reply = single.complete(first, max_tokens=16, **GREEDY)
    second = single.complete([*first, Message("assistant", reply.text), Message("user", "Go on.")], max_tokens=1)
    assert reply.usage is not None
    assert second.usage is not None
    assert second.usage.cache_read_tokens >= reply.usage.total_input_tokens
    assert second.usage.input_tokens < reply.usage.total_input_tokens


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


# --- loading ----------------------------------------------------------------------------------------------------------


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


def test_the_memory_of_the_machine_is_known() -> None:
    total, available = llama.total_memory(), llama.available_memory()
    assert total is not None
    assert available is not None
    assert 10_000_000 < available <= total


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
