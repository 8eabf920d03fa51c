"""What to fold and what to send: decisions without effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from .buffers import MemoryTurn


@dataclass(frozen=True, slots=True)
class Budget:
    """In estimated tokens. `limit` is for summary and turns together; `batch` the most that one request may fold."""

    limit: int
    batch: int = 100_000

    @property
    def low(self) -> int:
        """Folding goes down to here, so that one request pays for many turns."""
        return self.limit // 2

    @property
    def cap(self) -> int:
        """A summary that reaches this is condensed when it is next written."""
        return self.limit // 2


@dataclass(frozen=True, slots=True)
class Plan:
    """Fold the `count` oldest turns (0: only condense the summary) into one of at most about `target` tokens."""

    count: int
    target: int
    condense: bool = False


def plan(turns: Sequence[MemoryTurn], summary: int, budget: Budget) -> Plan | None:
    """What to fold, given the kept turns and the size of the summary; None where nothing is to be done.

    Only whole turns go, oldest first. The newest one always stays: what follows refers to it most. So a single turn
    above the limit is sent until the next one comes.
    """
    kept = sum(turn.size for turn in turns)
    total = summary + kept
    condense = summary >= budget.cap
    if total <= budget.limit:
        return None
    count = folded = 0
    for turn in islice(turns, max(0, len(turns) - 1)):
        if total - folded <= budget.low or (count and folded + turn.size > budget.batch):
            break
        count += 1
        folded += turn.size
    if not count and not condense:
        return None
    if condense:
        return Plan(count, budget.cap // 2, condense)
    # Detail where there is room for it: beside the summary and the newest turn, five more should find a place before
    # the next request.
    room = budget.limit - 6 * kept // len(turns)
    return Plan(count, max(budget.cap // 2, min(budget.cap * 3 // 4, room)))


def newest_within(sizes: Sequence[float], room: float) -> int:
    """How many of the newest, which stand last, fit into `room` tokens."""
    count = 0
    for size in reversed(sizes):
        room -= size
        if room < 0:
            break
        count += 1
    return count
