"""Helpers of the tests that drive the page: a client whose answers the test speaks itself, a served page, a browser."""

from __future__ import annotations

import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from assistant.catalog import ModelInfo, Price
from assistant.chats import Chats
from assistant.clients.base import as_messages
from assistant.messages import Completed, Message, Notice, TokenCount, Usage
from assistant.reply import CancelToken, Reply
from assistant.store import ConversationStore

# How long a test waits for what must happen; never how long it sleeps. In ms, as playwright counts.
PATIENCE = 20_000
expect.set_options(timeout=PATIENCE)

BOX = "#message textarea"
STOP = "button.stop-button"
SEND = "button.submit-button"
USER = "[data-testid=user]"
# Without the notes of ours and the line of tokens and cost beneath a reply.
BOT = "[data-testid=bot]:not(:has(.turn-cost))"

OpenPage = Callable[..., Page]


# A model that takes an effort and images, and neither temperature nor top_p.
THINKER = "thinker-1"


class Answer:
    """One request as the model sees it, answered word by word by the test."""

    def __init__(self, messages: list[Message], options: dict[str, Any]) -> None:
        self.messages = messages
        self.options = options
        self.cancelled = threading.Event()
        self._items: queue.Queue[Any] = queue.Queue()

    @property
    def text(self) -> str:
        return self.messages[-1].text

    def say(self, *items: Any) -> Answer:
        """Texts and events, in order."""
        for item in items:
            self._items.put(item)
        return self

    def finish(self, *items: Any, stop_reason: Any = "end_turn") -> None:
        self.say(*items, Completed(stop_reason, Usage(10, 20)))

    def fail(self, error: Exception) -> None:
        self._items.put(error)

    def source(self, token: CancelToken) -> Iterator[Any]:
        with token.waking(lambda: self._items.put(None)):
            while True:
                item = self._items.get()
                if token.cancelled or item is None:
                    self.cancelled.set()
                    return
                if isinstance(item, Exception):
                    raise item
                yield item
                if isinstance(item, Completed):
                    return


class ScriptedClient:
    """A ChatClient whose requests wait in `asked` for the test. With `echo` each is answered at once."""

    backend = "scripted"
    default_model = "scripted-1"
    description = "Scripted"

    def __init__(self) -> None:
        self.asked: queue.Queue[Answer] = queue.Queue()
        self.echo = False
        self.reason = Notice("asked_for", "asked for by name")

    def next(self) -> Answer:
        """The next request; waits for it."""
        return self.asked.get(timeout=PATIENCE / 1000)

    def stream(self, messages: Any, **options: Any) -> Reply:
        answer = Answer(as_messages(messages), options)

        def source(token: CancelToken) -> Iterator[Any]:
            if self.echo:
                answer.finish(f"You said: {answer.text}")
            self.asked.put(answer)
            yield from answer.source(token)

        return Reply(source, model=options.get("model") or self.default_model)

    def complete(self, messages: Any, **options: Any) -> Reply:
        reply = Reply(lambda token: iter([Completed("end_turn", Usage())]), model=self.default_model)
        return reply.drain()

    def models(self) -> list[ModelInfo]:
        return [self.model_info(name) for name in ("scripted-1", "scripted-2", THINKER)]

    def model_info(self, model: str | None = None) -> ModelInfo:
        name = model or self.default_model
        if name == THINKER:
            return ModelInfo(
                id=name,
                name=name,
                provider="Test",
                context_window=100_000,
                max_output=64_000,
                sampling="none",
                efforts=("low", "high"),
                images=True,
                legacy=True,
                price=Price(3.0, 15.0),
            )
        return ModelInfo(id=name, name=name, provider="Test", context_window=100_000)

    def count_tokens(self, messages: Any, **options: Any) -> TokenCount:
        return TokenCount(sum(len(message.text) for message in as_messages(messages)) // 4, exact=False)


class Served:
    """A page that is served in this process."""

    def __init__(self, demo: Any, chats: Chats, client: Any) -> None:
        self.demo = demo
        self.chats = chats
        self.client = client
        self.url = str(demo.local_url).rstrip("/")


@contextmanager
def serving(client: Any, directory: Path, **options: Any) -> Iterator[Served]:
    """The page for a client on a free port, its conversations in `directory`."""
    from assistant_app import build
    from assistant_app.launch import check_address, close, launch

    chats_options = {name: options.pop(name) for name in ("limits", "grace", "make_session") if name in options}
    chats = Chats(client, ConversationStore(data_dir=directory), **chats_options)
    demo = build(chats)
    launch(demo, port=check_address("127.0.0.1", 0), **options)
    try:
        yield Served(demo, chats, client)
    finally:
        chats.close()
        close(demo)


def chromium() -> str | None:
    """Chromium on the path, else playwright's own; where there is none the test is skipped, or fails in CI.

    Debian's headless shell is the same engine without the browser around it, and takes a third less CPU.
    """
    for name in ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        found = shutil.which(name)
        if found:
            return found
    with sync_playwright() as playwright:
        if Path(playwright.chromium.executable_path).exists():
            return None
    say = "No Chromium: install one (apt-get install chromium-headless-shell) or run `playwright install chromium`."
    if os.environ.get("ASSISTANT_REQUIRE_BROWSER"):
        pytest.fail(say)
    pytest.skip(say)


FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # One process for all pages of one visitor, as tabs share one, and none that only draws: a quarter less CPU a page.
    "--process-per-site",
    "--in-process-gpu",
]


