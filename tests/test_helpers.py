"""Helpers: calls that can be walked away from, on threads that are used again and do not stay."""

from __future__ import annotations

import multiprocessing
import sys
import threading
import weakref
from collections.abc import Iterator

import pytest

from assistant.clients import helpers
from assistant.clients.helpers import HELPERS, Helpers, wait_for
from assistant.reply import CancelToken

LONG = 20.0


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Helpers]:
    """One of its own, whose helpers stay as long as the test."""
    pool = Helpers(stays=LONG)
    monkeypatch.setattr(helpers, "HELPERS", pool)
    yield pool
    assert pool.wait_idle(LONG)


def test_the_result_and_the_error_of_a_call_come_here(pool: Helpers) -> None:
    def fail() -> int:
        raise LookupError("no")

    assert wait_for(lambda: 5, CancelToken()) == 5
    with pytest.raises(LookupError, match="no"):
        wait_for(fail, CancelToken())


def test_one_call_after_another_is_made_by_one_thread(pool: Helpers) -> None:
    seen = set()
    for _ in range(5):
        assert pool.wait_idle(LONG)
        seen.add(wait_for(threading.get_ident, CancelToken()))
    assert len(seen) == 1
    assert threading.get_ident() not in seen


def test_calls_at_once_wait_for_no_other(pool: Helpers) -> None:
    together = threading.Barrier(8)
    readers = [threading.Thread(target=wait_for, args=(lambda: together.wait(LONG), CancelToken())) for _ in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(LONG)
        assert not reader.is_alive()
    assert not together.broken


def test_cancel_leaves_the_call_and_its_result_is_discarded(pool: Helpers) -> None:
    token, inside, gate, discarded = CancelToken(), threading.Event(), threading.Event(), threading.Event()

    def call() -> str:
        inside.set()
        assert gate.wait(LONG)
        return "late"

    waiting = threading.Thread(target=wait_for, args=(call, token, lambda result: discarded.set()))
    waiting.start()
    assert inside.wait(LONG)
    token.cancel()
    waiting.join(LONG)
    assert not waiting.is_alive()
    assert not discarded.is_set()
    assert pool.working == 1
    gate.set()
    assert discarded.wait(LONG)


def test_a_helper_without_work_ends() -> None:
    pool = Helpers(stays=0.01)
    threads: list[threading.Thread] = []
    for _ in range(3):
        done = threading.Event()
        pool.run(lambda done=done: (threads.append(threading.current_thread()), done.set()))  # type: ignore[misc]
        assert done.wait(LONG)
        threads[-1].join(LONG)
        assert not threads[-1].is_alive()
    assert len(set(threads)) == 3


def test_a_helper_that_waits_keeps_nothing_of_its_last_call(pool: Helpers) -> None:
    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    wait_for(lambda thing=thing: None, CancelToken())  # type: ignore[misc]
    del thing
    assert pool.wait_idle(LONG)
    assert gone() is None


def _ask(answers) -> None:
    answers.put(wait_for(lambda: "from the child", CancelToken()))


@pytest.mark.skipif(sys.platform != "linux", reason="a process is forked")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_makes_helpers_of_its_own() -> None:
    """The parent's helper waits for work; the child has it on its list and not among its threads."""
    wait_for(lambda: None, CancelToken())
    assert HELPERS.wait_idle(LONG)
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    child = fork.Process(target=_ask, args=(answers,))
    child.start()
    child.join(LONG)
    alive = child.is_alive()
    if alive:
        child.kill()
    assert not alive
    assert answers.get() == "from the child"
