"""RetryPolicy: what is tried again, how long, and how the waiting is cut short. tenacity decides, nobody else does."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import AssistantError
from ..messages import Retrying
from ..reply import CancelToken, SourceItem

if TYPE_CHECKING:
    import tenacity


def _sleep(token: CancelToken, seconds: float) -> bool:
    return token.wait(seconds)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a request that failed before its first text is tried again.

    At most `attempts` requests (1 turns retries off) within `deadline` seconds, waits included: no wait is begun that
    would end after it. Wait n is drawn evenly from 0 to min(max_wait, base * 2**(n-1)) seconds ("full jitter", AWS
    Architecture Blog, "Exponential Backoff And Jitter"), and is never shorter than what the service asks for in
    Retry-After. With the defaults the first wait is at most 1 s and all five together at most 31 s. Only errors
    that are `transient` are retried: never credentials, access, or a request that is wrong.

    `clock` (seconds), `uniform` (a, b) and `sleep` (token, seconds) -> cancelled are there for tests.
    """

    attempts: int = 6
    base: float = 1.0
    max_wait: float = 20.0
    deadline: float = 90.0
    clock: Callable[[], float] = time.monotonic
    uniform: Callable[[float, float], float] = random.uniform
    sleep: Callable[[CancelToken, float], bool] = _sleep

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.base, self.max_wait, self.deadline) < 0:
            raise ValueError("attempts is at least 1; base, max_wait and deadline are not negative")

    def run(self, token: CancelToken, attempt: Callable[[], Iterator[SourceItem]]) -> Iterator[SourceItem]:
        """The items of the first attempt that does not fail, with a Retrying event before each wait.

        Raises the last AssistantError. Ends without a word when `token` is cancelled while it waits.
        An attempt that has shown something must fail with an error that is not transient.
        """
        started = self.clock()
        try:
            # The usual case: one attempt that succeeds needs no bookkeeping.
            yield from attempt()
            return
        except AssistantError as error:
            failed = error
        # Loaded when something failed: with asyncio, and tornado where that is installed, it is a tenth of a short run.
        import tenacity

        waits: list[float] = []
        last = tenacity.stop_after_attempt(self.attempts)

        def stop(state: tenacity.RetryCallState) -> bool:
            return last(state) or self.clock() - started + state.upcoming_sleep > self.deadline

        for trial in tenacity.Retrying(
            stop=stop,
            wait=self._wait,
            retry=tenacity.retry_if_exception(_is_transient),
            reraise=True,
            # Only noted: the wait itself happens below, after its event has been shown, and ends with the token.
            sleep=waits.append,
        ):
            if not waits:
                # The attempt that has been made.
                with trial:
                    raise failed
                continue
            wait = waits.pop()
            yield Retrying(trial.retry_state.attempt_number, wait, failed)
            if self.sleep(token, wait):
                return
            try:
                yield from attempt()
                return
            except AssistantError as error:
                failed = error
                with trial:
                    raise

    def _wait(self, state: tenacity.RetryCallState) -> float:
        longest = min(self.max_wait, self.base * 2 ** (state.attempt_number - 1))
        error = state.outcome.exception() if state.outcome else None
        return max(self.uniform(0, longest), getattr(error, "retry_after", None) or 0.0)


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, AssistantError) and error.transient
