"""What Bedrock says and what it takes: frames, events, errors, signatures, rules and listings. No socket in here.

Messages are the service's own words as far as they are known, because clients read them to tell errors apart.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import Message
from itertools import pairwise
from typing import Any
from urllib.parse import quote, urlsplit

# --- errors -----------------------------------------------------------------------------------------------------------

_UNEXPECTED = "The system encountered an unexpected error during processing. Try your request again."

# Error code -> HTTP status before the stream, and what the service says unless a test says something else.
ERRORS: dict[str, tuple[int, str]] = {
    "ThrottlingException": (429, "Too many requests, please wait before trying again."),
    "ModelNotReadyException": (429, "Model is not ready for inference. Please retry your request later."),
    "InternalServerException": (500, _UNEXPECTED),
    "ServiceUnavailableException": (503, "Bedrock is unable to process your request."),
    "ModelTimeoutException": (408, "Model has timed out in processing the request. Try your request again."),
    "ModelErrorException": (424, _UNEXPECTED),
    "ModelStreamErrorException": (424, _UNEXPECTED),
    "ValidationException": (400, "Malformed input request, please reformat your input and try again."),
    "AccessDeniedException": (403, "You don't have access to the model with the specified model ID."),
    "ResourceNotFoundException": (404, "Could not resolve the foundation model from the model identifier."),
    "ServiceQuotaExceededException": (400, "Your request exceeds the service quota for your account."),
    "ExpiredTokenException": (403, "The security token included in the request is expired"),
    "UnrecognizedClientException": (403, "The security token included in the request is invalid."),
    "MissingAuthenticationTokenException": (403, "Missing Authentication Token"),
    "IncompleteSignatureException": (403, "The request signature does not conform to AWS standards."),
    "InvalidSignatureException": (
        403,
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
        "Access Key and signing method. Consult the service documentation for details.",
    ),
    "UnknownOperationException": (404, "The requested operation is not recognized by the service."),
}

INPUT_TOO_LONG = "Input is too long for requested model."
PROMPT_TOO_LONG = "prompt is too long: 250000 tokens > 200000 maximum"
BOTH_SAMPLING = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
NO_TEMPERATURE = "`temperature` is deprecated for this model."
NO_PREFILL = "This model does not support assistant message prefill. The conversation must end with a user message."
NOT_ON_DEMAND = (
    "Invocation of model ID {model} with on-demand throughput isn\N{RIGHT SINGLE QUOTATION MARK}t supported. Retry "
    "your request with the ID or ARN of an inference profile that contains this model."
)
NO_SUCH_MODEL = "The provided model identifier is invalid."
END_OF_LIFE = (
    "This model version has reached the end of its life. Please refer to the AWS documentation for more details."
)
NO_COUNTING = "The provided model doesn't support counting tokens."
NO_CHAT = "This action doesn't support the model that you provided. Try again with a supported text or chat model."
INVALID_VERSION = "Invalid API version"
BAD_BEARER = "Authentication failed: Please make sure your API Key is valid."
MISSING_ACTION = (
    "User: arn:aws:iam::123456789012:user/demo is not authorized to perform: bedrock:{action}{on} because no "
    "identity-based policy allows the bedrock:{action} action"
)


class ServiceError(Exception):
    """An answer that is an error: code, status and message as the service gives them before a stream."""

    def __init__(self, code: str, message: str | None = None, *, status: int | None = None, key: str = "message"):
        known_status, known_message = ERRORS.get(code, (400, code))
        self.code = code
        self.status = status or known_status
        self.message = known_message if message is None else message
        self.headers: dict[str, str] = {}
        self._key = key
        super().__init__(f"{code}: {self.message}")

    @property
    def body(self) -> dict[str, Any]:
        more = {"originalStatusCode": 500, "resourceName": "model"} if self.code == "ModelErrorException" else {}
        return {self._key: self.message, **more}


def invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


def not_authorized(action: str, model: str, region: str) -> ServiceError:
    """IAM's own refusal; its body says "Message", with a capital."""
    on = f" on resource: arn:aws:bedrock:{region}::foundation-model/{model}" if model else ""
    return ServiceError("AccessDeniedException", MISSING_ACTION.format(action=action, on=on), key="Message")


