"""The thread that writes summaries: one for the whole process, alive while there is something to write."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import deque
from typing import Any, Protocol

logger = logging.getLogger("assistant")


class Job(Protocol):
    """A piece of work that knows nothing of the memory it is for."""

    def run(self) -> None:
        """Blocks for as long as it takes. Raises nothing: what went wrong is kept for the memory."""


class Forked(Protocol):
    """What wants to know of a fork."""

    def after_fork(self) -> None:
        """In a child process: locks may have been held by threads that do not exist here."""


class Folding(Protocol):
    """A memory, as the worker sees it."""

    def begin_fold(self) -> Job | None:
        """What is to be done now; None where there is nothing (any more)."""

    def end_fold(self, fold: Any) -> bool:
        """Takes in the job that `begin_fold` gave, run; True where there is more to do."""


class Worker:
    """Runs the jobs of many memories, one at a time, on a daemon thread that ends when there is nothing left to do.

    A memory that nobody else holds is not kept alive by waiting here, nor while its job runs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[weakref.ref[Folding]] = deque()
        self._running = False

    def submit(self, memory: Folding) -> bool:
        """Never blocks on work. False where no thread can be started, as when the interpreter is ending."""
        ref = weakref.ref(memory)
        with self._lock:
            self._queue.append(ref)
            if self._running:
                return True
            self._running = True
        try:
            threading.Thread(target=self._work, name="assistant-summaries", daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._running = False
                self._queue.remove(ref)
            return False
        return True

    def _next(self) -> weakref.ref[Folding] | None:
        with self._lock:
            if not self._queue:
                # Under the lock, so that a memory submitted now starts a new thread.
                self._running = False
                return None
            return self._queue.popleft()

    def _work(self) -> None:
        while (ref := self._next()) is not None:
            try:
                if self._fold(ref):
                    with self._lock:
                        # At the end: a memory with much to fold does not keep the others waiting.
                        self._queue.append(ref)
            except Exception:
                logger.exception("memory.worker_failed")

    @staticmethod
    def _fold(ref: weakref.ref[Folding]) -> bool:
        memory = ref()
        job = memory.begin_fold() if memory is not None else None
        if job is None:
            return False
        # The summariser may take a minute; who drops the conversation meanwhile frees it.
        del memory
        job.run()
        memory = ref()
        return memory is not None and memory.end_fold(job)


WORKER = Worker()
MEMORIES: weakref.WeakSet[Forked] = weakref.WeakSet()


def _after_fork() -> None:
    WORKER.__init__()  # type: ignore[misc]
    for memory in list(MEMORIES):
        memory.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
