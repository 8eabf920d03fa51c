"""The thread that writes summaries: one for all memories, which keeps nothing alive, and nobody waits for it."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest

from assistant.memory import SummaryBufferMemory

from .summarizing import PATIENCE, Summarizer, facts, fill, known


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "assistant-summaries"]


def test_one_daemon_thread_serves_all_memories_and_ends_with_the_work() -> None:
    client = Summarizer()
    client.gate = threading.Event()
    memories = [SummaryBufferMemory(client, max_token_limit=300) for _ in range(5)]
    for memory in memories:
        fill(memory, 10)
    assert client.asked.wait(PATIENCE)
    (worker,) = workers()
    assert worker.daemon
    client.gate.set()
    for memory in memories:
        assert memory.flush(PATIENCE)
        assert memory.covered > 0
    worker.join(PATIENCE)
    assert not workers()


def test_a_conversation_that_is_dropped_is_not_kept_alive_by_its_summary() -> None:
    client = Summarizer()
    client.gate = threading.Event()
    memory = SummaryBufferMemory(client, max_token_limit=300)
    waiting = SummaryBufferMemory(client, max_token_limit=300)
    fill(memory, 10)
    assert client.asked.wait(PATIENCE)
    fill(waiting, 10)
    gone = [weakref.ref(memory), weakref.ref(waiting)]
    del memory, waiting
    gc.collect()
    assert [ref() for ref in gone] == [None, None]
    client.gate.set()
    for worker in workers():
        worker.join(PATIENCE)
    assert len(client.prompts) == 1


def test_closing_ends_the_work_and_begins_no_more() -> None:
    client = Summarizer()
    client.gate = threading.Event()
    memory = SummaryBufferMemory(client, max_token_limit=300)
    fill(memory, 10)
    assert client.asked.wait(PATIENCE)
    memory.close()
    assert memory.flush(PATIENCE), "there is nothing to wait for"
    client.gate.set()
    fill(memory, 10, start=10)
    for worker in workers():
        worker.join(PATIENCE)
    assert (len(client.prompts), memory.covered) == (1, 0)
    assert known(memory) == facts(20)


def test_a_thread_that_can_not_be_started_costs_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    for worker in workers():
        worker.join(PATIENCE)
    memory = SummaryBufferMemory(Summarizer(), max_token_limit=300)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        fill(memory, 10)
    assert known(memory) == facts(10)
    fill(memory, 1, start=10)
    assert memory.flush(PATIENCE)
    assert memory.covered > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_folds_on_its_own() -> None:
    client = Summarizer()
    client.gate = threading.Event()
    memory = SummaryBufferMemory(client, max_token_limit=300)
    fill(memory, 10)
    assert client.asked.wait(PATIENCE)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        client.gate = None
        fill(memory, 1, start=10)
        good = memory.flush(10) and memory.covered > 0 and known(memory) == facts(11)
        os._exit(0 if good else 1)
    _, status = os.waitpid(child, 0)
    client.gate.set()
    assert status == 0
    assert memory.flush(PATIENCE)
    assert known(memory) == facts(10)


def test_a_summary_under_way_does_not_keep_the_interpreter_alive() -> None:
    script = """
import threading
from assistant.memory import SummaryBufferMemory
from assistant.reply import Reply
asked = threading.Event()
class Client:
    default_model = "m"
    def stream(self, messages, **options):
        def source(token):
            asked.set()
            threading.Event().wait()
            yield ""
        return Reply(source)
memory = SummaryBufferMemory(Client(), max_token_limit=20)
for _ in range(5):
    memory.add_turn("hola " * 20, "hola " * 20)
assert asked.wait(20)
print("the end")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "the end\n", "")


def test_many_threads_may_read_write_and_edit_at_once() -> None:
    client = Summarizer(failing=0.2)
    memory = SummaryBufferMemory(client, max_token_limit=600)
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            context = memory.context()
            assert context.omitted == 0
            memory.tokens  # noqa: B018
            memory.to_dict()

    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        writers = [pool.submit(fill, memory, 40, start) for start in range(0, 160, 40)]
        for writer in writers:
            writer.result(PATIENCE)
        stop.set()
        for reader in readers:
            reader.result(PATIENCE)
    assert memory.flush(PATIENCE)
    assert known(memory) == facts(160)
    assert memory.covered + len(memory.turns) == 160
    assert memory.tokens.kept == sum(turn.size for turn in islice(memory.turns, 1000))
