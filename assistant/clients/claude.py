"""The Anthropic Messages wire: Claude models through AnthropicBedrock, its frames read as they come.

The SDK opens the connection, pools and speaks HTTP. Its typed events cost twice what the rest does together, so
frames.py cuts the frames and the few event types that matter are read as plain dicts.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from binascii import a2b_base64
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..documents import Document
from ..errors import AssistantError, CredentialsError, InvalidRequestError
from ..messages import Completed, Message, ThinkingDelta, Usage
from ..reply import SourceItem, UsageSoFar
from .aws import AwsSetup
from .faults import connection_error, in_between, incomplete, interrupted, retry_after_of, service_error
from .frames import frame_error, frames, read_json
from .wire import LAST_WORDS, Request, document_text, shut_down, stop_reason_of

if TYPE_CHECKING:
    import httpx2
    from anthropic import AnthropicBedrock

# SDK 2.x would send "2026-10-21", which models with a dated id refuse; this one is documented for every Claude
# model on InvokeModel (Amazon Bedrock User Guide, "Anthropic Claude Messages API").
ANTHROPIC_VERSION = "bedrock-2023-05-31"

# Arguments of messages.create(); everything else travels in extra_body.
_NATIVE = ("max_tokens", "messages", "system", "stop_sequences", "thinking", "output_config")


class ClaudeWire:
    """Thread-safe; the SDK's client is built at the first call and shared."""

    def __init__(self, setup: AwsSetup, *, connect_timeout: float, read_timeout: float, connections: int) -> None:
        self._setup = setup
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._connections = connections
        self._lock = threading.Lock()
        self._client: AnthropicBedrock | None = None

    def forget(self) -> None:
        """The next call builds a new client, with what AwsSetup finds then. Replies under way keep the old one."""
        with self._lock:
            self._client = None

    def client(self) -> AnthropicBedrock:
        with self._lock:
            if self._client is None:
                self._client = self._build()
            return self._client

    def _build(self) -> AnthropicBedrock:
        import anthropic
        import httpx2

        setup = self._setup
        token = setup.bearer_token
        url = setup.runtime_url()
        http_client = anthropic.DefaultHttpxClient(
            auth=None if token else _signer(setup),
            verify=setup.tls(),
            # As boto3 takes it from the environment, so that both wires go the same way.
            proxy=setup.proxy(url),
            trust_env=False,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=self._connections),
            follow_redirects=False,
        )
        return anthropic.AnthropicBedrock(
            # Without a token of its own the SDK would look for credentials by itself and keep what it found for
            # ever; this word never leaves, for the signer overwrites the header.
            api_key=token or "signed",
            aws_region=setup.region,
            base_url=url,
            http_client=http_client,
            timeout=httpx2.Timeout(self._read_timeout, connect=self._connect_timeout),
            max_retries=0,
            open_telemetry=False,
        )

    def body(self, request: Request) -> dict[str, Any]:
        """The Messages request, as it goes over the wire but for the model, which is in its path."""
        body: dict[str, Any] = {
            "anthropic_version": ANTHROPIC_VERSION,
            "max_tokens": request.max_tokens,
            "messages": [_message(message) for message in request.messages],
        }
        if request.system:
            body["system"] = [_system(request)]
        if request.stop_sequences:
            body["stop_sequences"] = list(request.stop_sequences)
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.top_p is not None:
            body["top_p"] = request.top_p
        if request.thinking is not None:
            body["thinking"] = dict(request.thinking)
        if request.effort is not None:
            body["output_config"] = {"effort": request.effort}
        return {**body, **request.extra}

    def open(self, request: Request) -> ClaudeStream:
        import anthropic

        body = self.body(request)
        native = {name: body.pop(name) for name in _NATIVE if name in body}
        try:
            manager = self.client().messages.with_streaming_response.create(
                model=request.model,
                stream=True,
                extra_body=body,
                extra_headers=_headers(request),
                **native,
            )
            response = manager.__enter__()
            if "html" in response.http_response.headers.get("content-type", ""):
                manager.__exit__(None, None, None)
                raise in_between(response.http_response.status_code, "", model=request.model, region=request.region)
            return ClaudeStream(manager, response, request)
        except anthropic.APIStatusError as error:
            raise _status_error(error, request) from error
        except anthropic.APIConnectionError as error:
            if isinstance(error.__cause__, AssistantError):
                raise error.__cause__ from None
            raise connection_error(
                error.__cause__ or error, model=request.model, region=request.region, shown=False, headers=False
            ) from error
        except (anthropic.AnthropicError, ValueError) as error:
            raise InvalidRequestError(str(error), model=request.model, region=request.region) from error


