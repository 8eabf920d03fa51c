"""Chats: the conversations of many owners at once. It owns the replies that run; pages only watch. No pixel in it."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .clients.base import ChatClient
from .documents import Document
from .errors import AssistantError, InvalidRequestError, ServiceError, SessionBusyError, StoreError
from .limits import Admission
from .messages import Turn, new_id
from .reply import Reply
from .restoring import restored_session, saved_memory
from .runs import Intent, Key, Run, Update
from .saver import Saver
from .session import ChatSession, Settings
from .store import (
    Begun,
    ConversationNotFoundError,
    ConversationStore,
    ConversationSummary,
    StaleConversationError,
    StoredConversation,
    Turns,
    clean_text,
)

__all__ = [
    "Chats",
    "Conversation",
    "ConversationNotFoundError",
    "ConversationSummary",
    "Run",
    "StaleConversationError",
    "Update",
]

logger = logging.getLogger("assistant")

SETTINGS = ("system", *Settings.__annotations__)

# Why an answer may be continued: it did not come to an end of its own.
_CUT = ("max_tokens", "interrupted", "cancelled", "context_window")

# Conversations that were made and not written to yet: a page makes one whenever it is opened.
_DRAFTS = 10_000


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation to be drawn. The last turn is that of `run`, as far as it has come, while one is under way here.

    A last turn without a stop reason and without a run is written by another process; it says so for another
    `busy_for` seconds, unless it goes on. `title` is empty until something was said.
    """

    id: str
    owner: str
    title: str = ""
    turns: list[Turn] = field(default_factory=list)
    run: Run | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    busy_for: float = 0.0


@dataclass(slots=True)
class _Pooled:
    """A session, and the run that used it last: while the store has the version that run left, it is up to date.

    `system` are the instructions that it was made with, for turns whose settings name none. `told` are the texts of
    the notices that its replies had.
    """

    session: ChatSession
    run: Run
    system: str | None
    told: frozenset[str] = frozenset()


