"""What is read from and told by a ConversationStore: plain data, and its errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from .errors import StoreError
from .messages import Turn, Usage
from .texts import repaired

# Inside a class with a method `list`, the name means that method.
Turns = list[Turn]

Outcome = Literal["ok", "busy", "stale", "not_found"]


class ConversationNotFoundError(StoreError):
    """No such conversation of this owner. Another owner's looks the same as one that never was."""

    default_hint = "It may have been deleted, or belong to somebody else. Begin a new one."


class StaleConversationError(StoreError):
    """The conversation went on elsewhere (another tab, another device) since this page was drawn."""

    default_hint = "Look at what is new, then send the message again."


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """A line of a list. Times are in seconds since the epoch; `running`: a reply is under way, in some process."""

    id: str
    title: str
    created_at: float
    updated_at: float
    running: bool = False


@dataclass(frozen=True, slots=True)
class StoredConversation:
    """What the store holds of a conversation.

    `turns` are those of its line, the oldest first; `usage` is
    what all its turns have used, superseded ones included.

    `version` goes up with every change of the line. `lease_until`: until when a process says that it is working
    on the last turn, in seconds since the epoch; None where none does.
    """

    id: str
    owner: str
    title: str
    settings: dict[str, Any]
    head: str | None
    version: int
    lease_until: float | None
    created_at: float
    updated_at: float
    turns: list[Turn] = field(default_factory=list)
    memory: dict[str, Any] | None = None
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Begun:
    """How an attempt to begin a turn ended. `busy_for`: seconds until the other run's lease would expire."""

    outcome: Outcome
    version: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    busy_for: float = 0.0


@dataclass(frozen=True, slots=True)
class Growth:
    """What has come of a turn that runs; text None: nothing new, only the lease is renewed."""

    conversation_id: str
    turn_id: str
    lease: str
    text: str | None = None


def title_of(text: str, limit: int = 60) -> str:
    """The first words of a text, at most `limit` characters, on one line."""
    words = " ".join(text[: 4 * limit].split())
    if len(words) <= limit:
        return words
    cut = words[:limit].rsplit(" ", 1)[0] if " " in words[:limit] else words[:limit]
    return cut.rstrip(",.;: ") + "…"


def first_title(turn: Turn) -> str:
    """What a conversation is called until the model has a title for it: what it begins with."""
    return title_of(turn.user) or (turn.documents[0].name if turn.documents else "")


def clean_text(text: str) -> str:
    """The text as a database takes it: browsers and models send halves of characters, PostgreSQL takes no NUL."""
    return repaired(text).replace("\0", "\ufffd")
