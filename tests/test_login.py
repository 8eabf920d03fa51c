"""Login: passwords, files of users, and tickets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import httpx
import pytest
from click.testing import CliRunner

from assistant.cli import cli
from assistant_app import login
from assistant_app.access import secret_from
from assistant_app.gate import Access
from assistant_app.login import WAITING, Account, HashedAccounts, Login, OneAccount, account_of, random_account

from .logins import CHEAP, chatting, users_file

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


# -- over HTTP ---------------------------------------------------------------------------------------------


def test_a_login_outlives_the_server(tmp_path: Path) -> None:
    cookies = {}
    for _ in range(2):
        access = Access(Login(OneAccount(Account("ana", "x")), secret_from(None, tmp_path)))
        with chatting(tmp_path, access=access) as served:
            if not cookies:
                cookies = dict(httpx.post(f"{served.url}/login", data={"username": "ana", "password": "x"}).cookies)
            assert httpx.get(f"{served.url}/config", cookies=cookies).json()["username"] == "ana"
