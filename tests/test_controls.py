"""Model and settings: presets of one owner, and what is said of a model."""

from __future__ import annotations

import asyncio

import pytest

from assistant.chats import Chats
from assistant_app import phrases, words
from assistant_app.controls import Controls
from assistant_app.header import Header

from . import echoing, listeners
from .browser import ScriptedClient
from .listeners import request_of

client, chats = echoing.client, listeners.chats


def test_a_preset_of_another_owner_is_none(chats: Chats, client: ScriptedClient) -> None:
    controls = Controls(chats, Header(client))
    mine, theirs = request_of(), request_of("b" * 32)
    dropdown, _, note = asyncio.run(controls.save("Poet", "m", 0.5, None, None, "Rhyme.", None, mine))
    assert "Poet" in note
    assert asyncio.run(controls.pick(dropdown.value, "m", mine))[4] == "Rhyme."
    assert "Rhyme." not in str(asyncio.run(controls.pick(dropdown.value, "m", theirs)))
    asyncio.run(controls.delete(dropdown.value, theirs))
    assert asyncio.run(controls.pick(dropdown.value, "m", mine))[4] == "Rhyme."
    for odd in (None, "", "task:nothing", "no such id"):
        assert "Rhyme" not in str(asyncio.run(controls.pick(odd, "m", mine)))


@pytest.mark.parametrize("name", words.EXAMPLES)
def test_each_of_the_three_tasks_is_a_preset(chats: Chats, client: ScriptedClient, name: str) -> None:
    controls = Controls(chats, Header(client))
    values = asyncio.run(controls.pick(f"task:{name}", "mine", request_of(language="es")))
    assert values[0] == "mine"
    assert values[4] == phrases.TABLE[f"preset.{name}.text"][1]


def test_a_model_that_was_only_begun_is_said_not_to_be_in_the_list(chats: Chats, client: ScriptedClient) -> None:
    listed = Header(client)
    listed.refresh()
    controls = Controls(chats, listed)
    for name, seen in (("", True), ("scripted-2", True), ("script", False)):
        _, told, *_ = asyncio.run(controls.fit(name, request_of()))
        assert told.info.startswith("From the list" if seen else "“script” is not in the list")
