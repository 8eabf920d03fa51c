"""Whose conversations these are: the signed-in user, else a random id in a cookie of ours."""

from __future__ import annotations

import re
import secrets
from http.cookies import CookieError, SimpleCookie
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


class OwnerCookie:
    """ASGI middleware: gives a browser without an owner id one of 128 random bits, with the page itself.

    Only the page and its configuration set it: the dozens of files that a first visit loads at once would each set a
    different one. HttpOnly keeps it from scripts, SameSite=Lax from other sites' forms.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or _has_owner(scope):
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


def _has_owner(scope: dict[str, Any]) -> bool:
    for name, value in scope.get("headers", []):
        if name != b"cookie":
            continue
        try:
            found = SimpleCookie(value.decode("latin-1")).get(COOKIE)
        except CookieError:
            continue
        if found is not None and _OWNER_ID.fullmatch(found.value):
            return True
    return False
