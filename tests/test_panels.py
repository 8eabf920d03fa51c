"""The panels without a browser: whose they are."""

from __future__ import annotations

import asyncio

from assistant.chats import Chats
from assistant_app.cost import Costs
from assistant_app.identity import owner_of
from assistant_app.memory_panel import MemoryPanel

from . import echoing, listeners
from .echoing import said
from .listeners import request_of

client, chats = echoing.client, listeners.chats


def test_the_panels_of_an_empty_or_foreign_conversation_show_nothing_of_it(chats: Chats) -> None:
    id = said(chats, owner_of(request_of()), "my secret")
    theirs = request_of("b" * 32, session="t")
    for conversation in ("", "no such", id):
        assert "secret" not in str(asyncio.run(MemoryPanel(chats).show(conversation, theirs)))
        assert "30 days" in asyncio.run(Costs(chats).show(conversation, theirs))
    for conversation in ("", id):
        asyncio.run(MemoryPanel(chats).forget(conversation, theirs))
        asyncio.run(MemoryPanel(chats).save(conversation, "evil", 1.0, theirs))
        asyncio.run(MemoryPanel(chats).unpin("x", conversation, theirs))
    assert "secret" in asyncio.run(MemoryPanel(chats).show(id, request_of()))[0]
