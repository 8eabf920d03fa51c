"""A Bedrock on loopback: HTTP/1.1 with the real frames, signatures, rules and ways to fail, for the real clients.

    with BedrockServer() as server:
        server.script(Reply("Hola"), Fault("ThrottlingException", retry_after=1), Fault("rst", after=2))
        ...  # boto3 and AnthropicBedrock, pointed at it by server.env
        assert server.requests[0].operation == "ConverseStream"

By hand: `python -m tests.bedrock_server --port 8123`, which prints what to export.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import select
import socket
import ssl
import struct
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from tests import bedrock_wire as wire
from tests.bedrock_wire import Answer, Asked, Frames, ServiceError

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

_STREAMING = ("InvokeModelWithResponseStream", "ConverseStream")
_CONNECTION_KINDS = ("hang", "fin", "rst")
_STREAM_KINDS = (
    *_CONNECTION_KINDS,
    *("short_content_length", "clean_end", "cut_in_frame", "bad_crc", "not_json", "unknown_event", "empty_body"),
)
_REPLY_KINDS = ("empty", "blank", "guardrail", "refusal")


@dataclass(frozen=True)
class Reply:
    """An answer. `deltas=None` cuts the text into words; `thinking=""` is a thinking block whose text is omitted.

    `delay` is in seconds between two deltas, `first_delay` before the response's headers. The deltas from number
    `gate_after` on wait for `gate`. Tokens that are not given are estimated, 4 characters each. `chunk_size` cuts the
    stream into pieces of so many bytes, regardless of frames. Stop sequences of the request are honoured.
    """

    text: str = "Hola, ¿en qué puedo ayudarte?"
    deltas: list[str] | None = None
    stop_reason: str = "end_turn"
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read: int = 0
    cache_write: int = 0
    thinking: str | None = None
    delay: float = 0.0
    first_delay: float = 0.0
    gate: threading.Event | None = None
    gate_after: int = 1
    chunk_size: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """A way to fail. `kind` is an error's name in the service's words, or one of the names below.

    `after=None` is before the stream, `after=k` after k text deltas, `after="last"` instead of the last event. An error
    with a capital is an HTTP error before the stream and an exception frame in it; with a small first letter
    ("throttlingException", or a name that nobody knows) it is always a frame, the very first one by default.

    "hang": nothing more comes; "fin": the connection ends without the body's end; "rst": it is reset (all three, with
    after=None, before the headers). "short_content_length": less comes than the headers announce. "clean_end": a proper
    end of the body without the rest. "cut_in_frame": the same in the middle of a frame. "bad_crc", "not_json": a broken
    frame instead of the next one. "unknown_event": frames that nobody knows, then all goes on. "empty_body": 200 and
    nothing. "empty": a complete stream without text; "blank": one with spaces; "guardrail", "refusal": so they end.
    `reply` is what is answered around the fault, the server's default otherwise.
    """

    kind: str
    after: int | Literal["last"] | None = None
    message: str | None = None
    retry_after: float | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    reply: Reply | None = None

    def __post_init__(self) -> None:
        if self.kind not in (*_STREAM_KINDS, *_REPLY_KINDS) and not self.is_error:
            raise ValueError(f"There is no fault {self.kind!r}.")

    @property
    def is_error(self) -> bool:
        return self.kind.endswith(("Exception", "Error"))

    @property
    def is_http_error(self) -> bool:
        return self.is_error and self.after is None and self.kind[0].isupper()

    @property
    def frame_name(self) -> str:
        return self.kind[0].lower() + self.kind[1:]

    def error(self) -> ServiceError:
        """The fault as an HTTP error."""
        name = self.kind if self.is_error else "InternalServerException"
        error = ServiceError(name[0].upper() + name[1:], self.message, status=self.status)
        error.headers.update(self.headers)
        if self.retry_after is not None:
            error.headers["Retry-After"] = f"{self.retry_after:g}"
        return error

    def applied_to(self, reply: Reply) -> Reply:
        """The reply as this fault changes it; most leave it alone."""
        if self.kind == "empty":
            return replace(reply, deltas=[], stop_reason="end_turn", output_tokens=0)
        if self.kind == "blank":
            return replace(reply, deltas=[" ", "\n"], output_tokens=1)
        if self.kind == "guardrail":
            blocked = "Sorry, the model cannot answer this question."
            return replace(reply, text=blocked, deltas=None, stop_reason="guardrail_intervened")
        if self.kind == "refusal":
            kept = _words(reply)[: self.after if isinstance(self.after, int) else None]
            return replace(reply, deltas=kept, stop_reason="refusal")
        return reply

    def position(self, frames: Frames) -> int | None:
        """The number of the frame at which the fault strikes; None where it is in the reply itself."""
        if self.kind in _REPLY_KINDS:
            return None
        if self.after == "last":
            return len(frames.flat()) - len(frames.last)
        if self.after is None or self.kind == "empty_body":
            return 0
        return len(frames.opening) + min(self.after, len(frames.deltas))


@dataclass
class Recorded:
    """A request as it came. `body` is the parsed JSON, header names are in small letters, `query` is what follows "?".

    `sent` counts the text deltas on their way so far. `outcome` is None while the answer is under way, then "complete",
    "error" (an HTTP error), "fault" (broken off as scripted) or "dropped" (the client went away).
    """

    operation: str
    model: str
    body: dict[str, Any]
    headers: dict[str, str]
    path: str
    connection_id: int
    query: dict[str, str] = field(default_factory=dict)
    sent: int = 0
    outcome: str | None = None

    @property
    def asked(self) -> Asked:
        """An inference request in one set of words for both wires."""
        return (wire.asked_of_converse if self.operation.startswith("Converse") else wire.asked_of_claude)(self.body)


Scripted = Reply | Fault | Callable[[Recorded], Reply | Fault]


def echo(recorded: Recorded) -> Reply:
    """The default answer: what model was asked what."""
    return Reply(f"model={recorded.model} text={recorded.asked.last_user_text}")


class BedrockServer:
    """The server. Attributes may be changed while it runs.

    `script()` queues answers for the inference operations; `default` answers when the queue is empty. `deny` holds
    operations or IAM actions that the account may not use. `faults` lets any operation fail, by its name, until it is
    removed; only HTTP errors, "hang", "fin" and "rst". `page_size` is the most that one page of profiles holds.
    `check_rules=False` takes requests that the model would reject. `errors` holds what went wrong in here.
    """

    def __init__(self, tls: bool = False, verify_signatures: bool = True, *, port: int = 0) -> None:
        self.verify_signatures = verify_signatures
        self.check_rules = True
        self.secrets = {ACCESS_KEY: SECRET_KEY}
        self.bearer_token = "bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29tEXAMPLE"
        self.region = "us-east-1"
        self.models = wire.default_models()
        self.profiles = wire.default_profiles()
        self.page_size = 1000
        self.deny: set[str] = set()
        self.faults: dict[str, Fault] = {}
        self.default: Scripted = echo
        self.requests: list[Recorded] = []
        self.dropped: list[Recorded] = []
        self.errors: list[BaseException] = []
        self.closing = threading.Event()
        self._queue: deque[Scripted] = deque()
        self._changed = threading.Condition()
        self._connections: dict[int, socket.socket] = {}
        self._ids = itertools.count(1)
        # Readable from close() on: it wakes the threads that wait for time or for their client.
        self._closed_pipe, self._close_pipe = socket.socketpair()
        self._directory = tempfile.TemporaryDirectory(prefix="bedrock-") if tls else None
        self.ca_file: str | None = None
        self.context: ssl.SSLContext | None = None
        if self._directory is not None:
            self.ca_file, self.context = make_authority(Path(self._directory.name))
        self._http = _Http(("127.0.0.1", port), _Handler)
        self._http.bedrock = self
        self._thread = threading.Thread(target=self._accept, name="bedrock-server", daemon=True)

    def __enter__(self) -> BedrockServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends every connection, also those that hang."""
        if self.closing.is_set():
            return
        self.closing.set()
        self._close_pipe.send(b"x")
        if self._thread.is_alive():
            self._thread.join()
        self._http.server_close()
        with self._changed:
            left = list(self._connections.values())
        for connection in left:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.wait_until(lambda: not self._connections)
        for pipe in (self._closed_pipe, self._close_pipe):
            pipe.close()
        if self._directory is not None:
            self._directory.cleanup()

    def _accept(self) -> None:
        """serve_forever() would look at a flag every so often; this one is woken."""
        poll = select.poll()
        poll.register(self._http.fileno(), select.POLLIN)
        poll.register(self.closed_pipe(), select.POLLIN)
        while poll.poll() and not self.closing.is_set():
            self._http.handle_request()

    @property
    def url(self) -> str:
        host = "https://localhost" if self.context else "http://127.0.0.1"
        return f"{host}:{self._http.server_address[1]}"

    @property
    def env(self) -> dict[str, str]:
        """What to set so that the clients come here. AWS_REGION alone: boto3 by itself reads another variable."""
        env = {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.url,
            "AWS_ENDPOINT_URL_BEDROCK": self.url,
        }
        return {**env, "AWS_CA_BUNDLE": self.ca_file, "SSL_CERT_FILE": self.ca_file} if self.ca_file else env

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    def script(self, *answers: Scripted) -> None:
        """Queues answers: each is used for one inference request that passed authentication and rules."""
        with self._changed:
            self._queue.extend(answers)

    def wait_until(self, predicate: Callable[[], object], timeout: float = 5.0) -> bool:
        """Blocks until the predicate holds; it is asked again whenever something happened here. False: it never did."""
        with self._changed:
            return bool(self._changed.wait_for(predicate, timeout))

    # What the handler's threads report.

    def changed(self, change: Callable[[], object] = lambda: None) -> None:
        with self._changed:
            change()
            self._changed.notify_all()

    def finish(self, recorded: Recorded, outcome: str) -> None:
        def note() -> None:
            recorded.outcome = outcome
            if outcome == "dropped":
                self.dropped.append(recorded)

        self.changed(note)

    def connected(self, connection: socket.socket) -> int:
        number = next(self._ids)
        self.changed(lambda: self._connections.__setitem__(number, connection))
        return number

    def disconnected(self, number: int) -> None:
        self.changed(lambda: self._connections.pop(number, None))

    def failed(self, error: BaseException) -> None:
        self.changed(lambda: self.errors.append(error))
        traceback.print_exception(error, file=sys.stderr)

    def closed_pipe(self) -> int:
        return self._closed_pipe.fileno()

    # What is answered.

    def region_of(self, handler: BaseHTTPRequestHandler, body: bytes) -> str:
        """The region that was signed for. ServiceError for a caller who is not who they say."""
        authorization = handler.headers["Authorization"] or ""
        if authorization.startswith("Bearer "):
            if self.verify_signatures and authorization != f"Bearer {self.bearer_token}":
                raise ServiceError("AccessDeniedException", wire.BAD_BEARER)
            return self.region
        if not self.verify_signatures:
            scope = re.search(r"Credential=[^/]+/\d+/([^/]+)/", authorization)
            return scope[1] if scope else self.region
        if not authorization:
            raise ServiceError("MissingAuthenticationTokenException")
        if handler.headers["X-Amz-Security-Token"]:
            # The key is a user's own, and no session token belongs to it.
            raise ServiceError("UnrecognizedClientException")
        return wire.signed_region(handler.command, handler.path, handler.headers, body, self.secrets)

    def check_permission(self, recorded: Recorded, region: str) -> None:
        action = recorded.operation.replace("ConverseStream", _STREAMING[0]).replace("Converse", "InvokeModel")
        if self.deny & {action, recorded.operation}:
            raise wire.not_authorized(action, recorded.model, region)

    def check(self, recorded: Recorded, region: str) -> None:
        """ServiceError where model and request do not go together."""
        if not self.check_rules:
            return
        base_id = wire.resolve(recorded.model, region, self.models, self.profiles)
        if recorded.operation.startswith("Invoke"):
            if not wire.is_claude(base_id):
                raise wire.invalid("Malformed input request: this server knows Messages bodies for Claude models only.")
            wire.check_version(base_id, recorded.body)
        wire.check_request(base_id, recorded.asked)

    def next_answer(self, recorded: Recorded) -> tuple[Reply, Fault | None]:
        """What to play for a request: a reply, and what happens to it."""
        with self._changed:
            scripted = self._queue.popleft() if self._queue else self.default
        answer = scripted if isinstance(scripted, (Reply, Fault)) else scripted(recorded)
        if isinstance(answer, Reply):
            return answer, None
        around = answer.reply or self._usual(recorded, scripted)
        return answer.applied_to(around), answer

    def _usual(self, recorded: Recorded, scripted: Scripted) -> Reply:
        """What a fault happens to when it brings no reply of its own."""
        default = echo if self.default is scripted else self.default
        usual = default(recorded) if callable(default) else default
        return usual if isinstance(usual, Reply) else echo(recorded)

    def listing(self, recorded: Recorded, region: str) -> dict[str, Any]:
        """The answer of an operation that reads. ServiceError where there is nothing of that name."""
        if recorded.operation == "ListFoundationModels":
            return {"modelSummaries": _in_region(self._models(recorded.query), region)}
        if recorded.operation == "ListInferenceProfiles":
            return self._profile_page(recorded.query, region)
        if recorded.operation == "GetInferenceProfile":
            profile = wire.find_profile(recorded.model, self._profiles(region))
            if profile is None:
                raise ServiceError("ResourceNotFoundException", "The provided inference profile identifier is invalid.")
            return _in_region(profile, region)
        name = recorded.model.rsplit("foundation-model/", 1)[-1]
        found = next((model for model in self.models if model["modelId"] == name), None)
        if found is None:
            raise ServiceError("ResourceNotFoundException", wire.NO_SUCH_MODEL)
        if recorded.operation == "GetFoundationModel":
            return {"modelDetails": _in_region(found, region)}
        return {
            "modelId": name,
            "agreementAvailability": {"status": "AVAILABLE"},
            "authorizationStatus": "AUTHORIZED",
            "entitlementAvailability": "AVAILABLE",
            "regionAvailability": "AVAILABLE",
        }

    def _models(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        wanted = {
            "outputModalities": query.get("byOutputModality"),
            "inferenceTypesSupported": query.get("byInferenceType"),
        }
        provider = query.get("byProvider")
        return [
            model
            for model in self.models
            if all(value is None or value in model[key] for key, value in wanted.items())
            and (provider is None or provider.lower() == model["providerName"].lower())
        ]

    def _profiles(self, region: str) -> list[dict[str, Any]]:
        """What a region lists: the geographies that it belongs to, and its own application profiles."""
        return [
            profile
            for profile in self.profiles
            if wire.served(profile["inferenceProfileId"], region)
            and (profile["type"] != "APPLICATION" or f":{region}:" in profile["inferenceProfileArn"])
        ]

    def _profile_page(self, query: Mapping[str, str], region: str) -> dict[str, Any]:
        kind = query.get("type")
        profiles = [profile for profile in self._profiles(region) if kind in (None, profile["type"])]
        try:
            start = int(query.get("nextToken", "page-0").removeprefix("page-"))
        except ValueError:
            raise wire.invalid("The provided nextToken is invalid.") from None
        end = start + min(int(query.get("maxResults", self.page_size)), self.page_size)
        page: dict[str, Any] = {"inferenceProfileSummaries": _in_region(profiles[start:end], region)}
        return {**page, "nextToken": f"page-{end}"} if end < len(profiles) else page


def _in_region(data: Any, region: str) -> Any:
    """Listing data, written for us-east-1, as another region has it. Destinations of a profile stay what they are."""
    if isinstance(data, list):
        return [_in_region(entry, region) for entry in data]
    arns = {
        key: re.sub(r"^arn:aws:bedrock:us-east-1:", f"arn:aws:bedrock:{region}:", data[key])
        for key in ("modelArn", "inferenceProfileArn")
        if key in data and data.get("type") != "APPLICATION"
    }
    return {**data, **arns}


def _words(reply: Reply) -> list[str]:
    return re.findall(r"\s*\S+|\s+$", reply.text) if reply.deltas is None else list(reply.deltas)


def settle(reply: Reply, recorded: Recorded) -> Answer:
    """The reply to this request: cut at its stop sequences, with every number filled in."""
    asked = recorded.asked
    deltas, found = _cut(_words(reply), asked.stop_sequences)
    characters = len("".join(deltas)) + len(reply.thinking or "")
    return Answer(
        model=recorded.model,
        id=uuid.uuid4().hex[:24],
        deltas=tuple(deltas),
        thinking=reply.thinking,
        stop_reason="stop_sequence" if found else reply.stop_reason,
        stop_sequence=found,
        guardrail=reply.stop_reason == "guardrail_intervened",
        input_tokens=asked.tokens if reply.input_tokens is None else reply.input_tokens,
        output_tokens=(characters + 3) // 4 if reply.output_tokens is None else reply.output_tokens,
        cache_read=reply.cache_read,
        cache_write=reply.cache_write,
    )


def _cut(deltas: list[str], sequences: Iterable[str]) -> tuple[list[str], str | None]:
    text = "".join(deltas)
    at, found = min(((text.find(stop), stop) for stop in sequences if stop in text), default=(len(text), None))
    kept = []
    for delta in deltas:
        kept.append(delta[:at])
        at -= len(delta)
        if at <= 0:
            break
    return [delta for delta in kept if delta], found


# --- HTTP -------------------------------------------------------------------------------------------------------------


class _Broken(Exception):
    """The answer ended as scripted and the connection goes with it."""


class _ClientGone(Exception):
    """The client closed its connection in mid-answer."""


class _Http(ThreadingHTTPServer):
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


class _Handler(BaseHTTPRequestHandler):
    """One connection, one thread. `client_address[2]` is the connection's number."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http
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
                self._send_json({"inputTokens": wire.count_tokens(recorded.model, recorded.body, bedrock.models)})
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
        if recorded.operation in _STREAMING:
            frames = wire.claude_frames(answer) if claude else wire.converse_frames(answer)
            return self._stream(recorded, reply, fault, frames)
        self._send_whole(reply, fault, wire.claude_message(answer) if claude else wire.converse_message(answer))
        return "complete"

    # Failing.

    def _fail_at_once(self, fault: Fault) -> None:
        """The faults that leave no response; returns for the others."""
        if fault.is_http_error:
            raise fault.error()
        if fault.after is None and fault.kind in _CONNECTION_KINDS:
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
        body = _Body(self, chunked=not (fault and fault.kind == "short_content_length"), size=reply.chunk_size)
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
        if kind in (*_CONNECTION_KINDS, "short_content_length"):
            self._break(kind)
        if kind == "bad_crc":
            body.write(wire.damaged(frame))
            return True
        if kind == "not_json":
            name = "chunk" if body.claude else "contentBlockDelta"
            body.write(wire.event_frame(name, b"{this is not json"))
            return True
        if kind == "unknown_event":
            if body.claude:
                body.write(wire.chunk({"type": "brand_new_event", "value": 1}))
            body.write(wire.event_frame("brandNewEvent", {"value": 1}))
            body.write(frame)
            return True
        if kind == "cut_in_frame":
            body.write(frame[: len(frame) // 2])
        elif fault.is_error:
            body.write(wire.exception_frame(fault.frame_name, fault.message))
        body.end()
        return False

    # Whole answers.

    def _send_whole(self, reply: Reply, fault: Fault | None, message: dict[str, Any]) -> None:
        """The answer of an operation that does not stream; a fault is the nearest thing that can happen to it."""
        if reply.gate is not None:
            self._wait(None, reply.gate)
        body = json.dumps(message, ensure_ascii=False).encode()
        if fault is None or fault.kind in (*_REPLY_KINDS, "unknown_event"):
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
        self.send_response(status)
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

    def __init__(self, handler: _Handler, *, chunked: bool, size: int | None) -> None:
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


# --- TLS --------------------------------------------------------------------------------------------------------------


def make_authority(directory: Path) -> tuple[str, ssl.SSLContext]:
    """A certificate authority of a day, in a PEM file, and a context with a certificate of it for localhost."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Bedrock loopback authority")])

    def builder(name: x509.Name, public: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.CertificateBuilder:
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
        )
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(digital_signature=True, key_cert_sign=ca, crl_sign=ca, decipher_only=False, **usage),
                critical=True,
            )
        )

    authority = builder(ca_name, ca_key.public_key(), ca=True).sign(ca_key, hashes.SHA256())
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), key.public_key(), ca=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    ca_file, own_file = directory / "authority.pem", directory / "server.pem"
    ca_file.write_bytes(authority.public_bytes(pem))
    own_file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own_file)
    return str(ca_file), context


def main() -> None:
    parser = argparse.ArgumentParser(description="A Bedrock on loopback, for demos by hand.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--delay", type=float, default=0.02, help="seconds between two pieces of text")
    options = parser.parse_args()
    with BedrockServer(tls=options.tls, port=options.port) as server:
        server.default = lambda recorded: replace(echo(recorded), delay=options.delay)
        for name, value in server.env.items():
            print(f"export {name}={value}", flush=True)
        with suppress(KeyboardInterrupt):
            server.closing.wait()


if __name__ == "__main__":
    main()
