"""What a process that serves the page does beside serving it."""

from __future__ import annotations

import gc

from assistant_app.launch import settle


def test_what_was_loaded_is_not_looked_through_for_garbage_again() -> None:
    thresholds = gc.get_threshold()
    gc.unfreeze()
    gc.set_threshold(700, 10, 10)
    try:
        settle()
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold() > (700, 10, 10)
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
