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
import re
import select
import socket
import ssl
import sys
import tempfile
import threading
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.bedrock_errors import BAD_BEARER, NO_SUCH_MODEL, ServiceError, invalid, not_authorized
from tests.bedrock_http import Handler, HttpServer
from tests.bedrock_listings import default_models, default_profiles, find_profile, served
from tests.bedrock_rules import check_request, check_version, is_claude, resolve
from tests.bedrock_script import STREAMING, Fault, Recorded, Reply, Scripted, echo
from tests.bedrock_signatures import signed_region
from tests.bedrock_tls import make_authority

__all__ = ["ACCESS_KEY", "SECRET_KEY", "BedrockServer", "Fault", "Recorded", "Reply", "Scripted", "echo"]

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


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
        self.models = default_models()
        self.profiles = default_profiles()
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
        self._http = HttpServer(("127.0.0.1", port), Handler)
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
                raise ServiceError("AccessDeniedException", BAD_BEARER)
            return self.region
        if not self.verify_signatures:
            scope = re.search(r"Credential=[^/]+/\d+/([^/]+)/", authorization)
            return scope[1] if scope else self.region
        if not authorization:
            raise ServiceError("MissingAuthenticationTokenException")
        if handler.headers["X-Amz-Security-Token"]:
            # The key is a user's own, and no session token belongs to it.
            raise ServiceError("UnrecognizedClientException")
        return signed_region(handler.command, handler.path, handler.headers, body, self.secrets)

    def check_permission(self, recorded: Recorded, region: str) -> None:
        action = recorded.operation.replace("ConverseStream", STREAMING[0]).replace("Converse", "InvokeModel")
        if self.deny & {action, recorded.operation}:
            raise not_authorized(action, recorded.model, region)

    def check(self, recorded: Recorded, region: str) -> None:
        """ServiceError where model and request do not go together."""
        if not self.check_rules:
            return
        base_id = resolve(recorded.model, region, self.models, self.profiles)
        if recorded.operation.startswith("Invoke"):
            if not is_claude(base_id):
                raise invalid("Malformed input request: this server knows Messages bodies for Claude models only.")
            check_version(base_id, recorded.body)
        check_request(base_id, recorded.asked)

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
            profile = find_profile(recorded.model, self._profiles(region))
            if profile is None:
                raise ServiceError("ResourceNotFoundException", "The provided inference profile identifier is invalid.")
            return _in_region(profile, region)
        name = recorded.model.rsplit("foundation-model/", 1)[-1]
        found = next((model for model in self.models if model["modelId"] == name), None)
        if found is None:
            raise ServiceError("ResourceNotFoundException", NO_SUCH_MODEL)
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
            if served(profile["inferenceProfileId"], region)
            and (profile["type"] != "APPLICATION" or f":{region}:" in profile["inferenceProfileArn"])
        ]

    def _profile_page(self, query: Mapping[str, str], region: str) -> dict[str, Any]:
        kind = query.get("type")
        profiles = [profile for profile in self._profiles(region) if kind in (None, profile["type"])]
        try:
            start = int(query.get("nextToken", "page-0").removeprefix("page-"))
        except ValueError:
            raise invalid("The provided nextToken is invalid.") from None
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
