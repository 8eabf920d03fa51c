"""How a turn gets onto a page, where something comes between."""

from __future__ import annotations

import asyncio
from typing import Any

import gradio as gr
import pytest

from assistant_app import show
from assistant_app.chat import Chat
from assistant_app.frames import TURN
from assistant_app.identity import owner_of

from . import listeners
from .browser import ScriptedClient
from .listeners import drawn, request_of, said

client, chats, chat = listeners.client, listeners.chats, listeners.chat


def test_a_bug_while_a_reply_is_drawn_frees_the_page(
    chat: Chat, client: ScriptedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.echo = True
    monkeypatch.setattr(show, "live", lambda *_: 1 / 0)
    last = said(chat, "hi")[-1]
    assert "Something went wrong." in last["notice"]
    assert last["textbox"]["interactive"]


@pytest.mark.parametrize(
    ("intent", "told"),
    [
        ("send", "Tu mensaje no se envió.** Mira lo nuevo y envíalo otra vez; tu texto se conserva."),
        ("retry", "No se pidió otra respuesta.** Mira lo nuevo y reinténtalo si todavía quieres."),
        ("edit", "Tu cambio no se envió.** Mira lo nuevo; el texto que escribiste está en el cuadro de mensaje."),
        ("undo", "No se deshizo nada.** Mira lo nuevo y deshazlo si todavía quieres."),
        ("continue", "La respuesta no se continuó.** Mira lo nuevo."),
    ],
)
def test_a_page_that_has_not_seen_the_last_turn_changes_nothing(
    chat: Chat, client: ScriptedClient, intent: str, told: str
) -> None:
    client.echo = True
    assert said(chat, "one", request=request_of(session="stale"))
    conversation = chat.tabs.of("stale").conversation
    shown = show.conversation(chat.chats.open(owner_of(request_of()), conversation).turns, "en")
    assert said(chat, "two", shown, conversation=conversation, request=request_of(session="other"))
    request = request_of(session="stale", language="es")
    frames: Any
    if intent == "undo":
        frames = [dict(zip(TURN, asyncio.run(chat.undo(conversation, shown, "", request)), strict=True))]
    elif intent == "continue":
        frames = drawn(chat.go_on(conversation, request, *[None] * 6))
    elif intent == "edit":
        edited = gr.EditData(None, {"index": 0, "value": "three", "previous_value": "one"})
        frames = drawn(chat.edit(shown, conversation, request, edited, *[None] * 6))
    elif intent == "retry":
        again = {**show.said("one"), "metadata": {"id": show.named(shown[0])}}
        frames = drawn(chat.say("one", [again], conversation, intent, "", request, *[None] * 6))
    else:
        frames = said(chat, "three", shown, conversation=conversation, request=request)
    (refused,) = [each for each in frames if isinstance(each.get("notice"), str) and each["notice"]]
    assert refused["notice"].startswith(f"**Esta conversación continuó en otra pestaña. {told}")
    assert [turn.user for turn in chat.chats.open(owner_of(request), conversation).turns] == ["one", "two"]
    # What is stored is drawn; what was typed is back in its box, and what is in the box stays there.
    assert "two" in str(refused["chat"])
    if intent in ("send", "edit"):
        assert refused["textbox"]["value"] == "three"
    else:
        assert "value" not in (refused.get("textbox") or {})


def test_what_a_second_tab_sends_meanwhile_is_in_its_box_whatever_it_draws_first(
    chat: Chat, client: ScriptedClient
) -> None:
    tab = request_of(session="tab")
    owner = owner_of(tab)
    run = chat.chats.submit(owner, chat.chats.create(owner).id, None, "Count")
    answer = client.next()
    answer.say("one, ")

    async def send() -> list[Any]:
        frames = []
        chosen = (run.conversation_id, "send", "", tab, *[None] * 6)
        async for frame in chat.say("Me too", [show.said("Me too")], *chosen):
            frames.append(frame)
            if len(frames) == 2:
                answer.finish("two.")
        return frames

    boxes = [frame[TURN.index("textbox")] for frame in asyncio.run(send())]
    assert [each["value"] for each in boxes if each != gr.skip()] == ["Me too"] * 3
    assert [each["interactive"] for each in boxes if each != gr.skip()] == [True, False, True]


def test_a_reply_that_ends_while_a_second_tab_is_opening_is_drawn_to_its_end(
    chat: Chat, client: ScriptedClient
) -> None:
    tab = request_of(session="tab")
    owner = owner_of(tab)
    run = chat.chats.submit(owner, chat.chats.create(owner).id, None, "Count")
    answer = client.next()
    answer.say("one, ")

    async def look() -> list[Any]:
        await chat.open(run.conversation_id, tab)
        answer.finish("two.")
        await asyncio.to_thread(run.wait, 10)
        return [frame async for frame in chat.attach(run.conversation_id, tab)]

    frames = asyncio.run(look())
    assert [each["content"][0]["text"] for each in frames[-1][TURN.index("chat")]][:2] == ["Count", "one, two."]
