"""The Converse wire: every model that is not Claude, through boto3's converse_stream."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from ..documents import Document
from ..errors import AssistantError, CredentialsError, InvalidRequestError
from ..messages import Completed, Message, ThinkingDelta, Usage
from ..reply import SourceItem, UsageSoFar
from .aws import AwsSetup
from .faults import connection_error, in_between, incomplete, interrupted, retry_after_of, service_error
from .frames import frame_error, frames, read_json
from .wire import LAST_WORDS, Request, document_text, shut_down, stop_reason_of

CACHE_POINT = {"cachePoint": {"type": "default"}}

# Under this name the response itself stands beside what botocore makes of it.
_RAW = "assistant:raw"

# How long the accounting may follow the answer's end, in seconds: it is a frame of its own, and may be missing.
_ACCOUNTING = 5.0


class ConverseWire:
    """Thread-safe; the boto3 client is built at the first call and shared."""

    def __init__(self, setup: AwsSetup, *, connect_timeout: float, read_timeout: float, connections: int) -> None:
        self._setup = setup
        self._config = {
            "connect_timeout": connect_timeout,
            "read_timeout": read_timeout,
            "max_pool_connections": connections,
        }
        self._lock = threading.Lock()
        self._client: Any = None

    def forget(self) -> None:
        """The next call builds a new client, with what AwsSetup finds then. Replies under way keep the old one."""
        with self._lock:
            self._client = None

    def client(self) -> Any:
        with self._lock:
            if self._client is None:
                client = self._setup.boto3_client("bedrock-runtime", **self._config)
                client.meta.events.register("before-parse.bedrock-runtime.ConverseStream", _keep_raw)
                self._client = client
            return self._client

    def body(self, request: Request) -> dict[str, Any]:
        """The arguments of converse_stream. Unset ones are left out: None is refused by botocore."""
        config: dict[str, Any] = {"maxTokens": request.max_tokens}
        if request.temperature is not None:
            config["temperature"] = request.temperature
        if request.top_p is not None:
            config["topP"] = request.top_p
        if request.stop_sequences:
            config["stopSequences"] = list(request.stop_sequences)
        # Two documents of one name are refused, wherever they stand in the conversation.
        numbers = itertools.count(1)
        body: dict[str, Any] = {
            "modelId": request.model,
            "messages": [_message(message, numbers) for message in request.messages],
            "inferenceConfig": config,
        }
        if request.system:
            body["system"] = [{"text": request.system}]
            if request.cache_system:
                body["system"].append(CACHE_POINT)
        if request.effort is not None and request.info.reasoning == "output_config":
            body["outputConfig"] = {"effort": request.effort}
        fields = {**_reasoning(request), **request.extra}
        if fields:
            body["additionalModelRequestFields"] = fields
        if request.guardrail:
            body["guardrailConfig"] = {
                "guardrailIdentifier": request.guardrail[0],
                "guardrailVersion": request.guardrail[1],
            }
        if request.service_tier:
            body["serviceTier"] = {"type": request.service_tier}
        if request.metadata:
            body["requestMetadata"] = dict(request.metadata)
        return body

    def open(self, request: Request) -> ConverseStream:
        try:
            response = self.client().converse_stream(**self.body(request))
        except AssistantError:
            raise
        except Exception as error:
            raise translate(error, request.model, request.region) from error
        raw = response[_RAW]
        if "html" in raw.headers.get("content-type", ""):
            raw.close()
            raise in_between(raw.status, "", model=request.model, region=request.region)
        return ConverseStream(raw, request)


def _reasoning(request: Request) -> dict[str, Any]:
    """Effort and thinking in the model's own field, where it has one."""
    if request.info.reasoning == "reasoning_effort" and request.effort is not None:
        return {"reasoning_effort": request.effort}
    if request.info.reasoning == "reasoning_config" and (request.effort or request.thinking):
        return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": request.effort or "medium"}}
    return {}


