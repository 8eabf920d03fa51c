"""Runner: from a text to a reply that runs: admission, the lease, the session, the thread, and how it ends."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from .accounting import Ledger
from .clients.base import ChatClient
from .errors import AssistantError, SessionBusyError, StoreError
from .limits import Admission
from .messages import Turn, Usage
from .reply import Reply
from .restoring import restored_session, saved_memory
from .runs import Intent, Key, Run, accept, not_saved_yet, under_way, unexpected
from .saver import Saver
from .session import ChatSession
from .store import (
    ConversationNotFoundError,
    ConversationStore,
    StaleConversationError,
    StoredConversation,
    Turns,
)

logger = logging.getLogger("assistant")

# Replies at once from which on their threads sleep between two looks, how much longer with each one more, and at most.
_FEW, _PACE, _LONGEST_PACE = 20, 0.0005, 0.08
# Temporary conversations that are kept; the oldest go.
_TEMPORARY = 1_000


class Home(NamedTuple):
    """Where a conversation is kept, and what keeps its runs there."""

    store: ConversationStore
    saver: Saver


@dataclass(slots=True)
class Pooled:
    """A session, and the version of the conversation that it stands for: that its last run left, or that was read.

    `system` are the instructions that it was made with, for turns whose settings name none. `told` are the texts of
    the notices that its replies had.
    """

    session: ChatSession
    system: str | None
    run: Run | None = None
    read: int = -1
    settings: dict[str, Any] = field(default_factory=dict)
    told: frozenset[str] = frozenset()

    @property
    def version(self) -> int:
        return self.read if self.run is None else self.run.version


class Runner:
    """What Chats is built on: the conversations' sessions, and the replies that run in them."""

    def __init__(
        self,
        client: ChatClient,
        store: ConversationStore | None,
        limits: Admission | None,
        *,
        grace: float | None,
        lease: float,
        save_every: float,
        clock: Callable[[], float],
        make_session: Callable[[], ChatSession] | None,
        pool_size: int,
    ) -> None:
        self.client = client
        self.store = ConversationStore(clock=clock) if store is None else store
        self._own_store = store is None
        self._limits = limits
        self._clock = clock
        self._make_session = make_session or (lambda: ChatSession(client))
        self._pool_size = pool_size
        self._pool: OrderedDict[Key, Pooled] = OrderedDict()
        self._drafts: OrderedDict[Key, dict[str, Any]] = OrderedDict()
        self._temporary: OrderedDict[Key, None] = OrderedDict()
        self._starting: set[Key] = set()
        self._ledger = Ledger()
        self._lock = threading.Lock()
        self._closed = False

        def saver(store: ConversationStore) -> Saver:
            return Saver(store, lease=lease, every=save_every, grace=grace, forgotten=self._drop, beat=self._beat)

        self._saver = saver(self.store)
        self._make_saver = saver
        self._home = Home(self.store, self._saver)
        # Conversations that are written nowhere: a database of this process's own, made when there is one.
        self._passing: Home | None = None

    def tick(self) -> None:
        """What happens once every `save_every` seconds by itself: saving, renewing leases, stopping the unwatched."""
        for home in self._homes():
            home.saver.tick()

    def close(self, timeout: float = 5.0) -> None:
        """Stops all replies, saves them, and ends the threads. Blocks for at most about `timeout` seconds."""
        self._closed = True
        running = [run for home in self._homes() for run in home.saver.all_running()]
        for run in running:
            run.stop()
        deadline = time.monotonic() + timeout
        for run in running:
            run.wait(max(0.0, deadline - time.monotonic()))
        for home in self._homes():
            home.saver.close()
        with self._lock:
            pooled, self._pool = list(self._pool.values()), OrderedDict()
        for each in pooled:
            each.session.memory.close()
        self._ledger.catch_up()
        if self._own_store:
            self.store.close()
        if self._passing is not None:
            self._passing.store.close()

    # -- where conversations are ---------------------------------------------------------------------------

    def _homes(self) -> list[Home]:
        return [self._home] if self._passing is None else [self._home, self._passing]

    def _home_of(self, key: Key) -> Home:
        if key not in self._temporary:
            return self._home
        with self._lock:
            if self._passing is None:
                store = ConversationStore("sqlite://", clock=self._clock)
                self._passing = Home(store, self._make_saver(store))
            return self._passing

    def _running(self, key: Key) -> Run | None:
        return self._home_of(key).saver.running(key)

    def _make_temporary(self, key: Key) -> None:
        with self._lock:
            self._temporary[key] = None
            oldest = next(iter(self._temporary)) if len(self._temporary) > _TEMPORARY else None
        if oldest is not None:
            self._leave(oldest, self._home_of(oldest).store.erase)
            with self._lock:
                self._temporary.pop(oldest, None)

    # -- beginning -----------------------------------------------------------------------------------------

    def _launch(self, key: Key, prepare: Callable[[], tuple[Turn, Intent]], account: str | None = None) -> Run:
        with self._lock:
            if self._closed:
                raise SessionBusyError("The assistant is shutting down.", hint="Try again in a moment.", code="closing")
            busy = key in self._starting
            if not busy:
                self._starting.add(key)
        if busy:
            raise under_way()
        admitted: tuple[str, ...] = (key[0],) if account is None else (key[0], account)
        try:
            if self._running(key) is not None:
                raise under_way()
            turn, intent = prepare()
            if self._limits is not None:
                self._limits.admit(*admitted)
            try:
                run = self._begin(key, turn, intent, admitted)
            except BaseException:
                self._settle(admitted, None)
                raise
        finally:
            with self._lock:
                self._starting.discard(key)
        try:
            threading.Thread(target=self._work, args=(run,), name=f"assistant-run-{turn.id[:8]}", daemon=True).start()
        except RuntimeError as error:
            self._end(run, None, unexpected(error))
        return run

    def _settle(self, admitted: tuple[str, ...], run: Run | None) -> None:
        if self._limits is not None:
            owner, *session = admitted
            self._limits.settle(owner, None if run is None else run.usage, *session)

    def _spent(self, key: Key, admitted: tuple[str, ...], usage: Usage) -> None:
        """Puts what a title or a summary has used on its owner's day, and on the accounts of who was admitted."""
        if self._limits is not None:
            owner, *session = admitted
            self._limits.charge(owner, usage, *session)
        self._ledger.book(self._home_of(key).store, key[0], usage)

    def _beat(self) -> None:
        if self._limits is not None:
            self._limits.renew()
        self._ledger.catch_up()

    def _begin(self, key: Key, turn: Turn, intent: Intent, admitted: tuple[str, ...]) -> Run:
        """The run, in the store where that can be written and known to the saver either way."""
        with self._lock:
            draft = self._drafts.get(key)
        if draft is not None:
            if intent.after is not None or intent.resumes:
                raise StaleConversationError("The conversation has no such turn.")
            settings = draft if intent.settings is None else intent.settings
            intent = replace(intent, settings=settings, create=True)
        run = Run(*key, turn, intent, self._clock)
        run.admitted = admitted
        saver = self._home_of(key).saver
        trouble = None
        try:
            if saver.flush(key):
                begun = saver.begin(run)
                accept(begun)
                run.settings = begun.settings
            else:
                trouble = saver.trouble(key) or not_saved_yet()
        except (ConversationNotFoundError, StaleConversationError):
            raise
        except StoreError as error:
            trouble = error
        if trouble is not None:
            self._begin_unsaved(run, draft, trouble)
        saver.add(run, trouble)
        with self._lock:
            self._drafts.pop(key, None)
        return run

    def _begin_unsaved(self, run: Run, draft: dict[str, Any] | None, trouble: StoreError) -> None:
        """The same checks without the store, where this process knows enough; else raises `trouble`."""
        pooled = self._pool.get(run.key)
        if pooled is None and draft is None:
            raise trouble
        ids = [turn.id for turn in pooled.session.transcript] if pooled is not None else []
        after = run.turn_id if run.intent.resumes else run.intent.after
        fits = after == (ids[-1] if ids else None) or (run.intent.branch and (after is None or after in ids))
        if not fits:
            raise StaleConversationError("The conversation has gone on since this page was drawn.")
        if run.intent.settings is not None:
            run.settings = dict(run.intent.settings)
        elif pooled is not None:
            run.settings = pooled.settings

    # -- the run's own thread ------------------------------------------------------------------------------

    def _work(self, run: Run) -> None:
        session: ChatSession | None = None
        error: AssistantError | None = None
        try:
            pooled = self._session(run)
            session = pooled.session
            run.told = pooled.told
            reply = self._ask(pooled, run)
            try:
                run.read(reply, self._pace)
            finally:
                pooled.told |= {notice.text for notice in reply.notices}
        except AssistantError as caught:
            error = caught
        except BaseException as caught:
            logger.exception("chats.run_failed", extra={"turn": run.turn_id})
            error = unexpected(caught)
            self._drop(run)
        self._end(run, session, error)

    def _pace(self) -> float:
        """How long each reply's thread may sleep between two looks, in seconds: nothing while there are few.

        Waking up costs more than what is read then. Two hundred threads that wake for each word leave no time for
        anything else, and pages are drawn four to ten times a second anyway.
        """
        running = sum(home.saver.count for home in self._homes())
        return min(_LONGEST_PACE, max(0, running - _FEW) * _PACE)

    def _ask(self, pooled: Pooled, run: Run) -> Reply:
        given: Any = dict(run.settings)
        pooled.session.system = given.pop("system", None) or pooled.system
        if run.intent.resumes:
            return pooled.session.continue_(**given)
        return pooled.session.stream(run.turn.user, documents=run.turn.documents, turn_id=run.turn_id, **given)

    def _end(self, run: Run, session: ChatSession | None, error: AssistantError | None) -> None:
        """Saves and reports a run that is over, however that came. Raises nothing."""
        try:
            turn, memory = self._outcome(run, session, error)
        except Exception as caught:
            logger.exception("chats.end_failed", extra={"turn": run.turn_id})
            error = error or unexpected(caught)
            turn, memory = _failed(replace(run.turn, reply=run.text or None), error), None
            self._drop(run)
        try:
            run.end(turn, memory, error)
            self._home_of(run.key).saver.end(run)
            self._settle(run.admitted, run)
            self._ended(run)
        finally:
            run.finish()

    def _ended(self, run: Run) -> None:
        """For whoever does something after a turn. The run is saved, and not `done` yet."""

    def _outcome(
        self, run: Run, session: ChatSession | None, error: AssistantError | None
    ) -> tuple[Turn, dict[str, Any] | None]:
        last = session.transcript[-1:] if session is not None else []
        asked = bool(last) and last[0].id == run.turn_id and run.asked
        if session is None or not asked:
            # It could not even be asked. The store has a turn that the session has not: the next one reads it anew.
            self._drop(run)
            return (run.turn if run.intent.resumes else _failed(run.turn, error)), None
        turn = replace(last[0], notices=run.notices())
        if turn.stop_reason is None:
            turn.stop_reason = "error"
        if error is not None and turn.stop_reason == "error":
            turn.error, turn.error_code = str(error), type(error).__name__
        return turn, saved_memory(session, turn.id)

    # -- sessions ------------------------------------------------------------------------------------------

    def _session(self, run: Run) -> Pooled:
        """The conversation's session, standing where the run begins; read from the store unless it is up to date."""
        with self._lock:
            pooled = self._pool.get(run.key)
        if pooled is None or (run.begun and pooled.version != run.version - 1):
            self._drop(run)
            session = self._made(run)
            pooled = Pooled(session, session.system)
        session = pooled.session
        stand = run.turn_id if run.intent.resumes else run.intent.after
        while session.transcript and session.transcript[-1].id != stand:
            session.undo()
        pooled.run, pooled.settings = run, run.settings
        self._keep(run.key, pooled)
        return pooled

    def _keep(self, key: Key, pooled: Pooled) -> None:
        memory: Any = pooled.session.memory
        if hasattr(memory, "on_usage"):
            memory.on_usage = partial(self._spent, key, key[:1] if pooled.run is None else pooled.run.admitted)
        with self._lock:
            self._pool[key] = pooled
            self._pool.move_to_end(key)
        self._shrink_pool()

    def _made(self, run: Run) -> ChatSession:
        if run.intent.create:
            return self._make_session()
        stored = self._home_of(run.key).store.get(*run.key)
        # The last turn is the run's own: a new one, or one whose state before the run is what counts.
        turns = [*stored.turns[:-1], run.turn] if run.intent.resumes else stored.turns[:-1]
        return restored_session(self._make_session, turns, stored.memory)

    def _shrink_pool(self) -> None:
        with self._lock:
            excess = len(self._pool) - self._pool_size
            keys = list(self._pool) if excess > 0 else []
        idle = [key for key in keys if not self._running(key) and not self._home_of(key).saver.behind(key)]
        with self._lock:
            gone = [self._pool.pop(key) for key in idle[: max(0, excess)] if key in self._pool]
        for each in gone:
            each.session.memory.close()

    def _drop(self, run: Run) -> None:
        self._drop_session(run.key)

    def _drop_session(self, key: Key) -> None:
        with self._lock:
            pooled = self._pool.pop(key, None)
        if pooled is not None:
            # Nobody will read the summaries that it would go on paying for.
            pooled.session.memory.close()

    def _leave(self, key: Key, how: Callable[[str, str], None]) -> None:
        run = self._running(key)
        if run is not None:
            run.stop()
        self._drop_session(key)
        with self._lock:
            draft = self._drafts.pop(key, None)
        if draft is None:
            how(*key)

    def _look(self, key: Key) -> tuple[StoredConversation | None, Turns]:
        """What is stored, if anything is, and the turns; those that could not be stored yet come from memory."""
        home = self._home_of(key)
        behind = bool(home.saver.behind(key)) and not home.saver.flush(key)
        with self._lock:
            pooled, draft = self._pool.get(key), key in self._drafts
        if draft:
            return None, []
        try:
            stored = home.store.get(*key)
            if not behind and stored.lease_until is not None and stored.lease_until <= self._clock():
                stored = self._interrupted(key, stored)
        except (ConversationNotFoundError, StoreError) as error:
            if not behind or pooled is None:
                raise error
            return None, pooled.session.transcript
        return stored, pooled.session.transcript if behind and pooled is not None else stored.turns

    def _interrupted(self, key: Key, stored: StoredConversation) -> StoredConversation:
        if self._running(key) is not None:
            # Ours, and late with renewing: the next save does it.
            return stored
        store = self._home_of(key).store
        try:
            store.interrupt_expired(*key)
            return store.get(*key)
        except StoreError:
            return stored


def _failed(turn: Turn, error: AssistantError | None) -> Turn:
    if error is None:
        return replace(turn, stop_reason="error")
    return replace(turn, stop_reason="error", error=str(error), error_code=type(error).__name__)
