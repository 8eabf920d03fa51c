"""Getting in: passwords, files of users, tickets, a proxy's header, limits by option, and what the terminal says."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from click.testing import CliRunner
from gradio_client import Client
from pwdlib.hashers.argon2 import Argon2Hasher

import assistant_app
from assistant.chats import Chats
from assistant.cli import cli
from assistant.errors import BudgetExceededError
from assistant.limits import Allowance
from assistant.store import ConversationStore
from assistant_app import access as access_module
from assistant_app import build, launch, login
from assistant_app.access import SHARED, access_from, allowances_from, secret_from
from assistant_app.gate import TICKET, Access, UserHeader
from assistant_app.identity import COOKIE
from assistant_app.login import WAITING, Account, HashedAccounts, Login, OneAccount, account_of, random_account

from .browser import ScriptedClient, Served, serving

ROOT = Path(__file__).parent.parent
SECRET = "sixteen letters at least"
# The real thing, made cheap: the numbers stand in the hash.
CHEAP = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)


def users_file(directory: Path, text: str = "") -> Path:
    path = directory / "users"
    path.write_text(text or f"# who\n\nana:{CHEAP.hash('ana: her password')}\nbea:{CHEAP.hash('secreto ñ')}\n", "utf-8")
    return path


@contextlib.contextmanager
def chatting(directory: Path, **options: Any) -> Iterator[Served]:
    client = ScriptedClient()
    client.echo = True
    with serving(client, directory, **options) as served:
        yield served


# -- passwords ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "user", ":password", "user:", " :x", " user:x"])
def test_an_auth_that_is_none_gets_one_clear_line(text: str) -> None:
    with pytest.raises(click.UsageError, match="USER:PASSWORD"):
        account_of(text)


def test_a_password_may_hold_colons_and_an_invented_one_has_128_bits() -> None:
    assert account_of("me:a:b") == Account("me", "a:b")
    assert len(random_account().password) >= 22
    assert random_account().password != random_account().password


def test_passwords_are_compared_in_constant_time_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    account = OneAccount(Account("me", "right"))
    compared = []
    compare = login.hmac.compare_digest

    def count(one: bytes, other: bytes) -> bool:
        compared.append(len(one))
        return compare(one, other)

    monkeypatch.setattr(login.hmac, "compare_digest", count)
    for user, password in (("you", "wrong"), ("me", "wrong"), ("you", "right"), ("me", "r"), ("me", "right")):
        compared.clear()
        assert account.fits(user, password) == ((user, password) == ("me", "right"))
        assert compared == [32, 32], "both, whatever the first one says, and of digests of one length"


def test_wrong_passwords_cost_time_and_many_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    go_on = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await go_on.wait()

    monkeypatch.setattr(login.asyncio, "sleep", sleep)

    async def scenario() -> None:
        check = Login(OneAccount(Account("me", "right"))).check
        go_on.set()
        for _ in range(7):
            assert await check("me", "wrong") is False
        assert pauses == [0.5, 1, 2, 4, 8, 8, 8]
        assert await check("me", "right") is True
        assert await check("me", "wrong") is False
        assert pauses[-1] == 0.5, "begins anew"
        go_on.clear()
        guesses = [asyncio.ensure_future(check("me", f"guess {n}")) for n in range(WAITING)]
        while len(pauses) < 9:
            await asyncio.to_thread(lambda: None)
        assert await check("me", "right") is None, "the queue is full: refused unseen"
        assert len(pauses) == 9, "one after another"
        go_on.set()
        assert not any(await asyncio.gather(*guesses))

    asyncio.run(scenario())


def test_a_password_is_verified_off_the_event_loop() -> None:
    import threading

    threads = []

    class Credentials(OneAccount):
        def fits(self, user: str, password: str) -> bool:
            threads.append(threading.current_thread())
            return super().fits(user, password)

    assert asyncio.run(Login(Credentials(Account("me", "right"))).check("me", "right"))
    assert threads[0] is not threading.main_thread()


# -- a file of users ---------------------------------------------------------------------------------------


def test_a_file_of_users_lets_in_whom_it_names(tmp_path: Path) -> None:
    accounts = HashedAccounts.from_file(users_file(tmp_path))
    assert accounts.fits("ana", "ana: her password")
    assert accounts.fits("bea", "secreto ñ")
    for user, password in (("ana", "secreto ñ"), ("bea", ""), ("carla", "ana: her password"), ("", "")):
        assert not accounts.fits(user, password)


def test_a_name_that_is_not_there_costs_as_much_as_one_that_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = HashedAccounts.from_file(users_file(tmp_path))
    verified: list[str] = []
    verify = accounts._argon2.verify

    def count(password: str, hashed: str) -> bool:
        verified.append(hashed)
        return verify(password, hashed)

    monkeypatch.setattr(accounts._argon2, "verify", count)
    accounts.fits("ana", "guess")
    accounts.fits("nobody", "guess")
    assert len(verified) == 2
    assert all(hashed.startswith("$argon2id$") for hashed in verified)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ana\n", "line 1 is not user:hash"),
        (f"{'#'}\nana:{'hunter2'}\n", "line 2 has no argon2 hash"),
        (":$argon2id$x\n", "line 1 is not user:hash"),
        ("# nobody\n", "no user in it"),
        (f"ana:{CHEAP.hash('a')}\nana:{CHEAP.hash('b')}\n", "line 2 names a user a second time"),
    ],
)
def test_a_file_that_is_none_gets_one_line_that_names_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        HashedAccounts.from_file(users_file(tmp_path, text))
    assert said in caught.value.message
    assert "hunter2" not in caught.value.message
    assert "\n" not in caught.value.message


def test_a_file_that_can_t_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="No such file"):
        HashedAccounts.from_file(tmp_path / "missing")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(click.UsageError, match="UTF-8"):
        HashedAccounts.from_file(tmp_path / "binary")


def test_a_command_makes_a_line_for_it(tmp_path: Path) -> None:
    made = CliRunner().invoke(cli, ["hash-password", "ana"], input="correct horse\ncorrect horse\n")
    assert made.exit_code == 0, made.output
    line = made.output.splitlines()[-1]
    assert line.startswith("ana:$argon2id$")
    assert "correct horse" not in made.output
    accounts = HashedAccounts.from_file(users_file(tmp_path, line + "\n"))
    assert accounts.fits("ana", "correct horse")
    for name in ("a:b", " ana", "#ana", ""):
        assert CliRunner().invoke(cli, ["hash-password", name, "--password", "x"]).exit_code == 2


# -- tickets -----------------------------------------------------------------------------------------------


def test_a_ticket_is_taken_by_every_process_with_the_secret_until_it_is_old() -> None:
    now = [1000.0]
    one, other = (Login(OneAccount(Account("ana:1", "x")), b"shared", clock=lambda: now[0]) for _ in range(2))
    ticket = one.ticket("ana:1")
    assert other.user_of(ticket) == "ana:1"
    assert Login(OneAccount(Account("ana:1", "x")), b"another", clock=lambda: now[0]).user_of(ticket) is None
    now[0] += login.LIFETIME - 1
    assert other.user_of(ticket) == "ana:1"
    now[0] += 2
    assert other.user_of(ticket) is None


def test_a_ticket_is_void_once_the_password_or_the_user_is_gone(tmp_path: Path) -> None:
    ticket = Login(HashedAccounts.from_file(users_file(tmp_path)), b"shared").ticket("ana")
    changed = HashedAccounts({"ana": CHEAP.hash("another"), "bea": CHEAP.hash("x")})
    assert Login(changed, b"shared").user_of(ticket) is None
    assert Login(HashedAccounts({"bea": CHEAP.hash("x")}), b"shared").user_of(ticket) is None


def test_a_forged_ticket_is_none() -> None:
    check = Login(OneAccount(Account("ana", "x")), b"shared")
    body, signature = check.ticket("ana").split(".")
    later = login._encoded(b"9999999999:ana")
    for forged in (
        f"{later}.{signature}",
        f"{body}.",
        f"{body}",
        f".{signature}",
        "a.b.c",
        "",
        "é.é",
        f"{body}.{body}",
    ):
        assert check.user_of(forged) is None
    assert check.user_of(f"{body}.{signature}") == "ana"


def test_the_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    made = secret_from(None, tmp_path / "data")
    assert len(made) == 64
    assert secret_from(None, tmp_path / "data") == made
    assert secret_from(None, tmp_path / "other") != made
    assert stat.S_IMODE((tmp_path / "data" / "login.secret").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["login.secret"]
    assert secret_from(SECRET, tmp_path) == SECRET.encode()


def test_where_no_secret_can_be_kept_there_is_one_for_this_process(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert len(secret_from(None, tmp_path / "file" / "data")) == 32


# -- options -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"auth": "a:b", "auth_file": "x"}, "exclude each other"),
        ({"auth": "a:b", "user_header": "X-User"}, "exclude each other"),
        ({"user_header": "X-User", "share": True}, "exclude each other"),
        ({"user_header": "X-User", "host": "0.0.0.0"}, "needs --proxy-secret"),
        ({"user_header": "X-User", "host": "::"}, "needs --proxy-secret"),
        ({"user_header": "X-User", "host": "example.org"}, "needs --proxy-secret"),
        ({"user_header": "X User"}, "name of a header"),
        ({"user_header": "X-User", "proxy_secret": "short"}, "16 characters"),
        ({"proxy_secret": SECRET}, "goes with --user-header"),
        ({"secret": "short"}, "16 characters"),
    ],
)
def test_options_that_would_leave_the_page_open_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(click.UsageError, match=said) as caught:
        access_from(**{"host": "127.0.0.1", **options})
    assert "\n" not in caught.value.message


def test_a_proxy_s_header_is_taken_on_this_machine_or_with_a_secret() -> None:
    for host in ("127.0.0.1", "localhost", "[::1]", "127.0.0.9"):
        assert access_from(host=host, user_header="X-User")[0].header == UserHeader("X-User")
    open_to_all, _ = access_from(host="0.0.0.0", user_header="X-User", proxy_secret=SECRET)
    assert open_to_all.header == UserHeader("X-User", SECRET)


def test_a_shared_page_always_has_a_login_and_no_api_unless_asked_for(tmp_path: Path) -> None:
    shared, invented = access_from(host="127.0.0.1", share=True, data_dir=tmp_path)
    assert invented is not None
    assert shared.login is not None
    assert asyncio.run(shared.login.check(*invented))
    assert not shared.api
    given, none = access_from(host="127.0.0.1", share=True, auth="me:mine", api=True, data_dir=tmp_path)
    assert none is None
    assert given.closed
    assert given.api
    assert access_from(host="127.0.0.1", data_dir=tmp_path)[0] == Access()


def test_nothing_is_shared_without_a_login(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="needs a login"), serving(ScriptedClient(), tmp_path, share=True):
        pass


def test_limits_are_read_from_options() -> None:
    assert set(allowances_from(()).values()) == {Allowance()}
    given = allowances_from(["user.usd=2.5", "all.tokens=1000", "session.messages=3"])
    assert given["user"].usd_per_day == 2.5
    assert given["all"] == Allowance(tokens_per_day=1000)
    assert given["session"] == Allowance(messages_per_minute=3)
    shared = allowances_from(["user.usd=none"], share=True)
    assert shared["user"].usd_per_day is None
    assert shared["user"].tokens_per_day == SHARED["user"].tokens_per_day
    for allowance in SHARED.values():
        assert allowance.messages_per_minute
        assert allowance.tokens_per_day
        assert allowance.usd_per_day


@pytest.mark.parametrize("text", ["usd=1", "user.cents=1", "user.usd", "user.usd=-1", "user.usd=nan", "all.tokens=1.5"])
def test_a_limit_that_is_none_gets_one_clear_line(text: str) -> None:
    with pytest.raises(click.UsageError, match="--limit"):
        allowances_from([text])


def test_options_are_looked_at_before_gradio_is_loaded() -> None:
    code = "import assistant_app.access, assistant_app.launch, sys; sys.exit('gradio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ).returncode == 0


def test_unsafe_options_end_the_program_with_one_line() -> None:
    options = ["--host", "0.0.0.0", "--user-header", "X-User", "--no-browser"]
    done = subprocess.run(
        [sys.executable, "app.py", *options], cwd=ROOT, capture_output=True, text=True, timeout=60, env=os.environ
    )
    assert done.returncode == 2
    assert "needs --proxy-secret" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_sharing_invents_a_login_and_says_when_there_is_no_tunnel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import gradio.networking

    def no_tunnel(**_: Any) -> str:
        raise OSError("no way")

    monkeypatch.setattr(gradio.networking, "setup_tunnel", no_tunnel)
    seen: dict[str, Any] = {}

    def look() -> None:
        said = seen["out"] = capsys.readouterr().out
        address = said.split("Assistant: ")[1].split()[0]
        seen["locked"] = httpx.get(f"{address}/config").status_code
        user, password = said.split("user: ")[1].split()[0], said.split("password: ")[1].split()[0]
        with httpx.Client(base_url=address) as http:
            assert http.post("/login", data={"username": user, "password": password}).status_code == 200
            seen["open"] = http.get("/config").status_code
            seen["api"] = [http.get("/gradio_api/info"), http.post("/gradio_api/call/chat", json={"data": ["hi"]})]

    monkeypatch.setattr(launch, "_wait", look)
    chats = Chats(ScriptedClient(), ConversationStore(data_dir=tmp_path))
    access, invented = access_from(host="127.0.0.1", share=True, data_dir=tmp_path)
    port = launch.check_address("127.0.0.1", 0)
    served = {"host": "127.0.0.1", "port": port, "share": True, "verbose": False, "open_browser": False}
    launch.serve(build, chats, access=access, invented=invented, **served)  # type: ignore[arg-type]
    assert "There is no public link" in seen["out"]
    assert seen["out"].count(invented.password if invented else "?") == 1
    assert "antivirus" not in seen["out"]
    assert (seen["locked"], seen["open"]) == (401, 200)
    assert [answer.status_code for answer in seen["api"]] == [404, 404]


# -- over HTTP ---------------------------------------------------------------------------------------------


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


def test_a_login_outlives_the_server(tmp_path: Path) -> None:
    cookies = {}
    for _ in range(2):
        access = Access(Login(OneAccount(Account("ana", "x")), secret_from(None, tmp_path)))
        with chatting(tmp_path, access=access) as served:
            if not cookies:
                cookies = dict(httpx.post(f"{served.url}/login", data={"username": "ana", "password": "x"}).cookies)
            assert httpx.get(f"{served.url}/config", cookies=cookies).json()["username"] == "ana"


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


def test_a_page_for_this_network_without_a_login_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launch, "_wait", lambda: None)
    chats = Chats(ScriptedClient(), ConversationStore(data_dir=tmp_path))
    port = launch.check_address("0.0.0.0", 0)
    launch.serve(
        build, chats, host="0.0.0.0", port=port, share=False, access=Access(), invented=None, verbose=False,
        open_browser=False,
    )  # fmt: skip
    assert "Whoever reaches this address can use it" in capsys.readouterr().out


def test_each_browser_still_has_an_owner_beside_its_login(served: Served) -> None:
    # What a load balancer holds on to.
    assert COOKIE in httpx.get(served.url).cookies
    assert access_module.is_loopback("127.0.0.1")


def test_limits_hold_for_a_browser_for_a_user_and_for_all_and_say_when_they_reset(tmp_path: Path) -> None:
    accounts = HashedAccounts({name: CHEAP.hash(name) for name in ("ana", "bea")})
    given = ["session.messages=1", "user.messages=2", "all.messages=3"]
    store = ConversationStore(data_dir=tmp_path)
    limits = assistant_app._limits(store, allowances_from(given))
    access = Access(Login(accounts, SECRET.encode()))
    with chatting(tmp_path, access=access, limits=limits) as served:
        first, second = (Client(served.url, auth=("ana", "ana"), verbose=False) for _ in range(2))
        third = Client(served.url, auth=("ana", "ana"), verbose=False)
        other, last = (Client(served.url, auth=("bea", "bea"), verbose=False) for _ in range(2))
        told = [each.predict("hi", api_name="/chat")["content"][0]["text"] for each in (first, first, second, third)]
        told += [each.predict("hi", api_name="/chat")["content"][0]["text"] for each in (other, last)]
    answered = ["You said" in each for each in told]
    # A browser's second message, the user's third, and everybody's fourth are refused.
    assert answered == [True, False, True, False, True, False], told
    for refused, whom in ((told[1], "this session"), (told[3], "you"), (told[5], "everybody")):
        assert f"messages per minute for {whom}" in refused
        assert re.search(r"resets at \d\d:\d\d:\d\d UTC", refused)
    # In the store: another process knows of it, and so does this one after a restart.
    again = assistant_app._limits(store, allowances_from(given))
    assert again is not None
    with pytest.raises(BudgetExceededError):
        again.admit("user:carla", "anything")
    store.close()


def test_without_limits_nothing_is_counted(tmp_path: Path) -> None:
    store = ConversationStore(data_dir=tmp_path)
    assert assistant_app._limits(store, allowances_from([])) is None
    store.close()
