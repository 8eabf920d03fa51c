"""RetryPolicy: what is tried again, how long, and how it is cut short. No real time passes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from assistant.clients.retry import RetryPolicy
from assistant.errors import AssistantError, CredentialsError, ServiceError, ThrottledError
from assistant.messages import Completed, Retrying, Usage
from assistant.reply import CancelToken, SourceItem

END = Completed("end_turn", Usage())


class Clock:
    """Time that passes only in sleep()."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []
        self.cancel_in_sleep = False

    def __call__(self) -> float:
        return self.now

    def sleep(self, token: CancelToken, seconds: float) -> bool:
        self.slept.append(seconds)
        self.now += seconds
        if self.cancel_in_sleep:
            token.cancel()
        return token.cancelled


class Attempts:
    """Fails with the given errors in turn, then answers."""

    def __init__(self, *errors: AssistantError) -> None:
        self.errors = list(errors)
        self.made = 0

    def __call__(self) -> Iterator[SourceItem]:
        self.made += 1
        if self.errors:
            raise self.errors.pop(0)
        yield "Hola"
        yield END


def policy(clock: Clock, **options) -> RetryPolicy:
    return RetryPolicy(clock=clock, uniform=lambda low, high: high, sleep=clock.sleep, **options)


def passing(**options) -> ServiceError:
    return ServiceError("busy", transient=True, **options)


def test_passing_failures_are_retried_and_told_before_each_wait() -> None:
    clock, attempts = Clock(), Attempts(passing(), passing())
    items = list(policy(clock).run(CancelToken(), attempts))
    assert [(item.attempt, item.wait) for item in items if isinstance(item, Retrying)] == [(2, 1.0), (3, 2.0)]
    assert items[2:] == ["Hola", END]
    assert (attempts.made, clock.slept) == (3, [1.0, 2.0])


def test_the_event_is_seen_before_the_wait_begins() -> None:
    clock = Clock()
    items = policy(clock).run(CancelToken(), Attempts(passing()))
    assert isinstance(next(items), Retrying)
    assert clock.slept == []


def test_waits_are_drawn_from_zero_to_a_doubling_bound_with_a_ceiling() -> None:
    clock = Clock()
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return 0.0

    retry = RetryPolicy(attempts=7, clock=clock, uniform=uniform, sleep=clock.sleep, max_wait=10)
    list(retry.run(CancelToken(), Attempts(*[passing() for _ in range(6)])))
    assert drawn == [(0, 1.0), (0, 2.0), (0, 4.0), (0, 8.0), (0, 10), (0, 10)]


def test_retry_after_is_the_shortest_wait() -> None:
    clock = Clock()
    list(policy(clock).run(CancelToken(), Attempts(ThrottledError("x", transient=True, retry_after=7.5))))
    assert clock.slept == [7.5]


def test_the_last_failure_is_raised_after_the_last_attempt() -> None:
    clock, last = Clock(), passing()
    attempts = Attempts(passing(), passing(), last)
    with pytest.raises(ServiceError) as caught:
        list(policy(clock, attempts=3).run(CancelToken(), attempts))
    assert caught.value is last
    assert (attempts.made, len(clock.slept)) == (3, 2)


def test_no_wait_is_begun_that_would_end_after_the_deadline() -> None:
    clock = Clock()
    attempts = Attempts(*[passing() for _ in range(9)])
    with pytest.raises(ServiceError):
        list(policy(clock, attempts=10, deadline=6.5).run(CancelToken(), attempts))
    assert clock.slept == [1.0, 2.0]
    with pytest.raises(ThrottledError):
        list(policy(clock).run(CancelToken(), Attempts(ThrottledError("x", transient=True, retry_after=91))))
    assert clock.slept == [1.0, 2.0]


@pytest.mark.parametrize("error", [CredentialsError("x"), ServiceError("x")])
def test_what_is_not_transient_is_never_retried(error: AssistantError) -> None:
    clock, attempts = Clock(), Attempts(error)
    with pytest.raises(type(error)):
        list(policy(clock).run(CancelToken(), attempts))
    assert (attempts.made, clock.slept) == (1, [])


def test_a_cancelled_wait_ends_without_a_word_and_without_another_request() -> None:
    clock, attempts = Clock(), Attempts(passing())
    clock.cancel_in_sleep = True
    items = list(policy(clock).run(CancelToken(), attempts))
    assert [type(item) for item in items] == [Retrying]
    assert attempts.made == 1


def test_the_real_wait_is_cut_short_by_the_token() -> None:
    token = CancelToken()
    retry = RetryPolicy(base=3600, max_wait=3600, deadline=7200, uniform=lambda low, high: high)
    items = retry.run(token, Attempts(passing()))
    next(items)
    token.cancel()
    assert list(items) == []


def test_leaving_the_generator_leaves_the_attempt() -> None:
    closed = []

    def attempt() -> Iterator[SourceItem]:
        try:
            yield "Hola"
        finally:
            closed.append(True)

    items = RetryPolicy().run(CancelToken(), attempt)
    next(items)
    items.close()
    assert closed == [True]


def test_senseless_policies_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RetryPolicy(attempts=0)
