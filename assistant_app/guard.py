"""ASGI middleware: of Gradio's routes only those that the page needs, and every id only for the one whose it is.

Gradio takes session hashes, event ids and file paths from whoever shows them, and leaves some routes open although
there is a login. Here the first to name a session hash owns it; event ids and files belong to whom they were given.
What is not one's own looks as if it did not exist.
"""

from __future__ import annotations

import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any
from urllib.parse import parse_qs

from assistant.texts import repaired

from .gate import USER, route_path
from .identity import owner_in_cookie

# JSON that is read at once, in bytes: the page sends the whole chat with every turn, and sometimes a conversation that
# is imported; and that of all visitors which is still on its way.
MAX_BODY = 64 * 1024 * 1024
MAX_ARRIVING = 4 * MAX_BODY
# Lists, objects and values in it, each of which takes dozens of bytes when it is read.
MAX_PARTS = 2_000_000
# Uploads of one owner and of all together in 24 hours, in bytes.
UPLOADS_EACH = 500 * 1024 * 1024
UPLOADS_IN_ALL = 5 * 1024 * 1024 * 1024
# Ids of each kind that are remembered; the oldest go first.
_CAPACITY = 100_000

# A client without cookies. What it is given it shows as the only proof there is.
NOBODY = "nobody"

_STATIC = re.compile(r"/(assets|static|svelte)/.+|/(theme\.css|favicon\.ico|robots\.txt|manifest\.json|config)?")
_READS = re.compile(
    r"/gradio_api/(?:(?P<open>theme\.css|startup-events|app_id)"
    r"|queue/(?P<queue>data)"
    r"|heartbeat/(?P<session>[^/]+)"
    r"|file=(?P<file>.+)"
    r"|upload_(?P<progress>progress)"
    r"|call/(?:v2/)?[^/]+/(?P<event>[^/]+))",
    re.DOTALL,
)
_WRITES = re.compile(r"/gradio_api/(?:queue/join|run/predict|cancel|reset|(?P<upload>upload)|call/(?:v2/)?[^/]+)")
# What only scripts ask for.
_API = re.compile(r"/gradio_api/(?:call/.+|info|openapi\.json)", re.DOTALL)
_DESCRIPTION = re.compile(r"/gradio_api/(?:info|openapi\.json)")


