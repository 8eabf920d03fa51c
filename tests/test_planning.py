"""What to fold: decided from sizes alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from assistant.buffers import MemoryTurn
from assistant.planning import Budget, Plan, newest_within, plan


def sized(*sizes: int) -> list[MemoryTurn]:
    return [MemoryTurn(str(index), "u", "r", size) for index, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "summary", "budget", "expected"),
    [
        ([], 0, Budget(1000), None),
        ([400, 400, 200], 0, Budget(1000), None),
        ([400, 400, 201], 0, Budget(1000), Plan(2, 250)),
        ([100] * 11, 0, Budget(1000), Plan(6, 375)),
        # A summary is the shorter, the fewer turns would have a place beside it.
        ([115] * 9, 0, Budget(1000), Plan(5, 310)),
        # The summary counts.
        ([100] * 8, 300, Budget(1000), Plan(6, 375)),
        # The newest turn stays, whatever its size.
        ([2000], 0, Budget(1000), None),
        ([10, 2000], 0, Budget(1000), Plan(1, 250)),
        ([2000, 10], 0, Budget(1000), Plan(1, 250)),
        # At its cap the summary is condensed, with turns where there are any to fold, else alone.
        ([100] * 6, 499, Budget(1000), Plan(5, 375)),
        ([100] * 6, 500, Budget(1000), Plan(5, 250, condense=True)),
        ([600], 499, Budget(1000), None),
        ([600], 500, Budget(1000), Plan(0, 250, condense=True)),
        # One request folds no more than the summariser can read, but one turn at least.
        ([300] * 10, 0, Budget(1000, batch=700), Plan(2, 250)),
        ([900] * 3, 0, Budget(1000, batch=700), Plan(1, 250)),
    ],
)
def test_plan_folds_whole_oldest_turns_down_to_half_the_limit(
    sizes: Sequence[int], summary: int, budget: Budget, expected: Plan | None
) -> None:
    assert plan(sized(*sizes), summary, budget) == expected


@pytest.mark.parametrize(
    ("sizes", "room", "count"),
    [
        ([], 100, 0),
        ([10, 20, 30], 60, 3),
        ([10, 20, 30], 59, 2),
        ([10, 20, 30], 29, 0),
        # One that is too large is where it ends: what is older does not go in its place.
        ([1, 100, 1], 50, 1),
        ([1], -1, 0),
    ],
)
def test_the_newest_that_fit_are_counted_without_a_gap(sizes: Sequence[float], room: float, count: int) -> None:
    assert newest_within(sizes, room) == count
