"""Chats on a database of either kind, with scripted models and a clock that is set by hand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any, cast

from assistant.catalog import ModelInfo
from assistant.chats import Chats, Run, Update
from assistant.clients.base import as_messages
from assistant.errors import ServiceError, ThrottledError
from assistant.messages import Completed, Message, TokenCount, Usage
from assistant.reply import CancelToken, Reply, SourceItem
from assistant.store import ConversationStore
from tests.databases import Database, Lock

LEASE = 15.0

USAGE = Usage(3, 2, cost=0.5)
END = Completed("end_turn", USAGE, "end_turn")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Gate:
    """Where a scripted reply waits, as a socket would: until it is opened, or the reply is cancelled."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def open(self) -> None:
        self.opened.set()


Step = SourceItem | Gate | BaseException


class Scripted:
    """A client that answers with what it is given, in order, and keeps what it was asked."""

    default_model = "m"

    def __init__(self, *scripts: Sequence[Step]) -> None:
        self.scripts = list(scripts)
        self.asked: list[list[Message]] = []
        self.given: list[dict[str, Any]] = []

    def model_info(self, model: str | None = None) -> ModelInfo:
        return ModelInfo(model or "m", "M", "test", context_window=100_000, prefill=True)

    def models(self) -> list[ModelInfo]:
        return [self.model_info()]

    def count_tokens(self, messages: Any, *, model: str | None = None, system: str | None = None) -> TokenCount:
        return TokenCount(1, False)

    def stream(self, messages: Any, *, model: str | None = None, **given: Any) -> Reply:
        script = self.scripts.pop(0) if self.scripts else ("ok", END)
        self.asked.append(as_messages(messages))
        self.given.append({"model": model, **{name: value for name, value in given.items() if value}})
        if isinstance(script[0], BaseException) and not isinstance(script[0], (ServiceError, ThrottledError)):
            raise script[0]

        def source(token: CancelToken) -> Iterator[SourceItem]:
            for step in script:
                if isinstance(step, Gate):
                    with token.waking(step.open):
                        step.reached.set()
                        assert step.opened.wait(30)
                    if token.cancelled:
                        raise OSError("the socket was shut down")
                elif isinstance(step, BaseException):
                    raise step
                else:
                    yield step

        return Reply(source, model=model or "m")

    def complete(self, messages: Any, **given: Any) -> Reply:
        return self.stream(messages, **given).drain()


class Place:
    """A database, a clock, and any number of processes' worth of Chats on it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = Clock()
        self.open: list[Chats] = []

    def chats(self, client: Scripted | None = None, *, busy_timeout: float = 0.05, **options: Any) -> Chats:
        store = ConversationStore(self.database.url, clock=self.clock, busy_timeout=busy_timeout)
        # The saver's own thread sleeps throughout: tick() is called by hand.
        options = {"save_every": 3600, "lease": LEASE, "clock": self.clock, **options}
        chats = Chats(cast(Any, client or Scripted()), store, **options)
        self.open.append(chats)
        return chats

    def breaking(self) -> Lock:
        """Nobody can write until it is closed."""
        return self.database.locked()

    def run(self, statement: str) -> list[Any]:
        return self.database.run(statement)


def say(chats: Chats, id: str, after: str | None, text: str, **options: Any) -> Run:
    run = chats.submit("ana", id, after, text, **options)
    assert run.wait(30)
    return run


def turns(chats: Chats, id: str) -> list[tuple[str, str | None, str | None]]:
    return [(turn.user, turn.reply, turn.stop_reason) for turn in chats.open("ana", id).turns]


def last(run: Run) -> Update:
    assert run.wait(30)
    return run.snapshot()


def close(place: Place) -> None:
    for chats in place.open:
        chats.close()
        chats.store.close()


def collected(run: Run, interval: float = 0.0) -> list[Update]:
    async def watch() -> list[Update]:
        return [update async for update in run.updates(interval)]

    return asyncio.run(watch())
