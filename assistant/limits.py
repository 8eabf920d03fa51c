"""Limits: how much one owner, and all together, may ask for. Decided before a turn begins, settled when it ends."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from .errors import BudgetExceededError
from .messages import Usage


@dataclass(frozen=True, slots=True)
class Allowance:
    """None means no limit. Days are UTC days; a minute is the last 60 s. Tokens are those read and written."""

    messages_per_minute: int | None = None
    tokens_per_day: int | None = None
    usd_per_day: float | None = None
    concurrent_runs: int | None = None


class Admission(Protocol):
    """What Chats asks before and tells after each turn. Blocks for nothing but its own store."""

    def admit(self, owner: str) -> None:
        """Counts a message and a running reply. Raises BudgetExceededError where a limit is reached, counting none."""

    def settle(self, owner: str, usage: Usage | None) -> None:
        """Once for each admission: the reply has ended and has used this; None: it never began, forget the message."""


@dataclass(slots=True)
class _Account:
    day: str = ""
    tokens: int = 0
    usd: float = 0.0
    running: int = 0
    sent: deque[float] = field(default_factory=deque)


class Limits:
    """Admission with its accounts in memory: they begin anew when the process does.

    The named limits hold for each owner, `in_all` for everybody together. What a running reply will use is not
    known before its end, so a day's budget can be overrun by the replies that are under way. A cost that is not
    known counts nothing: limit tokens too. `clock` is in seconds since the epoch.
    """

    def __init__(
        self,
        messages_per_minute: int | None = None,
        tokens_per_day: int | None = None,
        usd_per_day: float | None = None,
        concurrent_runs: int | None = 4,
        *,
        in_all: Allowance = Allowance(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.each = Allowance(messages_per_minute, tokens_per_day, usd_per_day, concurrent_runs)
        self.in_all = in_all
        self._clock = clock
        self._lock = threading.Lock()
        self._accounts: dict[str, _Account] = {}
        self._all = _Account()

    def admit(self, owner: str) -> None:
        now = self._clock()
        with self._lock:
            self._forget_idle(now)
            account = self._accounts.setdefault(owner, _Account())
            for each, allowance in ((account, self.each), (self._all, self.in_all)):
                _renew(each, now)
                _check(each, allowance, now, "you" if each is account else "everybody")
            for each in (account, self._all):
                each.sent.append(now)
                each.running += 1

    def settle(self, owner: str, usage: Usage | None) -> None:
        with self._lock:
            for each in (self._accounts.get(owner), self._all):
                if each is None:
                    continue
                each.running -= 1
                _renew(each, self._clock())
                if usage is not None:
                    each.tokens += usage.total_tokens
                    each.usd += usage.cost or 0.0
                elif each.sent:
                    each.sent.pop()

    def _forget_idle(self, now: float) -> None:
        """Owners are as many as browsers that ever came by: those with nothing on their account go."""
        if len(self._accounts) < 10_000:
            return
        for owner, account in list(self._accounts.items()):
            _renew(account, now)
            if not (account.running or account.sent or account.tokens or account.usd):
                del self._accounts[owner]


def _renew(account: _Account, now: float) -> None:
    while account.sent and account.sent[0] <= now - 60:
        account.sent.popleft()
    day = datetime.fromtimestamp(now, UTC).date().isoformat()
    if account.day != day:
        account.day, account.tokens, account.usd = day, 0, 0.0


def _check(account: _Account, allowance: Allowance, now: float, who: str) -> None:
    """Raises BudgetExceededError: `code` names the limit, `retry_after` says in how many seconds it resets."""
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    midnight = (today + timedelta(days=1)).timestamp()
    minute = account.sent[0] + 60 if account.sent else now
    for name, used, resets in (
        ("concurrent_runs", account.running, None),
        ("messages_per_minute", len(account.sent), minute),
        ("tokens_per_day", account.tokens, midnight),
        ("usd_per_day", account.usd, midnight),
    ):
        limit = getattr(allowance, name)
        if limit is None or used < limit:
            continue
        wait, hint = None, "Wait until one of the running replies has ended, or stop it."
        if resets is not None:
            wait = resets - now
            hint = f"It resets at {datetime.fromtimestamp(resets, UTC):%H:%M:%S} UTC, in {wait:.0f} s."
        message = f"The limit of {limit:g} {name.replace('_', ' ')} for {who} is reached."
        raise BudgetExceededError(message, hint=hint, code=name, retry_after=wait, transient=True)