# --- frames -----------------------------------------------------------------------------------------------------------


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message of the binary event stream: prelude, its CRC, string headers, payload, the CRC of it all."""
    encoded = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", 16 + len(encoded) + len(payload), len(encoded))
    message = prelude + struct.pack("!I", binascii.crc32(prelude)) + encoded + payload
    return message + struct.pack("!I", binascii.crc32(message))


def event_frame(kind: str, payload: Mapping[str, Any] | bytes) -> bytes:
    """An event; like the service it pads the payload with a "p", so that sizes do not give the text away."""
    if not isinstance(payload, bytes):
        payload = json.dumps({**payload, "p": "abcdefghijklm"}, ensure_ascii=False).encode()
    return frame({":event-type": kind, ":content-type": "application/json", ":message-type": "event"}, payload)


def exception_frame(kind: str, message: str | None = None) -> bytes:
    """An exception in mid-stream; there its name begins with a small letter."""
    payload: dict[str, Any] = {"message": ServiceError(kind[0].upper() + kind[1:], message).message}
    if kind == "modelStreamErrorException":
        payload |= {"originalStatusCode": 500, "originalMessage": payload["message"]}
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, json.dumps(payload).encode())


def damaged(message: bytes) -> bytes:
    """The same frame with a wrong last CRC."""
    return message[:-1] + bytes([message[-1] ^ 0xFF])


def chunk(event: Mapping[str, Any]) -> bytes:
    """A Messages event as InvokeModelWithResponseStream packs it."""
    return event_frame("chunk", {"bytes": base64.b64encode(json.dumps(event).encode()).decode()})


# --- a reply on either wire -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """A reply with everything settled: what is left is putting it into the words of a wire."""

    model: str
    id: str
    deltas: tuple[str, ...]
    thinking: str | None
    stop_reason: str
    stop_sequence: str | None
    guardrail: bool
    input_tokens: int
    output_tokens: int
    cache_read: int
    cache_write: int

    @property
    def text(self) -> str:
        return "".join(self.deltas)


@dataclass(frozen=True)
class Frames:
    """A whole stream. `last` is what makes it complete; `opening` ends right before the first text delta."""

    opening: list[bytes]
    deltas: list[bytes]
    closing: list[bytes]
    last: list[bytes]

    def flat(self) -> list[bytes]:
        return [*self.opening, *self.deltas, *self.closing, *self.last]


def claude_frames(answer: Answer) -> Frames:
    """The Messages events, in `chunk` frames."""
    blocks = 0
    start = {**_claude_envelope(answer), "content": [], "stop_reason": None, "stop_sequence": None}
    opening = [chunk({"type": "message_start", "message": {**start, "usage": _claude_usage(answer, output=1)}})]
    if answer.thinking is not None:
        opening += _claude_thinking(answer.thinking)
        blocks = 1
    block = {"type": "text", "text": ""}
    if answer.deltas:
        opening.append(chunk({"type": "content_block_start", "index": blocks, "content_block": block}))
    deltas = [
        chunk({"type": "content_block_delta", "index": blocks, "delta": {"type": "text_delta", "text": text}})
        for text in answer.deltas
    ]
    closing = [chunk({"type": "content_block_stop", "index": blocks})] if answer.deltas else []
    end = {"stop_reason": _claude_stop(answer), "stop_sequence": answer.stop_sequence}
    usage = {"output_tokens": answer.output_tokens}
    closing.append(chunk({"type": "message_delta", "delta": end, "usage": usage}))
    metrics = {
        "inputTokenCount": answer.input_tokens,
        "outputTokenCount": answer.output_tokens,
        "invocationLatency": 640,
        "firstByteLatency": 210,
    }
    last = {"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics}
    if answer.guardrail:
        last["amazon-bedrock-guardrailAction"] = "INTERVENED"
    return Frames(opening, deltas, closing, [chunk(last)])


def _claude_thinking(thinking: str) -> list[bytes]:
    """A thinking block; with empty text it is one whose display is "omitted": the signature alone comes."""
    deltas = [{"type": "thinking_delta", "thinking": thinking}] if thinking else []
    deltas.append({"type": "signature_delta", "signature": "EqQBCgIYAhIM"})
    block = {"type": "thinking", "thinking": "", "signature": ""}
    return [
        chunk({"type": "content_block_start", "index": 0, "content_block": block}),
        *(chunk({"type": "content_block_delta", "index": 0, "delta": delta}) for delta in deltas),
        chunk({"type": "content_block_stop", "index": 0}),
    ]


def claude_message(answer: Answer) -> dict[str, Any]:
    """The answer of InvokeModel."""
    content: list[dict[str, Any]] = []
    if answer.thinking is not None:
        content.append({"type": "thinking", "thinking": answer.thinking, "signature": "EqQBCgIYAhIM"})
    if answer.deltas:
        content.append({"type": "text", "text": answer.text})
    message = {
        **_claude_envelope(answer),
        "content": content,
        "stop_reason": _claude_stop(answer),
        "stop_sequence": answer.stop_sequence,
        "usage": _claude_usage(answer, output=answer.output_tokens),
    }
    return {**message, "amazon-bedrock-guardrailAction": "INTERVENED"} if answer.guardrail else message


def _claude_envelope(answer: Answer) -> dict[str, Any]:
    name = re.sub(r"-v\d+(:\d+)?$", "", answer.model.rpartition("anthropic.")[2])
    return {"id": f"msg_bdrk_{answer.id}", "type": "message", "role": "assistant", "model": name}


def _claude_usage(answer: Answer, *, output: int) -> dict[str, int]:
    return {
        "input_tokens": answer.input_tokens,
        "cache_creation_input_tokens": answer.cache_write,
        "cache_read_input_tokens": answer.cache_read,
        "output_tokens": output,
    }


def _claude_stop(answer: Answer) -> str:
    """On this wire a guardrail is told by a field of its own, not by the stop reason."""
    return "end_turn" if answer.stop_reason == "guardrail_intervened" else answer.stop_reason


def converse_frames(answer: Answer) -> Frames:
    """The ConverseStream events. A text block has no start event there."""
    blocks = 0
    opening = [event_frame("messageStart", {"role": "assistant"})]
    if answer.thinking is not None:
        parts = [{"text": answer.thinking}] if answer.thinking else []
        opening += [_converse_delta(0, {"reasoningContent": part}) for part in [*parts, {"signature": "EqQBCgIYAhIM"}]]
        opening.append(event_frame("contentBlockStop", {"contentBlockIndex": 0}))
        blocks = 1
    deltas = [_converse_delta(blocks, {"text": text}) for text in answer.deltas]
    closing = [event_frame("contentBlockStop", {"contentBlockIndex": blocks})] if answer.deltas else []
    metadata = {"usage": _converse_usage(answer), "metrics": {"latencyMs": 640}}
    last = [event_frame("messageStop", {"stopReason": _converse_stop(answer)}), event_frame("metadata", metadata)]
    return Frames(opening, deltas, closing, last)


def _converse_delta(index: int, delta: Mapping[str, Any]) -> bytes:
    return event_frame("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})


def converse_message(answer: Answer) -> dict[str, Any]:
    """The answer of Converse."""
    content: list[dict[str, Any]] = []
    if answer.thinking is not None:
        content.append({"reasoningContent": {"reasoningText": {"text": answer.thinking, "signature": "EqQBCgIYAhIM"}}})
    if answer.deltas:
        content.append({"text": answer.text})
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": _converse_stop(answer),
        "usage": _converse_usage(answer),
        "metrics": {"latencyMs": 640},
    }


def _converse_usage(answer: Answer) -> dict[str, int]:
    usage = {"inputTokens": answer.input_tokens, "outputTokens": answer.output_tokens}
    if answer.cache_read or answer.cache_write:
        usage |= {"cacheReadInputTokens": answer.cache_read, "cacheWriteInputTokens": answer.cache_write}
    return {**usage, "totalTokens": sum(usage.values())}


def _converse_stop(answer: Answer) -> str:
    """Converse has no "refusal" among its stop reasons."""
    return "content_filtered" if answer.stop_reason == "refusal" else answer.stop_reason


# --- who signed -------------------------------------------------------------------------------------------------------


def signed_region(method: str, target: str, headers: Message, body: bytes, secrets: Mapping[str, str]) -> str:
    """The region that a request was signed for. ServiceError where Signature Version 4 does not come out right.

    Written by hand and not with botocore's signer: two of the clients under test sign with that one.
    """
    fields = _authorization(headers["Authorization"])
    try:
        key, date, region, service, _ = fields["Credential"].split("/")
        names, given, timestamp = fields["SignedHeaders"].split(";"), fields["Signature"], headers["X-Amz-Date"]
        age = datetime.now(UTC) - datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except (KeyError, ValueError, TypeError) as error:
        raise ServiceError("IncompleteSignatureException") from error
    if key not in secrets:
        raise ServiceError("UnrecognizedClientException")
    if service != "bedrock":
        raise ServiceError("InvalidSignatureException", "Credential should be scoped to correct service: 'bedrock'. ")
    if abs(age) > timedelta(minutes=5) or not timestamp.startswith(date):
        raise ServiceError("InvalidSignatureException", f"Signature expired: {timestamp} is too far from now.")
    if "host" not in names:
        raise ServiceError("InvalidSignatureException", "'Host' must be a 'SignedHeader' in the Authorization.")
    canonical = _canonical_request(method, target, headers, names, body)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    scope = f"{date}/{region}/{service}/aws4_request"
    signature = _signature(secrets[key], scope, f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{digest}")
    if not hmac.compare_digest(signature, given):
        raise ServiceError("InvalidSignatureException")
    return region


def _authorization(value: str) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in value.removeprefix("AWS4-HMAC-SHA256 ").split(","))
    return {name: rest for name, _, rest in pairs}


def _canonical_request(method: str, target: str, headers: Message, names: Iterable[str], body: bytes) -> str:
    parts = urlsplit(target)
    lines = [method, quote(parts.path, safe="/~"), "&".join(sorted(parts.query.split("&")))]
    for name in names:
        values = (" ".join(value.split()) for value in headers.get_all(name) or [])
        lines.append(f"{name}:{','.join(values)}")
    return "\n".join([*lines, "", ";".join(names), hashlib.sha256(body).hexdigest()])


def _signature(secret: str, scope: str, to_sign: str) -> str:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


# --- what was asked, and whether the model takes it -------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """A request in one set of words for both wires."""

    wire: str
    messages: list[tuple[str, list[str]]]
    system: list[str]
    max_tokens: int | None
    sampling: dict[str, float]
    stop_sequences: list[str]
    thinking: dict[str, Any]
    effort: str | None
    other: set[str]

    @property
    def last_user_text(self) -> str:
        return next((texts[-1] for role, texts in reversed(self.messages) if role == "user" and texts), "")

    @property
    def tokens(self) -> int:
        """A deterministic estimate: 4 characters a token, 3 tokens a message, 5 for the request."""
        texts = [*self.system, *(text for _, texts in self.messages for text in texts)]
        return 5 + 3 * len(self.messages) + sum((len(text) + 3) // 4 for text in texts)


_CLAUDE_KEYS = {
    *("anthropic_version", "anthropic_beta", "max_tokens", "messages", "system", "stop_sequences", "temperature"),
    *("top_p", "top_k", "thinking", "output_config", "tools", "tool_choice", "metadata", "context_management"),
    "cache_control",
}


def asked_of_claude(body: Mapping[str, Any]) -> Asked:
    """What an Anthropic Messages body asks."""
    system = body.get("system") or []
    return Asked(
        wire="claude",
        messages=[(turn.get("role", ""), _texts(turn.get("content"))) for turn in body.get("messages") or []],
        system=_texts(system),
        max_tokens=body.get("max_tokens"),
        sampling={name: body[name] for name in ("temperature", "top_p", "top_k") if name in body},
        stop_sequences=list(body.get("stop_sequences") or []),
        thinking=body.get("thinking") or {},
        effort=(body.get("output_config") or {}).get("effort"),
        other=set(body) - _CLAUDE_KEYS,
    )


def asked_of_converse(body: Mapping[str, Any]) -> Asked:
    """What a Converse body asks; the model's own fields among it."""
    config, extra = body.get("inferenceConfig") or {}, body.get("additionalModelRequestFields") or {}
    sampling = {"temperature": config.get("temperature"), "top_p": config.get("topP"), "top_k": extra.get("top_k")}
    effort = (extra.get("output_config") or {}).get("effort")
    return Asked(
        wire="converse",
        messages=[(turn.get("role", ""), _texts(turn.get("content"))) for turn in body.get("messages") or []],
        system=_texts(body.get("system") or []),
        max_tokens=config.get("maxTokens"),
        sampling={name: value for name, value in sampling.items() if value is not None},
        stop_sequences=list(config.get("stopSequences") or []),
        thinking=extra.get("thinking") or {},
        effort=(body.get("outputConfig") or {}).get("effort", effort),
        other=set(extra),
    )


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [block["text"] for block in content or [] if isinstance(block, dict) and "text" in block]


