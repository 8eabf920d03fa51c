"""A run as one page sees it: its updates, for as long as the page is open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from assistant.chats import Conversation
from assistant.messages import CONTINUABLE, Retrying, Turn
from assistant.runs import Run, Update

from . import show
from .tabs import Tab

# Seconds within which most replies have their first word: until then nothing is drawn but Gradio's own dots.
PATIENCE = 0.4
# Seconds between two updates of a reply, and how much longer that may be where the server is busy.
INTERVAL = 0.1
LONGER = 0.15


async def watch(
    run: Run, tab: Tab, patience: float = PATIENCE, clock: Callable[[], float] = time.monotonic
) -> AsyncGenerator[Update, None]:
    """A run's updates for as long as the tab is open; nothing before the first word or `patience` seconds.

    While a request waits to be sent again, `retrying.wait` counts down: an update comes at least once a second.
    """
    tab.run = run
    begun = since = asked = clock()
    late = 0.0
    waiting: Retrying | None = None
    try:
        async with aclosing(run.updates(INTERVAL)) as updates:  # type: ignore[type-var]
            async for update in updates:
                if tab.gone:
                    return
                if update.done:
                    # Before the last one is out: the page answers to it at once, and is no longer busy then.
                    tab.run = None
                if update.retrying is not None:
                    if update.retrying is not waiting:
                        waiting, since = update.retrying, clock()
                    left = max(0.0, waiting.wait - (clock() - since))
                    update = replace(update, retrying=replace(waiting, wait=left))
                late = 0.7 * late + 0.3 * max(0.0, clock() - asked - INTERVAL)
                if update.text or update.done or update.retrying or update.notices or clock() - begun >= patience:
                    yield update
                if late > 0.02:
                    # The server is behind: fewer and larger updates, for everybody.
                    await asyncio.sleep(min(LONGER, 2 * late))
                asked = clock()
    finally:
        # Nothing that blocks: Gradio runs this on the event loop.
        if tab.run is run:
            tab.run = None


def for_scripts(update: Update, language: str) -> Any:
    """The whole text so far; at the end of a failed reply what went wrong, too."""
    text = update.text
    if update.done and update.error is not None:
        text = "\n\n".join(part for part in (text, show.explained(update.error, language)) if part)
    return show.plain(text) if text or update.done else None


def under_way(opened: Conversation) -> bool:
    return opened.run is not None or opened.busy_for > 0


def can_continue(turns: Sequence[Turn]) -> bool:
    return bool(turns) and bool(turns[-1].reply) and turns[-1].stop_reason in CONTINUABLE
