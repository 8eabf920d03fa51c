"""Reply: one answer on its way, and CancelToken: the way to end it from anywhere."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType

from .errors import AssistantError, StreamInterruptedError
from .jupyter import accounts, shown
from .messages import Completed, Event, Notice, StopReason, TextDelta, Usage


@dataclass(frozen=True, slots=True)
class UsageSoFar:
    """What a source yields when the service reports usage before the end, so that a stopped reply has its cost."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class CalledAs:
    """What a source yields when another id than the one at first turns out to be the one that the model has."""

    model: str


# What a client yields: a plain str is a text delta. It is the hot path, a thousand times a reply, and an
# object for each would cost more than reading it off the wire.
SourceItem = str | Event | UsageSoFar | CalledAs
Source = Callable[["CancelToken"], Iterator[SourceItem]]


class CancelToken:
    """A flag that can also wake somebody who blocks in a socket. Safe from any thread."""

    def __init__(self) -> None:
        # A plain attribute: it is asked for every delta.
        self.cancelled = False
        self._lock = threading.Lock()
        self._wakers: list[Callable[[], None]] = []

    def cancel(self) -> None:
        with self._lock:
            self.cancelled = True
            wakers, self._wakers = self._wakers, []
        for wake in wakers:
            # A socket that is gone already needs no waking.
            with suppress(Exception):
                wake()

    def wait(self, seconds: float) -> bool:
        """Blocks for `seconds` or until cancelled; True when cancelled."""
        event = threading.Event()
        with self.waking(event.set):
            return event.wait(seconds)

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """While inside, `cancel()` calls `wake`, in the cancelling thread; at once where it was cancelled before."""
        with self._lock:
            wake_now = self.cancelled
            if not wake_now:
                self._wakers.append(wake)
        if wake_now:
            wake()
        try:
            yield
        finally:
            with self._lock:
                if wake in self._wakers:
                    self._wakers.remove(wake)


class ReplyState:
    """What is known of a reply so far. It does not know its Reply, so that dropping the Reply ends it at once."""

    def __init__(self, source: Source, model: str | None, clock: Callable[[], float]) -> None:
        self.model = model
        self.token = CancelToken()
        self.log: list[str | Event] = []
        self.notices: list[Notice] = []
        self.usage: Usage | None = None
        self.stop_reason: StopReason | None = None
        self.raw_stop_reason: str | None = None
        self.error: BaseException | None = None
        self.done = False
        self.started_at: float | None = None
        self.first_text_at: float | None = None
        self.ended_at: float | None = None
        self._open = source
        self._source: Iterator[SourceItem] | None = None
        self._clock = clock
        self._lock = threading.Lock()
        self._readers_lock = threading.Lock()
        self._readers = 0
        self._callbacks: list[Callable[[ReplyState], None]] = []

    @property
    def text(self) -> str:
        # list() first: another thread may be appending.
        return "".join(item for item in list(self.log) if item.__class__ is str)

    def on_end(self, callback: Callable[[ReplyState], None]) -> None:
        """Calls back once when the reply has ended, in the thread that ended it; at once if it has."""
        with self._lock:
            if not self.done:
                self._callbacks.append(callback)
                return
        callback(self)

    def tell(self, notice: Notice) -> None:
        """Puts a notice of the caller's own on the reply, before it begins."""
        self.notices.append(notice)
        self.log.append(notice)

    def advance(self, index: int) -> bool:
        """Makes `log[index]` exist, blocking for it; False when the reply ended before that."""
        with self._lock:
            try:
                while len(self.log) <= index and not self.done:
                    self._step()
            except BaseException as error:
                self._finish(error)
                if not isinstance(error, Exception):
                    raise
        if self.token.cancelled:
            # cancel() found us inside and left the ending to us.
            self.settle()
        return len(self.log) > index

    def _step(self) -> None:
        if self._source is None:
            if self.token.cancelled:
                return self._finish(None)
            self.started_at = self._clock()
            self._source = self._open(self.token)
        item = next(self._source, None)
        if self.token.cancelled:
            # What a cancelled source says last is of no interest, but for a Completed that won the race.
            if item.__class__ is Completed:
                self._take(item)
            return self._finish(None)
        if item is None:
            raise StreamInterruptedError("The answer ended without its last event.", model=self.model)
        if item.__class__ is str:
            if self.first_text_at is None and item:
                self.first_text_at = self._clock()
            self.log.append(item)
        else:
            self._take(item)

    def _take(self, item: SourceItem) -> None:
        if isinstance(item, UsageSoFar):
            self.usage = item.usage
            return
        if isinstance(item, CalledAs):
            self.model = item.model
            return
        if isinstance(item, Notice):
            self.notices.append(item)
        self.log.append(item)
        if isinstance(item, Completed):
            self.usage = item.usage
            self.stop_reason = item.stop_reason
            self.raw_stop_reason = item.raw_stop_reason
            self._finish(None)

    def _finish(self, error: BaseException | None) -> None:
        """Ends the reply, once. The lock is held."""
        if self.done:
            return
        close = getattr(self._source, "close", None)
        if close is not None:
            # The error of a connection that fails while it is being closed hides no answer.
            with suppress(Exception):
                close()
        if self.stop_reason is None:
            if self.token.cancelled or (error is not None and not isinstance(error, Exception)):
                # A KeyboardInterrupt is the reader's own way of stopping.
                self.stop_reason = "cancelled"
            elif error is not None:
                self.error = error
                self.stop_reason = "interrupted" if isinstance(error, StreamInterruptedError) else "error"
                if isinstance(error, AssistantError) and not error.partial:
                    error.partial = self.text
            else:
                self.stop_reason = "cancelled"
        self.ended_at = self._clock()
        self.done = True
        self._source = None
        self._open = _no_source
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def settle(self) -> None:
        """Ends a cancelled reply unless a reader is inside the source: then that reader does, when it wakes."""
        if self.done or not self._lock.acquire(blocking=False):
            return
        try:
            self._finish(None)
        finally:
            self._lock.release()

    def cancel(self) -> None:
        if not self.done:
            self.token.cancel()
            self.settle()

    def enter(self) -> None:
        with self._readers_lock:
            self._readers += 1

    def leave(self) -> None:
        with self._readers_lock:
            self._readers -= 1
            last = self._readers == 0
        if last:
            self.cancel()


