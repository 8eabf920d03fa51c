"""Pins: documents that stay whole in front of the model, within a budget of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .documents import MAX_DOCUMENTS, MAX_IMAGES, Document
from .messages import Notice
from .tokens import document_tokens, estimate_tokens

if TYPE_CHECKING:
    from .buffers import MemoryTurn

# A paste is kept as a document above half the limit, but never below this many tokens: short ones are conversation.
PIN_FROM = 4_000

# A quarter of 128,000 tokens, for models whose window is not known.
DEFAULT_PIN_BUDGET = 32_000

# What one request takes of each kind, whichever model comes next; texts travel as text.
_MOST = {"image": MAX_IMAGES, "file": MAX_DOCUMENTS}


def should_pin(text: str, limit: int | None) -> bool:
    """Whether a pasted text is kept as a document: above half of `limit` and above 4,000 tokens.

    `limit` is the memory's max_token_limit; None, for memories that have none, leaves the second condition alone.
    """
    least = max(PIN_FROM, (limit or 0) // 2)
    # No token is shorter than a character, and few are longer than eight: most texts are decided with little counting.
    start = text[: 8 * least]
    return len(text) > least and (estimate_tokens(start) > least or (start != text and estimate_tokens(text) > least))


@dataclass(slots=True)
class _Pin:
    """`owners` are the ids of the turns that brought the document; empty for one that was pinned by hand."""

    document: Document
    tokens: int
    owners: set[str] = field(default_factory=set)


class Pins:
    """Documents in the order of their pinning, within a budget. Not safe under threads: its memory is."""

    def __init__(self) -> None:
        self._pins: dict[str, _Pin] = {}
        self.tokens = 0

    @property
    def documents(self) -> tuple[Document, ...]:
        return tuple(pin.document for pin in self._pins.values())

    @property
    def sizes(self) -> list[tuple[Document, int]]:
        """The documents with the tokens of each, as estimated when it was pinned."""
        return [(pin.document, pin.tokens) for pin in self._pins.values()]

    def pin(self, document: Document, budget: int) -> list[Notice]:
        """Adds a document, or makes it the most recent one; says which ones had to go, perhaps itself.

        `budget` is in tokens; beside it there are at most 5 files and 20 images.
        """
        pin = self._pins.pop(document.id, None)
        if pin is None:
            pin = _Pin(document, document_tokens(document))
            self.tokens += pin.tokens
        self._pins[document.id] = pin
        notices = []
        while self.tokens > budget:
            oldest = next(iter(self._pins.values()))
            self.unpin(oldest.document.id)
            notices.append(_unpinned(oldest, budget))
        kind = _kind(document)
        alike = [pin for pin in self._pins.values() if _kind(pin.document) == kind]
        for oldest in alike[: max(0, len(alike) - _MOST.get(kind, len(alike)))]:
            self.unpin(oldest.document.id)
            notices.append(_crowded_out(oldest, _MOST[kind]))
        return notices

    def own(self, id: str, turn: str) -> None:
        """Notes which turn brought a document, so that it goes when that turn is edited away."""
        if id in self._pins:
            self._pins[id].owners.add(turn)

    def unpin(self, id: str) -> bool:
        pin = self._pins.pop(id, None)
        if pin is not None:
            self.tokens -= pin.tokens
        return pin is not None

    def keep(self, turns: Sequence[MemoryTurn]) -> None:
        """Unpins what was brought by turns that are gone."""
        owned = [pin for pin in self._pins.values() if pin.owners]
        if not owned:
            return
        left = {turn.id for turn in turns}
        for pin in owned:
            pin.owners &= left
            if not pin.owners:
                self.unpin(pin.document.id)

    def to_list(self) -> list[dict[str, Any]]:
        return [
            {"document": pin.document.to_dict(), "tokens": pin.tokens, "owners": sorted(pin.owners)}
            for pin in self._pins.values()
        ]

    @classmethod
    def from_list(cls, data: Sequence[Mapping[str, Any]]) -> Pins:
        pins = cls()
        for row in data:
            document = Document.from_dict(row["document"])
            pins._pins[document.id] = _Pin(document, row["tokens"], set(row["owners"]))
            pins.tokens += row["tokens"]
        return pins


def _unpinned(pin: _Pin, budget: int) -> Notice:
    text = f"{pin.document.name} is no longer kept in full: pinned documents may have {budget:,} tokens in all."
    values = {"id": pin.document.id, "name": pin.document.name, "tokens": pin.tokens, "budget": budget}
    return Notice("unpinned", text, values)


def _crowded_out(pin: _Pin, most: int) -> Notice:
    text = f"{pin.document.name} is no longer kept in full: a request takes {most} of its kind."
    return Notice("crowded_out", text, {"id": pin.document.id, "name": pin.document.name, "most": most})


def _kind(document: Document) -> str:
    return "image" if document.is_image else "text" if document.is_text else "file"
