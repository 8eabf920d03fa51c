"""A session from what is stored, and what of its memory is stored with a turn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .compose import remembered_text, remembered_turns, turn_documents
from .documents import Document
from .memory import Memory, memory_from_dict
from .messages import Turn, Usage
from .session import ChatSession

logger = logging.getLogger("assistant")


def saved_memory(session: ChatSession, turn_id: str) -> dict[str, Any] | None:
    """The memory's state after a turn, without what the turns hold anyway. None: it is made again from the turns."""
    try:
        state = session.memory.to_dict()
        pins = state.get("pinned", ())
        # Of the turns that brought them alone, where that is known: a conversation may have thousands of others.
        owners = {turn for pin in pins for turn in pin["owners"]}
        of_all = any(not pin["owners"] for pin in pins)
        turns = [turn for turn in session.transcript if of_all or turn.id in owners] if pins else []
        known = _documents(turns, session.memory)
        for pin in pins:
            if pin["document"]["id"] in known:
                # Megabytes, once for each turn.
                pin["document"]["data"] = None
    except Exception:
        logger.exception("chats.memory_not_saved")
        return None
    return {"turn": turn_id, "state": state}


def memory_usage(memory: Mapping[str, Any] | None) -> Usage:
    """What summaries had used when `saved_memory` gave this; nothing where it can't be read."""
    try:
        return Usage() if memory is None else Usage.from_dict(memory["state"].get("usage", {}))
    except (AttributeError, KeyError, TypeError):
        return Usage()


def restored_session(
    make: Callable[[], ChatSession], turns: list[Turn], memory: Mapping[str, Any] | None
) -> ChatSession:
    """A session with these turns. What the saved memory does not know is added to it, all of it where there is none."""
    fresh = make()
    if not turns:
        return fresh
    usage = Usage()
    for turn in turns:
        usage += turn.usage
    data = {**fresh.to_dict(), "turns": [turn.to_dict() for turn in turns], "usage": usage.to_dict()}
    known = 0
    if memory is not None:
        try:
            state = dict(memory["state"])
            state["pinned"] = _filled(state.get("pinned", ()), _documents(turns, fresh.memory))
            memory_from_dict(fresh.client, state)
            data["memory"] = state
            ids = [turn.id for turn in turns]
            # A memory that is ahead, after an undo, knows them all.
            known = ids.index(memory["turn"]) + 1 if memory["turn"] in ids else len(ids)
        except Exception:
            logger.warning("chats.memory_made_again", exc_info=True)
    session = type(fresh).from_dict(fresh.client, data)
    session.verbose = fresh.verbose
    _remember(session.memory, turns, known)
    return session


def _remember(memory: Memory, turns: list[Turn], known: int) -> None:
    """Makes a memory that knows the first `known` turns, and perhaps others that are gone, one of exactly these."""
    memory.rewind(remembered_turns(turns[:known], memory))
    for turn in turns[known:]:
        documents = turn_documents(turn, memory)
        for document in documents:
            memory.pin(document)
        if turn.reply:
            memory.add_turn(remembered_text(turn.user, memory), turn.reply, id=turn.id, documents=documents)


def _documents(turns: Iterable[Turn], memory: Memory) -> dict[str, Document]:
    """The documents that turns brought, long pastes included."""
    return {document.id: document for turn in turns for document in turn_documents(turn, memory)}


def _filled(pins: Iterable[Mapping[str, Any]], known: Mapping[str, Document]) -> list[dict[str, Any]]:
    """Saved pins with their documents' data back; one whose document is gone is left out."""
    filled = []
    for pin in pins:
        if pin["document"]["data"] is None:
            document = known.get(pin["document"]["id"])
            if document is not None:
                filled.append({**pin, "document": document.to_dict()})
        else:
            filled.append(dict(pin))
    return filled