# Name prefixes of the models from Opus 4.7 on.
NO_SAMPLING = (
    *("claude-fable-5", "claude-mythos-5", "claude-opus-4-7", "claude-opus-4-8"),
    *("claude-opus-5", "claude-sonnet-5", "claude-haiku-5-5"),
)
_ALWAYS_THINKS = ("claude-opus-5-5", "claude-fable", "claude-mythos")
_GEOGRAPHIES = {
    "us-gov": ("us-gov-",),
    "us": ("us-east-", "us-west-"),
    "eu": ("eu-",),
    "jp": ("ap-northeast-1", "ap-northeast-3"),
    "au": ("ap-southeast-2", "ap-southeast-4"),
    "in": ("ap-south-",),
    "ca": ("ca-",),
    "apac": ("ap-",),
    "global": ("",),
}


def bare_name(base_id: str) -> str:
    """ "claude-opus-4-7" of "anthropic.claude-opus-4-7"."""
    return base_id.partition(".")[2]


def is_claude(base_id: str) -> bool:
    return base_id.startswith("anthropic.")


def starts_with(base_id: str, names: Iterable[str]) -> bool:
    return bare_name(base_id).startswith(tuple(names))


def served(profile_id: str, region: str) -> bool:
    """Whether a profile's geography takes calls from a region. Profiles without one are served everywhere."""
    geography = profile_id.partition(".")[0]
    return region.startswith(_GEOGRAPHIES.get(geography, ("",)))


