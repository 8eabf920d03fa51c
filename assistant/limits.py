"""Limits: how much one owner, and all together, may ask for. Decided before a turn begins, settled when it ends."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from .errors import BudgetExceededError
from .messages import Usage

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """None means no limit. Days are UTC days; a minute is the last 60 s. Tokens are those read and written."""

    messages_per_minute: int | None = None
    tokens_per_day: int | None = None
    usd_per_day: float | None = None
    concurrent_runs: int | None = None


NO_LIMITS = Allowance()


class Admission(Protocol):
    """What Chats asks before and tells after each turn. Blocks for nothing but its own store."""

    def admit(self, owner: str, session: str | None = None) -> None:
        """Counts a message and a running reply. Raises BudgetExceededError where a limit is reached, counting none.

        `session` names what may be counted beside the owner: a browser, a key of the endpoint.
        """

    def settle(self, owner: str, usage: Usage | None, session: str | None = None) -> None:
        """Once for each admission: the reply has ended and has used this; None: it never began, forget the message."""

    def charge(self, owner: str, usage: Usage, session: str | None = None) -> None:
        """Something in the background has used this: a title, a summary."""

    def renew(self) -> None:
        """Called about once a second while replies run: they do."""


@dataclass(slots=True)
class Account:
    """What was used: today, within the last minute (`sent`, the oldest first), and by replies that run now."""

    day: str = ""
    tokens: int = 0
    usd: float = 0.0
    running: int = 0
    sent: deque[float] = field(default_factory=deque)


class Limits:
    """Admission with its accounts in memory: they begin anew when the process does.

    The named limits hold for each owner, `per_session` for each session of an owner, `in_all` for everybody together.
    What a running reply will use is not known before its end, so a day's budget can be overrun by the replies that are
    under way. A cost that is not known counts nothing: limit tokens too. `clock` is in seconds since the epoch.
    """

    def __init__(
        self,
        messages_per_minute: int | None = None,
        tokens_per_day: int | None = None,
        usd_per_day: float | None = None,
        concurrent_runs: int | None = 4,
        *,
        per_session: Allowance = NO_LIMITS,
        in_all: Allowance = NO_LIMITS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.each = Allowance(messages_per_minute, tokens_per_day, usd_per_day, concurrent_runs)
        self.per_session = per_session
        self.in_all = in_all
        self._clock = clock
        self._lock = threading.Lock()
        self._accounts: dict[str, Account] = {}

    def admit(self, owner: str, session: str | None = None) -> None:
        now = self._clock()
        with self._lock:
            self._forget_idle(now)
            asked = self.allowances(owner, session)
            for key, (allowance, who) in asked.items():
                account = self._accounts.setdefault(key, Account())
                _renew(account, now)
                check(account, allowance, now, who)
            for key in asked:
                self._accounts[key].sent.append(now)
                self._accounts[key].running += 1

    def settle(self, owner: str, usage: Usage | None, session: str | None = None) -> None:
        with self._lock:
            for key in self.allowances(owner, session):
                each = self._accounts.get(key)
                if each is None:
                    continue
                each.running -= 1
                if usage is not None:
                    self._add(each, usage)
                elif each.sent:
                    each.sent.pop()

    def charge(self, owner: str, usage: Usage, session: str | None = None) -> None:
        with self._lock:
            for key in self.allowances(owner, session):
                self._add(self._accounts.setdefault(key, Account()), usage)

    def _add(self, account: Account, usage: Usage) -> None:
        _renew(account, self._clock())
        account.tokens += usage.total_tokens
        account.usd += usage.cost or 0.0

    def renew(self) -> None:
        """Nothing to do: what runs, runs in this process."""

    def allowances(self, owner: str, session: str | None) -> dict[str, tuple[Allowance, str]]:
        """The accounts that a message of this owner and session is counted on, always in the same order."""
        asked = {_key("owner", owner): (self.each, "you")}
        if session is not None:
            asked[_key("session", owner, session)] = (self.per_session, "this session")
        asked["everybody"] = self.in_all, "everybody"
        return {key: each for key, each in asked.items() if each[0] != NO_LIMITS}

    def _forget_idle(self, now: float) -> None:
        """Owners are as many as browsers that ever came by: those with nothing on their account go."""
        if len(self._accounts) < 10_000:
            return
        for key, account in list(self._accounts.items()):
            _renew(account, now)
            if not (account.running or account.sent or account.tokens or account.usd):
                del self._accounts[key]


def _key(kind: str, *names: str) -> str:
    # Names may be of any length, and hold anything.
    return f"{kind} {hashlib.sha256(repr(names).encode('utf-8', 'replace')).hexdigest()[:32]}"


def utc_day(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).date().isoformat()


def _renew(account: Account, now: float) -> None:
    while account.sent and account.sent[0] <= now - MINUTE:
        account.sent.popleft()
    day = utc_day(now)
    if account.day != day:
        account.day, account.tokens, account.usd = day, 0, 0.0


def check(account: Account, allowance: Allowance, now: float, who: str) -> None:
    """Raises BudgetExceededError: `code` names the limit, `values["who"]` whose it is ("you", "this session",
    "everybody"), `retry_after` says in how many seconds it resets."""
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    midnight = (today + timedelta(days=1)).timestamp()
    minute = account.sent[0] + MINUTE if account.sent else now
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
        raise BudgetExceededError(
            message, hint=hint, code=name, retry_after=wait, transient=True, values={"who": who, "limit": limit}
        )
