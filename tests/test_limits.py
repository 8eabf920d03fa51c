"""Limits: who may begin a turn, and when they may again."""

from __future__ import annotations

import pytest

from assistant.errors import BudgetExceededError
from assistant.limits import Allowance, Limits
from assistant.messages import Usage

NOON = 1_795_435_200.0  # 2026-11-23 12:00:00 UTC


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def refused(limits: Limits, owner: str) -> BudgetExceededError:
    with pytest.raises(BudgetExceededError) as caught:
        limits.admit(owner)
    return caught.value


def test_without_limits_everybody_may() -> None:
    limits = Limits(concurrent_runs=None)
    for _ in range(1000):
        limits.admit("ana")


def test_messages_a_minute_are_counted_in_a_sliding_minute_for_each_owner() -> None:
    clock = Clock()
    limits = Limits(messages_per_minute=2, concurrent_runs=None, clock=clock)
    limits.admit("ana")
    clock.now += 20
    limits.admit("ana")
    error = refused(limits, "ana")
    assert (error.code, error.retry_after) == ("messages_per_minute", 40.0)
    assert "12:01:00 UTC" in error.hint
    limits.admit("bea")
    clock.now += 40
    limits.admit("ana")
    refused(limits, "ana")


@pytest.mark.parametrize(
    ("given", "code"),
    [({"tokens_per_day": 100}, "tokens_per_day"), ({"usd_per_day": 0.5}, "usd_per_day")],
)
def test_a_day_s_budget_is_used_by_what_has_ended_and_resets_at_midnight(given: dict[str, float], code: str) -> None:
    clock = Clock()
    limits = Limits(**given, clock=clock)  # type: ignore[arg-type]
    limits.admit("ana")
    limits.settle("ana", Usage(60, 40, cost=0.5))
    error = refused(limits, "ana")
    assert (error.code, error.retry_after) == (code, 12 * 3600.0)
    assert "00:00:00 UTC" in error.hint
    clock.now += 12 * 3600
    limits.admit("ana")


def test_an_unknown_cost_counts_no_money_but_its_tokens() -> None:
    limits = Limits(usd_per_day=1.0, tokens_per_day=10)
    limits.admit("ana")
    limits.settle("ana", Usage(10, 0, cost=None))
    assert refused(limits, "ana").code == "tokens_per_day"


def test_replies_at_once_are_limited_until_one_ends() -> None:
    limits = Limits(concurrent_runs=1)
    limits.admit("ana")
    error = refused(limits, "ana")
    assert (error.code, error.retry_after) == ("concurrent_runs", None)
    limits.settle("ana", Usage(1, 1))
    limits.admit("ana")


def test_what_holds_in_all_holds_for_owners_together() -> None:
    limits = Limits(concurrent_runs=None, in_all=Allowance(messages_per_minute=2))
    limits.admit("ana")
    limits.admit("bea")
    assert "everybody" in refused(limits, "carla").message


def test_a_turn_that_never_began_does_not_count() -> None:
    limits = Limits(messages_per_minute=1, concurrent_runs=1)
    limits.admit("ana")
    limits.settle("ana", None)
    limits.admit("ana")
    refused(limits, "ana")


def test_a_refusal_counts_nothing() -> None:
    clock = Clock()
    limits = Limits(messages_per_minute=1, in_all=Allowance(messages_per_minute=2), clock=clock)
    limits.admit("ana")
    for _ in range(5):
        refused(limits, "ana")
    limits.admit("bea")


def test_accounts_of_owners_who_came_by_once_are_forgotten() -> None:
    clock = Clock()
    limits = Limits(clock=clock)
    for number in range(10_000):
        limits.admit(f"owner {number}")
        limits.settle(f"owner {number}", Usage())
    clock.now += 61
    limits.admit("ana")
    assert len(limits._accounts) == 1
