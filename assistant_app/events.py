"""A page's events, in and out: Gradio's own /queue/join and /queue/data, for a third of their CPU.

For each message that goes out Gradio's route asks whether the page is still there, by a scope that it cancels, waits
under a timeout of its own, and sends one chunk. Here one task watches the page, and what has come meanwhile goes out
together. What comes in is checked in a thread by FastAPI; here it is checked where it is. Both believe what stands
before them: gate.py says who it is, and guard.py whose session.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs

import orjson
from gradio.data_classes import PredictBodyInternal
from gradio.server_messages import (
    CloseStreamMessage,
    HeartbeatMessage,
    ProcessCompletedMessage,
    UnexpectedErrorMessage,
)
from gradio.utils import get_heartbeat_rate
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from .gate import user_of

_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]

# Seconds without an event after which a page's stream is closed: of the six connections that a browser has to one
# host it takes one. What is sent in that very moment would never be answered, for the page takes the stream for open
# that it has not yet seen closed: so it is not closed between the events of a page that is being opened, and what
# comes right behind its end waits until the page must have seen it.
_IDLE, _CLOSING = 0.5, 0.1

# In a page's queue: it has gone.
_GONE = object()


def send(queue: Any, event: Any, edits: list[Any]) -> None:
    """Sends what has changed of what a listener draws, for each of its parts as Gradio's `utils.diff` says it.

    What a page shows grows ten times a second: this is the line that _line would make of Gradio's message.
    """
    output = {"data": edits, "is_generating": True, "render_config": None, "changed_state_ids": []}
    message = {"msg": "process_generating", "event_id": event._id, "output": output, "success": True}
    queue.pending_messages_per_session[event.session_hash].put_nowait(b"data: " + orjson.dumps(message) + b"\n\n")


class Events:
    """Both routes, for one app."""

    def __init__(self, app: Any) -> None:
        self._app = app
        # Sessions whose stream was closed a moment ago.
        self._closed: set[str] = set()

    def routes(self) -> list[Route]:
        """To be put in front of Gradio's own."""
        return [
            Route("/gradio_api/queue/join", self._join, methods=["POST"]),
            Route("/gradio_api/queue/data", _App(self._stream), methods=["GET"]),
        ]

    async def _join(self, request: Request) -> JSONResponse:
        try:
            body = PredictBodyInternal(**{**orjson.loads(await request.body()), "request": request})
        except (ValidationError, TypeError):
            return JSONResponse({"detail": "This is no event."}, 422)
        if body.session_hash is None:
            return JSONResponse({"detail": "Session hash not found."}, 400)
        queue = self._app.get_blocks()._queue
        if queue.stopped:
            return JSONResponse({"detail": "Queue is stopped."}, 503)
        if queue.server_app is None:
            queue.set_server_app(self._app)
        while body.session_hash in self._closed:
            await asyncio.sleep(_CLOSING / 5)
        try:
            accepted, answer, _ = await queue.push(body=body, request=request, username=user_of(request))
        except KeyError:
            # Gradio looks the listener up in a dict.
            accepted, answer = False, "There is no such listener."
        return JSONResponse({"event_id": answer} if accepted else {"detail": answer}, 200 if accepted else 400)

    async def _stream(self, scope: Any, receive: Any, send: Any) -> None:
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        session = query.get("session_hash", [""])[0]
        queue = self._app.get_blocks()._queue
        messages = queue.pending_messages_per_session.get(session)
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        if messages is None:
            unknown = UnexpectedErrorMessage(message="There is no such session.", session_not_found=True)
            await send({"type": "http.response.body", "body": _line(unknown)})
            return
        watching = [
            asyncio.ensure_future(_until_gone(receive, messages)),
            asyncio.ensure_future(_beat(queue, messages)),
        ]
        try:
            gone = await _send_all(queue, session, messages, send)
        finally:
            for each in watching:
                each.cancel()
        if gone:
            queue.pending_messages_per_session.pop(session, None)
            queue.pending_event_ids_session.pop(session, None)
            await queue.clean_events(session_hash=session)
            return
        self._closed.add(session)
        asyncio.get_running_loop().call_later(_CLOSING, self._closed.discard, session)
        await send({"type": "http.response.body", "body": _line(CloseStreamMessage())})


class _App:
    """What Starlette takes for an app, and not for a function that is called with a request."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


async def _send_all(queue: Any, session: str, messages: asyncio.Queue[Any], send: Any) -> bool:
    """Sends what comes until the session has no more events for a while; whether the page went in the middle of one."""
    ended = False
    while True:
        try:
            found = [await asyncio.wait_for(messages.get(), _IDLE) if ended else await messages.get()]
        except TimeoutError:
            if queue.pending_event_ids_session.get(session):
                ended = False
                continue
            return False
        while not messages.empty():
            found.append(messages.get_nowait())
        if _GONE in found:
            # With nothing under way what has come since is for the next stream: some clients close theirs themselves.
            for message in found if ended else ():
                if message is not _GONE:
                    messages.put_nowait(message)
            return not ended
        lines = []
        for message in found:
            lines.append(message if isinstance(message, bytes) else _line(message))
            if isinstance(message, ProcessCompletedMessage):
                queue.pending_event_ids_session.get(session, set()).discard(message.event_id)
        ended = not queue.pending_event_ids_session.get(session)
        await send({"type": "http.response.body", "body": b"".join(lines), "more_body": True})


async def _until_gone(receive: Any, messages: asyncio.Queue[Any]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    messages.put_nowait(_GONE)


async def _beat(queue: Any, messages: asyncio.Queue[Any]) -> None:
    while not queue.stopped:
        await asyncio.sleep(get_heartbeat_rate())
        messages.put_nowait(HeartbeatMessage())
    messages.put_nowait(UnexpectedErrorMessage(message="Server stopped unexpectedly."))


def _line(message: Any) -> bytes:
    # The output is JSON already, but for messages that orjson writes as they are: no need of a copy.
    fields = message.__dict__ if hasattr(message, "output") else message.model_dump()
    return b"data: " + orjson.dumps(fields, default=str) + b"\n\n"
