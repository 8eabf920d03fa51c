"""Two processes on one PostgreSQL behind nginx, set up as docs/deploy.md says: one is killed, the page goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from assistant.store import ConversationStore
from assistant_app.launch import check_address

from .bedrock_server import BedrockServer, Recorded, Reply
from .browser import FLAGS, PATIENCE, chromium
from .logins import CHEAP
from .nginx import GUIDE, blocks, nginx
from .postgres import Postgres

ROOT = Path(__file__).parent.parent

BOX = "#message textarea"
BOT = "[data-testid=bot]"
CONTINUE = "#continue"


# -- from the guide ----------------------------------------------------------------------------------------


def environment(**values: str) -> dict[str, str]:
    """The guide's variables with the test's values; those that it gives and the guide does not are a mistake."""
    shown = dict(line.split("=", 1) for line in blocks("ini")[0].splitlines())
    assert set(values) <= set(shown), "the guide leaves something out"
    return {**shown, **values}


def command(port: int, data: Path) -> list[str]:
    """What systemd would start, with the interpreter that runs the tests."""
    (unit,) = blocks("systemd")
    (line,) = re.findall(r"^ExecStart=/opt/assistant/bin/assistant (.*)$", unit, re.MULTILINE)
    arguments = line.replace("%i", str(port)).replace("/var/lib/assistant", str(data)).split()
    return [sys.executable, "-m", "assistant", *arguments]


def test_every_option_and_variable_of_the_guide_exists() -> None:
    from assistant.cli import serve

    options = {name for parameter in serve.params for name in (*parameter.opts, *parameter.secondary_opts)}
    variables = {str(parameter.envvar) for parameter in serve.params}
    text = GUIDE.replace("--format", "").replace("--clean", "").replace("--dbname", "")
    text = re.sub(r"--(system|group|home|owner|now)\b", "", text)
    assert set(re.findall(r"--[a-z][a-z-]+", text)) <= options
    assert set(re.findall(r"ASSISTANT_[A-Z_]+", text)) <= variables


def test_the_guide_s_numbers_are_the_program_s() -> None:
    from assistant_app.access import SHARED
    from assistant_app.guard import MAX_BODY, UPLOADS_EACH, UPLOADS_IN_ALL
    from assistant_app.launch import MAX_FILE, MAX_UPLOAD

    for scope, allowance in SHARED.items():
        row = (
            f"| {scope} | {allowance.messages_per_minute} | {allowance.tokens_per_day:,} | {allowance.usd_per_day:g} |"
        )
        assert row in GUIDE
    sizes = [size // 2**20 for size in (MAX_FILE, MAX_UPLOAD, UPLOADS_EACH, UPLOADS_IN_ALL)]
    assert sizes[:3] == [5, 50, 500]
    assert "5 MB a file, 50 MB at once, 500 MB a day for each user and 5 GB" in GUIDE
    assert sizes[3] == 5 * 1024
    assert f"client_max_body_size {max(sizes[1], MAX_BODY // 2**20) + 1}m" in GUIDE


# -- the set-up --------------------------------------------------------------------------------------------


def wait_for(what: Callable[[], Any], process: subprocess.Popen[str] | None = None) -> Any:
    """Asks again until there is an answer, but not for a process that has ended."""
    deadline = time.monotonic() + PATIENCE / 1000 * 10
    while True:
        try:
            found = what()
        except httpx.HTTPError:
            found = None
        if found:
            return found
        assert time.monotonic() < deadline, "waited in vain"
        assert process is None or process.poll() is None, "the process has ended"
        time.sleep(0.05)


@dataclass
class Replica:
    """One process, and the Bedrock that it alone talks to: so one can see who answers."""

    port: int
    bedrock: BedrockServer
    process: subprocess.Popen[str]
    asked: list[Recorded] = field(default_factory=list)


@contextmanager
def replica(port: int, directory: Path, variables: dict[str, str], answer: Callable[..., Reply]) -> Iterator[Replica]:
    with BedrockServer() as bedrock:
        process = subprocess.Popen(
            command(port, directory),
            cwd=ROOT,
            env={**os.environ, **variables, **bedrock.env},
            stdout=subprocess.DEVNULL,
            stderr=(directory / "errors").open("w"),
            text=True,
        )
        made = Replica(port, bedrock, process)

        def scripted(request: Recorded) -> Reply:
            made.asked.append(request)
            return answer(request)

        bedrock.default = scripted
        try:
            yield made
        finally:
            process.kill()
            process.wait()


@dataclass
class Cluster:
    url: str
    replicas: list[Replica]
    store: ConversationStore
    go_on: threading.Event


@pytest.fixture
def cluster(tmp_path: Path, postgres: Postgres) -> Iterator[Cluster]:
    """Everything of the guide at once. The first answer stops after three words until `go_on`."""
    go_on = threading.Event()

    def answer(request: Recorded) -> Reply:
        said = str(request.body["messages"])
        if "Count" in said and "Go on" not in said and "two, three" not in said:
            return Reply(deltas=["one, ", "two, ", "three, ", "never"], gate=go_on, gate_after=3)
        return Reply("four." if "two, three" in said and "thanks" not in said else "You are welcome.")

    # Without tables: both processes make them, at the same time.
    database = postgres.empty()
    (tmp_path / "users").write_text(f"ana:{CHEAP.hash('correct horse')}\n")
    variables = environment(
        ASSISTANT_DATABASE_URL=database,
        ASSISTANT_SECRET="the same for both of them",
        ASSISTANT_AUTH_FILE=str(tmp_path / "users"),
    )
    variables["ASSISTANT_LEASE"] = "3"
    ports = [check_address("127.0.0.1", 0) for _ in range(3)]
    with ExitStack() as stack:
        replicas = []
        for number, port in enumerate(ports[1:]):
            (tmp_path / str(number)).mkdir()
            replicas.append(stack.enter_context(replica(port, tmp_path / str(number), variables, answer)))
        (tmp_path / "nginx").mkdir()
        try:
            stack.enter_context(nginx(tmp_path / "nginx", ports[0], ports[1:]))
        except FileNotFoundError as error:
            (pytest.fail if os.environ.get("ASSISTANT_REQUIRE_BROWSER") else pytest.skip)(str(error))
        # One client for all: each would load the certificate authorities anew.
        http = stack.enter_context(httpx.Client(verify=False))
        for each in replicas:
            wait_for(lambda each=each: http.get(f"http://127.0.0.1:{each.port}/login").is_success, each.process)
        url = f"http://127.0.0.1:{ports[0]}"
        wait_for(lambda: http.get(f"{url}/login").is_success)
        store = ConversationStore(database)
        try:
            yield Cluster(url, replicas, store, go_on)
        finally:
            go_on.set()
            store.close()


def stored(cluster: Cluster) -> list[Any]:
    found = cluster.store.list("user:ana")
    return cluster.store.get("user:ana", found[0].id).turns if found else []


def sign_in(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_label("User").fill("ana")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("html[data-loaded]")).to_be_visible()


def send(page: Page, text: str) -> None:
    expect(page.locator(BOX)).to_be_editable()
    page.fill(BOX, text)
    page.press(BOX, "Enter")


# -- the point of it ---------------------------------------------------------------------------------------


@pytest.mark.timeout(600)
def test_a_process_is_killed_in_the_middle_of_a_reply_and_the_page_goes_on_with_the_other(cluster: Cluster) -> None:
    expect.set_options(timeout=PATIENCE * 4)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(locale="en-US")
        sign_in(page, cluster.url)
        send(page, "Count")
        expect(page.locator(BOT, has_text="one, two, three,").last).to_be_visible()
        conversation = re.search(r"c=(\w+)", page.url)
        assert conversation is not None
        wait_for(lambda: [turn.reply for turn in stored(cluster)] == ["one, two, three, "])

        (killed,) = (each for each in cluster.replicas if each.asked)
        (left,) = (each for each in cluster.replicas if each is not killed)
        killed.process.send_signal(signal.SIGKILL)

        # Nobody touches the page: it finds the other process, is signed in there, and has all that was said.
        expect(page.locator(CONTINUE)).to_be_visible()
        assert conversation[1] in page.url
        expect(page.locator(BOT, has_text="one, two, three,").last).to_be_visible()
        (turn,) = stored(cluster)
        assert (turn.user, turn.reply, turn.stop_reason) == ("Count", "one, two, three, ", "interrupted")
        assert left.asked == []

        page.locator(CONTINUE).click()
        expect(page.locator(BOT, has_text="one, two, three, four.").last).to_be_visible()
        send(page, "thanks")
        expect(page.locator(BOT, has_text="You are welcome.").last).to_be_visible()
        browser.close()
    said = next(text for request in left.asked if "thanks" in (text := str(request.body["messages"])))
    assert "one, two, three, four." in said
    wait_for(lambda: [turn.stop_reason for turn in stored(cluster)] == ["end_turn", "end_turn"])
    assert [turn.reply for turn in stored(cluster)] == ["one, two, three, four.", "You are welcome."]
