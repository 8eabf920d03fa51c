"""The chat's listeners: thin, async, and never raising. What Gradio shows of an exception explains nothing.

Each of them asks Chats in a thread (that may wait for the database) and says what comes in the reader's language.
`chosen` are the accordion's values, in the order of settings.NAMES.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import gradio as gr

from assistant.chats import Conversation
from assistant.errors import AssistantError
from assistant.messages import new_id
from assistant.store import StaleConversationError

from . import show, words
from .asking import Asked
from .attachments import place_of
from .drawing import Drawing, Frames, explained, go_on_button
from .frames import frame, locked, unlocked
from .identity import owner_of, session_of
from .settings import NAMES, from_settings, to_settings
from .watching import for_scripts, under_way, watch

logger = logging.getLogger("assistant")

# Turns that are added where somebody asks for what came before.
EARLIER = 50


class Chat(Drawing):
    """The listeners of one page, for all its visitors."""

    async def chat(
        self,
        message: str,
        conversation: str = "",
        model: str | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: float | None = None,
        system: str | None = None,
        effort: str | None = None,
        request: gr.Request | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Answers a message. Only `message` is needed: a conversation is begun where none is named.

        Each update is a message whose text is the whole answer so far. Within one session the next message goes
        on with the same conversation. Empty numbers mean the model's own.
        """
        language, tab = words.reader(request), self.tab_of(request)
        text = message if isinstance(message, str) else str(message or "")
        # What the model does not take the client leaves out, and says so.
        chosen = (model, temperature, top_p, max_tokens, system, effort)
        settings = to_settings(dict(zip(NAMES, chosen, strict=True)))
        said = ""
        try:
            named = conversation or tab.conversation
            asked = Asked(owner_of(request), named, None, text, settings, session=session_of(request))
            run, _ = await self.begin(tab, asked, place_of(request))
            async with aclosing(watch(run, tab)) as updates:
                async for update in updates:
                    said = update.text
                    drawn = for_scripts(update, language)
                    if drawn:
                        yield drawn
        except Exception as error:
            yield show.plain("\n\n".join(part for part in (said, explained(error, language)) if part))

    # -- turns of the page ---------------------------------------------------------------------------------

    async def say(
        self,
        text: str,
        history: list[Any],
        conversation: str,
        intent: str,
        attached: str,
        request: gr.Request,
        *chosen: Any,
    ) -> Frames:
        """Answers a text that the page has put at the end of its chat already: `history` ends with it.

        `intent` is "send", or "retry": then that message has the id of the turn which is asked again.
        """
        *before, last = history or [None]
        seen = show.named(last) if intent == "retry" else None
        frames = self.turn(intent, text, before, conversation, request, chosen, seen=seen, attached=attached)
        async with aclosing(frames):
            async for each in frames:
                yield each

    async def edit(
        self, history: list[Any], conversation: str, request: gr.Request, edited: gr.EditData, *chosen: Any
    ) -> Frames:
        """Asks with another text, from an earlier message on."""
        if not isinstance(edited, gr.EditData):
            yield frame(textbox=unlocked())
            return
        history = history or []
        at = edited.index[0] if isinstance(edited.index, (list, tuple)) else edited.index
        before = history[: at if isinstance(at, int) else None]
        seen = show.last_named(history)
        async with aclosing(self._typed("edit", edited.value, before, conversation, request, chosen, seen)) as frames:
            async for each in frames:
                yield each

    async def pick(
        self, history: list[Any], conversation: str, request: gr.Request, picked: gr.SelectData, *chosen: Any
    ) -> Frames:
        """Sends an example or a suggested question."""
        if not isinstance(picked, gr.SelectData):
            yield frame(textbox=unlocked())
            return
        text = picked.value.get("text") if isinstance(picked.value, dict) else picked.value
        async with aclosing(self._typed("send", text, history or [], conversation, request, chosen)) as frames:
            async for each in frames:
                yield each

    async def _typed(
        self,
        intent: str,
        text: Any,
        before: list[Any],
        conversation: str,
        request: gr.Request,
        chosen: tuple[Any, ...],
        seen: str | None = None,
    ) -> Frames:
        """A turn whose text the page has not put into its chat by itself."""
        echo = show.echo(before)
        yield frame(chat=None if echo is None else [*echo, show.said(text)], textbox=locked())
        async with aclosing(self.turn(intent, text, before, conversation, request, chosen, seen=seen)) as frames:
            async for each in frames:
                yield each

    async def go_on(self, conversation: str, request: gr.Request, *chosen: Any) -> Frames:
        """Continues an answer that was cut off."""
        language, tab, owner = words.reader(request), self.tab_of(request), owner_of(request)
        try:
            opened = await asyncio.to_thread(self.chats.open, owner, conversation)
            settings, session = self.settings(chosen), session_of(request)
            run = await asyncio.to_thread(self.chats.continue_, owner, conversation, settings, session=session)
            before = self.window(opened.turns[:-1], tab, language)
        except Exception as error:
            if getattr(error, "code", None) == "not_cut_off":
                # The page has its button from when it was.
                error = StaleConversationError(str(error))
            frames = self.refused(error, "continue", None, conversation, request)
        else:
            frames = self.drawn(run, before, tab, request, patience=0)
        async with aclosing(frames):
            async for each in frames:
                yield each

    # -- opening and looking on ----------------------------------------------------------------------------

    async def open(self, conversation: str, request: gr.Request, left: str = "") -> dict[str, Any]:
        """What the page shows of a conversation when it is loaded, by the names of the parts and of the settings.

        `left` is the session in which files waited when the page was left.
        """
        language = words.reader(request)
        owner, notice = owner_of(request), ""
        opened = Conversation("", owner)
        try:
            if conversation and conversation != show.TEMPORARY:
                try:
                    opened = await asyncio.to_thread(self.chats.open, owner, conversation)
                except AssistantError as error:
                    notice = show.explained(error, language)
            if not opened.id:
                temporary = conversation == show.TEMPORARY
                opened = await asyncio.to_thread(self.chats.create, owner, temporary=temporary)
        except Exception as error:
            notice = explained(error, language)
        if not notice and opened.temporary:
            notice = words.say("side.temporary.info", language)
        if left and not self.waiting.bring(str(left), place_of(request)) and not notice:
            notice = words.say("attach.gone", language)
        tab = self.tab_of(request)
        tab.conversation = opened.id
        shown = self.window(opened.turns, tab, language)
        values = from_settings(opened.settings, self.header.default_model)
        return {
            "header": self.header.html(values[0], language),
            "conversation": opened.id,
            "chat": gr.update(value=shown, examples=words.examples(language), placeholder=_greeting(language)),
            "notice": notice,
            "go_on": go_on_button(opened),
            "under_way": new_id() if under_way(opened) else None,
            **self.waits(request),
            **{name: gr.update(value=value) for name, value in zip(NAMES, values, strict=True)},
        }

    async def attach(self, conversation: str, request: gr.Request) -> Frames:
        """Goes on drawing a reply that runs already: after a reload, in a second tab, in another process."""
        tab = self.tab_of(request)
        # A generator that yields nothing would empty everything it is wired to.
        yield frame()
        try:
            opened = await self.opened(tab, request, conversation)
            if tab.busy:
                return
            if opened is None:
                yield frame(textbox=unlocked())
                return
            async with aclosing(self.looked_on(opened, tab, request)) as frames:
                async for each in frames:
                    yield each
        except Exception:
            logger.exception("app.attach_failed")

    async def show_earlier(self, conversation: str, history: list[Any], request: gr.Request) -> Any:
        """Draws more of what came before. Returns the chat."""
        tab = self.tab_of(request)
        try:
            opened = await self.opened(tab, request, conversation)
            if opened is not None and not tab.busy and not under_way(opened):
                tab.window = show.size_of(history, opened.turns) + EARLIER - show.WINDOW
                return self.window(opened.turns, tab, words.reader(request))
        except Exception:
            logger.exception("app.earlier_failed")
        return gr.skip()

    async def unload(self, request: gr.Request) -> None:
        """The page was closed or is being loaded anew: it watches no more. What runs goes on for Chats' grace."""
        self.tabs.close(request.session_hash)
        self.waiting.leave(place_of(request))

    # -- what the buttons do -------------------------------------------------------------------------------

    async def stop(self, conversation: str, request: gr.Request) -> None:
        """Ends the reply, wherever it was begun; at once, also before its first word."""
        tab = self.tab_of(request)
        tab.stopping = True
        if tab.run is not None:
            tab.run.stop()
        try:
            self.chats.stop(owner_of(request), conversation or tab.conversation)
        except Exception:
            logger.exception("app.stop_failed")

    async def undo(self, conversation: str, history: list[Any], typed: str, request: gr.Request) -> list[Any]:
        """Takes the last turn out of the line, if it is the one that this page shows; its text can be sent again."""
        tab, owner, language = self.tab_of(request), owner_of(request), words.reader(request)
        drawn: dict[str, Any] = {"notice": ""}
        try:
            opened = await asyncio.to_thread(self.chats.open, owner, conversation or tab.conversation)
            last = opened.turns[-1] if opened.turns else None
            if last is None or show.last_turn(history, opened.turns) != last.id:
                raise StaleConversationError("The page does not show the last turn.")
            to = opened.turns[-2].id if len(opened.turns) > 1 else None
            await asyncio.to_thread(self.chats.rewind, owner, opened.id, to)
            # What went with it waits again, as its text does.
            self.waiting.add(place_of(request), last.documents)
            drawn["textbox"] = unlocked(typed if isinstance(typed, str) and typed.strip() else last.user)
        except Exception as error:
            drawn["notice"] = explained(error, language, "undo")
        try:
            found = await self.opened(tab, request, conversation)
            if found is not None:
                drawn |= {"chat": self.window(found.turns, tab, language), "go_on": go_on_button(found)}
        except Exception:
            logger.exception("app.undo_failed")
        return frame(**drawn, **self.waits(request), **await self.stands_beside(conversation, request))


def _greeting(language: str) -> str:
    return f"## {words.say('app.greeting', language)}"
