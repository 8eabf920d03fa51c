"""Tokens and money in words."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

from assistant.messages import Turn, Usage
from assistant_app import cost, figures


def test_an_unknown_cost_is_never_nothing() -> None:
    assert figures.dollars(None, "es") == "coste desconocido"
    assert [figures.dollars(each, "en") for each in (0, 0.00001, 0.0123, 12.5)] == [
        "$0",
        "< $0.0001",
        "$0.0123",
        "$12.50",
    ]
    assert figures.footer(Turn("hi", "yes", "end_turn"), "en") == ""
    line = figures.footer(Turn("hi", "yes", "end_turn", usage=Usage(1000, 2, cost=None), first_text_after=0.44), "en")
    assert "cost unknown" in line
    assert "first word after 0.4 s" in line
    assert "≈" not in line
    # Nobody has said so: it was stopped.
    line = figures.footer(Turn("hi", "y", "cancelled", usage=Usage(1000, 2, cost=0.5)), "en")
    assert "≈ 1\u202f000 tokens in, 2 out · $0.5000" in line
    days = [SimpleNamespace(day="2026-11-24", input_tokens=5, output_tokens=5, cost=None, turns=1)]
    assert "cost unknown" in cost.by_day(days, "en", datetime(2026, 11, 24, tzinfo=UTC))
