"""What a test tells the loopback Bedrock to answer, and what it keeps of each request."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tests.bedrock_errors import ServiceError
from tests.bedrock_wire import Answer, Asked, Frames, asked_of_claude, asked_of_converse

STREAMING = ("InvokeModelWithResponseStream", "ConverseStream")
CONNECTION_KINDS = ("hang", "fin", "rst")
_STREAM_KINDS = (
    *CONNECTION_KINDS,
    *("short_content_length", "clean_end", "cut_in_frame", "bad_crc", "not_json", "unknown_event", "empty_body"),
    "held",
)
REPLY_KINDS = ("empty", "blank", "guardrail", "refusal")


@dataclass(frozen=True)
class Reply:
    """An answer. `deltas=None` cuts the text into words; `thinking=""` is a thinking block whose text is omitted.

    `delay` is in seconds between two deltas, `first_delay` before the response's headers. The deltas from number
    `gate_after` on wait for `gate`. Tokens that are not given are estimated, 4 characters each. `chunk_size` cuts the
    stream into pieces of so many bytes, regardless of frames. Stop sequences of the request are honoured.
    `chunked=False` announces the stream's length instead, as some proxies do.
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
    chunked: bool = True


@dataclass(frozen=True)
class Fault:
    """A way to fail. `kind` is an error's name in the service's words, or one of the names below.

    `after=None` is before the stream, `after=k` after k text deltas, `after="last"` instead of the last event. An error
    with a capital is an HTTP error before the stream and an exception frame in it; with a small first letter
    ("throttlingException", or a name that nobody knows) it is always a frame, the very first one by default.

    "hang": nothing more comes; "fin": the connection ends without the body's end; "rst": it is reset (all three, with
    after=None, before the headers). "short_content_length": less comes than the headers announce. "clean_end": a proper
    end of the body without the rest. "cut_in_frame": the same in the middle of a frame. "bad_crc", "not_json": a broken
    frame instead of the next one. "held": the whole stream, but its body has no end and its connection stays open; with
    after="last" without its very last frame. "unknown_event": frames that nobody knows, then all goes on.
    "empty_body": 200 and nothing. "empty": a complete stream without text; "blank": one with spaces; "guardrail",
    "refusal": so they end.
    `reply` is what is answered around the fault, the server's default otherwise.
    """

    kind: str
    after: int | Literal["last"] | None = None
    message: str | None = None
    retry_after: float | str | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    reply: Reply | None = None

    def __post_init__(self) -> None:
        if self.kind not in (*_STREAM_KINDS, *REPLY_KINDS) and not self.is_error:
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
            given = self.retry_after
            error.headers["Retry-After"] = given if isinstance(given, str) else f"{given:g}"
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
        if self.kind in REPLY_KINDS:
            return None
        if self.kind == "held":
            return len(frames.flat()) - (1 if self.after == "last" else 0)
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
        return (asked_of_converse if self.operation.startswith("Converse") else asked_of_claude)(self.body)


Scripted = Reply | Fault | Callable[[Recorded], Reply | Fault]


def echo(recorded: Recorded) -> Reply:
    """The default answer: what model was asked what."""
    return Reply(f"model={recorded.model} text={recorded.asked.last_user_text}")


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
