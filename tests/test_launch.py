"""What a process that serves the page does beside serving it."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from assistant_app import light
from assistant_app.launch import settle
from tests.browser import ScriptedClient, serving


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


def test_a_page_makes_one_web_app_the_one_that_is_served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = []
    create = light._create_app

    def counted(*args: Any, **kwargs: Any) -> Any:
        made.append(create(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(light, "_create_app", counted)
    with serving(ScriptedClient(), tmp_path) as served:
        assert made == [served.demo.app]