# -- what tests do on a page -------------------------------------------------------------------------------


def open_settings(page: Page) -> None:
    """Opens the accordion and lets its fields be mounted: they get their values a frame after they are seen."""
    page.get_by_role("button", name="Model and settings").click()
    expect(page.locator("#system textarea")).to_be_visible()
    page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(r, 0))))")


def send(page: Page, text: str) -> None:
    expect(page.locator(BOX)).to_be_editable()
    expect(page.locator(SEND)).to_be_visible()
    page.fill(BOX, text)
    page.press(BOX, "Enter")


def usable(page: Page) -> None:
    """The next message can be typed and sent."""
    expect(page.locator(BOX)).to_be_editable()
    expect(page.locator(SEND)).to_be_visible()
    expect(page.locator(STOP)).to_have_count(0)


def turn(
    page: Page, client: ScriptedClient, text: str, reply: str, *, seen: str = "", stop_reason: str = "end_turn"
) -> None:
    """A whole turn, seen to its end; `seen` is what Markdown makes of the reply, or a part of it."""
    send(page, text)
    client.next().finish(reply, stop_reason=stop_reason)
    expect(page.locator(BOT, has_text=seen or reply).last).to_be_visible()
    usable(page)


def conversation_of(page: Page) -> str:
    return parse_qs(urlsplit(page.url).query).get("c", [""])[0]


def texts(page: Page, role: str) -> list[str]:
    return [text.strip() for text in page.locator(role).all_inner_texts()]


# -- for the fixtures of conftest.py -----------------------------------------------------------------------


@contextmanager
def launched() -> Iterator[Browser]:
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


# By language, width, colours and number.
Visitors = dict[tuple[str, int, str, int], BrowserContext]


@contextmanager
def opening(browser: Browser, served: Served, visitors: Visitors) -> Iterator[OpenPage]:
    """Opens the page as a new visitor, or with `beside` in a further tab of the same one; ready to be typed into."""
    used: list[BrowserContext] = []

    def context_for(locale: str, width: int, colours: Any) -> BrowserContext:
        key = locale, width, colours, len(used)
        if key not in visitors:
            visitors[key] = browser.new_context(
                locale=locale, viewport={"width": width, "height": 800}, color_scheme=colours
            )
            # Stays open, and with it the process that has compiled the page's scripts.
            visitors[key].new_page().goto(f"{served.url}/favicon.ico")
        used.append(visitors[key])
        return visitors[key]

    def open_one(
        *,
        locale: str = "en-US",
        width: int = 1280,
        colours: str = "light",
        path: str = "/",
        beside: Page | None = None,
        url: str = "",
    ) -> Page:
        page = (context_for(locale, width, colours) if beside is None else beside.context).new_page()
        page.set_default_timeout(PATIENCE)
        page.goto((url or served.url) + path)
        loaded(page)
        return page

    yield open_one
    for context in used:
        for page in context.pages[1:]:
            page.close()
        context.clear_cookies()


def loaded(page: Page) -> None:
    # Set by the last step of loading: what is typed or clicked before it may be drawn over.
    expect(page.locator("html[data-loaded]")).to_be_visible()
    expect(page.locator(".assistant-status")).to_be_visible()
    expect(page.locator(BOX)).to_be_visible()
