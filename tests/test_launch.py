"""What a process that serves the page does beside serving it, and what it says of its address."""

from __future__ import annotations

import gc
import socket
import threading
from pathlib import Path
from typing import Any

import click
import httpx
import pytest

from assistant.chats import Chats
from assistant.store import ConversationStore
from assistant_app import build, launch
from assistant_app.access import access_from
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


def test_nothing_is_shared_without_a_login(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="needs a login"), serving(ScriptedClient(), tmp_path, share=True):
        pass


def test_sharing_invents_a_login_and_says_when_there_is_no_tunnel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import gradio.networking

    def no_tunnel(**_: Any) -> str:
        raise OSError("no way")

    monkeypatch.setattr(gradio.networking, "setup_tunnel", no_tunnel)
    seen: dict[str, Any] = {}

    def look() -> None:
        said = seen["out"] = capsys.readouterr().out
        address = said.split("Assistant: ")[1].split()[0]
        seen["locked"] = httpx.get(f"{address}/config").status_code
        user, password = said.split("user: ")[1].split()[0], said.split("password: ")[1].split()[0]
        with httpx.Client(base_url=address) as http:
            assert http.post("/login", data={"username": user, "password": password}).status_code == 200
            seen["open"] = http.get("/config").status_code
            seen["api"] = [http.get("/gradio_api/info"), http.post("/gradio_api/call/chat", json={"data": ["hi"]})]

    monkeypatch.setattr(launch, "_wait", look)
    chats = Chats(ScriptedClient(), ConversationStore(data_dir=tmp_path))
    access, invented = access_from(host="127.0.0.1", share=True, data_dir=tmp_path)
    port = launch.check_address("127.0.0.1", 0)
    served = {"host": "127.0.0.1", "port": port, "share": True, "verbose": False, "open_browser": False}
    launch.serve(build, chats, access=access, invented=invented, **served)  # type: ignore[arg-type]
    assert "There is no public link" in seen["out"]
    assert seen["out"].count(invented.password if invented else "?") == 1
    assert "antivirus" not in seen["out"]
    assert (seen["locked"], seen["open"]) == (401, 200)
    assert [answer.status_code for answer in seen["api"]] == [404, 404]


def test_a_page_for_this_network_without_a_login_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launch, "_wait", lambda: None)
    chats = Chats(ScriptedClient(), ConversationStore(data_dir=tmp_path))
    port = launch.check_address("0.0.0.0", 0)
    launch.serve(
        build, chats, host="0.0.0.0", port=port, share=False, access=Access(), invented=None, verbose=False,
        open_browser=False,
    )  # fmt: skip
    assert "Whoever reaches this address can use it" in capsys.readouterr().out