def resolve(model: str, region: str, models: list[dict[str, Any]], profiles: list[dict[str, Any]]) -> str:
    """The base id behind what stands in the path of an inference call. ServiceError where the service has one."""
    by_id = {entry["modelId"]: entry for entry in models}
    profile = find_profile(model, profiles)
    name = model.rsplit("foundation-model/", 1)[-1]
    if profile is not None:
        if not served(profile["inferenceProfileId"], region):
            raise ServiceError("ResourceNotFoundException")
        name = profile["models"][0]["modelArn"].rsplit("/", 1)[-1]
    elif name not in by_id:
        geography, _, rest = name.partition(".")
        if geography in _GEOGRAPHIES and rest in by_id:
            raise ServiceError("ResourceNotFoundException")
        raise invalid(NO_SUCH_MODEL)
    entry = by_id.get(name, {})
    if has_ended(entry):
        raise ServiceError("ResourceNotFoundException", END_OF_LIFE)
    if profile is None and "ON_DEMAND" not in entry["inferenceTypesSupported"]:
        raise invalid(NOT_ON_DEMAND.format(model=name))
    if entry and not {"TEXT"} <= {*entry["inputModalities"]} & {*entry["outputModalities"]}:
        raise invalid(NO_CHAT)
    return name


def find_profile(model: str, profiles: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """By id or ARN. A system-defined profile's ARN may name any region: the service has it in each."""
    wanted = model.rsplit(":inference-profile/", 1)[-1]
    return next((p for p in profiles if wanted in (p["inferenceProfileId"], p["inferenceProfileArn"])), None)


def has_ended(entry: Mapping[str, Any]) -> bool:
    end = entry.get("modelLifecycle", {}).get("endOfLifeTime")
    return end is not None and datetime.fromisoformat(end) <= datetime.now(UTC)


def check_version(base_id: str, body: Mapping[str, Any]) -> None:
    """Models up to 4.6 take only the version that Bedrock documents, newer ones the SDK's too."""
    version = body.get("anthropic_version")
    if version is None:
        raise invalid(
            "Malformed input request: #: required key [anthropic_version] not found, please reformat your input and "
            "try again."
        )
    taken = {"bedrock-2023-05-31"} | ({"2026-10-21"} if starts_with(base_id, NO_SAMPLING) else set())
    if version not in taken:
        raise invalid(INVALID_VERSION)
    if "cache_control" in body and not starts_with(base_id, NO_SAMPLING):
        raise invalid("cache_control: Extra inputs are not permitted")


def check_request(base_id: str, asked: Asked) -> None:
    """The rules that a model has for its parameters and conversations; ServiceError for what it rejects."""
    try:
        if asked.wire == "converse":
            _check_converse(base_id, asked)
        else:
            _check_messages(asked)
        if is_claude(base_id):
            _check_sampling(base_id, asked)
            _check_thinking(base_id, asked)
            _check_effort(base_id, asked)
            _check_prefill(base_id, asked)
    except _ModelSays as error:
        prefix = "The model returned the following errors: " if asked.wire == "converse" else ""
        raise invalid(prefix + str(error)) from None


class _ModelSays(Exception):
    """A refusal by the model and not by the API in front of it: Converse says so."""


def _check_messages(asked: Asked) -> None:
    if asked.max_tokens is None:
        raise _ModelSays("max_tokens: Field required")
    if asked.other:
        raise _ModelSays(f"{sorted(asked.other)[0]}: Extra inputs are not permitted")
    if not asked.messages:
        raise _ModelSays("messages: at least one message is required")
    if any(role not in ("user", "assistant") for role, _ in asked.messages):
        raise _ModelSays('messages: Unexpected role. The allowed roles are "user" or "assistant".')
    for where, texts in [("system", asked.system), *(("messages", texts) for _, texts in asked.messages)]:
        if any(not text.strip() for text in texts):
            raise _ModelSays(f"{where}: text content blocks must contain non-whitespace text")


def _check_converse(base_id: str, asked: Asked) -> None:
    roles = [role for role, _ in asked.messages]
    if not roles or (roles[0] != "user" and not is_claude(base_id) and not base_id.startswith("qwen.")):
        raise invalid(
            "A conversation must start with a user message. Try again with a conversation that starts with a user "
            "message."
        )
    if any(role not in ("user", "assistant") for role in roles):
        raise invalid("Role 'system' isn't supported in messages by this model. Use the system field.")
    if not is_claude(base_id) and any(a == b for a, b in pairwise(roles)):
        raise invalid(
            "A conversation must alternate between user and assistant roles. Make sure the conversation alternates "
            "between user and assistant roles and try again."
        )
    for index, (_, texts) in enumerate(asked.messages):
        if any(not text.strip() for text in texts):
            raise invalid(
                f"The text field in the ContentBlock object at messages.{index}.content.0 is blank. Add text to the "
                "text field, and try again."
            )
    if base_id.startswith(("meta.", "mistral.")) and roles[-1] == "assistant":
        raise invalid(
            "The model that you are using requires the last turn in the conversation to be a user message. Add a user "
            "message to the conversation and try again."
        )
    if asked.sampling.get("temperature", 0) > 1 and not is_claude(base_id):
        given = asked.sampling["temperature"]
        raise _ModelSays(f"Malformed input request: #/temperature: {given} is not less or equal to 1")
    known = _CLAUDE_KEYS if is_claude(base_id) else {"inferenceConfig", "reasoningConfig"}
    if (is_claude(base_id) or "nova" in base_id) and (strange := sorted(asked.other - known)):
        raise _ModelSays(
            f"Malformed input request: #: extraneous key [{strange[0]}] is not permitted, please reformat your input "
            "and try again."
        )


def _check_sampling(base_id: str, asked: Asked) -> None:
    sampling = asked.sampling
    if sampling and starts_with(base_id, NO_SAMPLING):
        raise _ModelSays(NO_TEMPERATURE.replace("temperature", next(iter(sampling))))
    if {"temperature", "top_p"} <= set(sampling) and re.match(r"claude-[a-z]+-4", bare_name(base_id)):
        raise _ModelSays(BOTH_SAMPLING)
    for name in ("temperature", "top_p"):
        if not 0 <= sampling.get(name, 0) <= 1:
            side = "less than or equal to 1" if sampling[name] > 1 else "greater than or equal to 0"
            raise _ModelSays(f"{name}: Input should be {side}")


def _check_thinking(base_id: str, asked: Asked) -> None:
    kind = asked.thinking.get("type")
    budget = asked.thinking.get("budget_tokens", 0)
    newer = starts_with(base_id, NO_SAMPLING)
    adaptive = newer or starts_with(base_id, ("claude-opus-4-6", "claude-sonnet-4-6"))
    sonnet_55 = starts_with(base_id, ("claude-sonnet-5-5",))
    refused = {
        "enabled": newer,
        "adaptive": not adaptive,
        "disabled": starts_with(base_id, _ALWAYS_THINKS) or sonnet_55,
        "between_tools": not sonnet_55,
    }
    if kind and refused.get(kind, True):
        raise _ModelSays(f'"thinking.type.{kind}" is not supported for this model.')
    if kind == "disabled" and starts_with(base_id, ("claude-opus-5",)) and asked.effort in ("xhigh", "max"):
        raise _ModelSays(f'"thinking.type.disabled" is not supported with effort "{asked.effort}".')
    if kind == "enabled" and budget < 1024:
        raise _ModelSays("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if kind == "enabled" and asked.max_tokens is not None and asked.max_tokens <= budget:
        raise _ModelSays("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if kind in ("enabled", "adaptive") and asked.sampling.get("temperature", 1) != 1:
        raise _ModelSays("`temperature` may only be set to 1 when thinking is enabled.")


def _check_effort(base_id: str, asked: Asked) -> None:
    if asked.effort is None:
        return
    taken: tuple[str, ...] = ()
    if starts_with(base_id, NO_SAMPLING):
        taken = ("low", "medium", "high", "xhigh", "max")
    elif starts_with(base_id, ("claude-opus-4-6", "claude-sonnet-4-6")):
        taken = ("low", "medium", "high", "max")
    elif starts_with(base_id, ("claude-opus-4-5",)):
        taken = ("low", "medium", "high")
    if not taken:
        raise _ModelSays("This model does not support the effort parameter.")
    if asked.effort not in taken:
        raise _ModelSays(f"output_config.effort: Input should be one of {', '.join(taken)}")


def _check_prefill(base_id: str, asked: Asked) -> None:
    none = (*NO_SAMPLING, "claude-opus-4-6", "claude-sonnet-4-6")
    if asked.messages[-1][0] == "assistant" and starts_with(base_id, none):
        raise _ModelSays(NO_PREFILL)


def count_tokens(model: str, body: Mapping[str, Any], models: list[dict[str, Any]]) -> int:
    """CountTokens takes base ids, of Claude models before Opus 4.7."""
    entry = next((entry for entry in models if entry["modelId"] == model), None)
    if entry is not None and has_ended(entry):
        raise ServiceError("ResourceNotFoundException", END_OF_LIFE)
    if entry is None or not is_claude(model) or starts_with(model, NO_SAMPLING):
        raise invalid(NO_COUNTING)
    what = body.get("input") or {}
    if "invokeModel" in what:
        return asked_of_claude(json.loads(base64.b64decode(what["invokeModel"]["body"]))).tokens
    return asked_of_converse(what.get("converse") or {}).tokens


# --- the listings -----------------------------------------------------------------------------------------------------

_CHAT = (["TEXT"], ["TEXT"])
_SEES = (["TEXT", "IMAGE"], ["TEXT"])
_ACCOUNT = "123456789012"
# id, name, provider, modalities, ON_DEMAND or the geographies of its profiles
_OFFER: tuple[tuple[str, str, str, tuple[list[str], list[str]], str], ...] = (
    ("anthropic.claude-opus-5-5", "Claude Opus 5.5", "Anthropic", _SEES, "us eu global"),
    ("anthropic.claude-sonnet-5-5", "Claude Sonnet 5.5", "Anthropic", _SEES, "us eu global"),
    ("anthropic.claude-haiku-5-5", "Claude Haiku 5.5", "Anthropic", _SEES, "us eu global"),
    ("anthropic.claude-opus-4-7", "Claude Opus 4.7", "Anthropic", _SEES, "us eu global"),
    ("anthropic.claude-sonnet-4-6", "Claude Sonnet 4.6", "Anthropic", _SEES, "us eu global"),
    ("anthropic.claude-haiku-4-5-20251001-v1:0", "Claude Haiku 4.5", "Anthropic", _SEES, "us eu global"),
    ("anthropic.claude-sonnet-4-5-20250929-v1:0", "Claude Sonnet 4.5", "Anthropic", _SEES, "us eu global"),
    ("anthropic.claude-3-haiku-20240307-v1:0", "Claude 3 Haiku", "Anthropic", _SEES, "ON_DEMAND"),
    ("amazon.nova-lite-v1:0", "Nova Lite", "Amazon", (["TEXT", "IMAGE", "VIDEO"], ["TEXT"]), "ON_DEMAND us eu"),
    ("amazon.nova-micro-v1:0", "Nova Micro", "Amazon", _CHAT, "ON_DEMAND us eu"),
    ("amazon.nova-2-lite-v1:0", "Nova 2 Lite", "Amazon", (["TEXT", "IMAGE", "VIDEO"], ["TEXT"]), "us eu global"),
    ("amazon.nova-2-sonic-v1:0", "Nova 2 Sonic", "Amazon", (["SPEECH"], ["SPEECH", "TEXT"]), "ON_DEMAND"),
    ("meta.llama3-3-70b-instruct-v1:0", "Llama 3.3 70B Instruct", "Meta", _CHAT, "us"),
    ("mistral.mistral-large-3-675b-instruct", "Mistral Large 3", "Mistral AI", _SEES, "ON_DEMAND"),
    ("openai.gpt-oss-120b-1:0", "gpt-oss-120b", "OpenAI", _CHAT, "ON_DEMAND"),
    ("deepseek.r1-v1:0", "DeepSeek-R1", "DeepSeek", _CHAT, "us"),
    ("qwen.qwen3-32b-v1:0", "Qwen3 32B (dense)", "Qwen", _CHAT, "ON_DEMAND"),
    ("moonshotai.kimi-k2.5", "Kimi K2.5", "Moonshot AI", _SEES, "ON_DEMAND"),
    ("cohere.embed-v4:0", "Embed v4", "Cohere", (["TEXT", "IMAGE"], ["EMBEDDING"]), "ON_DEMAND us global"),
)
_DESTINATIONS = {
    "us": ("us-east-1", "us-east-2", "us-west-2"),
    "eu": ("eu-central-1", "eu-west-1", "eu-west-3"),
    "global": ("us-east-1", ""),
}


def default_models() -> list[dict[str, Any]]:
    """ListFoundationModels as us-east-1 would have it: one model is LEGACY, one is past its end."""
    now = datetime.now(UTC).replace(microsecond=0)
    lifecycles = {
        "anthropic.claude-sonnet-4-5-20250929-v1:0": {
            "status": "LEGACY",
            "legacyTime": (now - timedelta(days=40)).isoformat(),
            "endOfLifeTime": (now + timedelta(days=135)).isoformat(),
        },
        "anthropic.claude-3-haiku-20240307-v1:0": {"status": "LEGACY", "endOfLifeTime": "2026-09-10T00:00:00+00:00"},
    }
    return [
        {
            "modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{model}",
            "modelId": model,
            "modelName": name,
            "providerName": provider,
            "inputModalities": list(modalities[0]),
            "outputModalities": list(modalities[1]),
            "responseStreamingSupported": "EMBEDDING" not in modalities[1],
            "customizationsSupported": [],
            "inferenceTypesSupported": ["ON_DEMAND"] if "ON_DEMAND" in where else ["INFERENCE_PROFILE"],
            "modelLifecycle": lifecycles.get(model, {"status": "ACTIVE"}),
        }
        for model, name, provider, modalities, where in _OFFER
    ]


def default_profiles() -> list[dict[str, Any]]:
    """ListInferenceProfiles of every geography; the server shows each region its own. One is an APPLICATION."""
    profiles = [
        _profile(geography, model, name)
        for model, name, *_, where in _OFFER
        for geography in where.split()
        if geography in _DESTINATIONS
    ]
    team = _profile("us", "anthropic.claude-haiku-4-5-20251001-v1:0", "")
    team |= {
        "inferenceProfileId": "a1b2c3d4e5f6",
        "inferenceProfileName": "team-chat",
        "inferenceProfileArn": f"arn:aws:bedrock:us-east-1:{_ACCOUNT}:application-inference-profile/a1b2c3d4e5f6",
        "type": "APPLICATION",
    }
    return [*profiles, team]


def _profile(geography: str, model: str, name: str) -> dict[str, Any]:
    profile = f"{geography}.{model}"
    label = {"global": "Global"}.get(geography, geography.upper())
    return {
        "inferenceProfileName": f"{label} {name}",
        "description": f"Routes requests to {name} in {label}.",
        "createdAt": "2026-01-15T00:00:00+00:00",
        "updatedAt": "2026-01-15T00:00:00+00:00",
        "inferenceProfileArn": f"arn:aws:bedrock:us-east-1:{_ACCOUNT}:inference-profile/{profile}",
        "inferenceProfileId": profile,
        "models": [
            {"modelArn": f"arn:aws:bedrock:{region}::foundation-model/{model}"} for region in _DESTINATIONS[geography]
        ],
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    }