class Chats:
    """Conversations by owner: submit a text, watch the Run, stop it, come back later.

    `store`: None means ConversationStore() in its default place. `limits` is asked before each turn. `grace`: seconds
    after which a reply that nobody watches is stopped and kept as far as it came; None: never. `lease`: seconds for
    which a process that stops renewing it keeps a conversation from the others. `save_every`: seconds between two saves
    of what grows. `clock` is in seconds since the epoch. `make_session` makes an empty session; None means
    ChatSession(client).

    Calls block for the database, at most its `busy_timeout`, and never for a model: on an event loop use
    `asyncio.to_thread`. All but `submit` and `continue_` raise StoreError where the database fails.
    """

    def __init__(
        self,
        client: ChatClient,
        store: ConversationStore | None = None,
        limits: Admission | None = None,
        *,
        grace: float | None = 10.0,
        lease: float = 15.0,
        save_every: float = 1.0,
        clock: Callable[[], float] = time.time,
        make_session: Callable[[], ChatSession] | None = None,
        pool_size: int = 256,
    ) -> None:
        self.client = client
        self.store = ConversationStore(clock=clock) if store is None else store
        self._own_store = store is None
        self._limits = limits
        self._clock = clock
        self._make_session = make_session or (lambda: ChatSession(client))
        self._pool_size = pool_size
        self._pool: OrderedDict[Key, _Pooled] = OrderedDict()
        self._drafts: OrderedDict[Key, dict[str, Any]] = OrderedDict()
        self._starting: set[Key] = set()
        self._lock = threading.Lock()
        self._saver = Saver(self.store, lease=lease, every=save_every, grace=grace, forgotten=self._drop)
        self._closed = False

    # -- conversations -------------------------------------------------------------------------------------

    def create(self, owner: str, settings: Mapping[str, Any] | None = None) -> Conversation:
        """A new conversation. It is stored with its first turn; until then only this process knows its id."""
        conversation = Conversation(new_id(), owner, settings=_checked(settings) or {})
        with self._lock:
            self._drafts[owner, conversation.id] = conversation.settings
            if len(self._drafts) > _DRAFTS:
                self._drafts.popitem(last=False)
        return conversation

    def open(self, owner: str, conversation_id: str) -> Conversation:
        """The conversation as it stands, with its run where one is under way. Raises ConversationNotFoundError."""
        key = _key(owner, conversation_id)
        run = self._saver.running(key)
        stored, turns = self._look(key)
        run = self._saver.running(key) or run
        if run is not None:
            # Newer than what is stored, also where it has ended since that was read.
            now = run.snapshot().turn
            turns = [*(turn for turn in turns if turn.id != now.id), now]
            run = None if run.done else run
        if stored is None:
            settings = self._drafts.get(key, run.settings if run is not None else {})
            return Conversation(conversation_id, owner, turns=turns, run=run, settings=dict(settings))
        busy_for = 0.0 if run is not None else max(0.0, (stored.lease_until or 0.0) - self._clock())
        if run is None and not busy_for and turns and turns[-1].stop_reason is None:
            # Nobody holds it, and the database can't be written: it is said here, and stored another time.
            turns[-1] = replace(turns[-1], stop_reason="interrupted")
        return Conversation(conversation_id, owner, stored.title, turns, run, stored.settings, busy_for)

    def list(self, owner: str, limit: int = 100, search: str = "") -> list[ConversationSummary]:
        """The owner's conversations, the last changed first; with `search`, those with it in title or texts."""
        return self.store.list(owner, limit, search)

    def rename(self, owner: str, conversation_id: str, title: str) -> None:
        self.store.rename(*_key(owner, conversation_id), title)

    def delete(self, owner: str, conversation_id: str) -> None:
        """Stops what runs and takes the conversation out of reach; `restore` brings it back."""
        self._leave(_key(owner, conversation_id), self.store.delete)

    def restore(self, owner: str, conversation_id: str) -> None:
        """Takes `delete` back."""
        self.store.restore(*_key(owner, conversation_id))

    def forget(self, owner: str, conversation_id: str) -> None:
        """Stops what runs and erases the conversation, every turn and document, for good."""
        self._leave(_key(owner, conversation_id), self.store.erase)

    def rewind(self, owner: str, conversation_id: str, to: str | None) -> Conversation:
        """Undo: `to` becomes the last turn (None: there is none). What came after stays in the store, out of the line.

        Raises SessionBusyError while a reply is under way, StaleConversationError where `to` is not in the line.
        """
        key = _key(owner, conversation_id, to)
        if not self._saver.flush(key):
            raise self._saver.trouble(key) or _not_saved_yet()
        if key in self._drafts:
            if to is not None:
                raise StaleConversationError("The conversation has no such turn.")
        else:
            _accept(self.store.move_head(owner, conversation_id, to))
        return self.open(owner, conversation_id)

    # -- turns ---------------------------------------------------------------------------------------------

    def submit(
        self,
        owner: str,
        conversation_id: str,
        after: str | None,
        text: str,
        settings: Mapping[str, Any] | None = None,
        *,
        documents: Iterable[Document] = (),
        branch: bool = False,
    ) -> Run:
        """Begins a turn with `text` behind the turn `after` (None: at the beginning) and returns its Run at once.

        `after` is the last turn, or with `branch` (undo, edit, retry) one before it: what came after that stays in the
        store, out of the line. `settings` (model, system, temperature, …) replace the conversation's; None keeps
        them. The text is stored before the model is asked; where the database fails the reply comes all the same, with
        a "not_saved" notice, and is stored later.

        Raises ConversationNotFoundError, StaleConversationError (draw the page again), SessionBusyError,
        BudgetExceededError, and InvalidRequestError for an empty text or unknown settings. Whatever goes wrong later
        is the Run's: it ends with an error, as a turn that can be retried.
        """
        text = clean_text(text)
        documents = tuple(documents)
        if not text.strip() and not documents:
            raise InvalidRequestError("There is nothing to send.", hint="Write something.")
        key = _key(owner, conversation_id, after)
        intent = Intent(after, branch, _checked(settings))
        return self._launch(key, lambda: (Turn(text, documents=documents), intent))

    def continue_(self, owner: str, conversation_id: str, settings: Mapping[str, Any] | None = None) -> Run:
        """Goes on with a last turn that was cut off. Raises as `submit`; InvalidRequestError where it was not."""
        key = _key(owner, conversation_id)
        checked = _checked(settings)

        def last() -> tuple[Turn, Intent]:
            turns = self._look(key)[1]
            if not turns or not turns[-1].reply or turns[-1].stop_reason not in (*_CUT, None):
                raise InvalidRequestError("The last answer was not cut off: there is nothing to continue.")
            return turns[-1], Intent(settings=checked, resumes=True)

        return self._launch(key, last)

    def stop(self, owner: str, conversation_id: str) -> None:
        """Ends the reply under way, if there is one in this process. Does not block."""
        run = self._saver.running((owner, conversation_id))
        if run is not None:
            run.stop()

    def tick(self) -> None:
        """What happens once every `save_every` seconds by itself: saving, renewing leases, stopping the unwatched."""
        self._saver.tick()

    def close(self, timeout: float = 5.0) -> None:
        """Stops all replies, saves them, and ends the threads. Blocks for at most about `timeout` seconds."""
        self._closed = True
        running = self._saver.all_running()
        for run in running:
            run.stop()
        deadline = time.monotonic() + timeout
        for run in running:
            run.wait(max(0.0, deadline - time.monotonic()))
        self._saver.close()
        with self._lock:
            pooled, self._pool = list(self._pool.values()), OrderedDict()
        for each in pooled:
            each.session.memory.close()
        if self._own_store:
            self.store.close()

    # -- beginning -----------------------------------------------------------------------------------------

    def _launch(self, key: Key, prepare: Callable[[], tuple[Turn, Intent]]) -> Run:
        with self._lock:
            if self._closed:
                raise SessionBusyError("The assistant is shutting down.", hint="Try again in a moment.")
            if key in self._starting or self._saver.running(key) is not None:
                raise SessionBusyError("A reply is under way in this conversation.", hint="Wait for it, or stop it.")
            self._starting.add(key)
        try:
            turn, intent = prepare()
            if self._limits is not None:
                self._limits.admit(key[0])
            try:
                run = self._begin(key, turn, intent)
            except BaseException:
                if self._limits is not None:
                    self._limits.settle(key[0], None)
                raise
        finally:
            with self._lock:
                self._starting.discard(key)
        try:
            threading.Thread(target=self._work, args=(run,), name=f"assistant-run-{turn.id[:8]}", daemon=True).start()
        except RuntimeError as error:
            self._end(run, None, _unexpected(error))
        return run

    def _begin(self, key: Key, turn: Turn, intent: Intent) -> Run:
        """The run, in the store where that can be written and known to the saver either way."""
        with self._lock:
            draft = self._drafts.get(key)
        if draft is not None:
            if intent.after is not None or intent.resumes:
                raise StaleConversationError("The conversation has no such turn.")
            settings = draft if intent.settings is None else intent.settings
            intent = replace(intent, settings=settings, create=True)
        run = Run(*key, turn, intent, self._clock)
        trouble = None
        try:
            if self._saver.flush(key):
                begun = self._saver.begin(run)
                _accept(begun)
                run.settings = begun.settings
            else:
                trouble = self._saver.trouble(key) or _not_saved_yet()
        except (ConversationNotFoundError, StaleConversationError):
            raise
        except StoreError as error:
            trouble = error
        if trouble is not None:
            self._begin_unsaved(run, draft, trouble)
        self._saver.add(run, trouble)
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
            run.settings = pooled.run.settings

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
                run.read(reply)
            finally:
                pooled.told |= {notice.text for notice in reply.notices}
        except AssistantError as caught:
            error = caught
        except BaseException as caught:
            logger.exception("chats.run_failed", extra={"turn": run.turn_id})
            error = _unexpected(caught)
            self._drop(run)
        self._end(run, session, error)

    def _ask(self, pooled: _Pooled, run: Run) -> Reply:
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
            error = error or _unexpected(caught)
            turn, memory = replace(run.turn, reply=run.text or None, stop_reason="error", error=str(error)), None
            self._drop(run)
        try:
            run.end(turn, memory, error)
            self._saver.end(run)
            if self._limits is not None:
                self._limits.settle(run.owner, run.usage)
        finally:
            run.finish()

    def _outcome(
        self, run: Run, session: ChatSession | None, error: AssistantError | None
    ) -> tuple[Turn, dict[str, Any] | None]:
        last = session.transcript[-1:] if session is not None else []
        asked = bool(last) and last[0].id == run.turn_id and run.asked
        if session is None or not asked:
            # It could not even be asked. The store has a turn that the session has not: the next one reads it anew.
            self._drop(run)
            if run.intent.resumes:
                return run.turn, None
            return replace(run.turn, stop_reason="error", error=None if error is None else str(error)), None
        turn = replace(last[0])
        if turn.stop_reason is None:
            turn.stop_reason = "error"
        if error is not None and turn.stop_reason == "error":
            turn.error = str(error)
        return turn, saved_memory(session, turn.id)

    # -- sessions ------------------------------------------------------------------------------------------

    def _session(self, run: Run) -> _Pooled:
        """The conversation's session, standing where the run begins; read from the store unless it is up to date."""
        with self._lock:
            pooled = self._pool.get(run.key)
        if pooled is None or (run.begun and pooled.run.version != run.version - 1):
            self._drop(run)
            session = self._made(run)
            pooled = _Pooled(session, run, session.system)
        session = pooled.session
        stand = run.turn_id if run.intent.resumes else run.intent.after
        while session.transcript and session.transcript[-1].id != stand:
            session.undo()
        pooled.run = run
        with self._lock:
            self._pool[run.key] = pooled
            self._pool.move_to_end(run.key)
        self._shrink_pool()
        return pooled

    def _made(self, run: Run) -> ChatSession:
        if run.intent.create:
            return self._make_session()
        stored = self.store.get(*run.key)
        # The last turn is the run's own: a new one, or one whose state before the run is what counts.
        turns = [*stored.turns[:-1], run.turn] if run.intent.resumes else stored.turns[:-1]
        return restored_session(self._make_session, turns, stored.memory)

    def _shrink_pool(self) -> None:
        with self._lock:
            excess = len(self._pool) - self._pool_size
            idle = [key for key in self._pool if not self._saver.running(key) and not self._saver.behind(key)]
            gone = [self._pool.pop(key) for key in idle[: max(0, excess)]]
        for each in gone:
            each.session.memory.close()

    def _drop(self, run: Run) -> None:
        with self._lock:
            pooled = self._pool.pop(run.key, None)
        if pooled is not None:
            # Nobody will read the summaries that it would go on paying for.
            pooled.session.memory.close()

    def _leave(self, key: Key, how: Callable[[str, str], None]) -> None:
        self.stop(*key)
        with self._lock:
            pooled = self._pool.pop(key, None)
            draft = self._drafts.pop(key, None)
        if pooled is not None:
            pooled.session.memory.close()
        if draft is None:
            how(*key)

    def _look(self, key: Key) -> tuple[StoredConversation | None, Turns]:
        """What is stored, if anything is, and the turns; those that could not be stored yet come from memory."""
        behind = bool(self._saver.behind(key)) and not self._saver.flush(key)
        with self._lock:
            pooled, draft = self._pool.get(key), key in self._drafts
        if draft:
            return None, []
        try:
            stored = self.store.get(*key)
            if not behind and stored.lease_until is not None and stored.lease_until <= self._clock():
                stored = self._interrupted(key, stored)
        except (ConversationNotFoundError, StoreError) as error:
            if not behind or pooled is None:
                raise error
            return None, pooled.session.transcript
        return stored, pooled.session.transcript if behind and pooled is not None else stored.turns

    def _interrupted(self, key: Key, stored: StoredConversation) -> StoredConversation:
        if self._saver.running(key) is not None:
            # Ours, and late with renewing: the next save does it.
            return stored
        try:
            self.store.interrupt_expired(*key)
            return self.store.get(*key)
        except StoreError:
            return stored


