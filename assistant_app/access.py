"""From options to who gets in, and for how much: logins, a proxy's header, the secret behind tickets, limits."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import click

from assistant.limits import Allowance

from .gate import Access, UserHeader
from .login import Account, HashedAccounts, Login, OneAccount, account_of, random_account

_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,100}")
_SECRET_LENGTH = 16

# What --limit calls them.
_LIMITS = {"messages": "messages_per_minute", "tokens": "tokens_per_day", "usd": "usd_per_day"}
_SCOPES = ("user", "session", "all")

# Everybody may have the same login on a shared page: a session, that is a browser, is what tells people apart there.
SHARED = {
    "user": Allowance(messages_per_minute=30, tokens_per_day=1_000_000, usd_per_day=5.0, concurrent_runs=4),
    "session": Allowance(messages_per_minute=10, tokens_per_day=250_000, usd_per_day=1.0),
    "all": Allowance(messages_per_minute=60, tokens_per_day=2_000_000, usd_per_day=10.0),
}
_NONE = dict.fromkeys(_SCOPES, Allowance())


def access_from(
    *,
    host: str,
    share: bool = False,
    auth: str | None = None,
    auth_file: str | os.PathLike[str] | None = None,
    user_header: str | None = None,
    proxy_secret: str | None = None,
    secret: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    api: bool | None = None,
) -> tuple[Access, Account | None]:
    """Who gets in, and the account that was made up for a shared page without one.

    `api` None means: yes, but not on a shared page. Raises click.UsageError for options that exclude each other or
    would leave the page open, without repeating any password.
    """
    _check_header(host, share, user_header, proxy_secret)
    if secret is not None and len(secret) < _SECRET_LENGTH:
        raise click.UsageError(f"Invalid value for '--secret': it needs at least {_SECRET_LENGTH} characters.")
    if sum(given is not None for given in (auth, auth_file, user_header)) > 1:
        raise click.UsageError("--auth, --auth-file and --user-header exclude each other: there is one way in.")
    allowed = not share if api is None else api
    if user_header is not None:
        return Access(header=UserHeader(user_header, proxy_secret or ""), api=allowed), None
    invented = None
    if auth_file is not None:
        credentials: HashedAccounts | OneAccount = HashedAccounts.from_file(auth_file)
    elif auth is not None:
        credentials = OneAccount(account_of(auth))
    elif share:
        invented = random_account()
        credentials = OneAccount(invented)
    else:
        return Access(api=allowed), None
    return Access(Login(credentials, secret_from(secret, data_dir)), api=allowed), invented


def allowances_from(given: Iterable[str], *, share: bool = False) -> dict[str, Allowance]:
    """What a user, a session and all together may use, from texts such as "user.usd=2"; "none" lifts a limit.

    Shared pages begin with SHARED, others with none. Raises click.UsageError.
    """
    allowances = dict(SHARED if share else _NONE)
    for text in given:
        name, _, value = text.partition("=")
        scope, _, kind = name.partition(".")
        if scope not in _SCOPES or kind not in _LIMITS:
            raise click.UsageError(
                f"Invalid value for '--limit': {text!r} is not SCOPE.KIND=NUMBER with a scope out of "
                f"{', '.join(_SCOPES)} and a kind out of {', '.join(_LIMITS)}."
            )
        field = _LIMITS[kind]
        allowances[scope] = replace(allowances[scope], **{field: _number(text, kind, value)})  # type: ignore[arg-type]
    return allowances


def _number(text: str, kind: str, value: str) -> float | None:
    if value == "none":
        return None
    try:
        number = float(value) if kind == "usd" else int(value)
    except ValueError:
        number = -1
    # Not NaN, which would be no limit at all, and not infinity.
    if not 0 <= number < float("inf"):
        raise click.UsageError(f"Invalid value for '--limit': {text!r} needs a number of 0 or more, or none.")
    return number


def secret_from(given: str | None, data_dir: str | os.PathLike[str] | None) -> bytes:
    """What signs tickets: the secret that was given, else one that is made once and kept in the data directory.

    Where nothing can be written it lasts as long as this process.
    """
    if given is not None:
        return given.encode()
    path = _data_dir(data_dir) / "login.secret"
    with contextlib.suppress(OSError):
        if not path.exists():
            _make_secret(path)
        kept = path.read_bytes()
        if len(kept) >= _SECRET_LENGTH:
            return kept
    return secrets.token_bytes(32)


def _make_secret(path: Path) -> None:
    """Whole or not at all, however many processes begin at once: the first one's stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".login.secret.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_hex(32).encode())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine can reach it."""
    if host.strip("[]").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _check_header(host: str, share: bool, name: str | None, secret: str | None) -> None:
    if name is None:
        if secret is not None:
            raise click.UsageError("--proxy-secret goes with --user-header.")
        return
    if not _HEADER_NAME.fullmatch(name):
        raise click.UsageError("Invalid value for '--user-header': it is the name of a header, as X-Forwarded-User.")
    if share:
        raise click.UsageError(
            "--user-header and --share exclude each other: the tunnel goes around the proxy, so anybody could send it."
        )
    if secret is not None and len(secret) < _SECRET_LENGTH:
        raise click.UsageError(f"Invalid value for '--proxy-secret': it needs at least {_SECRET_LENGTH} characters.")
    if secret is None and not is_loopback(host):
        raise click.UsageError(
            f"--user-header on {host} needs --proxy-secret: whoever reaches this port could send {name} and be "
            "anybody. Listen on 127.0.0.1 behind the proxy, or let the proxy send the secret, as "
            "X-Assistant-Proxy-Secret."
        )


def _data_dir(data_dir: str | os.PathLike[str] | None) -> Path:
    if data_dir is None:
        import platformdirs

        data_dir = platformdirs.user_data_dir("assistant", appauthor=False)
    return Path(data_dir).expanduser().absolute()
