"""Which turns a summary stands for, and the way back to earlier summaries when turns are edited away."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Self

from .buffers import MemoryTurn
from .tokens import estimate_tokens

# Earlier summaries are kept so that an undo goes back to one instead of paying for a new one.
_MOST = 8


@dataclass(frozen=True, slots=True)
class Mark:
    """A summary and the turns it stands for: their number, the id of the last, and a digest of all their ids.

    `forgotten` of them, the oldest, are never to be sent again, and nothing of them is in the summary.
    """

    covered: int = 0
    last: str = ""
    digest: str = ""
    summary: str = ""
    forgotten: int = 0

    def after(self, turns: Iterable[MemoryTurn], summary: str) -> Mark:
        covered, last, digest = self.covered, self.last, self.digest
        for turn in turns:
            covered, last, digest = covered + 1, turn.id, _chained(digest, turn.id)
        return Mark(covered, last, digest, summary, self.forgotten)

    def cut(self, turns: Sequence[MemoryTurn]) -> Mark:
        """Where nothing else fits `turns`: no summary, and what was forgotten stays so."""
        forgotten = min(self.forgotten, len(turns))
        return Mark(forgotten=forgotten).after(islice(turns, forgotten), "")

    def fits(self, turns: Sequence[MemoryTurn], digest: str | None) -> bool:
        """Whether it stands for none but a beginning of `turns`, whose digest this is.

        The newest turn is left out, unless it was forgotten.
        """
        if not self.covered:
            return True
        most = max(len(turns) - 1, min(self.forgotten, len(turns)))
        return self.covered <= most and self.digest == digest

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
    """The index of the last mark that fits `turns`; None for none."""
    digests = digests_of(turns, {mark.covered for mark in marks})
    for index in range(len(marks) - 1, -1, -1):
        if marks[index].fits(turns, digests.get(marks[index].covered)):
            return index
    return None


class Marks:
    """The summary in use, and those to go back to. Not safe under threads: its memory is."""

    def __init__(self) -> None:
        self._earlier: list[Mark] = []
        # What a step back left behind: where it is taken back, that need not be paid for again.
        self._aside: list[Mark] = []
        self._use(Mark())

    def _use(self, mark: Mark) -> None:
        self.current = mark
        self.size = estimate_tokens(mark.summary)

    def advance(self, turns: Sequence[MemoryTurn], summary: str) -> None:
        """A new summary, which stands for these turns too."""
        if turns:
            self._earlier.append(self.current)
            if len(self._earlier) > _MOST:
                # Thinned out, the older the more: a step far back costs more folding, and nothing is kept for ever.
                del self._earlier[1 : _MOST // 2 : 2]
        self._use(self.current.after(turns, summary))

    def correct(self, summary: str) -> None:
        self._use(replace(self.current, summary=summary))

    def forgetting(self, turns: Iterable[MemoryTurn]) -> Self:
        """Without a summary; these turns and all before them are never to be sent again."""
        mark = self.current.after(turns, "")
        marks = type(self)()
        marks._use(replace(mark, forgotten=mark.covered))
        return marks

    def settle(self) -> None:
        """The conversation has gone on: the last step back is not taken back any more."""
        self._aside.clear()

    def return_to(self, turns: Sequence[MemoryTurn]) -> Mark:
        """To the latest summary that fits exactly `turns`."""
        marks = sorted([*self._earlier, self.current, *self._aside], key=lambda mark: mark.covered)
        fitting = latest_fitting(marks, turns)
        if fitting is None:
            mark, self._earlier, self._aside = self.current.cut(turns), [], marks
        else:
            mark, self._earlier, self._aside = marks[fitting], marks[:fitting], marks[fitting + 1 :]
        if mark is not self.current:
            self._use(mark)
        return mark

    def to_dict(self) -> dict[str, Any]:
        return {"mark": self.current.to_dict(), "marks": [mark.to_dict() for mark in self._earlier]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        marks = cls()
        marks._use(Mark(**data["mark"]))
        marks._earlier = [Mark(**mark) for mark in data["marks"]]
        return marks
