"""What the two wires have in common: a request that fits its model, a stream that can be woken, and opening one."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ..catalog import ModelInfo
from ..documents import Document
from ..messages import Message, StopReason, Usage
from ..reply import CancelToken, SourceItem
from .helpers import wait_for

# How long a response that has said all may hold its connection open before it is closed, in seconds. Its end comes
# with or right behind the last event; a proxy may keep it back.
LAST_WORDS = 0.25


@dataclass(frozen=True, slots=True)
class Request:
    """One request, in neutral words, after the model's rules. None and empty values are not sent."""

    info: ModelInfo
    region: str
    messages: tuple[Message, ...]
    max_tokens: int
    system: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: tuple[str, ...] = ()
    effort: str | None = None
    thinking: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    guardrail: tuple[str, str] | None = None
    service_tier: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    cache_system: bool = False

    @property
    def model(self) -> str:
        return self.info.id

    def priced(self, usage: Usage) -> Usage:
        return replace(usage, cost=self.info.cost(usage))


class Stream(Protocol):
    """An open response. `items` runs in the reader's thread; `wake` may be called from any other."""

    def items(self) -> Iterator[SourceItem]: ...

    def wake(self) -> None: ...

    def close(self) -> None: ...


class Wire(Protocol):
    """A way to talk to Bedrock. `open` blocks until the response's headers and raises AssistantErrors."""

    def open(self, request: Request) -> Stream: ...

    def body(self, request: Request) -> dict[str, Any]: ...


STOP_REASONS: dict[str, StopReason] = {
    "end_turn": "end_turn",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "refusal": "refusal",
    "content_filtered": "refusal",
    "guardrail_intervened": "guardrail",
    "model_context_window_exceeded": "context_window",
}


def document_text(document: Document) -> str:
    """A text document as a text of its own. Its name could hold instructions to the model and is not sent."""
    return f"<document>\n{document.text}\n</document>"


def stop_reason_of(raw: str | None) -> StopReason:
    return STOP_REASONS.get(raw or "", "other")


def shut_down(sock: Any) -> None:
    """Ends both directions of a socket, which wakes a thread that blocks in reading it; closing would not."""
    with suppress(OSError, ValueError, AttributeError):
        sock.shutdown(socket.SHUT_RDWR)


def _drop(stream: Stream) -> None:
    """Nobody waits for this response any more: its connection goes, and with it the request."""
    with suppress(Exception):
        stream.wake()
        stream.close()


def open_and_read(open_: Callable[[], Stream], token: CancelToken) -> Iterator[SourceItem]:
    """Opens on a helper thread, then reads in the caller's, with no queue between; ends at once when cancelled."""
    stream = wait_for(open_, token, _drop)
    if stream is None:
        return
    try:
        with token.waking(stream.wake):
            yield from stream.items()
    finally:
        stream.close()
