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
from assistant.store import ConversationNotFoundError, StaleConversationError

from . import show
from .attachments import LONG_TEXT

# What the page's own buttons put into the hidden `intent`; a script leaves it empty.
BRANCHING = ("retry", "edit")


@dataclass(frozen=True, slots=True)
class Asked:
    """`intent` is empty for scripts. `history` is what the page shows before the new text; None for scripts, whose
    texts follow the last turn. `seen`: for a retry or an edit, the last turn that the page showed. `documents` are
    those that were attached by hand. `pasted`: what a long text that becomes a document is called; `alone`: what is
    said where documents come without a word. `session`: the browser, for limits."""

    owner: str
    conversation: str
    history: list[Any] | None
    text: str
    settings: dict[str, Any]
    intent: str = ""
    seen: str | None = None
    documents: tuple[Document, ...] = ()
    pasted: str = "text"
    session: str | None = None
    alone: str = ""

    @property
    def branches(self) -> bool:
        return self.intent in BRANCHING


def submit(chats: Chats, asked: Asked) -> tuple[Run, Sequence[Turn] | None]:
    """Finds where the text belongs and begins the turn there; blocks. What the history says is not believed.

    Returns the run, and the turns before it where they had to be read. An ordinary message does without: the store
    compares the last turn that the page shows with its own, however long the conversation is.
    """
    if asked.intent and len(asked.text) > LONG_TEXT:
        asked = _as_document(asked)
    if asked.intent == "send" and asked.conversation and show.names_all_turns(asked.history):
        try:
            return _begin(chats, asked, asked.conversation, show.last_named(asked.history)), None
        except ConversationNotFoundError:
            # Perhaps a page from before the server was started anew, see below.
            pass
    opened = _opened(chats, asked)
    turns = opened.turns
    head = turns[-1].id if turns else None
    after = head if asked.history is None else show.last_turn(asked.history, turns)
    if asked.branches:
        if asked.seen is not None and asked.seen != head:
            raise StaleConversationError("The page does not show the last turn.")
        asked = _with_what_it_replaces(asked, after, turns)
    before = [turn.id for turn in turns].index(after) + 1 if after is not None else 0
    return _begin(chats, asked, opened.id, after), turns[:before]


def _begin(chats: Chats, asked: Asked, conversation: str, after: str | None) -> Run:
    text = asked.text
    if asked.documents and not text.strip():
        # A document that stays pinned goes in front of the conversation: something must stand in the message itself.
        text = asked.alone
    return chats.submit(
        asked.owner,
        conversation,
        after,
        text,
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
        raise InvalidRequestError("There is nothing to send.", hint="Write something.", code="empty")
    return replace(asked, text="", documents=(*asked.documents, document))