def _no_source(token: CancelToken) -> Iterator[SourceItem]:
    raise RuntimeError("the reply has ended")


class Reply:
    """One answer on its way. Iterate it for text as it arrives, or `events()` for all that happens.

    Nothing is sent before the first step of an iteration, which runs in the iterating thread. There is one
    source: a second iteration replays what came and goes on from there; after the end it replays
    everything, the error included. `async for` works too, each step in a thread.

    Leaving an iteration early (`break`), `close()`, leaving a `with` block and dropping the object end the answer
    as "cancelled". `cancel()` does so from any thread and wakes a blocked read at once; the iteration then
    simply ends. A failure is raised from the iteration as an AssistantError whose `.partial` is the text so far.

    `source(token)` is what a client gives: a generator of text deltas (plain str) and events, ending with
    Completed. `clock` is in seconds.
    """

    def __init__(
        self, source: Source, *, model: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._state = ReplyState(source, model, clock)

    @property
    def state(self) -> ReplyState:
        """For those who build on replies (sessions, pages): ends with the reply, holds no reference to it."""
        return self._state

    @property
    def text(self) -> str:
        """The text so far. Never blocks."""
        return self._state.text

    @property
    def usage(self) -> Usage | None:
        """Tokens and cost as far as the service has told; None before that. Never blocks.

        A session estimates what was not told of a reply that was stopped or cut off.
        """
        return self._state.usage

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the answer ended; None while it runs. Never blocks."""
        return self._state.stop_reason

    @property
    def raw_stop_reason(self) -> str | None:
        """The service's own word for it, where it gave one."""
        return self._state.raw_stop_reason

    @property
    def notices(self) -> list[Notice]:
        """What was left out, corrected or chosen for this request. Never blocks."""
        return list(self._state.notices)

    @property
    def model(self) -> str | None:
        """The id of the model that answers."""
        return self._state.model

    @property
    def time_to_first_text(self) -> float | None:
        """Seconds from the first step to the first text, retries included; None before that."""
        state = self._state
        if state.first_text_at is None or state.started_at is None:
            return None
        return state.first_text_at - state.started_at

    @property
    def seconds(self) -> float | None:
        """Seconds from the first step to the end; None while it runs or where it never began."""
        state = self._state
        return None if state.ended_at is None or state.started_at is None else state.ended_at - state.started_at

    def __iter__(self) -> Iterator[str]:
        return self._items(text_only=True)  # type: ignore[return-value]

    def events(self) -> Iterator[Event]:
        """Everything that happens, in order: TextDelta, ThinkingDelta, Retrying, Notice, and Completed at the end."""
        return self._items(text_only=False)  # type: ignore[return-value]

    def _items(self, text_only: bool) -> Iterator[str | Event]:
        state = self._state
        log = state.log
        index = 0
        state.enter()
        try:
            while index < len(log) or state.advance(index):
                item = log[index]
                index += 1
                if item.__class__ is not str:
                    if not text_only:
                        yield item
                elif text_only:
                    yield item
                else:
                    yield TextDelta(item)
            if state.error is not None:
                raise state.error
        finally:
            state.leave()

    async def __aiter__(self) -> AsyncIterator[str]:
        # Whoever iterates like that has loaded it; a script in a terminal need not.
        import asyncio

        steps = iter(self)
        try:
            while (text := await asyncio.to_thread(next, steps, None)) is not None:
                yield text
        finally:
            # The thread of a cancelled step may still be inside: wake it rather than wait for it.
            self.cancel()

    def drain(self) -> Reply:
        """Reads to the end, blocking, and returns itself. Raises what the answer failed with."""
        for _ in self:
            pass
        return self

    def __str__(self) -> str:
        """The whole text; reads to the end first, blocking."""
        return self.drain().text

    def cancel(self) -> None:
        """Ends the answer as "cancelled", from any thread, without waiting. Harmless after the end."""
        self._state.cancel()

    close = cancel

    def __enter__(self) -> Reply:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cancel()

    def __del__(self) -> None:
        # Unless __init__ failed.
        state = getattr(self, "_state", None)
        if state is not None:
            state.cancel()

    def __repr__(self) -> str:
        return f"<Reply {self.stop_reason or 'running'} model={self.model} text={self.text[:40]!r}>"

    def _repr_markdown_(self) -> str:
        text = shown(self.text)
        return text if self.usage is None else f"{text}\n\n{accounts(self.usage, self.model)}"
