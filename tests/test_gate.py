"""The gate over HTTP: who is let in by a form, a ticket or a proxy's header, and where to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from gradio_client import Client

from assistant_app import access as access_module
from assistant_app.gate import TICKET, Access, UserHeader
from assistant_app.identity import COOKIE
from assistant_app.login import Account, Login, OneAccount

from .browser import Served
from .logins import SECRET, chatting


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    access = Access(Login(OneAccount(Account("ana", "correct horse")), SECRET.encode(), first_pause=0))
    with chatting(tmp_path_factory.mktemp("login"), access=access) as page:
        yield page


def test_a_login_is_asked_for_and_names_the_owner(served: Served) -> None:
    assert httpx.get(f"{served.url}/config").status_code == 401
    assert httpx.post(f"{served.url}/login", data={"username": "ana", "password": "wrong"}).status_code == 400
    with pytest.raises(Exception, match=r"(?i)credential|login"):
        Client(served.url, auth=("ana", "wrong"), verbose=False)
    caller = Client(served.url, auth=("ana", "correct horse"), verbose=False)
    assert caller.predict("hi", api_name="/chat")["content"][0]["text"] == "You said: hi"
    assert [each.title for each in served.chats.list("user:ana")] == ["hi"]


def test_a_browser_signs_in_with_a_form_and_comes_back_to_its_conversation(served: Served) -> None:
    with httpx.Client(base_url=served.url, headers={"accept": "text/html", "accept-language": "es"}) as http:
        page = http.get("/?c=abc123")
        assert page.status_code == 401
        assert page.headers["cache-control"] == "no-store"
        assert "Contraseña" in page.text
        assert 'name="after" value="?c=abc123"' in page.text
        wrong = http.post("/login", data={"username": "ana", "password": "no", "after": "?c=abc123"})
        assert wrong.status_code == 400
        assert "no son correctos" in wrong.text
        assert "<title>Asistente</title>" in wrong.text
        assert 'value="?c=abc123"' in wrong.text
        right = http.post("/login", data={"username": " ana ", "password": "correct horse", "after": "?c=abc123"})
        assert (right.status_code, right.headers["location"]) == (303, "./?c=abc123")
        cookie = right.headers["set-cookie"]
        assert cookie.startswith(f"{TICKET}=")
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "window.gradio_config" in http.get("/").text
        out = http.get("/logout")
        assert (out.status_code, out.headers["location"]) == (303, "./")
        assert http.get("/").status_code == 401


@pytest.mark.parametrize("after", ["//evil.example", "https://evil.example", "?c=1\r\nX: y", '?"><script>', "/x"])
def test_a_login_leads_nowhere_else(served: Served, after: str) -> None:
    form = {"username": "ana", "password": "correct horse", "after": after}
    answer = httpx.post(f"{served.url}/login", data=form, headers={"accept": "text/html"})
    assert answer.headers["location"] == "./"
    form["password"] = "wrong"
    assert "script" not in httpx.post(f"{served.url}/login", data=form, headers={"accept": "text/html"}).text


def test_the_cookie_is_for_https_alone_where_the_page_is(served: Served) -> None:
    form = {"username": "ana", "password": "correct horse"}
    answer = httpx.post(f"{served.url}/login", data=form, headers={"x-forwarded-proto": "https"})
    assert "; Secure" in answer.headers["set-cookie"]
    assert "; Secure" not in httpx.post(f"{served.url}/login", data=form).headers["set-cookie"]


def test_odd_forms_are_wrong_passwords(served: Served) -> None:
    for body in (b"", b"\xff\xfe=1", b"username=ana&password=" + b"x" * 20_000, b"username=ana"):
        answer = httpx.post(
            f"{served.url}/login", content=body, headers={"content-type": "application/x-www-form-urlencoded"}
        )
        assert answer.status_code == 400, body[:40]
    odd = httpx.post(f"{served.url}/login", json=["username"])
    assert odd.status_code == 400


def test_the_proxy_s_user_is_the_owner_and_only_with_the_secret(tmp_path: Path) -> None:
    access = Access(header=UserHeader("X-Forwarded-User", SECRET))
    with chatting(tmp_path, access=access) as served:
        proven = {"X-Forwarded-User": "ana", "X-Assistant-Proxy-Secret": SECRET}
        for headers in (
            [],
            [("X-Forwarded-User", "ana")],
            [("X-Forwarded-User", "ana"), ("X-Assistant-Proxy-Secret", "wrong")],
            [("X-Forwarded-User", "ana"), ("X-Forwarded-User", "bea"), ("X-Assistant-Proxy-Secret", SECRET)],
            [("X-Forwarded-User", ""), ("X-Assistant-Proxy-Secret", SECRET)],
            [("X-Forwarded-User", "a" * 257), ("X-Assistant-Proxy-Secret", SECRET)],
            [("X-Assistant-Proxy-Secret", SECRET)],
        ):
            assert httpx.get(served.url, headers=headers).status_code == 401
        # Nobody signs in beside it.
        assert httpx.post(f"{served.url}/login", data={"username": "ana", "password": "x"}).status_code == 401
        assert httpx.get(f"{served.url}/config", headers=proven).json()["username"] == "ana"
        caller = Client(served.url, headers=proven, verbose=False)
        assert caller.predict("hi", api_name="/chat")["content"][0]["text"] == "You said: hi"
        assert [each.title for each in served.chats.list("user:ana")] == ["hi"]


def test_each_browser_still_has_an_owner_beside_its_login(served: Served) -> None:
    # What a load balancer holds on to.
    assert COOKIE in httpx.get(served.url).cookies
    assert access_module.is_loopback("127.0.0.1")
