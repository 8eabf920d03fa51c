"""Run: a reply that goes on whether or not somebody looks."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

from .errors import AssistantError, ServiceError, SessionBusyError, StoreError
from .messages import LASTING, Notice, Retrying, Turn, Usage, new_id
from .reply import Reply
from .store import Begun, ConversationNotFoundError, StaleConversationError

logger = logging.getLogger("assistant")

Key = tuple[str, str]  # owner, conversation id

# Seconds between two looks at a run of which nothing has come yet: the first word is what people wait for.
_EAGER = 0.02
# A step of a reply that took longer than so many seconds waited for the service: whatever was there before is read.
_WAITED = 0.002
# An update goes out this often even where nothing is new, so that a server notices who has gone.
_HEARTBEAT = 1.0


@dataclass(frozen=True, slots=True)
class Update:
    """A run as it stands. `text` is the whole reply so far, that of the turn being continued included.

    `turn` is a copy. `retrying` is set while the request waits to be sent again. `error` is why the reply failed, once
    `done`. `time_to_first_text` and `seconds` (the whole reply) are None until known. `done` comes last, and after the
    turn was saved or, with a "not_saved" notice, could not be.
    """

    text: str
    turn: Turn
    notices: tuple[Notice, ...] = ()
    retrying: Retrying | None = None
    error: AssistantError | None = None
    time_to_first_text: float | None = None
    seconds: float | None = None
    done: bool = False


@dataclass(frozen=True, slots=True)
class Intent:
    """How a run's turn gets into the store: a new one behind `after`, or (`resumes`) the last one going on."""

    after: str | None = None
    branch: bool = False
    settings: Mapping[str, Any] | None = None
    create: bool = False
    resumes: bool = False


