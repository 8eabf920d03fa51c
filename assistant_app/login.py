"""Signing in: one user, compared in constant time, and guesses that cost time."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from typing import NamedTuple

import click

# A wrong password costs this long, twice as long after each further one in a row, up to the last number. One at a time.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 8.0
# Further ones are refused unseen. Whoever has the right password waits behind at most this many guesses.
WAITING = 8


class Account(NamedTuple):
    user: str
    password: str


def account_of(text: str) -> Account:
    """From USER:PASSWORD. The password may hold colons. Raises click.UsageError, without repeating the password."""
    user, colon, password = text.partition(":")
    # Gradio strips the user name that is typed, so one with spaces around it would never match.
    if not colon or not user.strip() or not password or user != user.strip():
        raise click.UsageError("Invalid value for '--auth': it is USER:PASSWORD, neither of them empty.")
    return Account(user, password)


def random_account() -> Account:
    """A user and a password of 128 random bits."""
    return Account("assistant", secrets.token_urlsafe(16))


class Login:
    """`check` is what Gradio's launch(auth=) takes. It must be a coroutine function: of an object with an async
    __call__ Gradio would take the coroutine itself, which is true, for a yes.

    The address of whoever asks is not looked at: through a tunnel or a proxy everybody has the same.
    """

    def __init__(self, account: Account, *, first_pause: float = FIRST_PAUSE) -> None:
        self._wanted = _digest(account.user), _digest(account.password)
        self._first_pause = first_pause
        self._failures = 0
        self._waiting = 0
        self._gate = asyncio.Lock()

    async def check(self, user: str, password: str) -> bool:
        if self._waiting >= WAITING:
            return False
        self._waiting += 1
        try:
            async with self._gate:
                if self._fits(user, password):
                    self._failures = 0
                    return True
                await asyncio.sleep(min(self._first_pause * 2 ** min(self._failures, 10), LONGEST_PAUSE))
                self._failures += 1
                return False
        finally:
            self._waiting -= 1

    def _fits(self, user: str, password: str) -> bool:
        # Both are compared, always: how long it takes says nothing about either.
        right_user = hmac.compare_digest(_digest(user), self._wanted[0])
        right_password = hmac.compare_digest(_digest(password), self._wanted[1])
        return right_user and right_password


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
