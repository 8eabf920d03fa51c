"""Who is who."""

from __future__ import annotations

from types import SimpleNamespace

from assistant_app.identity import COOKIE, owner_of

from .listeners import request_of


def test_owners_of_different_kinds_are_never_the_same() -> None:
    cookie = "a" * 32
    assert owner_of(request_of(cookie)) == f"cookie:{cookie}"
    assert owner_of(SimpleNamespace(username=cookie, cookies={COOKIE: "b" * 32}, session_hash="s")) == f"user:{cookie}"
    assert owner_of(request_of("../../etc")) == "session:s"
    assert owner_of(SimpleNamespace(username=None, cookies={}, session_hash=None)) != owner_of(
        SimpleNamespace(username=None, cookies={}, session_hash=None)
    )
