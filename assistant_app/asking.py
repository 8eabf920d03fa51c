"""From what a page sends to a turn: where it belongs, what goes along, and with which settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from assistant.chats import Chats, Conversation
from assistant.documents import Document
from assistant.errors import InvalidRequestError
from assistant.messages import Turn
from assistant.runs import Run
from assistant.store import ConversationNotFoundError

from . import show
from .attachments import LONG_TEXT

# What the page's own buttons put into the hidden `intent`; a script leaves it empty.
BRANCHING = ("retry", "edit")


@dataclass(frozen=True, slots=True)
class Asked:
    """`intent` is empty for scripts. `documents` are those that were attached by hand. `pasted`: what a long text that
    becomes a document is called; `alone`: what is said where documents come without a word. `session`: the browser, for
    limits."""

    owner: str
    conversation: str
    history: list[Any]
    text: str
    settings: dict[str, Any]
    intent: str = ""
    documents: tuple[Document, ...] = ()
    pasted: str = "text"
    session: str | None = None
    alone: str = ""

    @property
    def branches(self) -> bool:
        return self.intent in BRANCHING


def submit(chats: Chats, asked: Asked) -> Run:
    """Finds where the text belongs and begins the turn there; blocks. What the history says is not believed."""
    opened = _opened(chats, asked)
    after = show.last_turn(asked.history, opened.turns)
    asked = _with_what_it_replaces(asked, after, opened.turns)
    if asked.intent and len(asked.text) > LONG_TEXT:
        asked = _as_document(asked)
    if asked.documents and not asked.text.strip():
        # A document that stays pinned goes in front of the conversation: something must stand in the message itself.
        asked = replace(asked, text=asked.alone)
    return chats.submit(
        asked.owner,
        opened.id,
        after,
        asked.text,
        asked.settings,
        documents=asked.documents,
        branch=asked.branches,
        session=asked.session,
    )


def _opened(chats: Chats, asked: Asked) -> Conversation:
    try:
        if asked.conversation:
            return chats.open(asked.owner, asked.conversation)
    except ConversationNotFoundError:
        if not asked.intent or any(show.names_turn(each) for each in asked.history or ()):
            raise
        # A page that was opened before the server was started anew: nothing was said yet, so nothing is lost.
    return chats.create(asked.owner)


def _with_what_it_replaces(asked: Asked, after: str | None, turns: Sequence[Turn]) -> Asked:
    """A retry asks the same again, an edit another text with the same documents."""
    if not asked.branches:
        return asked
    ids = [turn.id for turn in turns]
    at = ids.index(after) + 1 if after is not None else 0
    if at >= len(turns):
        return asked
    replaced = turns[at]
    text = replaced.user if asked.intent == "retry" else asked.text
    return replace(asked, text=text, documents=(*replaced.documents, *asked.documents))


def _as_document(asked: Asked) -> Asked:
    """A text of that length is a document to be read, not a message to be drawn."""
    document = Document.from_text(asked.text, f"{asked.pasted}.txt")
    if not document.data.strip():
        raise InvalidRequestError("There is nothing to send.", hint="Write something.")
    return replace(asked, text="", documents=(*asked.documents, document))
