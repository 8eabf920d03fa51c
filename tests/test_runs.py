"""Run: how its thread reads a reply where there are many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from assistant import runs
from assistant.messages import Completed, Turn, Usage
from assistant.reply import CancelToken, Reply
from assistant.runs import Intent, Run


class Clock:
    """Time that passes where somebody says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    time = monotonic

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.mark.parametrize(("pace", "slept"), [(0.05, [0.05, 0.05]), (0.0, [])])
def test_a_thread_that_waited_for_a_word_lets_more_of_them_come(
    monkeypatch: pytest.MonkeyPatch, pace: float, slept: list[float]
) -> None:
    clock = Clock()
    monkeypatch.setattr(runs, "time", clock)

    def source(token: CancelToken) -> Iterator[Any]:
        for waited in (0.02, 0.0, 0.0, 0.02, 0.0):
            clock.now += waited
            yield "word "
        yield Completed("end_turn", Usage(1, 5))

    run = Run("owner", "conversation", Turn("hola"), Intent(), clock.monotonic)
    run.read(Reply(source), lambda: pace)
    # After a wait, and never while words are there already: what came late is read at once.
    assert clock.slept == slept
    assert run.text == "word " * 5
