"""The loopback Bedrock's side of a connection: requests read, answers written, and the ways to break them off."""

from __future__ import annotations

import json
import os
import re
import select
import socket
import struct
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.bedrock_errors import ServiceError
from tests.bedrock_rules import count_tokens
from tests.bedrock_script import CONNECTION_KINDS, REPLY_KINDS, STREAMING, Fault, Recorded, Reply, settle
from tests.bedrock_wire import (
    Frames,
    chunk,
    claude_frames,
    claude_message,
    converse_frames,
    converse_message,
    damaged,
    event_frame,
    exception_frame,
)

if TYPE_CHECKING:
    from tests.bedrock_server import BedrockServer


class _Broken(Exception):
    """The answer ended as scripted and the connection goes with it."""


class _ClientGone(Exception):
    """The client closed its connection in mid-answer."""


class HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    # handle_request() is only called when there is a connection.
    timeout = 0
    bedrock: BedrockServer

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Runs in the connection's own thread; so does the TLS handshake, which a client may take its time for."""
        context = self.bedrock.context
        try:
            connection = context.wrap_socket(request, server_side=True) if context else request
        except OSError:
            return
        number = self.bedrock.connected(connection)
        try:
            self.RequestHandlerClass(connection, (*client_address, number), self)
        finally:
            # Closed before it is counted out: nobody who waits for the count finds a connection that still lives.
            self.shutdown_request(connection)
            self.bedrock.disconnected(number)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):
            self.bedrock.failed(error)


_ROUTES = [
    ("POST", re.compile(r"/model/([^/]+)/invoke-with-response-stream"), "InvokeModelWithResponseStream"),
    ("POST", re.compile(r"/model/([^/]+)/invoke"), "InvokeModel"),
    ("POST", re.compile(r"/model/([^/]+)/converse-stream"), "ConverseStream"),
    ("POST", re.compile(r"/model/([^/]+)/converse"), "Converse"),
    ("POST", re.compile(r"/model/([^/]+)/count-tokens"), "CountTokens"),
    ("GET", re.compile(r"/foundation-models()"), "ListFoundationModels"),
    ("GET", re.compile(r"/foundation-models/([^/]+)"), "GetFoundationModel"),
    ("GET", re.compile(r"/foundation-model-availability/([^/]+)"), "GetFoundationModelAvailability"),
    ("GET", re.compile(r"/inference-profiles()"), "ListInferenceProfiles"),
    ("GET", re.compile(r"/inference-profiles/([^/]+)"), "GetInferenceProfile"),
]
_INFERENCE = ("InvokeModelWithResponseStream", "InvokeModel", "ConverseStream", "Converse")


