"""A page with a stored conversation, and a visitor who needs no browser."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.load import config_of
from benchmarks.visitor import Visitor
from tests.browser import ScriptedClient, Served, serving

OWNER = "a" * 32


@contextmanager
def page(directory: Path, turns: int) -> Iterator[tuple[Served, str]]:
    client = ScriptedClient()
    client.echo = True
    with serving(client, directory) as served:
        owner = f"cookie:{OWNER}"
        conversation, after = served.chats.create(owner).id, None
        for number in range(turns):
            run = served.chats.submit(owner, conversation, after, f"question {number}")
            assert run.wait(20)
            after = run.turn_id
        yield served, conversation


def visit(served: Served, conversation: str, what: Callable[[Visitor], Awaitable[None]], **options: Any) -> Visitor:
    async def go() -> Visitor:
        host, port = served.url.split("//")[1].split(":")
        visitor = Visitor(
            await config_of(host, int(port)), host, int(port), owner=OWNER, conversation=conversation, **options
        )
        try:
            await visitor.load()
            await what(visitor)
        finally:
            await visitor.close()
        return visitor

    return asyncio.run(go())


def texts(visitor: Visitor) -> list[str]:
    return [each["content"][0]["text"] for each in visitor.messages]
