"""Plain data: what is said, and what is known about it. No behaviour beyond adding up and checking."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from .documents import Document

Role = Literal["user", "assistant"]

StopReason = Literal[
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "refusal",
    "guardrail",
    "context_window",
    "cancelled",
    "interrupted",
    "error",
    "other",
]
STOP_REASONS: tuple[str, ...] = get_args(StopReason)
# Those after which an answer can go on: it did not come to an end of its own.
CONTINUABLE: tuple[StopReason, ...] = ("max_tokens", "interrupted", "cancelled", "context_window")
# Notices that hold for the model, and so for every turn of a conversation: said once in it.
LASTING = ("parameter_left_out", "profile_chosen", "profile_unknown")


@dataclass(frozen=True, slots=True)
class Message:
    """One message on its way to a model. Documents stand in front of the text.

    `cache` asks for a cache point: behind the documents where there are some, else behind the text.
    """

    role: Role
    text: str
    documents: tuple[Document, ...] = ()
    cache: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and money of one reply or of many.

    `input_tokens` are those read at the full price; tokens read from and written to the
    prompt cache are counted beside them, as both wires report them. `cost` is in USD and
    None where the price is not known (never 0 for "unknown").
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost: float | None = 0.0

    @property
    def total_input_tokens(self) -> int:
        """Everything the model read: full price, cache read and cache write."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def total_tokens(self) -> int:
        return self.total_input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            None if self.cost is None or other.cost is None else self.cost + other.cost,
        )

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Usage:
        return cls(**{name: data[name] for name in cls.__slots__ if name in data})


@dataclass(frozen=True, slots=True)
class TokenCount:
    """`exact` says whether the model's own tokenizer counted, or tokens.py estimated."""

    tokens: int
    exact: bool


def new_id() -> str:
    """An id that is unique over all processes and cannot be guessed (128 random bits)."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the reader may want to know about this reply. `code` and `values` let a page translate it."""

    code: str
    text: str
    values: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        return {"code": self.code, "text": self.text, "values": dict(self.values)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Notice:
        return cls(data["code"], data["text"], dict(data.get("values", {})))


@dataclass(slots=True)
class Turn:
    """What the user said, what was answered, and why the answer ended.

    `reply` is None while nothing has come; a turn that failed before any text keeps None, stays in the
    transcript and is left out of the context. `stop_reason` is None while the turn runs. `error_code` is the name of
    the error's class, "" where there was none. `started` is in seconds since the epoch, `first_text_after` in seconds
    from there, retries included; both None where the model was not asked, or said nothing.
    """

    user: str
    reply: str | None = None
    stop_reason: StopReason | None = None
    error: str | None = None
    usage: Usage = field(default_factory=Usage)
    documents: tuple[Document, ...] = ()
    model: str | None = None
    id: str = field(default_factory=new_id)
    notices: tuple[Notice, ...] = ()
    error_code: str = ""
    started: float | None = None
    first_text_after: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "user": self.user,
            "reply": self.reply,
            "stop_reason": self.stop_reason,
            "error": self.error,
            "usage": self.usage.to_dict(),
            "documents": [document.to_dict() for document in self.documents],
            "model": self.model,
            "notices": [notice.to_dict() for notice in self.notices],
            "error_code": self.error_code,
            "started": self.started,
            "first_text_after": self.first_text_after,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Turn:
        return cls(
            id=data["id"],
            user=data["user"],
            reply=data["reply"],
            # A turn that was running when its process ended has no stop reason: it was interrupted.
            stop_reason=data["stop_reason"] or "interrupted",
            error=data["error"],
            usage=Usage.from_dict(data["usage"]),
            documents=tuple(Document.from_dict(document) for document in data["documents"]),
            model=data["model"],
            # Turns that were saved before these were kept have none.
            notices=tuple(Notice.from_dict(notice) for notice in data.get("notices", ())),
            error_code=data.get("error_code", ""),
            started=data.get("started"),
            first_text_after=data.get("first_text_after"),
        )


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """A piece of the model's thinking: shown if you like, never stored, never sent back."""

    text: str


@dataclass(frozen=True, slots=True)
class Retrying:
    """The request failed and goes out again as attempt number `attempt` (2 is the second) in `wait` seconds."""

    attempt: int
    wait: float
    error: Exception


@dataclass(frozen=True, slots=True)
class Completed:
    """The last event of a reply that came to its end. `raw_stop_reason` is the service's own word."""

    stop_reason: StopReason
    usage: Usage
    raw_stop_reason: str | None = None


Event = TextDelta | ThinkingDelta | Retrying | Notice | Completed
