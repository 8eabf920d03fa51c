"""Helpers: threads that make blocking calls, so that whoever waits for one can walk away.

Starting a thread costs a third of a millisecond of CPU, more than everything else that stands before a request. So a
helper that has done its call stays for the next one, a little while.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from ..reply import CancelToken

T = TypeVar("T")

# How long a helper without work stays, in seconds: shorter than the read timeout that a reply may leave behind.
STAYS = 10.0


class Helpers:
    """As many threads as there are calls at once; each ends when it had nothing to do for `stays` seconds."""

    def __init__(self, stays: float = STAYS) -> None:
        self._stays = stays
        self.reset()

    def reset(self) -> None:
        """Forgets every helper."""
        self._changed = threading.Condition(threading.Lock())
        self._ready: list[_Helper] = []
        self._working = 0

    @property
    def working(self) -> int:
        """How many are in a call."""
        return self._working

    def run(self, job: Callable[[], object]) -> None:
        """Runs `job` on a helper, without waiting. It must not raise."""
        with self._changed:
            self._working += 1
            helper = self._ready.pop() if self._ready else None
        if helper is None:
            helper = _Helper(self)
            helper.job = job
            try:
                helper.thread.start()
            except BaseException:
                with self._changed:
                    self._working -= 1
                raise
        else:
            helper.job = job
            helper.go.release()

    def wait_idle(self, timeout: float) -> bool:
        """Blocks until no helper is in a call, at most `timeout` seconds; whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._working, timeout)

    def next_job(self, helper: _Helper) -> bool:
        """In a helper's thread: blocks until there is a job for it; False when it may end."""
        with self._changed:
            self._working -= 1
            self._ready.append(helper)
            self._changed.notify_all()
        if helper.go.acquire(timeout=self._stays):
            return True
        with self._changed:
            if helper in self._ready:
                self._ready.remove(helper)
                return False
        # Somebody took it at that very moment.
        return helper.go.acquire()


class _Helper:
    """One thread. `go` is released when `job` is there."""

    def __init__(self, pool: Helpers) -> None:
        self._pool = pool
        self.job: Callable[[], object] | None = None
        self.go = threading.Lock()
        self.go.acquire()
        self.thread = threading.Thread(target=self._run, name="assistant-open", daemon=True)

    def _run(self) -> None:
        while True:
            job, self.job = self.job, None
            if job is not None:
                job()
            # Or what the job holds would live as long as this thread has nothing to do.
            del job
            if not self._pool.next_job(self):
                return


HELPERS = Helpers()
if hasattr(os, "register_at_fork"):
    # A child process has the list and the lock, and none of the threads.
    os.register_at_fork(after_in_child=HELPERS.reset)


class _Call(Generic[T]):
    """A call that blocks, on a helper's thread, so that the caller can walk away from it."""

    def __init__(self, call: Callable[[], T], discard: Callable[[T], object]) -> None:
        self._call = call
        self._discard = discard
        self._lock = threading.Lock()
        self._abandoned = False
        # Held until the call is over or nobody waits any more. An Event would do, for ten times the price.
        self.waiting = threading.Lock()
        self.waiting.acquire()
        self.result: T | None = None
        self.error: BaseException | None = None

    def wake(self) -> None:
        """Lets the waiting thread go on; harmless a second time."""
        with suppress(RuntimeError):
            self.waiting.release()

    def run(self) -> None:
        result: T | None = None
        try:
            result = self._call()
        except BaseException as error:
            self.error = error
        with self._lock:
            self.result = result
            left = self._abandoned
        self.wake()
        if left and result is not None:
            self._discard(result)

    def abandon(self) -> None:
        """Leaves the result to the helper, which discards it when it comes; discards it here if it has."""
        with self._lock:
            self._abandoned = True
            result = self.result
        if result is not None:
            self._discard(result)


def _leave(result: object) -> None:
    """For results that hold nothing."""


def wait_for(call: Callable[[], T], token: CancelToken, discard: Callable[[T], object] = _leave) -> T | None:
    """What `call` returns or raises. None when cancelled before that: `discard` then gets its result, some day."""
    running = _Call(call, discard)
    HELPERS.run(running.run)
    try:
        with token.waking(running.wake):
            running.waiting.acquire()
    except BaseException:
        running.abandon()
        raise
    if token.cancelled:
        running.abandon()
        return None
    if running.error is not None:
        raise running.error
    return running.result
