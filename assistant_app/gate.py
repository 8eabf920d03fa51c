"""The door: ASGI middleware that lets in who has signed in, or whom a trusted proxy names. Others see the login."""

from __future__ import annotations

import hmac
import html
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from .identity import cookie_of
from .login import LIFETIME, Login

TICKET = "assistant_login"
# Names the user to Gradio, see `user_of`; and the header in which a proxy shows that it is the one that is trusted.
USER = "assistant.user"
PROXY_SECRET = "x-assistant-proxy-secret"

_MAX_FORM = 10_000
# Where to go on after signing in: this page, with what its address names, and nowhere else.
_OWN_ADDRESS = re.compile(r"\?[A-Za-z0-9_=&%.~-]{0,500}")


@dataclass(frozen=True)
class UserHeader:
    """A header in which a reverse proxy names the user it has signed in.

    With `secret` it is believed only beside an X-Assistant-Proxy-Secret header of that value.
    """

    name: str
    secret: str = ""


@dataclass(frozen=True)
class Access:
    """Who gets in. Without `login` and `header` everybody does, each browser as an owner of its own.

    `api`: whether scripts may call the chat endpoint, behind the same door.
    """

    login: Login | None = None
    header: UserHeader | None = None
    api: bool = True

    @property
    def closed(self) -> bool:
        return self.login is not None or self.header is not None


def user_of(request: Any) -> str | None:
    """For Gradio's launch(auth_dependency=): the user whom the gate has let in."""
    user: str | None = request.scope.get(USER)
    return user


