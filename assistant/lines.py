"""Turns in and out of the database: a conversation's line, and what its turns brought along.

Only store.py and what belongs to it come here: this module loads SQLAlchemy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import sqlalchemy as sa

from .documents import Document
from .messages import Notice, Turn, Usage
from .schema import documents, inserting, turns

Load = Callable[[str, str], bytes]


class StoredDocument(Document):
    """A document whose data stays in the database until somebody reads it: whoever opens a conversation wants names.

    `data` blocks for the database at its first use, and raises StoreError where that fails.
    """

    __slots__ = ("_found", "_load")
    _found: bytes | None
    _load: Callable[[], bytes]

    def __init__(self, name: str, format: str, id: str, load: Callable[[], bytes]) -> None:
        # It was checked before it was stored.
        for field, value in (("name", name), ("format", format), ("id", id), ("_load", load), ("_found", None)):
            object.__setattr__(self, field, value)

    @property
    def data(self) -> bytes:
        found = self._found
        if found is None:
            found = self._load()
            object.__setattr__(self, "_found", found)
        return found

    def __eq__(self, other: object) -> bool:
        # The id follows from the data.
        if not isinstance(other, Document):
            return NotImplemented
        return (self.name, self.format, self.id) == (other.name, other.format, other.id)

    def __hash__(self) -> int:
        return hash((self.name, self.format, self.data, self.id))

    def __reduce__(self) -> Any:
        return Document, (self.name, self.format, self.data, self.id)


class Line(NamedTuple):
    """The turns from the first one to the head, and what all turns have used, superseded ones included."""

    turns: list[Turn]
    usage: Usage


def ancestry(tx: sa.Connection, conversation_id: str, head: str | None) -> list[str]:
    """The ids from `head` back to the first turn."""
    query = sa.select(turns.c.id, turns.c.parent).where(turns.c.conversation_id == conversation_id)
    parents = {row.id: row.parent for row in tx.execute(query)}
    line: list[str] = []
    while head is not None and head in parents:
        line.append(head)
        head = parents.pop(head)
    return line


def read_line(tx: sa.Connection, conversation_id: str, head: str | None, load: Load) -> Line:
    """The line as it stands; documents come without their data, which `load(conversation id, id)` gets."""
    found = tx.execute(sa.select(turns).where(turns.c.conversation_id == conversation_id)).mappings()
    rows = {row["id"]: row for row in found}
    usage = Usage()
    for row in rows.values():
        usage += Usage.from_dict(row["usage"])
    files = _files(tx, conversation_id, load) if any(row["documents"] for row in rows.values()) else {}
    line: list[Turn] = []
    while head is not None and head in rows:
        row = rows.pop(head)
        line.append(_turn(row, files))
        head = row["parent"]
    return Line(line[::-1], usage)


def _files(tx: sa.Connection, conversation_id: str, load: Load) -> dict[str, Document]:
    columns = (documents.c.id, documents.c.name, documents.c.format)
    query = sa.select(*columns).where(documents.c.conversation_id == conversation_id)

    def loading(id: str) -> Callable[[], bytes]:
        return lambda: load(conversation_id, id)

    return {row.id: StoredDocument(row.name, row.format, row.id, loading(row.id)) for row in tx.execute(query)}


def _turn(row: Any, files: dict[str, Document]) -> Turn:
    return Turn(
        row["user_text"],
        row["reply"],
        row["stop_reason"],
        row["error"],
        Usage.from_dict(row["usage"]),
        tuple(files[id] for id in row["documents"] if id in files),
        row["model"],
        row["id"],
        tuple(Notice.from_dict(notice) for notice in row["notices"] or ()),
        row["error_code"],
        row["started"],
        row["first_text_after"],
    )


def add_turn(tx: sa.Connection, conversation_id: str, parent: str | None, turn: Turn, now: float) -> bool:
    """Stores a turn, and what it brings along; False where it is there already."""
    row: dict[str, Any] = {"id": turn.id, "conversation_id": conversation_id, "parent": parent, "user_text": turn.user}
    row |= {"documents": [document.id for document in turn.documents], "created_at": now, "updated_at": now}
    if not tx.execute(inserting(tx, turns).values(row | ended_values(turn)).on_conflict_do_nothing()).rowcount:
        return False
    if turn.documents:
        add_documents(tx, conversation_id, turn.documents)
    return True


def grow(tx: sa.Connection, grown: list[dict[str, str]], now: float) -> None:
    """Saves what has come of many replies so far: dicts with "turn", "conversation" and "text"."""
    if tx.dialect.name == "sqlite":
        # One step instead of one for each: nobody else can write meanwhile, and each step gives up the GIL, which
        # comes back late where hundreds of threads read replies.
        tx.execute(_GROW_AT_ONCE, {"grown": json.dumps(grown, ensure_ascii=False), "now": now})
    else:
        tx.execute(_GROW, [{**each, "now": now} for each in grown])


_GROW = (
    turns.update()
    .where((turns.c.id == sa.bindparam("turn")) & (turns.c.conversation_id == sa.bindparam("conversation")))
    .values(reply=sa.bindparam("text"), updated_at=sa.bindparam("now"))
)
_GROW_AT_ONCE = sa.text("""
    UPDATE turns SET reply = grown.text, updated_at = :now
    FROM (
        SELECT json_extract(value, '$.turn') AS id, json_extract(value, '$.conversation') AS conversation_id,
            json_extract(value, '$.text') AS text
        FROM json_each(:grown)
    ) AS grown
    WHERE turns.id = grown.id AND turns.conversation_id = grown.conversation_id
""")


def ended_values(turn: Turn) -> dict[str, Any]:
    """What a turn's reply has brought."""
    return {
        "reply": turn.reply,
        "stop_reason": turn.stop_reason,
        "error": turn.error,
        "error_code": turn.error_code,
        "usage": turn.usage.to_dict(),
        "model": turn.model,
        "notices": [notice.to_dict() for notice in turn.notices] or None,
        "started": turn.started,
        "first_text_after": turn.first_text_after,
    }


def add_documents(tx: sa.Connection, conversation_id: str, given: Iterable[Document]) -> None:
    query = sa.select(documents.c.id).where(documents.c.conversation_id == conversation_id)
    known = set(tx.execute(query).scalars())
    for document in {each.id: each for each in given if each.id not in known}.values():
        file = {"id": document.id, "name": document.name, "format": document.format, "data": document.data}
        tx.execute(documents.insert().values(conversation_id=conversation_id, **file))
