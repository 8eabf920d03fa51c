"""StoredLimits: limits whose accounts are in the store, so that processes share them and a restart forgets nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from .errors import StoreError
from .limits import MINUTE, NO_LIMITS, Account, Allowance, Limits, check, utc_day
from .messages import Usage, new_id
from .store import ConversationStore

if TYPE_CHECKING:
    import sqlalchemy as sa

logger = logging.getLogger("assistant")

_Whose = tuple[str, str | None]


class StoredLimits(Limits):
    """`Limits` that any number of processes on one database hold together.

    Checking and counting are one transaction that has the account to itself. A running reply holds a slot for `slot`
    seconds and renews it: what a process held that is gone is free after that. While the database fails, this process
    counts by itself, and what was used is put on the accounts later. Each call blocks for the database.
    """

    def __init__(
        self,
        store: ConversationStore,
        messages_per_minute: int | None = None,
        tokens_per_day: int | None = None,
        usd_per_day: float | None = None,
        concurrent_runs: int | None = 4,
        *,
        per_session: Allowance = NO_LIMITS,
        in_all: Allowance = NO_LIMITS,
        slot: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            messages_per_minute,
            tokens_per_day,
            usd_per_day,
            concurrent_runs,
            per_session=per_session,
            in_all=in_all,
            clock=clock,
        )
        from . import schema, spending

        self._store = store
        self._slot = slot
        self._tables = schema
        self._upsert = spending.upsert
        self._held_lock = threading.Lock()
        # Admissions of this process whose replies run; None: one that the database knows nothing of.
        self._held: dict[_Whose, deque[str | None]] = {}
        self._renewed = clock()
        # What could not be put on the accounts so far.
        self._owed: list[tuple[str | None, tuple[str, ...], Usage | None]] = []

    def admit(self, owner: str, session: str | None = None) -> None:
        asked = self.allowances(owner, session)
        admission: str | None = new_id()
        now = self._clock()
        try:
            with self._store.transaction() as tx:
                for key, (allowance, who) in asked.items():
                    check(self._account(tx, key, now), allowance, now, who)
                for key in asked:
                    self._count(tx, str(admission), key, now)
        except StoreError as error:
            logger.warning("limits.not_stored %s", error.message)
            super().admit(owner, session)
            admission = None
        with self._held_lock:
            self._held.setdefault((owner, session), deque()).append(admission)

    def settle(self, owner: str, usage: Usage | None, session: str | None = None) -> None:
        with self._held_lock:
            held = self._held.get((owner, session))
            admission = held.popleft() if held else None
            if not held:
                self._held.pop((owner, session), None)
            self._owed.append((admission, tuple(self.allowances(owner, session)), usage))
        if admission is None:
            super().settle(owner, usage, session)
        self._pay()

    def charge(self, owner: str, usage: Usage, session: str | None = None) -> None:
        with self._held_lock:
            self._owed.append((None, tuple(self.allowances(owner, session)), usage))
        self._pay()

    def renew(self) -> None:
        if self._clock() - self._renewed < self._slot / 3:
            return
        self._renewed = self._clock()
        self._pay()
        with self._held_lock:
            held = [each for whose in self._held.values() for each in whose if each is not None]
        a = self._tables.admissions
        try:
            with self._store.transaction() as tx:
                for start in range(0, len(held), 500):
                    mine = a.c.id.in_(held[start : start + 500])
                    tx.execute(a.update().where(mine).values(held_until=self._renewed + self._slot))
        except StoreError as error:
            logger.warning("limits.not_renewed %s", error.message)

    def _pay(self) -> None:
        """Puts what is owed on the accounts; what fails is owed still."""
        with self._held_lock:
            owed, self._owed = self._owed, []
        try:
            if owed:
                with self._store.transaction() as tx:
                    for each in owed:
                        self._settle(tx, *each)
        except StoreError as error:
            logger.warning("limits.not_stored %s", error.message)
            with self._held_lock:
                self._owed = owed + self._owed

    def _settle(self, tx: sa.Connection, admission: str | None, keys: tuple[str, ...], usage: Usage | None) -> None:
        a = self._tables.admissions
        if admission is not None and usage is None:
            tx.execute(a.delete().where(a.c.id == admission))
        elif admission is not None:
            tx.execute(a.update().where(a.c.id == admission).values(held_until=0.0))
        if usage is not None:
            for key in keys:
                self._charge(tx, key, self._clock(), usage.total_tokens, usage.cost or 0.0)

    def _charge(self, tx: sa.Connection, key: str, now: float, tokens: int = 0, usd: float = 0.0) -> None:
        """Adds to an account, which is this transaction's own from here to its end; a new day begins at nothing."""
        c, day = self._tables.accounts.c, utc_day(now)
        row = {"key": key, "day": day, "tokens": tokens, "usd": usd}
        # Never back to yesterday: the clocks of two processes differ.
        today = {"tokens": c.tokens + tokens, "usd": c.usd + usd}
        self._upsert(tx, self._tables.accounts, row, self._tables.if_newer(c.day, day, row, today))

    def _account(self, tx: sa.Connection, key: str, now: float) -> Account:
        self._charge(tx, key, now)
        accounts, a = self._tables.accounts, self._tables.admissions
        row = tx.execute(accounts.select().where(accounts.c.key == key)).one()
        recent = a.select().where((a.c.key == key) & ((a.c.sent_at > now - MINUTE) | (a.c.held_until > now)))
        found = tx.execute(recent.order_by(a.c.sent_at)).all()
        sent = deque(each.sent_at for each in found if each.sent_at > now - MINUTE)
        running = sum(each.held_until > now for each in found)
        return Account(row.day, row.tokens, row.usd, running, sent)

    def _count(self, tx: sa.Connection, admission: str, key: str, now: float) -> None:
        a = self._tables.admissions
        past = (a.c.key == key) & (a.c.sent_at <= now - MINUTE) & (a.c.held_until <= now)
        tx.execute(a.delete().where(past))
        tx.execute(a.insert().values(id=admission, key=key, sent_at=now, held_until=now + self._slot))