class Gate:
    """`opened` is set once the server runs: until then it calls its own start-up route, as nobody."""

    def __init__(self, app: Any, access: Access, opened: Any) -> None:
        self.app = app
        self.access = access
        self.opened = opened

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            # Gradio has no WebSocket; what is left is the server's own start and end.
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
            return
        scope[USER] = user = self._user(scope)
        path = route_path(scope)
        if not self.access.closed:
            await self.app(scope, receive, send)
        elif self.access.login is not None and path == "/login":
            await self._sign_in(scope, receive, send)
        elif self.access.login is not None and path == "/logout":
            await self._sign_out(scope, receive, send)
        elif user is not None or (path == "/gradio_api/startup-events" and not self.opened.is_set()):
            await self.app(scope, receive, send)
        else:
            await self._refuse(scope, receive, send, path)

    def _user(self, scope: dict[str, Any]) -> str | None:
        if self.access.login is not None:
            ticket = cookie_of(scope, TICKET)
            return self.access.login.user_of(ticket) if ticket else None
        if self.access.header is not None:
            return _named_by_proxy(scope, self.access.header)
        return None

    async def _refuse(self, scope: dict[str, Any], receive: Any, send: Any, path: str) -> None:
        from starlette.responses import JSONResponse

        if path == "/" and scope["method"] in ("GET", "HEAD") and self.access.login is not None:
            response = self._page(scope, 401, after="?" + scope.get("query_string", b"").decode("latin-1"))
        else:
            response = JSONResponse({"error": "Not authenticated", "detail": "Sign in first."}, 401, _PRIVATE)
        await response(scope, receive, send)

    async def _sign_in(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        from starlette.responses import JSONResponse, RedirectResponse, Response

        response: Response
        if scope["method"] != "POST":
            await self._page(scope, 200)(scope, receive, send)
            return
        login = self.access.login
        assert login is not None
        form = await _form(scope, receive)
        user, password, after = form.get("username", "").strip(), form.get("password", ""), form.get("after", "")
        # None: too many guesses are waiting already.
        right = await login.check(user, password) if user and password else False
        from_browser = "text/html" in _header(scope, b"accept")
        if right:
            response = (
                RedirectResponse("./" + _address(after), 303) if from_browser else JSONResponse({"success": True})
            )
            response.set_cookie(
                TICKET,
                login.ticket(user),
                max_age=LIFETIME,
                httponly=True,
                samesite="lax",
                secure=scope.get("scheme") == "https",
            )
        elif from_browser:
            response = self._page(scope, 429 if right is None else 400, "busy" if right is None else "wrong", after)
        else:
            detail = "Too many guesses at once." if right is None else "Incorrect credentials."
            response = JSONResponse({"detail": detail}, 429 if right is None else 400)
        await response(scope, receive, send)

    async def _sign_out(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        from starlette.responses import RedirectResponse

        response = RedirectResponse("./", 303)
        response.delete_cookie(TICKET, httponly=True, samesite="lax")
        await response(scope, receive, send)

    def _page(self, scope: dict[str, Any], status: int, problem: str = "", after: str = "") -> Any:
        from starlette.responses import HTMLResponse

        from . import words

        language = words.language_of({"accept-language": _header(scope, b"accept-language")})
        said = {key: words.say(f"auth.{key}", language) for key in ("message", "user", "password", "sign_in")}
        said["title"] = words.say("app.title", language)
        page = _PAGE
        for key, value in {**said, "language": language, "after": _address(after)}.items():
            page = page.replace(f"[{key}]", html.escape(value))
        note = f'<p role="alert">{html.escape(words.say(f"auth.{problem}", language))}</p>' if problem else ""
        return HTMLResponse(page.replace("[problem]", note), status, _PRIVATE)


def route_path(scope: dict[str, Any]) -> str:
    """The path that the app's routes are matched with: without the prefix under which a proxy serves it."""
    path, root = str(scope["path"]), str(scope.get("root_path") or "").rstrip("/")
    return path[len(root) :] or "/" if root and (path == root or path.startswith(root + "/")) else path


def _named_by_proxy(scope: dict[str, Any], header: UserHeader) -> str | None:
    headers = scope.get("headers", [])
    if header.secret:
        shown = [value for name, value in headers if name == PROXY_SECRET.encode()]
        if len(shown) != 1 or not hmac.compare_digest(shown[0], header.secret.encode()):
            return None
    named = [value for name, value in headers if name == header.name.lower().encode()]
    # Two of them: one came from the browser, and nobody can tell which.
    if len(named) != 1:
        return None
    user: str = named[0].decode("utf-8", "replace").strip()
    return user if 0 < len(user) <= 256 else None


def _header(scope: dict[str, Any], wanted: bytes) -> str:
    return next((value.decode("latin-1") for name, value in scope.get("headers", []) if name == wanted), "")


async def _form(scope: dict[str, Any], receive: Any) -> dict[str, str]:
    """The fields of a form or a JSON object, the first of each name; none of one that is too long."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > _MAX_FORM or message["type"] != "http.request":
            return {}
        if not message.get("more_body"):
            break
    try:
        if _header(scope, b"content-type").startswith("application/json"):
            given = json.loads(body)
            return {name: value for name, value in given.items() if isinstance(value, str)}
        return {name: values[0] for name, values in parse_qs(body.decode()).items()}
    except (ValueError, AttributeError):
        return {}


def _address(after: str) -> str:
    return after if _OWN_ADDRESS.fullmatch(after) else ""


_PRIVATE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
}

# Nothing but this text is served to strangers: no script, no style sheet, no font.
_PAGE = """<!doctype html>
<html lang="[language]">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta name="color-scheme" content="light dark">
<title>[title]</title>
<link rel="icon" href="data:,">
<style>
body { font: 16px/1.5 "IBM Plex Sans", system-ui, sans-serif; margin: 0; min-height: 100vh; display: grid;
  place-items: center; background: #f8fafc; color: #0f172a; }
form { box-sizing: border-box; width: min(22rem, 100vw); padding: 1.5rem; display: grid; gap: .5rem; }
h1 { font-size: 1.5rem; margin: 0; }
p { margin: 0 0 .5rem; }
[role=alert] { color: #b91c1c; }
input, button { font: inherit; padding: .6rem .75rem; border-radius: .5rem; border: 1px solid #64748b; width: 100%;
  box-sizing: border-box; }
button { margin-top: .75rem; border-color: #0f766e; background: #0f766e; color: #fff; cursor: pointer; }
@media (prefers-color-scheme: dark) {
  body { background: #0f172a; color: #f1f5f9; }
  [role=alert] { color: #fca5a5; }
  input { background: #1e293b; color: inherit; }
}
</style>
</head>
<body>
<main>
<form method="post" action="login">
<h1>[title]</h1>
<p>[message]</p>
[problem]
<label for="username">[user]</label>
<input id="username" name="username" autocomplete="username" autocapitalize="none" required autofocus>
<label for="password">[password]</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<input type="hidden" name="after" value="[after]">
<button type="submit">[sign_in]</button>
</form>
</main>
</body>
</html>
"""
