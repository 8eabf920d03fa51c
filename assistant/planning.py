"""What to fold, what to send, and which turns a summary stands for: decisions without effects."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

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


def newest_within(turns: Sequence[MemoryTurn], room: float) -> int:
    """How many of the newest turns fit into `room` tokens."""
    count = 0
    for turn in reversed(turns):
        room -= turn.size
        if room < 0:
            break
        count += 1
    return count


@dataclass(frozen=True, slots=True)
class Mark:
    """A summary and the turns it stands for: their number, the id of the last, and a digest of all their ids."""

    covered: int = 0
    last: str = ""
    digest: str = ""
    summary: str = ""

    def after(self, turns: Iterable[MemoryTurn], summary: str) -> Mark:
        covered, last, digest = self.covered, self.last, self.digest
        for turn in turns:
            covered, last, digest = covered + 1, turn.id, _chained(digest, turn.id)
        return Mark(covered, last, digest, summary)

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def _chained(digest: str, id: str) -> str:
    return hashlib.blake2b(f"{digest}/{id}".encode(), digest_size=16).hexdigest()


def digests_of(turns: Sequence[MemoryTurn], counts: set[int]) -> dict[int, str]:
    """The digests of the first n ids, for each n in `counts`."""
    found = {}
    digest = ""
    for count, turn in enumerate(islice(turns, max(counts)), 1):
        digest = _chained(digest, turn.id)
        if count in counts:
            found[count] = digest
    return found


def latest_fitting(marks: Sequence[Mark], turns: Sequence[MemoryTurn]) -> int | None:
    """The index of the last mark that stands for a beginning of `turns`, the newest one left out; None for none."""
    digests = digests_of(turns, {mark.covered for mark in marks})
    for index in range(len(marks) - 1, -1, -1):
        mark = marks[index]
        if not mark.covered or (mark.covered < len(turns) and digests.get(mark.covered) == mark.digest):
            return index
    return None
