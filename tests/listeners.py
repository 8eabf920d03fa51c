"""The page's listeners without Gradio: a chat over a scripted client, a visitor's requests, and what is drawn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from assistant.chats import Chats
from assistant.store import ConversationStore
from assistant_app import show
from assistant_app.chat import Chat
from assistant_app.frames import TURN
from assistant_app.header import Header
from assistant_app.identity import COOKIE

from .browser import ScriptedClient


def request_of(owner: str = "a" * 32, session: str = "s", language: str = "en") -> Any:
    headers = {"accept-language": language}
    return SimpleNamespace(username=None, cookies={COOKIE: owner}, session_hash=session, headers=headers)


@pytest.fixture
def client() -> ScriptedClient:
    return ScriptedClient()


@pytest.fixture
def chats(client: ScriptedClient, tmp_path: Path) -> Iterator[Chats]:
    made = Chats(client, ConversationStore(data_dir=tmp_path), grace=None)
    yield made
    made.close()


@pytest.fixture
def chat(chats: Chats, client: ScriptedClient) -> Chat:
    return Chat(chats, Header(client))


async def _drain(updates: Any) -> list[Any]:
    return [each async for each in updates]


def answers(chat: Chat, text: Any, **given: Any) -> list[Any]:
    """What a script gets."""
    given.setdefault("request", request_of())
    return asyncio.run(_drain(chat.chat(text, **given)))


def drawn(updates: Any) -> list[dict[str, Any]]:
    """What a page gets of a turn, by the names of its parts; what is left as it is is left out."""

    async def drain() -> list[dict[str, Any]]:
        return [
            {name: value for name, value in zip(TURN, each, strict=True) if value != gr.skip()}
            async for each in updates
        ]

    return asyncio.run(drain())


def said(chat: Chat, text: Any, history: Any = (), **given: Any) -> list[dict[str, Any]]:
    """A page sends a text behind what it shows."""
    request = given.pop("request", request_of())
    conversation, intent = given.pop("conversation", ""), given.pop("intent", "send")
    return drawn(chat.say(text, [*history, show.said(text)], conversation, intent, "", request, *[None] * 6))
