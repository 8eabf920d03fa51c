"""Helpers of the tests that drive the page: a client whose answers the test speaks itself, a served page, a browser."""

from __future__ import annotations

import os
import queue
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from assistant.catalog import ModelInfo
from assistant.chats import Chats
from assistant.clients.base import as_messages
from assistant.messages import Completed, Message, Notice, TokenCount, Usage
from assistant.reply import CancelToken, Reply
from assistant.store import ConversationStore

# How long a test waits for what must happen; never how long it sleeps. In ms, as playwright counts.
PATIENCE = 20_000


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
        return [self.model_info(name) for name in ("scripted-1", "scripted-2")]

    def model_info(self, model: str | None = None) -> ModelInfo:
        name = model or self.default_model
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
    """Chromium on the path, else playwright's own; where there is none the test is skipped, or fails in CI."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        found = shutil.which(name)
        if found:
            return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        if Path(playwright.chromium.executable_path).exists():
            return None
    say = "No Chromium: install one (apt-get install chromium) or run `playwright install chromium`."
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
]