class Run:
    """One reply under way, or ended. Everything here is safe from any thread, and nothing but `wait` blocks."""

    def __init__(
        self, owner: str, conversation_id: str, turn: Turn, intent: Intent, clock: Callable[[], float]
    ) -> None:
        self.owner = owner
        self.conversation_id = conversation_id
        self.turn_id = turn.id
        # For Chats and Saver. `turn` is the turn as it was when the run began.
        self.turn = turn
        self.intent = intent
        self.lease = new_id()
        self.begun = False
        self.version = -1
        self.settings: dict[str, Any] = {}
        self.final: Turn | None = None
        # What its limits were asked for: the owner, and perhaps a session.
        self.admitted: tuple[str, ...] = (owner,)
        self.kept = False
        self.lost = False
        self.memory: dict[str, Any] | None = None
        self.saved_length = len(turn.reply or "")
        # Notices that this conversation has been given before: what a model does not take is said once.
        self.told: frozenset[str] = frozenset()
        self._clock = clock
        # Reentrant: a dropped generator leaves wherever garbage is collected, inside this lock too.
        self._lock = threading.RLock()
        self._done = threading.Event()
        self._reply: Reply | None = None
        self._stopping = False
        self._began = turn.started
        self._text = turn.reply or ""
        self._read = 0
        self._retrying: Retrying | None = None
        self._error: AssistantError | None = None
        # The turn as it stood when what is known of the reply, its text left aside, was last another.
        self._now = turn
        self._known: tuple[Any, ...] | None = None
        # Why it can't be saved at the moment.
        self.trouble: StoreError | None = None
        self._watchers = 0
        self._unwatched_since = clock()

    @property
    def key(self) -> Key:
        return self.owner, self.conversation_id

    @property
    def done(self) -> bool:
        return self._done.is_set()

    def stop(self) -> None:
        """Ends the reply as "cancelled", also before its first word; `done` follows when the turn is saved."""
        self._stopping = True
        reply = self._reply
        if reply is not None:
            _cancel(reply)

    def wait(self, timeout: float | None = None) -> bool:
        """Blocks until the run is done or `timeout` seconds have passed; True when it is done. Counts as watching."""
        self._watched(1)
        try:
            return self._done.wait(timeout)
        finally:
            self._watched(-1)

    def snapshot(self) -> Update:
        """The run as it stands."""
        with self._lock:
            # Asked first: what is read after it can only be newer.
            done = self._done.is_set()
            reply = self._reply
            self._read_on()
            notices = self._news(reply.notices) if reply is not None else ()
            now = self._turn_now(reply)
            if self.trouble is not None:
                notices += (_not_saved(self.trouble),)
            return Update(
                text=self._text,
                turn=now,
                notices=notices,
                retrying=None if done else self._retrying,
                error=self._error if done else None,
                time_to_first_text=None if reply is None else reply.time_to_first_text,
                seconds=None if reply is None else reply.seconds,
                done=done,
            )

    async def updates(self, interval: float = 0.1) -> AsyncIterator[Update]:
        """The run as it goes on: each update holds all there is, the last one is `done`. Any number may watch.

        Looks every `interval` seconds, more often until there is text; says so once a second where nothing is new.
        """
        self._watched(1)
        try:
            last: Update | None = None
            quiet = 0.0
            while True:
                update = self.snapshot()
                if update != last or quiet >= _HEARTBEAT:
                    last, quiet = update, 0.0
                    yield update
                if update.done:
                    return
                pause = interval if update.text else min(_EAGER, interval)
                quiet += pause
                await asyncio.sleep(pause)
        finally:
            # Also where the generator is dropped and collected: nobody has to close it.
            self._watched(-1)

    # -- for Chats and Saver -------------------------------------------------------------------------------

    def unwatched_for(self) -> float:
        """Seconds since the last watcher left, or since the run began where there was none; 0 while one looks."""
        with self._lock:
            return 0.0 if self._watchers else self._clock() - self._unwatched_since

    @property
    def asked(self) -> bool:
        """Whether it came to a reply at all."""
        return self._reply is not None

    @property
    def text(self) -> str:
        with self._lock:
            self._read_on()
            return self._text

    @property
    def usage(self) -> Usage:
        """What this run alone has used so far."""
        return (self._reply.usage if self._reply is not None else None) or Usage()

    def notices(self) -> tuple[Notice, ...]:
        """What is to be noticed about the turn, but for what the conversation has been told before."""
        reply = self._reply
        return self.turn.notices + (() if reply is None else self._news(reply.notices))

    def read(self, reply: Reply, pace: Callable[[], float] = lambda: 0.0) -> None:
        """Reads the reply to its end, in this thread. Raises what it failed with.

        `pace()` are the seconds in which not to look after having waited: what comes meanwhile is read in one go.
        """
        self._began = self.turn.started or time.time()
        self._reply = reply
        if self._stopping:
            _cancel(reply)
        # Watchers read the reply's log by themselves: a thread that only turns the crank costs least.
        before = time.monotonic()
        for _ in reply:
            now = time.monotonic()
            if now - before > _WAITED and (pause := pace()):
                time.sleep(pause)
                now = time.monotonic()
            before = now

    def end(self, turn: Turn, memory: dict[str, Any] | None, error: AssistantError | None) -> None:
        """The reply is over; not `done` before it is saved."""
        with self._lock:
            self.final = turn
            self.memory = memory
            self._error = self._error or error

    def finish(self) -> None:
        self._done.set()

    def lose(self) -> None:
        """Another run has the conversation: what this one writes can't be kept."""
        if self.lost:
            return
        self.lost = True
        self._error = StaleConversationError("The conversation went on elsewhere: this reply could not be kept.")
        logger.warning("runs.lost", extra={"conversation": self.conversation_id, "turn": self.turn_id})
        self.stop()

    def _news(self, notices: Iterable[Notice]) -> tuple[Notice, ...]:
        return tuple(notice for notice in notices if notice.code not in LASTING or notice.text not in self.told)

    def _watched(self, change: int) -> None:
        with self._lock:
            self._watchers += change
            if not self._watchers:
                self._unwatched_since = self._clock()

    def _read_on(self) -> None:
        """Takes in what is new in the reply's log. The lock is held."""
        if self._reply is None:
            return
        new = self._reply.state.log[self._read :]
        self._read += len(new)
        text = "".join(item for item in new if isinstance(item, str))
        if text:
            self._text += text
            self._retrying = None
        else:
            for item in new:
                if isinstance(item, Retrying):
                    self._retrying = item

    def _turn_now(self, reply: Reply | None) -> Turn:
        """The turn as it stands, a copy. Ten times a second, and mostly more text is all that is new."""
        if self.final is not None:
            return replace(self.final)
        known = (
            None if reply is None else (reply.model, reply.usage, len(reply.state.notices), reply.time_to_first_text)
        )
        if known is None or known != self._known:
            self._known, self._now = known, self._turn_anew(reply)
        now = copy(self._now)
        now.reply = self._text or None
        return now

    def _turn_anew(self, reply: Reply | None) -> Turn:
        turn = self.turn
        after = turn.first_text_after
        return replace(
            turn,
            stop_reason=None,
            error=None,
            error_code="",
            usage=turn.usage + self.usage,
            model=turn.model if reply is None else reply.model,
            notices=self.notices(),
            started=self._began,
            first_text_after=after if after is not None or reply is None else reply.time_to_first_text,
        )


def _not_saved(error: StoreError) -> Notice:
    text = f"This conversation can't be saved at the moment ({error.message}) It is tried again by itself."
    return Notice("not_saved", text, {"code": error.code, "hint": error.hint})


def _cancel(reply: Reply) -> None:
    # Ending a turn runs the session's code here, in the thread of whoever pressed Stop; the run's thread reports it.
    try:
        reply.cancel()
    except Exception:
        logger.exception("runs.cancel_failed")


def under_way() -> SessionBusyError:
    return SessionBusyError("A reply is under way in this conversation.", hint="Wait for it, or stop it.")


def accept(begun: Begun) -> None:
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


def not_saved_yet() -> StoreError:
    return StoreError(
        "The conversation can't be saved at the moment.", hint="It is tried again by itself.", code="locked"
    )


def unexpected(error: BaseException) -> AssistantError:
    """A bug, ours or another's: said in a way that a person can act on. The log has the rest."""
    shown = ServiceError(
        f"Something went wrong that should not have ({type(error).__name__}).",
        hint="Send the message again; if it stays, look into the log of the assistant and report it.",
        code="unexpected",
    )
    shown.__cause__ = error
    return shown
