"""What is known of a tab, and for how long."""

from __future__ import annotations

from assistant_app.chat import Chat

from . import listeners
from .listeners import request_of

client, chats, chat = listeners.client, listeners.chats, listeners.chat


def test_tabs_are_forgotten_when_they_close(chat: Chat) -> None:
    tab = chat.tabs.of("s")
    assert chat.tabs.of("s") is tab
    chat.unload(request_of(session="s"))
    assert tab.gone
    assert len(chat.tabs) == 0
