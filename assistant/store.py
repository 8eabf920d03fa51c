"""ConversationStore: conversations of many owners in one database. Importing this module loads no SQLAlchemy."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from .errors import AssistantError, StoreError
from .messages import Turn

if TYPE_CHECKING:
    import sqlalchemy as sa

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
    """What the store holds of a conversation. `turns` are those of its line, the oldest first.

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


class ConversationStore:
    """Conversations, their turns and documents, by owner.

    `url` is any SQLAlchemy URL (sqlite:///…, postgresql://…); without one it is conversations.db in `data_dir`, by
    default the platform's directory for user data. Opened at the first use, tables included; a directory made here is
    0700, database files are 0600. `clock` is in seconds since the epoch; processes that share a database need clocks
    that agree to within a few seconds. `busy_timeout`: how many seconds a call waits for a locked SQLite database.

    Every call is one transaction, blocks for it, and may come from any thread. All raise StoreError where the database
    fails (`code`: locked, full, read_only, unopenable, not_a_database, newer, failed), and those that name a
    conversation ConversationNotFoundError where its owner has none of that id.

    A lease is a random name that a run takes together with the conversation (`begin_turn`, `resume_turn`) and shows
    with every save. It stands for the owner there: nobody else can know it. Once another run has the conversation, the
    saves of the first one change nothing.
    """

    def __init__(
        self,
        url: str | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        *,
        clock: Callable[[], float] = time.time,
        busy_timeout: float = 5.0,
    ) -> None:
        try:
            from . import schema
        except ModuleNotFoundError as error:
            raise StoreError(
                "Keeping conversations needs SQLAlchemy, which is not installed.",
                hint="pip install 'assistant[store]'",
            ) from error
        self.clock = clock
        self._schema = schema
        self._t = schema.Tables()
        self._url = schema.database_url(url, data_dir)
        self._engine = schema.make_engine(self._url, busy_timeout)
        self._busy_timeout = busy_timeout
        self._prepared = False
        # SQLite has one writer at a time. Waiting for a lock is fair and quick; waiting inside SQLite is polling.
        self._writing = threading.Lock() if self._url.get_backend_name() == "sqlite" else None

    @property
    def location(self) -> str:
        """Where the conversations are, without a password."""
        return self._url.render_as_string(hide_password=True)

    def check(self) -> None:
        """Opens the database and makes the tables where they are missing. Any other call does so too."""
        with self._transaction(writes=False):
            pass

    def close(self) -> None:
        self._engine.dispose()

    # -- conversations -------------------------------------------------------------------------------------

    def create(self, owner: str, conversation_id: str, settings: Mapping[str, Any] | None = None) -> None:
        """An empty conversation. Harmless where the owner has it already; StoreError where somebody else does."""
        with self._transaction() as tx:
            self._create(tx, owner, conversation_id, settings or {})

    def get(self, owner: str, conversation_id: str, *, turns: bool = True) -> StoredConversation:
        """The conversation; with its line and memory, unless `turns` is false."""
        t = self._t.conversations
        with self._transaction(writes=False) as tx:
            row = self._row(tx, owner, conversation_id)
            fields = {name: row[name] for name in StoredConversation.__slots__ if name in t.c and name != "memory"}
            if not turns:
                return StoredConversation(**fields)
            return StoredConversation(
                **fields, turns=self._schema.read_line(tx, conversation_id, row["head"]), memory=row["memory"]
            )

    def line(self, owner: str, conversation_id: str) -> Turns:
        """The turns from the beginning to the head. What was undone or asked again is not among them."""
        return self.get(owner, conversation_id).turns

    def list(self, owner: str, limit: int = 100, search: str = "") -> list[ConversationSummary]:
        """The owner's conversations, the last changed first; with `search`, those with it in title or texts."""
        c, turns = self._t.conversations, self._t.turns
        query = c.select().where(c.c.owner == owner, c.c.deleted_at.is_(None))
        if search := clean_text(search):
            said = turns.c.user_text.icontains(search, autoescape=True) | turns.c.reply.icontains(
                search, autoescape=True
            )
            within = turns.select().with_only_columns(turns.c.conversation_id).where(said)
            query = query.where(c.c.title.icontains(search, autoescape=True) | c.c.id.in_(within))
        columns = (c.c.id, c.c.title, c.c.created_at, c.c.updated_at, c.c.lease_until)
        query = query.with_only_columns(*columns).order_by(c.c.updated_at.desc(), c.c.id).limit(limit)
        now = self.clock()
        with self._transaction(writes=False) as tx:
            return [
                ConversationSummary(row.id, row.title, row.created_at, row.updated_at, (row.lease_until or 0) > now)
                for row in tx.execute(query)
            ]

    def rename(self, owner: str, conversation_id: str, title: str) -> None:
        self._change(owner, conversation_id, title=clean_text(title))

    def set_settings(self, owner: str, conversation_id: str, settings: Mapping[str, Any]) -> None:
        self._change(owner, conversation_id, settings=dict(settings))

    def delete(self, owner: str, conversation_id: str) -> None:
        """Out of every list and out of reach; `restore` brings it back."""
        self._change(owner, conversation_id, deleted_at=self.clock())

    def restore(self, owner: str, conversation_id: str) -> None:
        """Takes `delete` back."""
        self._change(owner, conversation_id, deleted=True, deleted_at=None)

    def erase(self, owner: str, conversation_id: str) -> None:
        """For good, with every turn and document. A run under way can't save any more."""
        c = self._t.conversations
        with self._transaction() as tx:
            gone = tx.execute(c.delete().where(c.c.owner == owner, c.c.id == conversation_id)).rowcount
            if not gone:
                raise _not_found()

    # -- turns ---------------------------------------------------------------------------------------------

    def begin_turn(
        self,
        owner: str,
        conversation_id: str,
        after: str | None,
        turn: Turn,
        lease: str,
        seconds: float,
        *,
        branch: bool = False,
        settings: Mapping[str, Any] | None = None,
        create: bool = False,
    ) -> Begun:
        """Takes the conversation for `seconds` and adds `turn` (its user text, documents and model) behind `after`.

        One conditional update decides: "busy" where another run holds a lease that has not expired, "stale" where
        `after` is not the head (with `branch`: neither the head nor one of its ancestors). With `create` a first turn
        (`after` None) makes the conversation where it is missing. `settings` None: they stay as they are. A turn whose
        run's lease has expired is marked as interrupted. Saying the same again (after a commit whose answer was lost)
        is "ok".
        """
        t, now = self._t.conversations, self.clock()
        with self._transaction() as tx:
            if create and after is None:
                self._create(tx, owner, conversation_id, settings or {})
            head = after
            if branch:
                row = self._row(tx, owner, conversation_id, missing_ok=True)
                head = row["head"] if row else None
                if after is not None and after not in self._schema.ancestry(tx, conversation_id, head):
                    # Nothing that could be a head, so that the update below says why.
                    head = f"not {after}"
            values: dict[str, Any] = {"head": turn.id, "updated_at": now}
            if settings is not None:
                values["settings"] = dict(settings)
            begun = self._take(tx, owner, conversation_id, head, lease, seconds, values, turn.id)
            named = tuple(replace(document, name=clean_text(document.name)) for document in turn.documents)
            clean = replace(turn, user=clean_text(turn.user), documents=named)
            if begun.outcome != "ok" or not self._schema.add_turn(tx, conversation_id, after, clean, now):
                return begun
            untitled = (t.c.id == conversation_id) & (t.c.owner == owner) & (t.c.title == "")
            tx.execute(t.update().where(untitled).values(title=clean_text(_title(turn))))
        return begun

    def resume_turn(
        self,
        owner: str,
        conversation_id: str,
        turn_id: str,
        lease: str,
        seconds: float,
        *,
        settings: Mapping[str, Any] | None = None,
    ) -> Begun:
        """Takes the conversation to go on with its last turn, which must be `turn_id` and runs again from now on."""
        turns, now = self._t.turns, self.clock()
        values: dict[str, Any] = {"updated_at": now}
        if settings is not None:
            values["settings"] = dict(settings)
        with self._transaction() as tx:
            begun = self._take(tx, owner, conversation_id, turn_id, lease, seconds, values, turn_id)
            if begun.outcome == "ok":
                same = (turns.c.id == turn_id) & (turns.c.conversation_id == conversation_id)
                tx.execute(
                    turns.update().where(same).values(stop_reason=None, error=None, ended_at=None, updated_at=now)
                )
        return begun

    def save_growing(self, growing: Sequence[Growth], seconds: float) -> set[str]:
        """Saves what has come of many turns and renews their leases for `seconds`, in one transaction.

        Returns the turn ids of those whose lease was lost: another run has the conversation, nothing was saved.
        """
        if not growing:
            return set()
        c, turns, now = self._t.conversations, self._t.turns, self.clock()
        kept: set[str] = set()
        with self._transaction() as tx:
            for start in range(0, len(growing), 200):
                part = growing[start : start + 200]
                held = c.c.id.in_([each.conversation_id for each in part]) & c.c.lease_owner.in_(
                    [each.lease for each in part]
                )
                tx.execute(c.update().where(held).values(lease_until=now + seconds))
                # The rows are locked by the update: this sees what it changed, and nobody changes it in between.
                kept.update(tx.execute(c.select().with_only_columns(c.c.lease_owner).where(held)).scalars())
                for each in part:
                    if each.lease in kept and each.text is not None:
                        same = (turns.c.id == each.turn_id) & (turns.c.conversation_id == each.conversation_id)
                        tx.execute(turns.update().where(same).values(reply=clean_text(each.text), updated_at=now))
        return {each.turn_id for each in growing if each.lease not in kept}

    def end_turn(
        self, conversation_id: str, turn: Turn, lease: str, memory: Mapping[str, Any] | None = None
    ) -> int | None:
        """Saves a turn that has ended, with the memory's state after it (None: the stored one stays), and gives the
        conversation back.

        Returns the conversation's new version; None where the lease was lost: nothing was saved.
        """
        c, turns, now = self._t.conversations, self._t.turns, self.clock()
        held = (c.c.id == conversation_id) & (c.c.lease_owner == lease)
        values: dict[str, Any] = {
            "lease_owner": None,
            "lease_until": None,
            "version": c.c.version + 1,
            "updated_at": now,
        }
        if memory is not None:
            values["memory"] = dict(memory)
        with self._transaction() as tx:
            if not tx.execute(c.update().where(held).values(values)).rowcount:
                return None
            ended = {
                "reply": None if turn.reply is None else clean_text(turn.reply),
                "stop_reason": turn.stop_reason or "interrupted",
                "error": turn.error and clean_text(turn.error),
                "usage": turn.usage.to_dict(),
                "model": turn.model,
                "updated_at": now,
                "ended_at": now,
            }
            same = (turns.c.id == turn.id) & (turns.c.conversation_id == conversation_id)
            tx.execute(turns.update().where(same).values(ended))
            version = c.select().with_only_columns(c.c.version).where(c.c.id == conversation_id)
            return int(tx.execute(version).scalar_one())

    def move_head(self, owner: str, conversation_id: str, to: str | None) -> Begun:
        """Makes `to`, a turn of the line, the last one of the line (None: the line is empty). What came after it stays
        in the store. "busy" while a run holds the conversation, "stale" where `to` is not in the line."""
        t, now = self._t.conversations, self.clock()
        with self._transaction() as tx:
            head = self._row(tx, owner, conversation_id)["head"]
            if to is not None and to not in self._schema.ancestry(tx, conversation_id, head):
                return Begun("stale")
            begun = self._take(tx, owner, conversation_id, head, None, 0.0, {"head": to, "updated_at": now}, None)
            if begun.outcome == "ok":
                # Taken for no time at all: the check was what was wanted.
                same = (t.c.id == conversation_id) & (t.c.owner == owner)
                tx.execute(t.update().where(same).values(lease_until=None))
        return begun

    def interrupt_expired(self, owner: str, conversation_id: str) -> bool:
        """Marks a turn as interrupted whose run's lease has expired; True where there was one.

        That a process starts says nothing about the runs of the others: only a lease that nobody renewed does.
        """
        c, now = self._t.conversations, self.clock()
        mine = (c.c.id == conversation_id) & (c.c.owner == owner) & (c.c.lease_until <= now)
        values = {"lease_owner": None, "lease_until": None, "version": c.c.version + 1}
        with self._transaction() as tx:
            if not tx.execute(c.update().where(mine).values(values)).rowcount:
                return False
            self._interrupt(tx, conversation_id, now)
            return True

    # -- inside one transaction ----------------------------------------------------------------------------

    def _take(
        self,
        tx: sa.Connection,
        owner: str,
        conversation_id: str,
        head: str | None,
        lease: str | None,
        seconds: float,
        values: Mapping[str, Any],
        turn_id: str | None,
    ) -> Begun:
        """The one conditional update: right under READ COMMITTED too, where a second one waits and looks again."""
        c, now = self._t.conversations, self.clock()
        mine = (c.c.id == conversation_id) & (c.c.owner == owner) & c.c.deleted_at.is_(None)
        free = c.c.lease_until.is_(None) | (c.c.lease_until <= now)
        taken = {"lease_owner": lease, "lease_until": now + seconds, "version": c.c.version + 1, **values}
        at_head = c.c.head.is_(None) if head is None else c.c.head == head
        won = tx.execute(c.update().where(mine & free & at_head).values(taken)).rowcount
        row = tx.execute(c.select().where(mine)).mappings().first()
        if row is None:
            return Begun("not_found")
        if won:
            self._interrupt(tx, conversation_id, now)
        elif lease is not None and row["lease_owner"] == lease and row["head"] == turn_id:
            pass
        elif row["lease_until"] is not None and row["lease_until"] > now:
            return Begun("busy", busy_for=row["lease_until"] - now)
        else:
            return Begun("stale")
        return Begun("ok", row["version"], dict(row["settings"]))

    def _interrupt(self, tx: sa.Connection, conversation_id: str, now: float) -> None:
        turns = self._t.turns
        left = (turns.c.conversation_id == conversation_id) & turns.c.stop_reason.is_(None)
        tx.execute(turns.update().where(left).values(stop_reason="interrupted", updated_at=now, ended_at=now))

    def _create(self, tx: sa.Connection, owner: str, conversation_id: str, settings: Mapping[str, Any]) -> None:
        c, now = self._t.conversations, self.clock()
        row = tx.execute(c.select().with_only_columns(c.c.owner).where(c.c.id == conversation_id)).first()
        if row is not None:
            if row.owner != owner:
                raise _not_found()
            return
        values = {"id": conversation_id, "owner": owner, "title": "", "settings": dict(settings), "version": 0}
        tx.execute(c.insert().values(**values, created_at=now, updated_at=now))

    def _row(
        self, tx: sa.Connection, owner: str, conversation_id: str, *, missing_ok: bool = False
    ) -> Mapping[str, Any]:
        c = self._t.conversations
        mine = (c.c.id == conversation_id) & (c.c.owner == owner) & c.c.deleted_at.is_(None)
        row = tx.execute(c.select().where(mine)).mappings().first()
        if row is None and not missing_ok:
            raise _not_found()
        return dict(row) if row is not None else {}

    def _change(self, owner: str, conversation_id: str, *, deleted: bool = False, **values: Any) -> None:
        c = self._t.conversations
        mine = (c.c.id == conversation_id) & (c.c.owner == owner)
        mine &= c.c.deleted_at.is_not(None) if deleted else c.c.deleted_at.is_(None)
        with self._transaction() as tx:
            if not tx.execute(c.update().where(mine).values(values)).rowcount:
                raise _not_found()

    @contextmanager
    def _transaction(self, *, writes: bool = True) -> Iterator[sa.Connection]:
        """One transaction, committed at the end; what the database fails with becomes a StoreError."""
        lock = self._writing if writes else None
        if lock is not None and not lock.acquire(timeout=self._busy_timeout):
            raise self._schema.store_error(TimeoutError("locked"), self._url)
        try:
            if not self._prepared:
                self._schema.prepare_files(self._url)
                self._schema.prepare_tables(self._engine)
                self._prepared = True
            with self._engine.connect().execution_options(writes=writes) as connection, connection.begin():
                yield connection
        except AssistantError:
            raise
        except Exception as error:
            if isinstance(error, (OSError, sqlite3.Error)) or type(error).__module__.startswith("sqlalchemy."):
                raise self._schema.store_error(error, self._url) from error
            raise
        finally:
            if lock is not None:
                lock.release()


def title_of(text: str, limit: int = 60) -> str:
    """The first words of a text, at most `limit` characters, on one line."""
    words = " ".join(text[: 4 * limit].split())
    if len(words) <= limit:
        return words
    cut = words[:limit].rsplit(" ", 1)[0] if " " in words[:limit] else words[:limit]
    return cut.rstrip(",.;: ") + "…"


def _title(turn: Turn) -> str:
    return title_of(turn.user) or (turn.documents[0].name if turn.documents else "")


def clean_text(text: str) -> str:
    """The text as a database takes it: browsers and models send halves of characters, PostgreSQL takes no NUL."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\0", "\ufffd")


def _not_found() -> ConversationNotFoundError:
    return ConversationNotFoundError("There is no such conversation.")
