"""Whose conversations these are: the signed-in user, else a random id in a cookie of ours."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Any

COOKIE = "assistant_owner"
# Browsers keep a cookie for 400 days at most.
MAX_AGE = 400 * 24 * 3600

_OWNER_ID = re.compile(r"[0-9a-f]{32}")


def owner_of(request: Any) -> str:
    """The owner behind a request, a gr.Request. The prefixes keep users and cookies from meaning the same owner.

    A client without cookies (a script over raw HTTP) is known by its session hash: as random as a cookie, and it
    lasts as long as Gradio's own session does.
    """
    if request is None:
        return "nobody"
    if request.username:
        return f"user:{request.username}"
    given = (getattr(request, "cookies", None) or {}).get(COOKIE, "")
    if _OWNER_ID.fullmatch(given):
        return f"cookie:{given}"
    return f"session:{request.session_hash or secrets.token_hex(16)}"


def session_of(request: Any) -> str:
    """What tells browsers of one user apart, for limits: the cookie, else Gradio's session hash. Never the address.

    A digest: limits are stored, and the cookie is what a browser proves itself with.
    """
    given = (getattr(request, "cookies", None) or {}).get(COOKIE, "")
    name = given if _OWNER_ID.fullmatch(given) else str(getattr(request, "session_hash", "") or "")
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:32]


class OwnerCookie:
    """ASGI middleware: gives a browser without an owner id one of 128 random bits, with the page itself.

    Only the page and its configuration set it: the dozens of files that a first visit loads at once would each set a
    different one. HttpOnly keeps it from scripts, SameSite=Lax from other sites' forms.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or owner_in_cookie(scope):
            await self.app(scope, receive, send)
            return
        cookie = f"{COOKIE}={secrets.token_hex(16)}; Path=/; Max-Age={MAX_AGE}; HttpOnly; SameSite=Lax"
        if scope.get("scheme") == "https":
            cookie += "; Secure"

        async def send_with_cookie(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start" and _is_page(scope, message):
                headers = [*message.get("headers", []), (b"set-cookie", cookie.encode())]
                message = {**message, "headers": headers}
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def _is_page(scope: dict[str, Any], message: dict[str, Any]) -> bool:
    if scope["path"].rstrip("/").endswith("/config"):
        # What gradio_client asks for first; it sends the cookies of this answer with everything else.
        return True
    content = dict(message.get("headers", [])).get(b"content-type", b"")
    return bool(content.startswith(b"text/html"))


def owner_in_cookie(scope: dict[str, Any]) -> str | None:
    """The owner that a browser's cookie names; None where it has none of ours."""
    given = cookie_of(scope, COOKIE)
    return f"cookie:{given}" if _OWNER_ID.fullmatch(given) else None


def cookie_of(scope: dict[str, Any], name: str) -> str:
    """A cookie of an ASGI request, read as strictly as Starlette reads it for `owner_of`; empty where there is none."""
    from starlette.requests import HTTPConnection

    return HTTPConnection(scope).cookies.get(name, "")
