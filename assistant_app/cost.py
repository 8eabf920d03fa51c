"""What replies cost, seen: the sum of a conversation, and the last days as a small plot in SVG."""

from __future__ import annotations

import asyncio
import html
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import gradio as gr

from assistant.chats import Chats
from assistant.errors import AssistantError
from assistant.messages import Usage

from . import show, words
from .figures import dollars, number, tokens
from .identity import owner_of

logger = logging.getLogger("assistant")

DAYS = 30
# Of the plot, in its own units: a bar and the gap after it, and the height of the highest.
_BAR, _GAP, _HEIGHT = 8, 4, 64


class Costs:
    """The listener of the panel. It does not raise."""

    def __init__(self, chats: Chats) -> None:
        self.chats = chats

    async def show(self, conversation: str, request: gr.Request) -> str:
        """The sums of this conversation and of the last days, as HTML."""
        language, owner = words.reader(request), owner_of(request)
        parts: list[str] = []
        try:
            opened = await asyncio.to_thread(self.chats.open, owner, conversation)
            parts.append(_row(words.say("cost.conversation", language), opened.usage, language))
        except AssistantError:
            # Nothing was said in it yet, or it is gone: the days are there all the same.
            pass
        except Exception:
            logger.exception("app.cost_failed")
        try:
            days = await asyncio.to_thread(self.chats.usage_by_day, owner, DAYS)
            parts.append(by_day(days, language))
        except Exception as error:
            if not isinstance(error, AssistantError):
                logger.exception("app.cost_failed")
            parts.append(f"<p>{html.escape(show.error_text(error, language))}</p>")
        return "".join(parts)


def _row(name: str, usage: Usage, language: str) -> str:
    said = f"{tokens(usage, language)} · {dollars(usage.cost if usage.total_tokens else 0.0, language)}"
    return f'<p class="cost-sum"><strong>{html.escape(name)}</strong> {html.escape(said)}</p>'


def by_day(days: Sequence[Any], language: str, today: datetime | None = None) -> str:
    """The last days as bars, and as a table for who can't see them."""
    title = f'<p class="cost-sum"><strong>{_say("cost.days", language, days=DAYS)}</strong></p>'
    days = [each for each in days if each.turns]
    if not days:
        return f"{title}<p>{_say('memory.none', language)}</p>"
    known = {each.day: each for each in days}
    now = today or datetime.now(UTC)
    names = [(now - timedelta(days=back)).strftime("%Y-%m-%d") for back in range(DAYS - 1, -1, -1)]
    most = max(each.input_tokens + each.output_tokens for each in days) or 1
    bars = "".join(_bar(at, known[name], most, language) for at, name in enumerate(names) if name in known)
    width = DAYS * (_BAR + _GAP)
    plot = (
        f'<svg class="cost-plot" viewBox="0 0 {width} {_HEIGHT + 2}" role="img" '
        f'aria-label="{_say("cost.plot", language)}" preserveAspectRatio="none">'
        f'<line x1="0" x2="{width}" y1="{_HEIGHT + 1}" y2="{_HEIGHT + 1}"/>{bars}</svg>'
        f'<p class="cost-axis"><span>{names[0]}</span><span>{names[-1]}</span></p>'
    )
    return title + plot + _table(days, language)


def _bar(at: int, day: Any, most: int, language: str) -> str:
    total = day.input_tokens + day.output_tokens
    height = max(1.0, _HEIGHT * total / most)
    said = _say("cost.day", language, day=day.day, tokens=number(total), cost=dollars(day.cost, language))
    left, top = at * (_BAR + _GAP), _HEIGHT - height
    return f'<rect x="{left}" y="{top:.1f}" width="{_BAR}" height="{height:.1f}"><title>{said}</title></rect>'


def _table(days: Sequence[Any], language: str) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(each.day)}</td><td>{number(each.turns)}</td>"
        f"<td>{number(each.input_tokens + each.output_tokens)}</td><td>{html.escape(dollars(each.cost, language))}</td>"
        "</tr>"
        for each in sorted(days, key=lambda each: each.day, reverse=True)
    )
    names = (f"<th>{_say(f'cost.column.{name}', language)}</th>" for name in ("day", "turns", "tokens", "cost"))
    total = _total(days, language)
    return f'<table class="cost-table"><thead><tr>{"".join(names)}</tr></thead><tbody>{rows}{total}</tbody></table>'


def _total(days: Sequence[Any], language: str) -> str:
    costs = [each.cost for each in days]
    cost = None if any(each is None for each in costs) else sum(costs)
    used = sum(each.input_tokens + each.output_tokens for each in days)
    turns = sum(each.turns for each in days)
    return (
        f"<tr><th>{_say('cost.total', language)}</th><td>{number(turns)}</td><td>{number(used)}</td>"
        f"<td>{html.escape(dollars(cost, language))}</td></tr>"
    )


def _say(key: str, language: str, **values: Any) -> str:
    return html.escape(words.say(key, language, **values))
