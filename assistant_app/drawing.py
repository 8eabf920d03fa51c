"""How a turn gets onto a page: begun, drawn while it runs, refused, or looked on at because it runs already."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

import gradio as gr

from assistant.chats import Chats, Conversation
from assistant.errors import AssistantError
from assistant.messages import Turn
from assistant.runs import Run
from assistant.store import ConversationNotFoundError

from . import show, words
from .asking import Asked, submit
from .attachments import GoneError, Place, Waiting, place_of
from .chatbot import still
from .frames import TURN, frame, locked, unlocked
from .growing import Growing
from .header import Header
from .identity import owner_of, session_of
from .settings import NAMES, fitting, to_settings
from .tabs import Tab, Tabs
from .watching import PATIENCE, can_continue, under_way, watch

logger = logging.getLogger("assistant")

Frames = AsyncGenerator[list[Any], None]
# What a turn changes beside the chat, by names of parts: conversation, request, whether it was the first turn.
Beside = Callable[[str, Any, bool], Awaitable[dict[str, Any]]]


async def nothing_beside(conversation: str, request: Any, first: bool) -> dict[str, Any]:
    return {}


class Drawing:
    """What the chat's listeners share. `beside` is asked when a turn has ended."""

    def __init__(self, chats: Chats, header: Header, beside: Beside = nothing_beside) -> None:
        self.chats = chats
        self.header = header
        self.beside = beside
        self.tabs = Tabs()
        self.waiting = Waiting()

    async def turn(
        self,
        intent: str,
        text: Any,
        before: list[Any],
        conversation: str,
        request: Any,
        chosen: Sequence[Any],
        *,
        seen: str | None = None,
        attached: str = "",
    ) -> Frames:
        """From a text behind what the page shows before it to the end of its reply. See Asked."""
        language, tab = words.reader(request), self.tab_of(request)
        text = text if isinstance(text, str) else str(text or "")
        try:
            asked = Asked(
                owner_of(request),
                conversation or tab.conversation,
                before,
                text,
                self.settings(chosen),
                intent,
                seen,
                tuple(self.waiting.take(place_of(request), attached)) if intent == "send" else (),
                words.say("attach.pasted", language),
                session_of(request),
                alone=words.say("attach.alone", language),
            )
            run, turns = await self.begin(tab, asked, place_of(request))
            shown = show.echo(before) if turns is None else None
            if shown is not None and tab.hidden is not None:
                shown, tab.hidden = show.cut(shown, show.WINDOW + tab.window, tab.hidden, language)
            else:
                if turns is None:
                    opened = await self.opened(tab, request, conversation)
                    turns = opened.turns[:-1] if opened is not None else []
                shown = self.window(turns, tab, language)
        except Exception as error:
            # What is asked again stands in the chat; what is being written in the box meanwhile stays there.
            frames = self.refused(error, intent, None if intent == "retry" else text, conversation, request)
        else:
            frames = self.drawn(run, shown, tab, request)
        async with aclosing(frames):
            async for each in frames:
                yield each

    def settings(self, chosen: Sequence[Any]) -> dict[str, Any]:
        """What the accordion holds. What the page does not show for the model is not sent."""
        settings = to_settings(dict(zip(NAMES, chosen, strict=False)))
        return fitting(settings, self.header.info(settings.get("model", "")))

    async def begin(self, tab: Tab, asked: Asked, place: Place) -> tuple[Run, Sequence[Turn] | None]:
        """See `submit`. Also where the listener is cancelled meanwhile, by a page that was closed, the run begins."""
        tab.starting, tab.stopping = True, False
        work = asyncio.ensure_future(asyncio.to_thread(submit, self.chats, asked))

        def begun(done: asyncio.Future[tuple[Run, Any]]) -> None:
            tab.starting = False
            if not done.cancelled() and done.exception() is None:
                run, _ = done.result()
                tab.conversation = run.conversation_id
                self.waiting.remove(place, [each.id for each in asked.documents])
                if tab.stopping:
                    run.stop()

        work.add_done_callback(begun)
        return await asyncio.shield(work)

    async def drawn(
        self,
        run: Run,
        before: list[Any],
        tab: Tab,
        request: Any,
        patience: float = PATIENCE,
        unsent: str | None = None,
    ) -> Frames:
        """A run from here to its end, behind what the page shows before it; then what stands beside the chat.

        `unsent` is a text that stays in the box meanwhile. Each change of the box names it: of two that come at once
        Gradio's page takes the last one alone.
        """
        language = words.reader(request)
        # Of the page until now: its box, and the files that went along.
        begun: dict[str, Any] = {"textbox": locked(unsent), **self.waits(request)}
        before = still([*before, show.message("user", show.user_text(run.turn), run.turn_id)])
        growing, text = Growing(TURN.index("chat")), ""
        try:
            async with aclosing(watch(run, tab, patience)) as updates:
                async for update in updates:
                    grown = update.text if show.grows(update) else ""
                    if text and grown and growing.add(grown[len(text) :]):
                        text = grown
                        continue
                    growing.settle()
                    shown, text = [*before, *show.live(update, language)], grown
                    if not update.done:
                        yield frame(chat=shown, **begun)
                        begun = {}
                        continue
                    # All at once: while a listener that draws the chat runs, Gradio disables the chat's buttons, and a
                    # click on them would be lost.
                    yield frame(
                        conversation=run.conversation_id,
                        chat=shown,
                        textbox=unlocked(unsent),
                        go_on=gr.update(visible=can_continue([update.turn])),
                        **self.waits(request),
                        **await self.stands_beside(run.conversation_id, request, run.intent.after is None),
                    )
        except Exception as error:
            yield frame(textbox=unlocked(unsent), notice=explained(error, language))

    async def stands_beside(self, conversation: str, request: Any, first: bool = False) -> dict[str, Any]:
        try:
            return await self.beside(conversation, request, first)
        except Exception:
            logger.exception("app.beside_failed")
            return {}

    def waits(self, request: Any) -> dict[str, Any]:
        """The files that wait for the next message."""
        chips, ids = self.waiting.shown(place_of(request), words.reader(request))
        return {"chips": chips, "attached": ids}

    async def refused(self, error: Exception, doing: str, text: str | None, conversation: str, request: Any) -> Frames:
        """What did not become a turn: why, its text back in the box, and the chat as it is stored."""
        language, tab = words.reader(request), self.tab_of(request)
        drawn = {"textbox": unlocked(text), "notice": explained(error, language, doing), **self.waits(request)}
        opened = None
        try:
            opened = await self.opened(tab, request, conversation)
        except Exception:
            logger.exception("app.refused_failed")
        if opened is None:
            yield frame(**drawn, chat=[])
            return
        chat, button = self.window(opened.turns, tab, language), go_on_button(opened)
        yield frame(**drawn, chat=chat, conversation=opened.id, go_on=button)
        if under_way(opened):
            async with aclosing(self.looked_on(opened, tab, request, text)) as frames:
                async for each in frames:
                    yield each

    async def looked_on(self, opened: Conversation, tab: Tab, request: Any, unsent: str | None = None) -> Frames:
        """A reply that was begun elsewhere. See `drawn`."""
        language = words.reader(request)
        if opened.run is not None:
            before = self.window(opened.turns[:-1], tab, language)
            async with aclosing(self.drawn(opened.run, before, tab, request, 0, unsent)) as frames:
                async for each in frames:
                    yield each
            return
        # Another process writes it: as it gets into the store, once a second.
        while opened.busy_for and opened.run is None and not tab.gone and not tab.busy:
            yield frame(chat=self.window(opened.turns, tab, language))
            await asyncio.sleep(1)
            opened = await asyncio.to_thread(self.chats.open, opened.owner, opened.id)
        # It has ended, perhaps between the drawing of the chat and now.
        shown = self.window(opened.turns, tab, language)
        yield frame(chat=shown, textbox=unlocked(unsent), go_on=go_on_button(opened))

    def window(self, turns: Sequence[Turn], tab: Tab, language: str) -> list[Any]:
        size = show.WINDOW + tab.window
        tab.hidden = max(0, len(turns) - size)
        return show.window(turns, language, size)

    def tab_of(self, request: Any) -> Tab:
        return self.tabs.of(getattr(request, "session_hash", None))

    async def opened(self, tab: Tab, request: Any, conversation: str) -> Conversation | None:
        """The tab's conversation; None where there is none of this owner's."""
        try:
            return await asyncio.to_thread(self.chats.open, owner_of(request), tab.conversation or conversation)
        except ConversationNotFoundError:
            return None


def explained(error: BaseException, language: str, doing: str | None = None) -> str:
    if isinstance(error, GoneError):
        return words.say("attach.gone", language)
    if not isinstance(error, AssistantError):
        logger.error("app.unexpected", exc_info=error)
    return show.explained(error, language, doing)


def go_on_button(opened: Conversation) -> Any:
    return gr.update(visible=not under_way(opened) and can_continue(opened.turns))
