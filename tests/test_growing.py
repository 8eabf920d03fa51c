"""Growing: words of a reply that reach the page without a frame of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import ThrottledError
from assistant.messages import Retrying
from assistant_app import show
from assistant_app.light import Page
from benchmarks.visitor import Visitor
from tests.visiting import page, texts, visit

WORDS = [f"word-{number} " for number in range(6)]


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was drawn the long way."""
    drawn: list[Any] = []
    whole = Page.postprocess_data

    async def counted(self: Page, block_fn: Any, predictions: Any, state: Any) -> Any:
        drawn.append(block_fn.fn.__name__)
        return await whole(self, block_fn, predictions, state)

    monkeypatch.setattr(Page, "postprocess_data", counted)
    return drawn


@pytest.mark.parametrize("plain", [False, True])
def test_only_the_first_words_and_the_end_of_a_reply_are_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: list[Any], plain: bool
) -> None:
    if plain:
        monkeypatch.setenv("ASSISTANT_PLAIN_CHATBOT", "1")
    # With nothing beneath it the reply stays the last message: the frame at the end adds to it.
    monkeypatch.setattr(show, "footer", lambda *_: "")
    with page(tmp_path, 1) as (served, conversation):
        served.client.echo = False
        while not served.client.asked.empty():
            served.client.asked.get_nowait()
        heard: list[str] = []
        came = asyncio.Event()

        def hear(text: str) -> None:
            heard.append(text)
            came.set()

        async def talk(visitor: Visitor) -> None:
            frames.clear()
            heard.clear()
            sending = asyncio.ensure_future(visitor.submit("hola"))
            answer = await asyncio.to_thread(served.client.next)
            for word in WORDS:
                came.clear()
                answer.say(word)
                await asyncio.wait_for(came.wait(), 20)
            answer.finish()
            await sending

        visitor = visit(served, conversation, talk, heard=hear)
        whole = "".join(WORDS)
        # Each piece once: what was sent in between is known to the frame at the end.
        assert "".join(heard) == whole
        assert whole in texts(visitor)
        # The first words, the end, and what Gradio sends when a listener has ended.
        assert frames.count("say") == (len(WORDS) + 2 if plain else 3)


def test_a_frame_in_between_shows_what_was_added_before_it(tmp_path: Path, frames: list[Any]) -> None:
    with page(tmp_path, 1) as (served, conversation):
        served.client.echo = False
        while not served.client.asked.empty():
            served.client.asked.get_nowait()
        seen: list[list[str]] = []
        came = asyncio.Event()

        async def talk(visitor: Visitor) -> None:
            take = visitor._take

            async def taken(listener: Any, output: Any) -> None:
                await take(listener, output)
                seen.append(texts(visitor))
                came.set()

            visitor._take = taken  # type: ignore[method-assign]
            sending = asyncio.ensure_future(visitor.submit("hola"))
            answer = await asyncio.to_thread(served.client.next)
            wait = Retrying(1, 30.0, ThrottledError("slow down"))
            for item, there in (("uno ", "uno "), ("dos ", "uno dos "), (wait, ""), ("tres", "uno dos tres")):
                answer.say(item)
                while not (seen and there in seen[-1]):
                    came.clear()
                    await asyncio.wait_for(came.wait(), 20)
                assert any(text.startswith("uno ") for text in seen[-1])
            answer.finish()
            await sending

        visitor = visit(served, conversation, talk)
        assert "uno dos tres" in texts(visitor)