def _key(owner: str, conversation_id: str, turn_id: str | None = None) -> Key:
    """Ids come from browsers, which may send what no database takes; ours are letters and digits."""
    if not isinstance(conversation_id, str) or not (conversation_id.isascii() and conversation_id.isalnum()):
        raise ConversationNotFoundError("There is no such conversation.")
    if turn_id is not None and not (isinstance(turn_id, str) and turn_id.isascii() and turn_id.isalnum()):
        raise StaleConversationError("The conversation has no such turn.")
    return owner, conversation_id


def _checked(settings: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if settings is None:
        return None
    unknown = set(settings) - set(SETTINGS)
    if unknown:
        raise InvalidRequestError(
            f"There are no settings {', '.join(sorted(unknown))}.", hint="Settings are: " + ", ".join(SETTINGS) + "."
        )
    try:
        json.dumps(settings)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"These settings can't be kept: {error}") from error
    return dict(settings)


def _accept(begun: Begun) -> None:
    """Raises what an outcome other than "ok" means."""
    if begun.outcome == "busy":
        raise SessionBusyError(
            "A reply is under way in this conversation, in another window or process.",
            hint=f"If it was cut off by a failure, the conversation is free again in {begun.busy_for:.0f} s.",
            retry_after=begun.busy_for,
            transient=True,
        )
    if begun.outcome == "stale":
        raise StaleConversationError("The conversation has gone on since this page was drawn.")
    if begun.outcome == "not_found":
        raise ConversationNotFoundError("There is no such conversation.")


def _not_saved_yet() -> StoreError:
    return StoreError(
        "The conversation can't be saved at the moment.", hint="It is tried again by itself.", code="locked"
    )


def _unexpected(error: BaseException) -> AssistantError:
    """A bug, ours or another's: said in a way that a person can act on. The log has the rest."""
    shown = ServiceError(
        f"Something went wrong that should not have ({type(error).__name__}).",
        hint="Send the message again; if it stays, look into the log of the assistant and report it.",
        code="unexpected",
    )
    shown.__cause__ = error
    return shown
