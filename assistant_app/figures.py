"""Numbers as people read them: tokens, money, seconds."""

from __future__ import annotations

import html
import math

from assistant.accounting import UNREPORTED
from assistant.messages import Turn, Usage

from . import words


def dollars(cost: float | None, language: str) -> str:
    """A price to read: never 0 for what is not known."""
    if cost is None:
        return words.say("cost.unknown", language)
    if cost == 0:
        return "$0"
    if cost < 0.0001:
        return "< $0.0001"
    return f"${cost:,.4f}" if cost < 1 else f"${cost:,.2f}"


def number(value: float) -> str:
    """A whole number with thin spaces between thousands, which every language reads."""
    return f"{round(value):,}".replace(",", "\u202f")


def plainly(value: float) -> str:
    """As it was given: 0.5, 2, 1 000 000."""
    return number(value) if 1000 <= value < 1e15 else f"{value:g}"


def tokens(usage: Usage, language: str) -> str:
    values = {"input": number(usage.total_input_tokens), "output": number(usage.output_tokens)}
    return words.say("cost.tokens", language, **values)


def duration(seconds: float) -> str:
    """How long to wait, rounded up, in units that both languages read."""
    if seconds <= 90:
        return f"{max(1, math.ceil(seconds))} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes <= 90 else f"{minutes // 60} h {minutes % 60} min"


def footer(turn: Turn, language: str) -> str:
    """The line beneath a reply, in HTML; empty where the model was not asked, or nothing is known."""
    parts = []
    if turn.usage.total_tokens:
        about = "≈ " if turn.stop_reason in UNREPORTED else ""
        parts += [about + tokens(turn.usage, language), dollars(turn.usage.cost, language)]
    if turn.first_text_after is not None:
        seconds = f"{turn.first_text_after:.1f}" if turn.first_text_after < 100 else str(round(turn.first_text_after))
        parts.append(words.say("cost.first_text", language, seconds=seconds))
    return f'<small class="turn-cost">{html.escape(" · ".join(parts))}</small>' if parts else ""
