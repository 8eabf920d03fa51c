"""What the model is sent of a conversation, seen and changed: summary, turns, documents, each with its tokens."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from assistant.chats import Chats

from . import words
from .drawing import explained
from .figures import number
from .identity import owner_of

# Of a turn or a document, in characters.
_SHOWN = 90

# Where the slider begins and, unless a limit is higher, ends; in tokens.
LOWEST, HIGHEST = 128, 16_384


class Limit(gr.Slider):
    """Hands over whatever number it is given: Gradio would refuse one beyond the ends in words of its own."""

    def get_block_name(self) -> str:
        return "slider"

    def preprocess(self, payload: float) -> float:
        return payload


class MemoryPanel:
    """The listeners of the panel. None raises. All of them return what is seen, the summary, the limit, and a word."""

    def __init__(self, chats: Chats) -> None:
        self.chats = chats

    async def show(self, conversation: str, request: gr.Request) -> list[Any]:
        return await self._done(conversation, request, lambda owner: None, "")

    async def save(self, conversation: str, summary: str, limit: float | None, request: gr.Request) -> list[Any]:
        """Keeps a summary and a limit that were edited; what was not changed is left alone."""

        def change(owner: str) -> None:
            seen = self.chats.memory(owner, conversation)
            wanted = int(limit) if isinstance(limit, (int, float)) and limit == limit and abs(limit) < 1e12 else None
            if wanted is not None and (seen is None or wanted != seen.limit):
                self.chats.set_memory_limit(owner, conversation, wanted)
            if seen is not None and str(summary or "") != seen.summary:
                self.chats.set_summary(owner, conversation, str(summary or ""))

        return await self._done(conversation, request, change, "memory.saved")

    async def forget(self, conversation: str, request: gr.Request) -> list[Any]:
        """Summary and turns are no longer sent; the transcript stays."""
        return await self._done(
            conversation, request, lambda owner: self.chats.forget_memory(owner, conversation), "memory.forgotten"
        )

    async def unpin(self, document: str, conversation: str, request: gr.Request) -> list[Any]:
        """A document is no longer sent."""
        return await self._done(
            conversation, request, lambda owner: self.chats.unpin(owner, conversation, str(document)), ""
        )

    async def _done(
        self, conversation: str, request: gr.Request, change: Callable[[str], None], word: str
    ) -> list[Any]:
        language, owner = words.reader(request), owner_of(request)
        said = words.say(word, language) if word else ""
        try:
            await asyncio.to_thread(change, owner)
        except Exception as error:
            said = explained(error, language)
        try:
            seen = await asyncio.to_thread(self.chats.memory, owner, conversation)
        except Exception as error:
            return ["", gr.skip(), gr.skip(), explained(error, language)]
        if seen is None:
            return [f"<p>{html.escape(words.say('memory.empty', language))}</p>", "", gr.skip(), said]
        limit = gr.update(value=seen.limit, maximum=max(HIGHEST, seen.limit or 0))
        return [drawn(seen, language), seen.summary, limit, said]


def drawn(seen: Any, language: str) -> str:
    """A gauge, then what is sent, with the tokens of each."""
    parts = [_gauge(seen.tokens, seen.limit, language)]
    if seen.problem and seen.tokens > seen.limit:
        title, said = (html.escape(words.say(key, language)) for key in ("chat.details", "memory.problem"))
        details = f"<details><summary>{title}</summary><pre>{html.escape(seen.problem)}</pre></details>"
        parts.append(f"<p>{said}</p>{details}")
    if seen.summary:
        tokens = words.say("memory.tokens", language, tokens=number(seen.summary_tokens))
        title = html.escape(words.say("memory.summary", language))
        parts.append(f"<h2>{title} <small>{html.escape(tokens)}</small></h2>")
    parts.append(_list("memory.documents", seen.documents, language, removable=True))
    parts.append(_list("memory.turns", seen.turns, language))
    return f'<div class="memory">{"".join(parts)}</div>'


def _gauge(tokens: int, limit: int, language: str) -> str:
    share = min(100, round(100 * tokens / limit)) if limit else 100
    said = html.escape(words.say("memory.gauge", language, tokens=number(tokens), limit=number(limit)))
    full = " full" if tokens > limit else ""
    return (
        f'<p class="memory-said">{said}</p><div class="memory-gauge{full}" role="meter" aria-valuemin="0" '
        f'aria-valuemax="{limit}" aria-valuenow="{min(tokens, limit)}" aria-label="{said}">'
        f'<div style="width:{share}%"></div></div>'
    )


def _list(key: str, items: Sequence[Any], language: str, *, removable: bool = False) -> str:
    if removable and not items:
        return ""
    rows = "".join(_item(each, language, removable) for each in items)
    none = f"<li>{html.escape(words.say('memory.none', language))}</li>"
    return f"<h2>{html.escape(words.say(key, language))}</h2><ul>{rows or none}</ul>"


def _item(item: Any, language: str, removable: bool) -> str:
    text = " ".join(item.text.split())
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    tokens = words.say("memory.tokens", language, tokens=number(item.tokens))
    button = ""
    if removable:
        label = html.escape(words.say("memory.unpin.label", language, name=shown))
        button = (
            f'<button type="button" data-do="unpin" data-id="{html.escape(item.id)}" aria-label="{label}">'
            f"{html.escape(words.say('memory.unpin', language))}</button>"
        )
    return f"<li><span>{html.escape(shown)}</span> <small>{html.escape(tokens)}</small>{button}</li>"
