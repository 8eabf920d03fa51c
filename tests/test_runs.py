"""Run: how its thread reads a reply where there are many, and what they see who watch it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, Iterator
from itertools import pairwise
from typing import Any, cast

import pytest

from assistant import runs
from assistant.errors import ThrottledError
from assistant.messages import Completed, Notice, Retrying, Turn, Usage
from assistant.reply import CancelToken, Reply
from assistant.runs import Intent, Run, Update
from tests.places import END, Gate, Place, Scripted, collected, last


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


def test_any_number_of_watchers_see_the_same_end(place: Place) -> None:
    gate = Gate()
    chats = place.chats(Scripted(("Ho", gate, "la", END)))
    id = chats.create("ana").id
    run = chats.submit("ana", id, None, "x")
    assert gate.reached.wait(30)
    second = chats.open("ana", id)
    assert second.run is run
    assert second.turns[-1].reply == "Ho"

    async def watch(run: Run) -> list[Update]:
        seen = []
        async for update in run.updates(0.0):
            seen.append(update)
            gate.open()
        return seen

    async def both() -> list[list[Update]]:
        return await asyncio.gather(watch(run), watch(run), watch(run))

    seen = asyncio.run(both())
    for updates in seen:
        assert updates[0].text == "Ho"
        assert [update.done for update in updates] == [False] * (len(updates) - 1) + [True]
        assert updates[-1] == run.snapshot()
    assert run.snapshot().text == "Hola"
    assert collected(run) == [run.snapshot()]


def test_updates_take_all_there_is_and_end_with_what_is_stored(place: Place) -> None:
    chats = place.chats(Scripted((*(f"{n} " for n in range(2000)), END)))
    id = chats.create("ana").id
    run = chats.submit("ana", id, None, "x")
    updates = collected(run)
    texts = [update.text for update in updates]
    assert all(after.startswith(before) for before, after in pairwise(texts))
    assert updates[-1].turn == chats.open("ana", id).turns[-1]


def test_waiting_for_another_attempt_shows_until_text_comes(place: Place) -> None:
    retrying, first, second = Retrying(2, 1.5, ThrottledError("slow down")), Gate(), Gate()
    chats = place.chats(Scripted((Notice("n", "a note"), retrying, first, "Hola", second, END)))
    run = chats.submit("ana", chats.create("ana").id, None, "x")
    assert first.reached.wait(30)
    waiting = run.snapshot()
    assert (waiting.retrying, waiting.text, [notice.code for notice in waiting.notices]) == (retrying, "", ["n"])
    first.open()
    assert second.reached.wait(30)
    assert (run.snapshot().retrying, run.snapshot().text) == (None, "Hola")
    second.open()
    assert last(run).retrying is None


def test_a_watcher_that_is_dropped_has_left(place: Place) -> None:
    gate = Gate()
    chats = place.chats(Scripted(("half", gate, END)))
    run = chats.submit("ana", chats.create("ana").id, None, "x")
    assert gate.reached.wait(30)

    async def watch_and_drop() -> None:
        watcher = cast("AsyncGenerator[Update]", run.updates(0.0))
        await anext(watcher)
        assert run._watchers == 1
        del watcher
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert run._watchers == 0

    asyncio.run(watch_and_drop())
    gate.open()


def test_a_watcher_whose_event_loop_is_gone_has_left(place: Place) -> None:
    gate = Gate()
    chats = place.chats(Scripted(("half", gate, END)))
    run = chats.submit("ana", chats.create("ana").id, None, "x")
    assert gate.reached.wait(30)
    loop = asyncio.new_event_loop()
    watcher = cast("AsyncGenerator[Update]", run.updates(0.0))
    loop.run_until_complete(anext(watcher))
    loop.close()
    assert run._watchers == 1
    del watcher
    gc.collect()
    assert run._watchers == 0
    gate.open()
