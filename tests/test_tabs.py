"""What is known of a tab, and for how long."""

from __future__ import annotations

import asyncio

from assistant.documents import Document
from assistant_app import words
from assistant_app.attachments import place_of
from assistant_app.chat import Chat

from . import listeners
from .listeners import request_of

client, chats, chat = listeners.client, listeners.chats, listeners.chat


def test_tabs_are_forgotten_when_they_close(chat: Chat) -> None:
    tab = chat.tabs.of("s")
    assert chat.tabs.of("s") is tab
    asyncio.run(chat.unload(request_of(session="s")))
    assert tab.gone
    assert len(chat.tabs) == 0


def test_what_was_attached_comes_along_to_the_page_that_is_loaded_anew_or_is_said_to_be_gone(chat: Chat) -> None:
    notes = Document.from_text("The code is 1234.", "notes.txt")

    async def loaded(left: str) -> tuple[str, str]:
        chat.waiting.add(place_of(request_of(session="old")), [notes])
        await chat.unload(request_of(session="old"))
        drawn = await chat.open("", request_of(session=f"after {left}"), left)
        return drawn["attached"], drawn["notice"]

    assert asyncio.run(loaded("")) == ("", "")
    assert asyncio.run(loaded("old")) == (notes.id, "")
    assert asyncio.run(loaded("another")) == ("", words.say("attach.gone", "en"))
