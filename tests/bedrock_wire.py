"""Frames and events of the two wires: how an answer is told, and what was asked, in one set of words. No socket."""

from __future__ import annotations

import base64
import binascii
import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.bedrock_errors import ServiceError

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


CLAUDE_KEYS = {
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
        other=set(body) - CLAUDE_KEYS,
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