def _keep_raw(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """A handler of botocore's before-parse event: adds the response itself to what the call returns."""
    customized_response_dict[_RAW] = response_dict["body"]


class ConverseStream:
    """One open response: `raw` is urllib3's. Its frames are read here, for botocore's typed events cost twice as much
    as all the rest."""

    def __init__(self, raw: Any, request: Request) -> None:
        self._raw = raw
        self._request = request
        self._complete = False
        # Kept: the response forgets its connection when it has been read.
        self._socket = getattr(getattr(raw, "connection", None), "sock", None)

    def wake(self) -> None:
        # After "Connection: close" the response alone still has the socket, and only urllib3 2.3 and later gives a
        # way to it.
        with suppress(Exception):
            self._raw.shutdown()
        shut_down(self._socket)

    def close(self) -> None:
        with suppress(Exception):
            if self._complete:
                self._read_rest()
        with suppress(Exception):
            # What has not been read to its end is not used again.
            self._raw.close()

    def _hurry(self, seconds: float) -> None:
        """From here on no read of this response blocks for longer."""
        if self._socket is not None:
            # urllib3 sets the timeout of its own again with the next request.
            self._socket.settimeout(seconds)

    def _read_rest(self) -> None:
        """Reads the end of the body, so that the connection can be used again; but does not wait for it for long."""
        self._hurry(LAST_WORDS)
        until = time.monotonic() + LAST_WORDS
        for _ in self._chunks:
            if time.monotonic() > until:
                return

    def items(self) -> Iterator[SourceItem]:
        request = self._request
        shown = False
        stop: str | None = None
        usage: Usage | None = None
        self._chunks = _pieces(self._raw)
        try:
            for headers, payload in frames(self._chunks):
                kind = headers.get(":event-type")
                if kind == "contentBlockDelta":
                    delta = read_json(payload)["delta"]
                    text = delta.get("text")
                    if text:
                        shown = True
                        yield text
                    elif "reasoningContent" in delta and delta["reasoningContent"].get("text"):
                        shown = True
                        yield ThinkingDelta(delta["reasoningContent"]["text"])
                elif headers.get(":message-type") != "event":
                    raise frame_error(headers, payload, model=request.model, region=request.region)
                elif kind == "messageStop":
                    stop = read_json(payload)["stopReason"]
                    self._hurry(_ACCOUNTING)
                elif kind == "metadata":
                    reported = read_json(payload).get("usage")
                    if reported is not None:
                        usage = request.priced(_usage(reported))
                        yield UsageSoFar(usage)
                if stop is not None and usage is not None:
                    break
        except Exception as cause:
            # After messageStop the answer is whole; only its accounting may be missing.
            if stop is None:
                error = translate(cause, request.model, request.region, headers=True)
                if shown and error.transient:
                    raise interrupted(error) from error
                if error is cause:
                    raise
                raise error from cause
        if stop is None:
            raise incomplete(request.model, request.region, shown=shown)
        self._complete = True
        # A reply without its accounting cost something nobody knows.
        yield Completed(stop_reason_of(stop), usage or Usage(cost=None), stop)


def _pieces(raw: Any) -> Iterator[bytes]:
    """The body as it comes. Without chunks urllib3's own stream() would wait until 64 KB are there."""
    if raw.chunked or not hasattr(raw, "read1"):
        yield from raw.stream()
        return
    while piece := raw.read1(65536):
        yield piece


def translate(error: BaseException, model: str | None, region: str | None, *, headers: bool = False) -> AssistantError:
    """The AssistantError for what boto3, botocore or urllib3 raised. `headers`: the response had begun."""
    from botocore import exceptions as aws

    where: dict[str, Any] = {"model": model, "region": region}
    if isinstance(error, AssistantError):
        return error
    if isinstance(error, aws.ClientError):
        response: Any = error.response
        meta = response.get("ResponseMetadata", {})
        answer = meta.get("HTTPHeaders", {})
        return service_error(
            response["Error"].get("Code", ""),
            response["Error"].get("Message", ""),
            status=meta.get("HTTPStatusCode", 200),
            retry_after=retry_after_of(answer),
            # botocore itself has no more of it than the status in words.
            page="html" in answer.get("content-type", ""),
            **where,
        )
    if isinstance(
        error,
        (
            aws.NoCredentialsError,
            aws.PartialCredentialsError,
            aws.CredentialRetrievalError,
            aws.TokenRetrievalError,
            aws.UnauthorizedSSOTokenError,
            aws.SSOTokenLoadError,
            aws.ProfileNotFound,
        ),
    ):
        return CredentialsError(f"The AWS credentials can't be used: {error}", **where)
    if isinstance(error, (aws.ParamValidationError, aws.InvalidEndpointConfigurationError, aws.NoRegionError)):
        return InvalidRequestError(str(error), **where)
    return connection_error(error, shown=False, headers=headers, **where)


def _usage(reported: dict[str, Any]) -> Usage:
    return Usage(
        reported.get("inputTokens", 0),
        reported.get("outputTokens", 0),
        reported.get("cacheReadInputTokens", 0),
        reported.get("cacheWriteInputTokens", 0),
        None,
    )


def _message(message: Message, numbers: Iterator[int]) -> dict[str, Any]:
    content = [_document(document, numbers) for document in message.documents]
    if message.cache and content:
        content.append(CACHE_POINT)
    if message.text.strip():
        content.append({"text": message.text})
    elif any("document" in block for block in content):
        # A document needs a text beside it in the same message.
        content.append({"text": "-"})
    if message.cache and not message.documents:
        content.append(CACHE_POINT)
    return {"role": message.role, "content": content}


def _document(document: Document, numbers: Iterator[int]) -> dict[str, Any]:
    if document.is_image:
        return {"image": {"format": document.format, "source": {"bytes": document.data}}}
    if document.is_text:
        # Every model reads text; not every one takes documents.
        return {"text": document_text(document)}
    # The service's own guide: names can carry instructions to the model, so a neutral one goes out.
    name = f"document-{next(numbers)}"
    return {"document": {"format": document.format, "name": name, "source": {"bytes": document.data}}}
