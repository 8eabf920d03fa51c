"""Turns in a store: who may write to a conversation, leases, and what is saved while a reply grows."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .database import Database
from .messages import Notice, Turn
from .stored import Begun, ConversationNotFoundError, Growth, clean_text, first_title

if TYPE_CHECKING:
    import sqlalchemy as sa


class TurnStore(Database):
    """The turns of a ConversationStore, which says what its calls have in common."""

    def __init__(
        self,
        url: str | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        *,
        clock: Callable[[], float] = time.time,
        busy_timeout: float = 5.0,
    ) -> None:
        super().__init__(url, data_dir, clock=clock, busy_timeout=busy_timeout)
        from . import lines, schema, searching, spending

        self._lines = lines
        self._searching = searching
        self._spending = spending
        self._t = schema.Tables()

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
        with self.transaction() as tx:
            if create and after is None:
                self._create(tx, owner, conversation_id, settings or {})
            head = after
            if branch:
                row = self._row(tx, owner, conversation_id, missing_ok=True)
                head = row["head"] if row else None
                if after is not None and after not in self._lines.ancestry(tx, conversation_id, head):
                    # Nothing that could be a head, so that the update below says why.
                    head = f"not {after}"
            values: dict[str, Any] = {"head": turn.id, "updated_at": now}
            if settings is not None:
                values["settings"] = dict(settings)
            begun = self._take(tx, owner, conversation_id, head, lease, seconds, values, turn.id)
            clean = clean_turn(turn)
            if begun.outcome != "ok" or not self._lines.add_turn(tx, conversation_id, after, clean, now):
                return begun
            if after is None:
                untitled = (t.c.id == conversation_id) & (t.c.owner == owner) & (t.c.title == "")
                tx.execute(t.update().where(untitled).values(self._titled(first_title(clean))))
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
        with self.transaction() as tx:
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
        c, now = self._t.conversations, self.clock()
        kept: set[str] = set()
        with self.transaction() as tx:
            for start in range(0, len(growing), 200):
                part = growing[start : start + 200]
                held = c.c.id.in_([each.conversation_id for each in part]) & c.c.lease_owner.in_(
                    [each.lease for each in part]
                )
                tx.execute(c.update().where(held).values(lease_until=now + seconds))
                # The rows are locked by the update: this sees what it changed, and nobody changes it in between.
                kept.update(tx.execute(c.select().with_only_columns(c.c.lease_owner).where(held)).scalars())
                grown = [
                    {"turn": each.turn_id, "conversation": each.conversation_id, "text": clean_text(each.text)}
                    for each in part
                    if each.lease in kept and each.text is not None
                ]
                if grown:
                    self._lines.grow(tx, grown, now)
        return {each.turn_id for each in growing if each.lease not in kept}

    def end_turn(
        self, conversation_id: str, turn: Turn, lease: str, memory: Mapping[str, Any] | None = None
    ) -> int | None:
        """Saves a turn that has ended, with the memory's state after it (None: the stored one stays), and gives the
        conversation back.

        Returns the conversation's new version; None where the lease was lost: nothing was saved.
        """
        c, now = self._t.conversations, self.clock()
        held = (c.c.id == conversation_id) & (c.c.lease_owner == lease)
        values: dict[str, Any] = {
            "lease_owner": None,
            "lease_until": None,
            "version": c.c.version + 1,
            "updated_at": now,
        }
        if memory is not None:
            values["memory"] = dict(memory)
        with self.transaction() as tx:
            row = tx.execute(c.update().where(held).values(values).returning(c.c.version, c.c.owner)).first()
            if row is None:
                return None
            self._end(tx, row.owner, conversation_id, clean_turn(turn), now)
            return int(row.version)

    def _end(self, tx: sa.Connection, owner: str, conversation_id: str, turn: Turn, now: float) -> None:
        turns = self._t.turns
        same = (turns.c.id == turn.id) & (turns.c.conversation_id == conversation_id)
        before = tx.execute(turns.select().with_only_columns(turns.c.user_text, turns.c.usage).where(same)).first()
        if before is None:
            return
        ended = self._lines.ended_values(turn)
        ended |= {"stop_reason": turn.stop_reason or "interrupted", "updated_at": now, "ended_at": now}
        tx.execute(turns.update().where(same).values(ended))
        words = self._searching.words_of(before.user_text, turn.reply)
        self._searching.add_words(tx, owner, conversation_id, words)
        self._spending.add_turn_usage(tx, owner, before.usage, turn.usage, now)

    def move_head(self, owner: str, conversation_id: str, to: str | None) -> Begun:
        """Makes `to`, a turn of the line, the last one of the line (None: the line is empty). What came after it stays
        in the store. "busy" while a run holds the conversation, "stale" where `to` is not in the line."""
        t, now = self._t.conversations, self.clock()
        with self.transaction() as tx:
            head = self._row(tx, owner, conversation_id)["head"]
            if to is not None and to not in self._lines.ancestry(tx, conversation_id, head):
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
        with self.transaction() as tx:
            if not tx.execute(c.update().where(mine).values(values)).rowcount:
                return False
            self._interrupt(tx, owner, conversation_id, now)
            return True

    # -- inside one transaction --------------------------------------------------------------------------------------

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
        taken = {"lease_owner": lease, "lease_until": now + seconds, "version": c.c.version + 1, **values}
        at_head = c.c.head.is_(None) if head is None else c.c.head == head
        # Not the memory, which may be long. Each statement more keeps everybody else from writing.
        seen = (c.c.head, c.c.version, c.c.settings, c.c.lease_owner, c.c.lease_until)

        def claimed(free: sa.ColumnElement[bool]) -> Any:
            return tx.execute(c.update().where(mine & free & at_head).values(taken).returning(*seen)).mappings().first()

        row = claimed(c.c.lease_until.is_(None))
        if row is None:
            row = claimed(c.c.lease_until <= now)
            if row is not None:
                # Whoever had it until then has not said how its turn ended.
                self._interrupt(tx, owner, conversation_id, now)
        if row is None:
            row = tx.execute(c.select().with_only_columns(*seen).where(mine)).mappings().first()
            if row is None:
                return Begun("not_found")
            if lease is None or row["lease_owner"] != lease or row["head"] != turn_id:
                if row["lease_until"] is not None and row["lease_until"] > now:
                    return Begun("busy", busy_for=row["lease_until"] - now)
                return Begun("stale")
        return Begun("ok", row["version"], dict(row["settings"]))

    def _interrupt(self, tx: sa.Connection, owner: str, conversation_id: str, now: float) -> None:
        turns = self._t.turns
        left = (turns.c.conversation_id == conversation_id) & turns.c.stop_reason.is_(None)
        found = tx.execute(turns.select().with_only_columns(turns.c.user_text, turns.c.reply).where(left)).all()
        if found:
            tx.execute(turns.update().where(left).values(stop_reason="interrupted", updated_at=now, ended_at=now))
        for row in found:
            words = self._searching.words_of(row.user_text, row.reply)
            self._searching.add_words(tx, owner, conversation_id, words)

    def _titled(self, title: str, by: str = "") -> dict[str, str]:
        return {"title": title, "titled_by": by, "folded_title": self._searching.fold(title)}

    def _create(self, tx: sa.Connection, owner: str, conversation_id: str, settings: Mapping[str, Any]) -> None:
        c, now = self._t.conversations, self.clock()
        row = tx.execute(c.select().with_only_columns(c.c.owner).where(c.c.id == conversation_id)).first()
        if row is not None:
            if row.owner != owner:
                raise not_found()
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
            raise not_found()
        return dict(row) if row is not None else {}


def clean_turn(turn: Turn) -> Turn:
    """The turn as a database takes it."""
    return replace(
        turn,
        user=clean_text(turn.user),
        reply=None if turn.reply is None else clean_text(turn.reply),
        error=None if turn.error is None else clean_text(turn.error),
        documents=tuple(
            document if (name := clean_text(document.name)) == document.name else replace(document, name=name)
            for document in turn.documents
        ),
        notices=tuple(Notice.from_dict(_clean_data(notice.to_dict())) for notice in turn.notices),
    )


def _clean_data(data: Any) -> Any:
    """Plain data as a database takes it: a notice may quote anything."""
    return json.loads(clean_text(json.dumps(data, ensure_ascii=False, default=str)).replace("\\u0000", "\\ufffd"))


def not_found() -> ConversationNotFoundError:
    return ConversationNotFoundError("There is no such conversation.")
