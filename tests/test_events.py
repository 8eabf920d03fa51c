"""The routes of a page's events: what they refuse, and that a page which goes is forgotten."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from assistant_app.events import Events
from benchmarks.load import config_of
from benchmarks.visitor import Connections, Failed, Visitor
from tests.browser import ScriptedClient, Served, serving
from tests.visiting import OWNER

SESSION = "b" * 12


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(ScriptedClient(), tmp_path_factory.mktemp("chats"), grace=None) as page:
        yield page


def address(served: Served) -> tuple[str, int]:
    host, port = served.url.split("//")[1].split(":")
    return host, int(port)


def join(served: Served, body: Any) -> bytes:
    async def ask() -> bytes:
        web = Connections(*address(served), f"assistant_owner={OWNER}")
        try:
            return await web.request("POST", "/gradio_api/queue/join", json.dumps(body).encode())
        finally:
            web.close()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"session_hash": SESSION}, 422),
        ({"data": "no list", "session_hash": SESSION}, 422),
        ({"data": []}, 400),
        ({"data": [], "session_hash": SESSION}, 400),
        ({"data": [], "session_hash": SESSION, "fn_index": 10_000}, 400),
    ],
)
def test_what_is_no_event_is_refused(served: Served, body: Any, status: int) -> None:
    with pytest.raises(Failed, match=rf": {status} "):
        join(served, body)


def test_a_session_without_events_is_told_so(served: Served) -> None:
    async def listen() -> list[Any]:
        heard: list[Any] = []

        def receive(message: Any) -> bool:
            heard.append(message)
            return True

        web = Connections(*address(served), f"assistant_owner={OWNER}")
        await web.stream(f"/gradio_api/queue/data?session_hash={'c' * 12}", receive)
        return heard

    (message,) = asyncio.run(listen())
    assert message["msg"] == "unexpected_error"
    assert message["session_not_found"]


def test_a_page_that_goes_in_the_middle_of_a_reply_is_forgotten(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, forgotten = served.demo._queue, threading.Event()
    clean = queue.clean_events

    async def cleaned(**whose: Any) -> None:
        await clean(**whose)
        forgotten.set()

    monkeypatch.setattr(queue, "clean_events", cleaned)

    async def leave() -> str:
        visitor = Visitor(await config_of(*address(served)), *address(served), owner=OWNER, heard=lambda _: came.set())
        came = asyncio.Event()
        await visitor.load()
        sending = asyncio.ensure_future(visitor.submit("hola"))
        answer = await asyncio.to_thread(served.client.next)
        answer.say("uno ")
        await asyncio.wait_for(came.wait(), 20)
        sending.cancel()
        await visitor.close()
        return visitor.session

    session = asyncio.run(leave())
    assert forgotten.wait(20)
    assert session not in queue.pending_messages_per_session
    assert session not in queue.pending_event_ids_session


def test_an_event_right_behind_the_end_of_another_is_answered_on_the_same_stream(served: Served) -> None:
    """Gradio would close it at once, and a page that has not seen that yet waits for ever."""

    async def open_twice() -> None:
        visitor = Visitor(await config_of(*address(served)), *address(served), owner=OWNER)
        await visitor.load()
        stream = visitor._reading
        await visitor._fire("load")
        assert visitor._reading is stream
        await visitor.close()

    asyncio.run(open_twice())


def test_an_event_right_behind_the_end_of_a_stream_waits_until_the_page_has_seen_that() -> None:
    pushed = []

    async def push(*, body: Any, **_: Any) -> tuple[bool, str, str]:
        pushed.append(body.session_hash)
        return True, "id", "success"

    blocks = SimpleNamespace(_queue=SimpleNamespace(stopped=False, server_app=True, push=push))
    app: Any = SimpleNamespace(get_blocks=lambda: blocks)
    events = Events(app)

    async def receive() -> Any:
        return {
            "type": "http.request",
            "body": json.dumps({"data": [], "session_hash": SESSION, "fn_index": 1}).encode(),
        }

    async def come() -> None:
        events._closed.add(SESSION)
        joining = asyncio.ensure_future(events._join(Request({"type": "http", "method": "POST"}, receive)))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not pushed
        events._closed.discard(SESSION)
        assert (await joining).status_code == 200

    asyncio.run(come())
    assert pushed == [SESSION]
