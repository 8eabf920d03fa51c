"""What it has cost: the days as a picture."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

from assistant_app import cost


def test_days_are_drawn_to_scale() -> None:
    days = [
        SimpleNamespace(day=f"2026-11-{day}", input_tokens=tokens, output_tokens=0, cost=0.5, turns=int(tokens > 0))
        for day, tokens in (("22", 50), ("23", 0), ("24", 100))
    ]
    drawn = cost.by_day(days, "en", datetime(2026, 11, 24, tzinfo=UTC))
    assert drawn.count("<rect") == 2
    assert f'height="{cost._HEIGHT:.1f}"' in drawn
    assert f'height="{cost._HEIGHT / 2:.1f}"' in drawn
    assert "$1.00" in drawn, "the sum of the days"