class ClaudeStream:
    """One open response. `manager` is the SDK's context manager, `response` what it gave."""

    def __init__(self, manager: Any, response: Any, request: Request) -> None:
        self._manager = manager
        self._http: httpx2.Response = response.http_response
        self._request = request
        self._complete = False

    @property
    def _network(self) -> Any:
        return self._http.extensions.get("network_stream")

    def wake(self) -> None:
        if self._network is not None:
            shut_down(self._network.get_extra_info("socket"))

    def close(self) -> None:
        with suppress(Exception):
            if self._complete:
                self._read_rest()
        with suppress(Exception):
            self._manager.__exit__(None, None, None)

    def _read_rest(self) -> None:
        """Reads the end of the body, so that the connection can be used again; but does not wait for it for long.

        httpx2 has one timeout for a whole body, so the connection's own `read` is stood in for. For this thread alone:
        with the body's last byte the connection is another request's.
        """
        network, reader = self._network, threading.get_ident()
        until = time.monotonic() + LAST_WORDS
        read = network.read

        def hurried(max_bytes: int, timeout: float | None = None) -> bytes:
            if threading.get_ident() != reader:
                return bytes(read(max_bytes, timeout))
            return bytes(read(max_bytes, max(until - time.monotonic(), 0.001)))

        network.read = hurried
        try:
            for _ in self._chunks:
                if time.monotonic() > until:
                    return
        finally:
            del network.read

    def items(self) -> Iterator[SourceItem]:
        import httpx2

        request = self._request
        shown = False
        usage = Usage()
        stop: str | None = None
        self._chunks = self._http.iter_bytes() if "content-encoding" in self._http.headers else self._http.iter_raw()
        try:
            for event in self._events():
                kind = event.get("type")
                if kind == "content_block_delta":
                    delta = event["delta"]
                    text = delta.get("text")
                    if text:
                        shown = True
                        yield text
                    elif delta.get("thinking"):
                        shown = True
                        yield ThinkingDelta(delta["thinking"])
                elif kind == "message_start":
                    usage = _usage(event["message"].get("usage") or {}, usage)
                    yield UsageSoFar(request.priced(usage))
                elif kind == "message_delta":
                    usage = _usage(event.get("usage") or {}, usage)
                    stop = event["delta"].get("stop_reason") or stop
                elif kind == "error":
                    raise _frame_error(event.get("error") or {}, request)
                if event.get("amazon-bedrock-guardrailAction") == "INTERVENED":
                    stop = "guardrail_intervened"
                if kind == "message_stop":
                    self._complete = True
                    break
        except AssistantError as error:
            if shown and error.transient:
                raise interrupted(error) from error
            raise
        except (
            httpx2.HTTPError,
            httpx2.StreamError,
            OSError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
        ) as error:
            raise connection_error(
                error, model=request.model, region=request.region, shown=shown, headers=True
            ) from error
        if not self._complete:
            raise incomplete(request.model, request.region, shown=shown)
        yield Completed(stop_reason_of(stop), request.priced(usage), stop)

    def _events(self) -> Iterator[dict[str, Any]]:
        for headers, payload in frames(self._chunks):
            if headers.get(":message-type") != "event":
                raise frame_error(headers, payload, model=self._request.model, region=self._request.region)
            if headers.get(":event-type") == "chunk":
                event = read_json(a2b_base64(read_json(payload)["bytes"]))
                if isinstance(event, dict):
                    yield event


