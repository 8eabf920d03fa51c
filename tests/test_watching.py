"""A run, as a page sees it."""

from __future__ import annotations

import asyncio
from typing import Any

from assistant.errors import ThrottledError
from assistant.messages import Retrying, Turn
from assistant.runs import Update
from assistant_app import watching
from assistant_app.tabs import Tab


def test_a_wait_counts_down() -> None:
    waiting = Retrying(2, 7.0, ThrottledError("slow down"))
    now = [0.0]

    class Run:
        async def updates(self, *_: Any) -> Any:
            for second in (0.0, 2.5, 9.0):
                now[0] = second
                yield Update("", Turn("hi"), retrying=waiting)
            yield Update("done", Turn("hi"), done=True)

    async def scenario() -> list[Any]:
        run: Any = Run()
        watched = watching.watch(run, Tab(), clock=lambda: now[0])
        return [update.retrying and update.retrying.wait async for update in watched]

    assert asyncio.run(scenario()) == [7.0, 4.5, 0.0, None]
