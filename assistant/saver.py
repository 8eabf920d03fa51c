"""Saver: what keeps runs in the store, once a second."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from .errors import StoreError
from .runs import Key, Run
from .store import Begun, ConversationStore, Growth

logger = logging.getLogger("assistant")

# Seconds for which a deleted conversation can be brought back, and between two looks for those that no longer can.
UNDO, SWEEP = 3600.0, 3600.0


class Saver:
    """Saves what grows, renews leases, and stops what nobody watches: one thread, once every `every` seconds.

    A database that fails stops no reply: the run carries a "not_saved" notice, and what is missing is saved here,
    in order, as soon as that can be done. Deleted conversations are erased an hour later.
    `beat` is called each time, for whatever else has to be renewed.
    """

    def __init__(
        self,
        store: ConversationStore,
        *,
        lease: float,
        every: float,
        grace: float | None,
        forgotten: Callable[[Run], None],
        beat: Callable[[], None] | None = None,
    ) -> None:
        self._store = store
        self._lease = lease
        self._every = every
        self._grace = grace
        self._forgotten = forgotten
        self._beat = beat
        self._lock = threading.Lock()
        self._running: dict[Key, Run] = {}
        # Runs whose turns are not wholly in the store, by conversation, the oldest first.
        self._behind: dict[Key, list[Run]] = {}
        self._flushing = threading.Lock()
        self._closed = threading.Event()
        self._swept = float("-inf")
        self._thread: threading.Thread | None = None

    def running(self, key: Key) -> Run | None:
        return self._running.get(key)

    @property
    def count(self) -> int:
        """How many are running."""
        return len(self._running)

    def all_running(self) -> list[Run]:
        with self._lock:
            return list(self._running.values())

    def behind(self, key: Key) -> list[Run]:
        """What could not be saved of a conversation so far."""
        with self._lock:
            return list(self._behind.get(key, ()))

    def trouble(self, key: Key) -> StoreError | None:
        """Why a conversation is behind; None where it is not."""
        return next((run.trouble for run in reversed(self.behind(key)) if run.trouble is not None), None)

    def begin(self, run: Run) -> Begun:
        """Takes the conversation and stores the turn. Raises StoreError."""
        intent = run.intent
        if intent.resumes:
            begun = self._store.resume_turn(*run.key, run.turn_id, run.lease, self._lease, settings=intent.settings)
        else:
            begun = self._store.begin_turn(
                *run.key,
                intent.after,
                run.turn,
                run.lease,
                self._lease,
                branch=intent.branch,
                settings=intent.settings,
                create=intent.create,
            )
        if begun.outcome == "ok":
            run.begun = True
            run.version = begun.version
        return begun

    def add(self, run: Run, trouble: StoreError | None = None) -> None:
        """From now on the run is saved. With `trouble` it has not begun in the store yet."""
        with self._lock:
            self._running[run.key] = run
            if trouble is not None:
                self._behind.setdefault(run.key, []).append(run)
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._work, name="assistant-saver", daemon=True)
                self._thread.start()
        if trouble is not None:
            self._tell(run, trouble)

    def end(self, run: Run) -> None:
        """Saves the end of a run, in this thread; later, where the database fails. Raises nothing."""
        try:
            if self.behind(run.key):
                with self._lock:
                    waiting = self._behind.setdefault(run.key, [])
                    if run not in waiting:
                        waiting.append(run)
                self.flush(run.key)
            else:
                self._save_end(run)
        except StoreError as error:
            self._tell(run, error)
            with self._lock:
                self._behind.setdefault(run.key, []).append(run)
        except Exception:
            logger.exception("runs.save_failed", extra={"turn": run.turn_id})
        finally:
            with self._lock:
                self._running.pop(run.key, None)

    def flush(self, key: Key) -> bool:
        """Saves what is behind of one conversation; False where the database still fails."""
        if not self.behind(key):
            return True
        with self._flushing:
            for run in self.behind(key):
                try:
                    while not self._settled(run):
                        if not run.begun and not self._begin_late(run):
                            return False
                        self._save_end(run)
                except StoreError as error:
                    self._tell(run, error)
                    return False
                run.trouble = None
        return True

    def tick(self) -> None:
        """What is done once every `every` seconds."""
        running = self.all_running()
        if self._grace is not None:
            for run in running:
                if run.final is None and run.unwatched_for() >= self._grace:
                    run.stop()
        # First of all what renews leases.
        self._save_growing([run for run in running if run.begun and run.final is None])
        if self._beat is not None:
            self._beat()
        with self._lock:
            behind = list(self._behind)
        for key in behind:
            if not self.flush(key):
                trouble = self.trouble(key)
                if trouble is not None and trouble.code in ("locked", "unreachable"):
                    # Each attempt takes as long as one waits for it; the leases can't wait for all of them.
                    break
        self._sweep()

    def close(self) -> None:
        """Ends the thread; saves what can be saved."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(10)
        with self._lock:
            behind = list(self._behind)
        with suppress(Exception):
            all(self.flush(key) for key in behind)

    def _work(self) -> None:
        while not self._closed.wait(self._every):
            try:
                self.tick()
            except Exception:
                # Without this thread leases would run out: whatever went wrong, there is a next time.
                logger.exception("runs.tick_failed")

    def _sweep(self) -> None:
        """Erases what was deleted a while ago, in this process or another; once an hour, whether or not it works."""
        now = self._store.clock()
        if now - self._swept < SWEEP:
            return
        self._swept = now
        try:
            self._store.erase_deleted(now - UNDO)
        except StoreError as error:
            logger.info("chats.not_swept %s", error.message)

    def _save_growing(self, runs: list[Run]) -> None:
        growing = []
        lengths = {}
        for run in runs:
            text = run.text
            lengths[run.turn_id] = len(text)
            grown = text if len(text) != run.saved_length else None
            growing.append(Growth(run.conversation_id, run.turn_id, run.lease, grown))
        try:
            lost = self._store.save_growing(growing, self._lease)
        except StoreError as error:
            for run in runs:
                if run.final is None:
                    self._tell(run, error)
            return
        for run in runs:
            if run.turn_id not in lost:
                run.saved_length = lengths[run.turn_id]
                run.trouble = None
            elif run.final is None:
                # One that has ended meanwhile gave its lease back by itself.
                run.lose()

    def _settled(self, run: Run) -> bool:
        """Whether a run that was behind no longer is. One that ends in this moment either is seen here or sees this."""
        with self._lock:
            settled = run.lost or run.kept or (run.begun and run.final is None)
            if settled:
                waiting = self._behind[run.key]
                waiting.remove(run)
                if not waiting:
                    del self._behind[run.key]
            return settled

    def _begin_late(self, run: Run) -> bool:
        """False where it has to wait. A run that comes too late is given up."""
        begun = self.begin(run)
        if begun.outcome == "busy":
            return False
        if begun.outcome != "ok":
            run.lose()
            self._forgotten(run)
        return True

    def _save_end(self, run: Run) -> None:
        if run.final is None or run.lost:
            return
        version = self._store.end_turn(run.conversation_id, run.final, run.lease, run.memory)
        if version is None:
            run.lose()
            self._forgotten(run)
        else:
            run.version = version
            run.kept = True
            run.trouble = None

    def _tell(self, run: Run, error: StoreError) -> None:
        if run.trouble is None:
            logger.warning("runs.not_saved %s", error.message, extra={"turn": run.turn_id, "code": error.code})
        run.trouble = error