class Refused(Exception):
    """With the status of the answer. Raised before anything was sent."""

    def __init__(self, status: int = 404, detail: str = "Not Found") -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Known:
    """Whose ids are whose. One thread alone: the event loop's."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._owners: OrderedDict[Hashable, set[str]] = OrderedDict()
        self._capacity = capacity

    def give(self, key: Hashable, owner: str) -> None:
        self._owners.setdefault(key, set()).add(owner)
        self._owners.move_to_end(key)
        while len(self._owners) > self._capacity:
            self._owners.popitem(last=False)

    def claim(self, key: Hashable, owner: str) -> None:
        """For ids that a browser makes up itself. Raises Refused where another one did so before."""
        if key not in self._owners:
            self.give(key, owner)
        self.check(key, owner)

    def check(self, key: Hashable, owner: str) -> None:
        if owner not in self._owners.get(key, ()):
            raise Refused()
        self._owners.move_to_end(key)


class Uploads:
    """How many bytes may still come today. `clock` in seconds; days begin anew 24 hours after the first upload."""

    def __init__(self, each: int, in_all: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._each, self._in_all, self._clock = each, in_all, clock
        self._since = 0.0
        self._used: dict[str, int] = {}

    def count(self, owner: str, size: int) -> None:
        """Raises Refused past a limit."""
        now = self._clock()
        if not self._used or now - self._since >= 24 * 3600:
            self._since, self._used = now, {}
        used = self._used.get(owner, 0)
        mine = used + size > self._each
        if mine or sum(self._used.values()) + size > self._in_all:
            hours = max(1, round((self._since + 24 * 3600 - now) / 3600))
            # page.js says it in the reader's language.
            who = "you" if mine else "everybody"
            raise Refused(429, f"The limit of uploads a day for {who} is reached. It resets in about {hours} h.")
        self._used[owner] = used + size


class Guard:
    """`api`: whether the endpoints for scripts are there. `max_upload`: bytes of one upload, all its files together."""

    def __init__(self, app: Any, *, api: bool = True, max_upload: int, uploads: Uploads | None = None) -> None:
        self.app = app
        self.api = api
        self.max_upload = max_upload
        self.uploads = uploads or Uploads(UPLOADS_EACH, UPLOADS_IN_ALL)
        self.known = Known()
        self._arriving = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        owner = owner_of_scope(scope)
        try:
            receive, send = await self._allowed(scope, owner, receive, send)
        except Refused as refused:
            from starlette.responses import JSONResponse

            await JSONResponse({"detail": refused.detail}, refused.status)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def _allowed(self, scope: dict[str, Any], owner: str, receive: Any, send: Any) -> tuple[Any, Any]:
        """What the app is to be called with. Raises Refused."""
        path, method = route_path(scope), scope["method"]
        if _API.fullmatch(path) and not self.api:
            raise Refused()
        if method in ("GET", "HEAD") and (_STATIC.fullmatch(path) or _DESCRIPTION.fullmatch(path)):
            return receive, send
        reads, writes = _READS.fullmatch(path), _WRITES.fullmatch(path)
        if method in ("GET", "HEAD") and reads:
            self._check_read(scope, owner, reads)
            return receive, self._watching_files(send, owner)
        if method == "POST" and writes:
            if writes["upload"]:
                self._check_upload(scope, owner)
                return receive, self._watching_answer(send, owner, uploads=True)
            receive = await self._checked_body(owner, receive)
            return receive, self._watching_answer(send, owner, uploads=False)
        raise Refused()

    def _check_read(self, scope: dict[str, Any], owner: str, found: re.Match[str]) -> None:
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        if found["queue"]:
            self.known.claim(("session", _only(query, "session_hash")), owner)
        elif found["session"]:
            self.known.claim(("session", found["session"]), owner)
        elif found["event"]:
            self.known.check(("event", found["event"]), owner)
        elif found["file"]:
            self.known.check(("file", found["file"]), owner)
        elif found["progress"]:
            self.known.claim(("upload", _only(query, "upload_id")), owner)

    def _check_upload(self, scope: dict[str, Any], owner: str) -> None:
        if owner == NOBODY:
            raise Refused(401, "Uploads need the cookie that the page and /config set.")
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        if not length.isdigit():
            raise Refused(411, "The length of the upload is missing.")
        if int(length) > self.max_upload:
            raise Refused(413, f"The upload is larger than {self.max_upload / 1e6:.0f} MB.")
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        if "upload_id" in query:
            self.known.claim(("upload", _only(query, "upload_id")), owner)
        self.uploads.count(owner, int(length))

    async def _checked_body(self, owner: str, receive: Any) -> Any:
        """Reads a JSON body, looks at the ids in it, and hands it on as it came, but for halves of characters."""
        import orjson

        body = await self._body(receive)
        if sum(map(body.count, (b"[", b"{", b","))) > MAX_PARTS:
            raise Refused(413, "The request has too many parts.")
        try:
            try:
                given = orjson.loads(body)
            except orjson.JSONDecodeError:
                # Half an emoji, pasted: browsers send it, and a page whose request is refused stays locked.
                body = repaired(json.dumps(json.loads(body), ensure_ascii=False)).encode()
                given = orjson.loads(body)
        except (ValueError, RecursionError) as error:
            raise Refused(400, "The body is not JSON.") from error
        if not isinstance(given, dict):
            raise Refused(400, "The body is not a JSON object.")
        session, event = given.get("session_hash"), given.get("event_id")
        if not isinstance(session, str | None) or not isinstance(event, str | None):
            raise Refused(400, "Ids are texts.")
        if session:
            self.known.claim(("session", session), owner)
        if event:
            self.known.check(("event", event), owner)
        # Files that somebody names must be theirs: Gradio would read any that was ever uploaded.
        if b'"path"' in body or b"\\u00" in body:
            for path in _paths(given):
                self.known.check(("file", path), owner)
        return _replayed(body, receive)

    async def _body(self, receive: Any) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise Refused(400, "The request ended too early.")
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                self._arriving += len(parts[-1])
                if size > MAX_BODY:
                    raise Refused(413, f"The request is larger than {MAX_BODY / 1e6:.0f} MB.")
                if self._arriving > MAX_ARRIVING:
                    raise Refused(503, "Too much is being sent at once.")
                if not message.get("more_body"):
                    return b"".join(parts)
        finally:
            self._arriving -= size

    def _watching_answer(self, send: Any, owner: str, *, uploads: bool) -> Any:
        """Notes the event id or the uploaded files in a JSON answer, and files that are handed out in it."""
        import orjson

        parts: list[bytes] = []

        async def watch(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.body":
                parts.append(message.get("body", b""))
                if not message.get("more_body"):
                    try:
                        answer = orjson.loads(b"".join(parts))
                    except orjson.JSONDecodeError:
                        answer = None
                    if uploads and isinstance(answer, list):
                        for path in answer:
                            self.known.give(("file", path), owner)
                    elif isinstance(answer, dict):
                        self._note(answer, owner)
            await send(message)

        return watch

    def _note(self, answer: dict[str, Any], owner: str) -> None:
        event = answer.get("event_id")
        if isinstance(event, str):
            self.known.give(("event", event), owner)
            # Where a call named no session, Gradio takes the event's id for one.
            self.known.give(("session", event), owner)
        for path in _paths(answer):
            self.known.give(("file", path), owner)

    def _watching_files(self, send: Any, owner: str) -> Any:
        """Notes the files that a stream of events hands out. Each event is one message."""
        import orjson

        async def watch(message: dict[str, Any]) -> None:
            body = message.get("body", b"")
            if b'"path"' in body and b"gradio.FileData" in body:
                for line in body.splitlines():
                    if line.startswith(b"data: "):
                        try:
                            paths = list(_paths(orjson.loads(line[6:])))
                        except orjson.JSONDecodeError:
                            continue
                        for path in paths:
                            self.known.give(("file", path), owner)
            await send(message)

        return watch


def owner_of_scope(scope: dict[str, Any]) -> str:
    """The owner of a request as `identity.owner_of` sees it, but for clients without cookies, who are NOBODY."""
    user = scope.get(USER)
    return f"user:{user}" if user else owner_in_cookie(scope) or NOBODY


def _only(query: dict[str, list[str]], name: str) -> str:
    values = query.get(name, [])
    if len(values) != 1:
        # Two of them: which one counts is decided elsewhere, and perhaps otherwise.
        raise Refused(400, f"{name} is missing, or there twice.")
    return values[0]


def _paths(value: Any) -> Iterator[str]:
    """The paths of all files that are named in a JSON value."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            path = each.get("path")
            if isinstance(path, str) and path:
                yield path
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)


def _replayed(body: bytes, receive: Any) -> Any:
    waiting: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Any:
        return waiting.pop() if waiting else await receive()

    return again
