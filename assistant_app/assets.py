"""ASGI middleware: Gradio's scripts, style sheets and fonts from memory, and a page that names those it needs.

A first visit loads eighty of them. Gradio's routes take 2 to 8 ms of CPU for each and do not say how long it may be
kept, and the browser learns from each script which ones come next. Here each is compressed once and kept by the browser
where its name holds a hash of its content, and the page names what it needs, so that all of it comes at once. This
stands behind gate.py and guard.py: who may not see the page gets none of it.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import mimetypes
import os
import re
import threading
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .gate import route_path
from .preloads import kinds_of, links, needed

if TYPE_CHECKING:
    import gradio as gr

# Bytes. What is larger (plots, films: nothing that this page shows) goes Gradio's way: compressing it would hold up
# everybody's replies.
LARGEST = 300_000
# With a hash in the name, a changed file is another one. The others (fonts, logos) change with Gradio's version alone.
# Neither is `public`: what was asked for with a password stays out of the caches that strangers share.
_HASHED = re.compile(r"/assets/.+-[\w-]{8,}\.\w+")
_FOR_EVER, _FOR_AN_HOUR = b"max-age=31536000, immutable", b"max-age=3600"
# Not as the machine has it: on Windows a script may be taken for plain text there, and browsers refuse it.
_TEXTS = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
# The page's first script, where it has it from here: a shared one has its scripts from Gradio's CDN.
_FIRST, _HEAD_ENDS = b' src="./assets/', b"</head>"

Headers = list[tuple[bytes, bytes]]


class Files:
    """Gradio's files, each read at its first request. Nothing but what its two directories list has a name here.

    Half a megabyte with what the page asks for; 15 MB for somebody who asks for everything.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        walked = [each for part in ("assets", "static") for each in os.walk(directory / part)]
        self._names = {
            f"/{Path(place).relative_to(directory).as_posix()}/{name}" for place, _, names in walked for name in names
        }
        self._kept: dict[tuple[str, bool], tuple[Headers, Headers, bytes]] = {}
        # What is put into the page's head.
        self.links = b""

    def prepare(self, kinds: Iterable[str]) -> None:
        """Makes ready what the first visitor of a page with components of these kinds asks for. For a thread."""
        try:
            first, *rest = needed(self._directory, kinds)
            for name in (first, *rest):
                self.answer(f"/assets/{name}", packed=True)
            self.links = links(rest)
        except Exception:
            # Another build of Gradio's: the browser finds out by itself, as it did before.
            logging.getLogger("assistant").debug("app.no_links", exc_info=True)

    def answer(self, name: str, packed: bool) -> tuple[Headers, Headers, bytes] | None:
        """Headers of every answer, those of one with a body, and the body. None for what is not served from here.

        `packed`: whether the browser takes gzip.
        """
        if name not in self._names:
            return None
        packed = packed and Path(name).suffix in _TEXTS
        if (name, packed) not in self._kept:
            path = self._directory / name[1:]
            try:
                content = path.read_bytes() if path.stat().st_size <= LARGEST else None
            except OSError:
                content = None
            if content is None:
                self._names.discard(name)
                return None
            self._kept[name, packed] = _answer(name, content, packed)
        return self._kept[name, packed]


def _answer(name: str, content: bytes, packed: bool) -> tuple[Headers, Headers, bytes]:
    tag = hashlib.blake2b(content, digest_size=12).hexdigest()
    body = _gzip(content) if packed else content
    kind = _TEXTS.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    common = [
        (b"etag", f'W/"{tag}"'.encode()),
        (b"cache-control", _FOR_EVER if _HASHED.fullmatch(name) else _FOR_AN_HOUR),
        (b"vary", b"Accept-Encoding"),
    ]
    own = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    return common, own + ([(b"content-encoding", b"gzip")] if packed else []), body


def files_of(demo: gr.Blocks) -> Files:
    """Gradio's files. Those that this page asks for first are made ready meanwhile."""
    import gradio

    files = Files(Path(gradio.__file__).parent / "templates" / "frontend")
    threading.Thread(target=files.prepare, args=(kinds_of(demo),), name="assistant-assets", daemon=True).start()
    return files


class Assets:
    """The middleware, with the files of one server."""

    def __init__(self, app: Any, files: Files) -> None:
        self.app = app
        self._files = files

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        path, asked = route_path(scope), dict(scope["headers"])
        packed = b"gzip" in asked.get(b"accept-encoding", b"")
        # A part of a file is rare enough for Gradio's own way.
        found = None if b"range" in asked else self._files.answer(path, packed)
        if found is not None:
            common, own, body = found
            known = common[0][1].removeprefix(b"W/") in asked.get(b"if-none-match", b"")
            # A list of its own: the middleware around this one adds to what it is given.
            headers = [*common] if known else [*common, *own]
            await send({"type": "http.response.start", "status": 304 if known else 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"" if known or scope["method"] == "HEAD" else body})
        elif path == "/":
            await self.app(scope, receive, _page(send, self._files.links, packed))
        elif path == "/theme.css" and scope["query_string"].startswith(b"v="):
            await self.app(scope, receive, _kept_for_ever(send))
        else:
            await self.app(scope, receive, send)


def _kept_for_ever(send: Any) -> Any:
    """For an address that holds a hash of its content."""

    async def changed(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            message = {**message, "headers": [*message["headers"], (b"cache-control", _FOR_EVER)]}
        await send(message)

    return changed


def _page(send: Any, links: bytes, packed: bool) -> Any:
    """Puts links into the page, and compresses it: Gradio does so with what has an ending in its address alone."""
    start: dict[str, Any] = {}
    parts: list[bytes] = []

    async def changed(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
            return
        parts.append(message.get("body", b""))
        if message.get("more_body"):
            return
        body = b"".join(parts)
        headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
        if start["status"] == 200:
            # Behind the first script, which is to come before those that it imports.
            before, first, after = body.partition(_FIRST)
            body = before + first + after.replace(_HEAD_ENDS, links + _HEAD_ENDS, 1)
            headers.append((b"vary", b"Accept-Encoding"))
            if packed:
                body = _gzipped_page(body)
                headers.append((b"content-encoding", b"gzip"))
        headers.append((b"content-length", str(len(body)).encode()))
        await send({**start, "headers": headers})
        await send({**message, "body": body})

    return changed


def _gzip(content: bytes, level: int = 6) -> bytes:
    return gzip.compress(content, level, mtime=0)


@lru_cache(4)
def _gzipped_page(page: bytes) -> bytes:
    """The same for everybody, but for the name of who has signed in."""
    return _gzip(page, 1)
