"""What a memory holds, and what each part of it costs: for a page that shows it, or a gauge."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MemoryItem:
    """A kept turn or a pinned document. `text` is what was said ("H: …", "A: …"), or the name of the document."""

    id: str
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class MemoryView:
    """One moment of a memory, in estimated tokens of the model in use.

    `turns` are those kept word for word, oldest first; `documents` those pinned, least recently pinned first.
    `tokens` is what the limit is for: `summary_tokens` and all `turns`. Documents have a budget of their own.
    `limit` is None for a memory that never folds; `problem` is why the last summary failed, None where it did not.
    """

    summary: str
    summary_tokens: int
    turns: list[MemoryItem]
    documents: list[MemoryItem]
    tokens: int
    limit: int | None
    problem: str | None = None

    @property
    def document_tokens(self) -> int:
        return sum(document.tokens for document in self.documents)


@dataclass(frozen=True, slots=True)
class MemoryTokens:
    """What a gauge shows, in tokens of the model in use: `summary` + `kept` against `limit`; `pinned` beside them."""

    summary: int
    kept: int
    pinned: int
    limit: int
