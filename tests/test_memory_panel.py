"""The memory's panel: its gauges."""

from __future__ import annotations

from assistant_app import memory_panel


def test_a_gauge_past_its_limit_is_full() -> None:
    assert 'style="width:100%"' in memory_panel._gauge(30, 10, "en")
    assert 'style="width:50%"' in memory_panel._gauge(5, 10, "en")
    assert memory_panel._gauge(5, 0, "en")
