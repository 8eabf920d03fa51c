"""What a process that serves the page does beside serving it."""

from __future__ import annotations

import gc
import socket
import threading
from pathlib import Path
from typing import Any

import click
import pytest

from assistant.chats import Chats
from assistant.store import ConversationStore
from assistant_app import build, launch, light
from assistant_app.gate import Access
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


@pytest.mark.parametrize("slow", [False, True])
def test_the_address_is_said_when_the_first_answer_has_nothing_to_wait_for(
    slow: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where that takes too long, it is said all the same."""
    events, release = [], threading.Event()

    def warm() -> None:
        release.wait(20)
        events.append("warm")

    def joined(seconds: float) -> None:
        assert 0 < seconds < 10
        if not slow:
            release.set()
            threading.Thread.join(warming, 20)

    warming = threading.Thread(target=warm, daemon=True)
    warming.start()
    monkeypatch.setattr(warming, "join", joined)
    monkeypatch.setattr(launch, "announce", lambda *_, **__: events.append("address"))
    monkeypatch.setattr(launch, "_wait", lambda: None)
    monkeypatch.setattr(launch, "settle", lambda: None)
    launch.serve(
        build,
        Chats(ScriptedClient(), ConversationStore(data_dir=tmp_path)),
        warming=warming,
        host="127.0.0.1",
        port=launch.check_address("127.0.0.1", 0),
        share=False,
        access=Access(),
        invented=None,
        verbose=False,
        open_browser=False,
    )
    assert events == (["address"] if slow else ["warm", "address"])
    release.set()


def test_a_port_in_use_and_a_host_of_another_machine_get_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(click.ClickException, match=f"Port {port} is in use"):
            launch.check_address("127.0.0.1", port)
    with pytest.raises(click.ClickException, match="no address of this machine"):
        launch.check_address("no.such.host.invalid", 0)
    assert launch.check_address("127.0.0.1", 0) > 0