class Handler(BaseHTTPRequestHandler):
    """One connection, one thread. `client_address[2]` is the connection's number."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: HttpServer
    server_version: ClassVar[str] = "bedrock-loopback"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        bedrock = self.server.bedrock
        raw = self.rfile.read(int(self.headers["Content-Length"] or 0))
        recorded = self._record(raw)
        try:
            outcome = self._answer(recorded, raw)
        except _Broken:
            outcome, self.close_connection = "fault", True
        except (_ClientGone, OSError):
            outcome, self.close_connection = "dropped", True
        except Exception as error:
            outcome, self.close_connection = "error", True
            bedrock.failed(error)
        bedrock.finish(recorded, outcome)

    def _record(self, raw: bytes) -> Recorded:
        parts = urlsplit(self.path)
        operation, model = "", ""
        for method, pattern, name in _ROUTES:
            match = pattern.fullmatch(parts.path)
            if match and method == self.command:
                operation, model = name, unquote(match[1])
        try:
            body = json.loads(raw or b"{}")
        except ValueError:
            body = None
        recorded = Recorded(
            operation=operation,
            model=model,
            body=body if isinstance(body, dict) else {},
            headers={name.lower(): value for name, value in self.headers.items()},
            path=self.path,
            connection_id=self.client_address[2],
            query=dict(parse_qsl(parts.query)),
        )
        self.server.bedrock.changed(lambda: self.server.bedrock.requests.append(recorded))
        return recorded

    def _answer(self, recorded: Recorded, raw: bytes) -> str:
        """Answers one request; returns its outcome."""
        bedrock = self.server.bedrock
        try:
            if not recorded.operation:
                raise ServiceError("UnknownOperationException")
            fault = bedrock.faults.get(recorded.operation)
            if fault is not None:
                self._fail_at_once(fault)
                raise fault.error()
            region = bedrock.region_of(self, raw)
            bedrock.check_permission(recorded, region)
            if recorded.operation in _INFERENCE:
                bedrock.check(recorded, region)
                return self._infer(recorded)
            if recorded.operation == "CountTokens":
                self._send_json({"inputTokens": count_tokens(recorded.model, recorded.body, bedrock.models)})
            else:
                self._send_json(bedrock.listing(recorded, region))
        except ServiceError as error:
            # The service adds a URL to the name; clients have to cut it off.
            kind = f"{error.code}:http://internal.amazon.com/coral/com.amazon.bedrock/"
            self._send_json(error.body, error.status, {"x-amzn-errortype": kind, **error.headers})
            return "error"
        return "complete"

    def _infer(self, recorded: Recorded) -> str:
        reply, fault = self.server.bedrock.next_answer(recorded)
        if reply.first_delay:
            self._wait(reply.first_delay)
        if fault is not None:
            self._fail_at_once(fault)
        answer = settle(reply, recorded)
        claude = recorded.operation.startswith("Invoke")
        if recorded.operation in STREAMING:
            frames = claude_frames(answer) if claude else converse_frames(answer)
            return self._stream(recorded, reply, fault, frames)
        self._send_whole(reply, fault, claude_message(answer) if claude else converse_message(answer))
        return "complete"

    # Failing.

    def _fail_at_once(self, fault: Fault) -> None:
        """The faults that leave no response; returns for the others."""
        if fault.is_http_error:
            raise fault.error()
        if fault.after is None and fault.kind in CONNECTION_KINDS:
            self._break(fault.kind)

    def _break(self, kind: str) -> None:
        if kind == "hang":
            self._wait(None)
        if kind == "rst":
            # SO_LINGER 0 makes close() a reset; taken from the socket object, whose owners would end it politely.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
        raise _Broken

    # Streaming.

    def _stream(self, recorded: Recorded, reply: Reply, fault: Fault | None, frames: Frames) -> str:
        flat = frames.flat()
        position = fault.position(frames) if fault else None
        chunked = reply.chunked and not (fault and fault.kind == "short_content_length")
        body = _Body(self, chunked=chunked, size=reply.chunk_size)
        body.begin(recorded.operation, sum(map(len, flat)), reply.headers)
        for index, frame in enumerate(flat):
            delta = index - len(frames.opening)
            is_delta = 0 <= delta < len(frames.deltas)
            if is_delta:
                self._pause(reply, delta)
            else:
                self._wait(0)
            if fault is not None and index == position:
                if not self._strike(fault, frame, body):
                    return "fault"
            else:
                body.write(frame)
            if is_delta:
                recorded.sent += 1
                self.server.bedrock.changed()
        if fault is not None and fault.kind == "held":
            self._wait(None)
        body.end()
        return "complete"

    def _pause(self, reply: Reply, delta: int) -> None:
        """Waits before a delta, as the reply says; also finds out whether the client is still there."""
        self._wait(reply.delay if delta else 0)
        if reply.gate is not None and delta >= reply.gate_after:
            self._wait(None, reply.gate)

    def _strike(self, fault: Fault, frame: bytes, body: _Body) -> bool:
        """Does the fault in place of a frame; whether the stream goes on after it."""
        kind = fault.kind
        if kind == "held":
            self._wait(None)
        if kind in (*CONNECTION_KINDS, "short_content_length"):
            self._break(kind)
        if kind == "bad_crc":
            body.write(damaged(frame))
            return True
        if kind == "not_json":
            name = "chunk" if body.claude else "contentBlockDelta"
            body.write(event_frame(name, b"{this is not json"))
            return True
        if kind == "unknown_event":
            if body.claude:
                body.write(chunk({"type": "brand_new_event", "value": 1}))
            body.write(event_frame("brandNewEvent", {"value": 1}))
            body.write(frame)
            return True
        if kind == "cut_in_frame":
            body.write(frame[: len(frame) // 2])
        elif fault.is_error:
            body.write(exception_frame(fault.frame_name, fault.message))
        body.end()
        return False

    # Whole answers.

    def _send_whole(self, reply: Reply, fault: Fault | None, message: dict[str, Any]) -> None:
        """The answer of an operation that does not stream; a fault is the nearest thing that can happen to it."""
        if reply.gate is not None:
            self._wait(None, reply.gate)
        body = json.dumps(message, ensure_ascii=False).encode()
        if fault is None or fault.kind in (*REPLY_KINDS, "unknown_event"):
            self._send_bytes(200, body, reply.headers)
        elif fault.is_error:
            raise fault.error()
        elif fault.kind == "empty_body":
            self._send_bytes(200, b"", reply.headers)
        elif fault.kind in ("not_json", "bad_crc"):
            self._send_bytes(200, b"{this is not json", reply.headers)
        elif fault.kind in ("clean_end", "cut_in_frame"):
            self._send_bytes(200, body[: len(body) // 2], reply.headers)
        else:
            self._send_bytes(200, body[: len(body) // 2], reply.headers, length=len(body))
            self._break(fault.kind)

    def _send_json(self, data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self._send_bytes(status, json.dumps(data, ensure_ascii=False).encode(), headers or {})

    def _send_bytes(self, status: int, body: bytes, headers: Mapping[str, str], length: int | None = None) -> None:
        length = len(body) if length is None else length
        self.send_head(status, {"Content-Type": "application/json", "Content-Length": str(length), **headers})
        self.wfile.write(body)

    def send_head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response_only(status)
        if "Date" not in headers:
            self.send_header("Date", self.date_time_string())
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    # Waiting.

    def _wait(self, seconds: float | None, gate: threading.Event | None = None) -> None:
        """Waits for the time or, where there is one, the gate. Raises as soon as client or server leaves.

        An Event and a socket cannot be waited for together, so a gate is looked at every 5 ms.
        """
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        poll.register(self.server.bedrock.closed_pipe(), select.POLLIN)
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if until is None else max(0.0, until - time.monotonic()) * 1000
            if poll.poll(5 if gate is not None else left) and self._has_ended():
                raise _ClientGone
            if gate is not None and gate.is_set():
                return
            if until is not None and time.monotonic() >= until:
                return

    def _has_ended(self) -> bool:
        if self.server.bedrock.closing.is_set():
            raise _Broken
        # A second object for the same descriptor, because an SSLSocket refuses to peek; detached, it closes nothing.
        raw = socket.socket(fileno=self.connection.fileno())
        try:
            waiting = raw.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            raw.detach()
        # No client of ours sends its next request before this answer's end; over TLS the bytes are its farewell.
        return not waiting or self.server.bedrock.context is not None


class _Body:
    """The body of a stream: chunked, or announced by its length."""

    def __init__(self, handler: Handler, *, chunked: bool, size: int | None) -> None:
        self._handler = handler
        self._chunked = chunked
        self._size = size
        self.claude = False

    def begin(self, operation: str, length: int, more: Mapping[str, str]) -> None:
        self.claude = operation.startswith("Invoke")
        headers = {"Content-Type": "application/vnd.amazon.eventstream"}
        if self.claude:
            headers["X-Amzn-Bedrock-Content-Type"] = "application/json"
        headers |= {"Transfer-Encoding": "chunked"} if self._chunked else {"Content-Length": str(length)}
        self._handler.send_head(200, {**headers, **more})

    def write(self, data: bytes) -> None:
        step = self._size or len(data)
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            self._handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece)

    def end(self) -> None:
        if self._chunked:
            self._handler.wfile.write(b"0\r\n\r\n")