def _frame_error(error: dict[str, Any], request: Request) -> AssistantError:
    return service_error(
        error.get("type", ""), error.get("message", ""), status=200, model=request.model, region=request.region
    )


def _status_error(error: Any, request: Request) -> AssistantError:
    headers = error.response.headers
    body = error.body if isinstance(error.body, dict) else {}
    message = body.get("message") or body.get("Message") or (error.body if isinstance(error.body, str) else "")
    return service_error(
        headers.get("x-amzn-errortype", "").partition(":")[0],
        message,
        status=error.status_code,
        model=request.model,
        region=request.region,
        retry_after=retry_after_of(headers),
    )


def _usage(reported: dict[str, Any], before: Usage) -> Usage:
    """Counts are cumulative: what an event reports replaces what was known, what it leaves out stays."""

    def count(name: str, known: int) -> int:
        value = reported.get(name)
        return known if value is None else int(value)

    return Usage(
        count("input_tokens", before.input_tokens),
        count("output_tokens", before.output_tokens),
        count("cache_read_input_tokens", before.cache_read_tokens),
        count("cache_creation_input_tokens", before.cache_write_tokens),
        None,
    )


def _message(message: Message) -> dict[str, Any]:
    content: list[dict[str, Any]] = [_document(document) for document in message.documents]
    text: list[dict[str, Any]] = [{"type": "text", "text": message.text}] if message.text.strip() else []
    if message.cache:
        (content or text)[-1]["cache_control"] = {"type": "ephemeral"}
    content += text
    return {"role": message.role, "content": content}


def _system(request: Request) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "text", "text": request.system}
    if request.cache_system:
        block["cache_control"] = {"type": "ephemeral"}
    return block


def _document(document: Document) -> dict[str, Any]:
    if document.is_image:
        return {"type": "image", "source": _base64(document)}
    if document.format == "pdf":
        return {"type": "document", "source": _base64(document)}
    return {"type": "text", "text": document_text(document)}


def _base64(document: Document) -> dict[str, str]:
    return {
        "type": "base64",
        "media_type": document.media_type,
        "data": base64.b64encode(document.data).decode("ascii"),
    }


def _headers(request: Request) -> dict[str, str]:
    headers: dict[str, str] = {}
    if request.guardrail:
        headers["X-Amzn-Bedrock-GuardrailIdentifier"], headers["X-Amzn-Bedrock-GuardrailVersion"] = request.guardrail
    if request.service_tier:
        headers["X-Amzn-Bedrock-Service-Tier"] = request.service_tier
    if request.metadata:
        headers["X-Amzn-Bedrock-Request-Metadata"] = json.dumps(dict(request.metadata))
    return headers


def _signer(setup: AwsSetup) -> httpx2.Auth:
    import httpx2
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    class Signer(httpx2.Auth):
        """SigV4 with the credentials that AwsSetup holds at that moment, so both wires sign with the same ones."""

        requires_request_body = True

        def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
            try:
                credentials = setup.credentials().get_frozen_credentials()
            except AssistantError:
                raise
            except Exception as error:
                raise CredentialsError(f"The AWS credentials can't be renewed: {error}") from error
            # Few headers are signed: a proxy may rewrite the others.
            signed = {name: request.headers[name] for name in request.headers if name.startswith("x-amzn-bedrock")}
            signed["content-type"] = request.headers["content-type"]
            aws = AWSRequest(request.method, str(request.url), data=request.content, headers=signed)
            SigV4Auth(credentials, "bedrock", setup.region).add_auth(aws)
            request.headers.update(dict(aws.headers))
            yield request

    return Signer()
