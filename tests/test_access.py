"""Options: who gets in, by what secret, and within which limits."""

from __future__ import annotations

import asyncio
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from gradio_client import Client

import assistant_app
from assistant.errors import BudgetExceededError
from assistant.limits import Allowance
from assistant.store import ConversationStore
from assistant_app.access import SHARED, access_from, allowances_from, secret_from
from assistant_app.gate import Access, UserHeader
from assistant_app.login import HashedAccounts, Login

from .logins import CHEAP, ROOT, SECRET, chatting


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


# -- the secret --------------------------------------------------------------------------------------------


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


# -- limits ------------------------------------------------------------------------------------------------


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
