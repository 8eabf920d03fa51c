"""The guard by itself: uploads, ids, bodies, and the endpoints for scripts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from assistant_app import guard as guard_module
from assistant_app.access import access_from
from assistant_app.guard import Guard, Known, Refused, Uploads
from assistant_app.identity import COOKIE

from .browser import ScriptedClient, serving
from .raw_http import API, Visitor


def test_uploads_are_limited_in_size_and_number(tmp_path: Path) -> None:
    with serving(ScriptedClient(), tmp_path) as served:
        visitor = Visitor(served)
        from assistant_app.launch import MAX_FILE, MAX_UPLOAD

        big = visitor.http.post(f"{API}/upload", files={"files": ("big.txt", b"x" * (MAX_FILE + 1))})
        assert big.status_code == 413
        names = [("files", (f"{number}.txt", b"x" * MAX_FILE)) for number in range(MAX_UPLOAD // MAX_FILE)]
        assert visitor.http.post(f"{API}/upload", files=names).status_code == 413

        def endless() -> Iterator[bytes]:
            yield b"x"

        assert visitor.http.post(f"{API}/upload", content=endless()).status_code == 411
        assert httpx.post(f"{served.url}{API}/upload", files={"files": ("a.txt", b"x")}).status_code == 401


def test_a_day_s_uploads_are_counted_for_each_and_for_all() -> None:
    now = [0.0]
    uploads = Uploads(100, 150, clock=lambda: now[0])
    uploads.count("ana", 60)
    for owner, size, whose in (("ana", 41, "you"), ("bea", 91, "everybody")):
        with pytest.raises(Refused, match=f"limit of uploads a day for {whose} ") as refused:
            uploads.count(owner, size)
        assert refused.value.status == 429
        assert "24 h" in refused.value.detail
    uploads.count("bea", 90)
    now[0] += 24 * 3600
    uploads.count("ana", 100)


def test_the_guard_counts_what_is_uploaded() -> None:
    sent: list[dict[str, Any]] = []
    taken: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        taken.append(scope["path"])

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    guard = Guard(app, max_upload=100, uploads=Uploads(150, 1000))
    headers = [(b"content-length", b"90"), (b"cookie", f"{COOKIE}={'a' * 32}".encode())]
    scope = {"type": "http", "method": "POST", "path": f"{API}/upload", "query_string": b"", "headers": headers}
    for _ in range(2):
        asyncio.run(guard(scope, None, send))
    assert taken == [f"{API}/upload"]
    assert sent[0]["status"] == 429


def test_ids_belong_to_the_first_and_the_oldest_are_forgotten() -> None:
    known = Known(capacity=2)
    known.claim("one", "ana")
    known.claim("one", "ana")
    with pytest.raises(Refused):
        known.claim("one", "bea")
    known.give("two", "ana")
    known.give("two", "bea")
    known.check("two", "bea")
    known.check("one", "ana")
    known.give("three", "bea")
    known.check("one", "ana")
    with pytest.raises(Refused):
        known.check("two", "ana")


def test_scripts_are_kept_out_where_there_is_no_api(tmp_path: Path) -> None:
    access, _ = access_from(host="127.0.0.1", auth="ana:x", api=False, data_dir=tmp_path)
    with serving(ScriptedClient(), tmp_path, access=access) as served, httpx.Client(base_url=served.url) as http:
        http.post("/login", data={"username": "ana", "password": "x"})
        for path in ("info", "openapi.json", "call/chat/1"):
            assert http.get(f"{API}/{path}").status_code == 404
        for path in ("call/chat", "call/v2/chat"):
            assert http.post(f"{API}/{path}", json={"data": ["hi"]}).status_code == 404
        visible = {each["api_visibility"] for each in http.get("/config").json()["dependencies"]}
        assert visible == {"private"}
        # The page itself works as ever.
        assert http.get("/").status_code == 200
        assert served.client.asked.empty()


def test_bodies_that_are_no_objects_are_refused(tmp_path: Path) -> None:
    with serving(ScriptedClient(), tmp_path) as served:
        for body in (b"", b"[]", b"{", b"nul", b'{"session_hash": 7}', b'{"event_id": []}', b'{"data": NaN}'):
            answer = httpx.post(f"{served.url}{API}/queue/join", content=body)
            assert answer.status_code == 400, body
        assert httpx.get(f"{served.url}{API}/queue/data").status_code == 400
        assert httpx.get(f"{served.url}{API}/queue/data?session_hash=a&session_hash=b").status_code == 400


def test_half_an_emoji_is_mended_on_its_way_in(tmp_path: Path) -> None:
    """As a browser sends what was pasted; a page whose request is refused stays locked until it is loaded anew."""
    client = ScriptedClient()
    client.echo = True
    with serving(client, tmp_path) as served:
        data = rb'["half \ud83d of \ud83d\ude00", "", null, null, null, null, "", null]'
        kind = {"content-type": "application/json"}
        made = httpx.post(f"{served.url}{API}/call/chat", content=b'{"data": %b}' % data, headers=kind)
        answer = httpx.get(f"{served.url}{API}/call/chat/{made.json()['event_id']}", timeout=20).text
        assert client.next().text == "half \ufffd of 😀"
        assert "event: complete" in answer


@pytest.mark.parametrize(
    ("limit", "most", "status"),
    [("MAX_BODY", 89, 413), ("MAX_ARRIVING", 89, 503), ("MAX_PARTS", 40, 413), ("MAX_BODY", 90, 200)],
)
def test_a_body_takes_only_so_much_memory(monkeypatch: pytest.MonkeyPatch, limit: str, most: int, status: int) -> None:
    monkeypatch.setattr(guard_module, limit, most)
    parts = [b'{"data": [', b"[], " * 19 + b"[]]}"]
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    guard = Guard(app, max_upload=100)
    scope = {"type": "http", "method": "POST", "path": f"{API}/queue/join", "query_string": b"", "headers": []}
    asyncio.run(guard(scope, receive, send))
    assert sent[0]["status"] == status
    assert guard._arriving == 0
