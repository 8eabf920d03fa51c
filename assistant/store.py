"""ConversationStore: conversations of many owners in one database. Importing this module loads no SQLAlchemy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .errors import StoreError
from .messages import Turn, Usage
from .stored import (
    Begun,
    ConversationNotFoundError,
    ConversationSummary,
    Growth,
    StaleConversationError,
    StoredConversation,
    Turns,
    clean_text,
    title_of,
)
from .turnstore import TurnStore, clean_turn, not_found

__all__ = [
    "Begun",
    "ConversationNotFoundError",
    "ConversationStore",
    "ConversationSummary",
    "Growth",
    "StaleConversationError",
    "StoredConversation",
    "Turns",
    "clean_text",
    "title_of",
]


class ConversationStore(TurnStore):
    """Conversations, their turns and documents, by owner.

    `url` is any SQLAlchemy URL (sqlite:///…, postgresql://…); without one it is conversations.db in `data_dir`, by
    default the platform's directory for user data. Opened at the first use, tables included; a directory made here is
    0700, database files are 0600. `clock` is in seconds since the epoch; processes that share a database need clocks
    that agree to within a few seconds. `busy_timeout`: how many seconds a call waits for a lock.

    Every call is one transaction, blocks for it, and may come from any thread. All raise StoreError where the database
    fails (`code`: locked, full, read_only, unreachable, unopenable, not_a_database, newer, failed), and those that
    name a conversation ConversationNotFoundError where its owner has none of that id.

    A lease is a random name that a run takes together with the conversation (`begin_turn`, `resume_turn`) and shows
    with every save. It stands for the owner there: nobody else can know it. Once another run has the conversation, the
    saves of the first one change nothing.
    """

    # -- conversations -------------------------------------------------------------------------------------

    def create(self, owner: str, conversation_id: str, settings: Mapping[str, Any] | None = None) -> None:
        """An empty conversation. Harmless where the owner has it already; StoreError where somebody else does."""
        with self.transaction() as tx:
            self._create(tx, owner, conversation_id, settings or {})

    def get(self, owner: str, conversation_id: str, *, turns: bool = True) -> StoredConversation:
        """The conversation; with its line, memory and usage, unless `turns` is false.

        The data of documents is read when it is first asked for.
        """
        t = self._t.conversations
        with self.transaction(writes=False) as tx:
            row = self._row(tx, owner, conversation_id)
            fields = {name: row[name] for name in StoredConversation.__slots__ if name in t.c and name != "memory"}
            if not turns:
                return StoredConversation(**fields)
            line = self._lines.read_line(tx, conversation_id, row["head"], self._document_data)
            return StoredConversation(**fields, turns=line.turns, memory=row["memory"], usage=line.usage)

    def line(self, owner: str, conversation_id: str) -> Turns:
        """The turns from the beginning to the head. What was undone or asked again is not among them."""
        return self.get(owner, conversation_id).turns

    def list(self, owner: str, limit: int = 100, search: str = "") -> list[ConversationSummary]:
        """The owner's conversations, the last changed first; with `search`, those with it in title or texts.

        Case and accents make no difference. A title holds the whole of it, as it stands; texts hold all of its words,
        not far from each other. Words of three letters or more stand for all that begin so. A turn is found once it
        has ended.
        """
        c = self._t.conversations
        query = c.select().where(c.c.owner == owner, c.c.deleted_at.is_(None))
        columns = (c.c.id, c.c.title, c.c.created_at, c.c.updated_at, c.c.lease_until)
        query = query.with_only_columns(*columns).order_by(c.c.updated_at.desc(), c.c.id).limit(limit)
        now = self.clock()
        with self.transaction(writes=False) as tx:
            if search := clean_text(search).strip():
                wanted = c.c.folded_title.contains(self._searching.fold(search), autoescape=True)
                said = self._searching.found_in(tx, owner, search)
                query = query.where(wanted if said is None else wanted | c.c.id.in_(said))
            return [
                ConversationSummary(row.id, row.title, row.created_at, row.updated_at, (row.lease_until or 0) > now)
                for row in tx.execute(query)
            ]

    def rename(self, owner: str, conversation_id: str, title: str) -> None:
        """Gives a title that nothing but another `rename` changes."""
        self._change(owner, conversation_id, self._titled(clean_text(title), "user"))

    def suggest_title(self, owner: str, conversation_id: str, title: str) -> bool:
        """Gives a title unless somebody gave one; False where that was so, or the conversation is gone."""
        c = self._t.conversations
        mine = (c.c.id == conversation_id) & (c.c.owner == owner) & c.c.deleted_at.is_(None) & (c.c.titled_by != "user")
        with self.transaction() as tx:
            return bool(tx.execute(c.update().where(mine).values(self._titled(clean_text(title), "model"))).rowcount)

    def set_settings(self, owner: str, conversation_id: str, settings: Mapping[str, Any]) -> None:
        self._change(owner, conversation_id, {"settings": dict(settings)})

    def delete(self, owner: str, conversation_id: str) -> None:
        """Out of every list and out of reach; `restore` brings it back, until `erase_deleted`."""
        self._change(owner, conversation_id, {"deleted_at": self.clock()})

    def restore(self, owner: str, conversation_id: str) -> None:
        """Takes `delete` back."""
        self._change(owner, conversation_id, {"deleted_at": None}, deleted=True)

    def erase(self, owner: str, conversation_id: str) -> None:
        """For good, with every turn and document. A run under way can't save any more."""
        c = self._t.conversations
        with self.transaction() as tx:
            gone = tx.execute(c.delete().where(c.c.owner == owner, c.c.id == conversation_id)).rowcount
            if not gone:
                raise not_found()

    def erase_all(self, owner: str) -> None:
        """Whatever there is of an owner, for good, but for what is on the accounts of limits.

        SQLite's files hold nothing of it afterwards either, unless another program is reading them at this moment: then
        it is overwritten in time.
        """
        with self.transaction() as tx:
            for table in self._t.owned:
                tx.execute(table.delete().where(table.c.owner == owner))
            self._searching.forget_words(tx)
        self._engines.truncate_log(self._engine)

    def erase_deleted(self, before: float) -> int:
        """For good, what any owner deleted before a time in seconds since the epoch. How many conversations."""
        c = self._t.conversations
        with self.transaction() as tx:
            return tx.execute(c.delete().where(c.c.deleted_at < before)).rowcount

    def add(
        self, owner: str, conversation_id: str, title: str, settings: Mapping[str, Any], turns: Sequence[Turn]
    ) -> None:
        """A conversation with everything that was said in it, the oldest turn first. It has used nothing here."""
        c, now = self._t.conversations, self.clock()
        same = c.c.id == conversation_id
        with self.transaction() as tx:
            self._create(tx, owner, conversation_id, settings)
            parent = None
            for turn in map(clean_turn, turns):
                self._lines.add_turn(tx, conversation_id, parent, turn, now)
                words = self._searching.words_of(turn.user, turn.reply)
                self._searching.add_words(tx, owner, conversation_id, words)
                parent = turn.id
            tx.execute(c.update().where(same).values(head=parent, **self._titled(clean_text(title), "user")))

    def set_memory(self, owner: str, conversation_id: str, version: int, memory: Mapping[str, Any]) -> bool:
        """Replaces the memory's state, which makes the next version of the conversation.

        False where it no longer has this `version`, or something runs in it.
        """
        c, now = self._t.conversations, self.clock()
        mine = (c.c.id == conversation_id) & (c.c.owner == owner) & c.c.deleted_at.is_(None)
        free = c.c.lease_until.is_(None) | (c.c.lease_until <= now)
        values = {"memory": dict(memory), "version": version + 1}
        with self.transaction() as tx:
            return bool(tx.execute(c.update().where(mine & free & (c.c.version == version)).values(values)).rowcount)

    def add_usage(self, owner: str, usage: Usage) -> None:
        """Adds to the owner's day what was used beside turns."""
        with self.transaction() as tx:
            self._spending.add_usage(tx, owner, usage, 0, self.clock())

    def _document_data(self, conversation_id: str, document_id: str) -> bytes:
        d = self._t.documents
        same = (d.c.conversation_id == conversation_id) & (d.c.id == document_id)
        with self.transaction(writes=False) as tx:
            data = tx.execute(d.select().with_only_columns(d.c.data).where(same)).scalar()
        if data is None:
            raise StoreError(
                "A document of the conversation is no longer there.", hint="Attach it again.", code="document_gone"
            )
        return bytes(data)

    def _change(self, owner: str, conversation_id: str, values: Mapping[str, Any], *, deleted: bool = False) -> None:
        c = self._t.conversations
        mine = (c.c.id == conversation_id) & (c.c.owner == owner)
        mine &= c.c.deleted_at.is_not(None) if deleted else c.c.deleted_at.is_(None)
        with self.transaction() as tx:
            if not tx.execute(c.update().where(mine).values(values)).rowcount:
                raise not_found()
