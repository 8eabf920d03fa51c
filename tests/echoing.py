"""A client that answers at once, and conversations with turns that have ended, for what stands beside the chat."""

from __future__ import annotations

from typing import Any

import pytest

from assistant.chats import Chats

from .browser import ScriptedClient


@pytest.fixture
def client() -> ScriptedClient:
    made = ScriptedClient()
    made.echo = True
    return made


def said(chats: Chats, owner: str, text: str, **more: Any) -> str:
    """A conversation with one turn that has ended."""
    id = chats.create(owner).id
    assert chats.submit(owner, id, None, text, **more).wait(10)
    return id
