"""Signing in: who there is, passwords compared in constant time, guesses that cost time, and the ticket for later."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import click

if TYPE_CHECKING:
    from pwdlib import PasswordHash

# A wrong password costs this long, twice as long after each further one in a row, up to the last number. One at a time.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 8.0
# Further ones are refused unseen. Whoever has the right password waits behind at most this many guesses.
WAITING = 8
# Queues for guesses. Names are spread over them by a secret: a name that does not exist waits as one that does, and
# guesses at one name hold up hardly any other.
QUEUES = 64
# How long a login lasts, in seconds: 14 days.
LIFETIME = 14 * 24 * 3600


class Account(NamedTuple):
    user: str
    password: str


def account_of(text: str) -> Account:
    """From USER:PASSWORD. The password may hold colons. Raises click.UsageError, without repeating the password."""
    user, colon, password = text.partition(":")
    # The user name that is typed is stripped, so one with spaces around it would never match.
    if not colon or not user.strip() or not password or user != user.strip():
        raise click.UsageError("Invalid value for '--auth': it is USER:PASSWORD, neither of them empty.")
    return Account(user, password)


def random_account() -> Account:
    """A user and a password of 128 random bits."""
    return Account("assistant", secrets.token_urlsafe(16))


def hash_password(password: str) -> str:
    """The argon2id hash that goes behind the colon in a file of users. Blocks for about 0.1 s of two processors."""
    return _argon2().hash(password)


class Credentials(Protocol):
    """Who may sign in. `fits` may take as long as a password hash does, and as long for a name that there is not."""

    def fits(self, user: str, password: str) -> bool: ...

    def mark(self, user: str) -> bytes | None:
        """What changes when the user's password does; None for somebody who is not one."""


class OneAccount:
    """The account of --auth, or the one that was made up."""

    def __init__(self, account: Account) -> None:
        self._user = account.user
        self._wanted = _digest(account.user), _digest(account.password)

    def fits(self, user: str, password: str) -> bool:
        # Both are compared, always: how long it takes says nothing about either.
        right_user = hmac.compare_digest(_digest(user), self._wanted[0])
        right_password = hmac.compare_digest(_digest(password), self._wanted[1])
        return right_user and right_password

    def mark(self, user: str) -> bytes | None:
        return self._wanted[1] if user == self._user else None


class HashedAccounts:
    """Users and argon2 hashes, by name."""

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self._hashes = dict(hashes)
        self._argon2 = _argon2()
        # Somebody's hash, for names that there are not: they take as long.
        self._decoy = next(iter(self._hashes.values()))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> HashedAccounts:
        """A line a user, `user:hash`; empty lines and those with # in front are skipped.

        Raises click.UsageError that names the line, without repeating what is in it.
        """
        name = os.fspath(path)
        try:
            lines = Path(path).read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8 text"
            raise _bad(name, f"it can't be read ({reason})") from error
        hashes: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            user, colon, hashed = (part.strip() for part in line.partition(":"))
            if not colon or not user:
                raise _bad(name, f"line {number} is not user:hash")
            if not _is_argon2(hashed):
                why = "has no argon2 hash behind the colon; `assistant hash-password` makes such a line"
                raise _bad(name, f"line {number} {why}")
            if user in hashes:
                raise _bad(name, f"line {number} names a user a second time")
            hashes[user] = hashed
        if not hashes:
            raise _bad(name, "there is no user in it; `assistant hash-password` makes a line")
        return cls(hashes)

    def fits(self, user: str, password: str) -> bool:
        known = self._hashes.get(user)
        right = self._argon2.verify(password, known or self._decoy)
        return right and known is not None

    def mark(self, user: str) -> bytes | None:
        known = self._hashes.get(user)
        return None if known is None else known.encode()


class Login:
    """Decides about guesses, one at a time. The address of whoever asks is not looked at: through a tunnel or a proxy
    everybody has the same.

    `secret` signs tickets; processes with the same one take each other's.
    """

    def __init__(
        self,
        credentials: Credentials,
        secret: bytes = b"",
        *,
        first_pause: float = FIRST_PAUSE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._credentials = credentials
        self._key = hmac.digest(secret or secrets.token_bytes(32), b"assistant login ticket", "sha256")
        self._spread = secrets.token_bytes(16)
        self._first_pause = first_pause
        self._clock = clock
        self._queues = [_Queue() for _ in range(QUEUES)]
        # Password hashes take memory and time on purpose: two at once, whatever comes in.
        self._hashing = asyncio.Semaphore(2)

    async def check(self, user: str, password: str) -> bool | None:
        """Whether they fit; None where there are too many guesses already. A wrong one takes its time."""
        queue = self._queues[hmac.digest(self._spread, user.encode(), "sha256")[0] % QUEUES]
        if queue.waiting >= WAITING:
            return None
        queue.waiting += 1
        try:
            async with queue.gate:
                async with self._hashing:
                    right = await asyncio.to_thread(self._credentials.fits, user, password)
                if right:
                    queue.failures = 0
                    return True
                await asyncio.sleep(min(self._first_pause * 2 ** min(queue.failures, 10), LONGEST_PAUSE))
                queue.failures += 1
                return False
        finally:
            queue.waiting -= 1

    def ticket(self, user: str) -> str:
        """What a browser shows from now on in place of the password, for LIFETIME; void when the password changes."""
        body = f"{int(self._clock()) + LIFETIME}:{user}"
        return f"{_encoded(body.encode())}.{_encoded(self._signature(body, self._credentials.mark(user) or b''))}"

    def user_of(self, ticket: str) -> str | None:
        """Whose ticket it is; None for one that is forged, old, or of somebody who is no user any more."""
        try:
            body, signature = (_decoded(part) for part in ticket.split("."))
            expires, _, user = body.decode().partition(":")
            mark = self._credentials.mark(user)
            if mark is None or not hmac.compare_digest(signature, self._signature(body.decode(), mark)):
                return None
            return user if int(expires) > self._clock() else None
        except ValueError:
            return None

    def _signature(self, body: str, mark: bytes) -> bytes:
        return hmac.digest(self._key, body.encode() + b"\0" + mark, "sha256")


class _Queue:
    def __init__(self) -> None:
        self.gate = asyncio.Lock()
        self.waiting = 0
        self.failures = 0


def _argon2() -> PasswordHash:
    from pwdlib import PasswordHash

    return PasswordHash.recommended()


def _is_argon2(text: str) -> bool:
    from pwdlib.hashers.argon2 import Argon2Hasher

    return Argon2Hasher.identify(text)


def _bad(name: str, what: str) -> click.UsageError:
    return click.UsageError(f"Invalid value for '--auth-file': {name}: {what}.")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
