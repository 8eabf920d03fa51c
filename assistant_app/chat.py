"""The page's listeners: thin, async, and never raising. After one exception Gradio's chat stays frozen for good.

Each of them asks Chats in a thread (that may wait for the database) and says what comes in the reader's language.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import gradio as gr

from assistant.chats import Chats, Conversation
from assistant.errors import AssistantError
from assistant.messages import Turn, new_id
from assistant.runs import Run
from assistant.store import ConversationNotFoundError, StaleConversationError

from . import show, words
from .asking import Asked, submit
from .attachments import GoneError, Waiting
from .header import Header
from .identity import owner_of, session_of
from .settings import NAMES, fitting, from_settings, to_settings
from .tabs import Refused, Tab, Tabs
from .watching import can_continue, for_scripts, under_way, watch

logger = logging.getLogger("assistant")

# Turns that are added where somebody asks for what came before.
EARLIER = 50


class Chat:
    """The listeners of one page, for all its visitors."""

    def __init__(self, chats: Chats, header: Header) -> None:
        self.chats = chats
        self.header = header
        self.tabs = Tabs()
        self.waiting = Waiting()

    # -- one turn ------------------------------------------------------------------------------------------

    async def chat(
        self,
        message: str,
        history: list[Any],
        conversation: str = "",
        intent: str = "",
        model: str | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: float | None = None,
        system: str | None = None,
        effort: str | None = None,
        attached: str = "",
        request: gr.Request | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Answers a message. Only `message` is needed: a conversation is begun where none is named.

        Each update is a message whose text is the whole answer so far. Within one session the next message goes
        on with the same conversation. Empty numbers mean the model's own. `attached` is the page's own.
        """
        language, tab, from_page = words.reader(request), self._tab(request), bool(intent)
        text = message if isinstance(message, str) else str(message or "")
        settings = self._settings(from_page, model, temperature, top_p, max_tokens, system, effort)
        try:
            session = getattr(request, "session_hash", None)
            documents = tuple(self.waiting.take(session, attached)) if from_page and intent == "send" else ()
            asked = Asked(
                owner_of(request),
                conversation or tab.conversation,
                history,
                text,
                settings,
                intent,
                documents,
                words.say("attach.pasted", language),
                session_of(request),
                alone=words.say("attach.alone", language),
            )
            run = await self._begin(tab, session, asked)
        except Exception as error:
            why = _explained(error, language)
            tab.refused = Refused(text, why)
            yield show.plain(why), new_id()
            return
        try:
            async with aclosing(watch(run, tab)) as updates:
                async for update in updates:
                    drawn = show.live(update, language) if from_page else for_scripts(update, language)
                    if drawn:
                        # The second value tells the page that the turn has ended, by being another one.
                        yield drawn, new_id() if update.done else gr.skip()
        except Exception as error:
            why = _explained(error, language)
            yield show.plain("\n\n".join(part for part in (run.text, why) if part)), new_id()

    async def _begin(self, tab: Tab, session: str | None, asked: Asked) -> Run:
        async with tab.order:
            # An undo that is under way comes first.
            tab.starting, tab.stopping = True, False
        work = asyncio.ensure_future(asyncio.to_thread(submit, self.chats, asked))

        def begun(done: asyncio.Future[Run]) -> None:
            # Also where this listener was cancelled by Stop meanwhile: the run has begun all the same.
            tab.starting = False
            if not done.cancelled() and done.exception() is None:
                tab.conversation = done.result().conversation_id
                self.waiting.remove(session, [each.id for each in asked.documents])
                if tab.stopping:
                    done.result().stop()

        work.add_done_callback(begun)
        return await asyncio.shield(work)

    def _settings(self, from_page: bool, *chosen: Any) -> dict[str, Any]:
        settings = to_settings(dict(zip(NAMES, chosen, strict=True)))
        # What the page does not show for this model is not sent; a script hears of it from the client.
        return fitting(settings, self.header.info(settings.get("model", ""))) if from_page else settings

    # -- opening and looking on ----------------------------------------------------------------------------

    async def open(self, conversation: str, request: gr.Request) -> list[Any]:
        """What the page shows when it is loaded: header, id, chat (twice), notice, Continue, the accordion."""
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
            notice = _explained(error, language)
        if not notice and opened.temporary:
            notice = words.say("side.temporary.info", language)
        tab = self._tab(request)
        tab.conversation, tab.unfinished = opened.id, under_way(opened)
        shown = show.window(opened.turns, language)
        chatbot = gr.update(value=shown, examples=words.examples(language), placeholder=_greeting(language))
        values = from_settings(opened.settings, self.header.default_model)
        header = self.header.html(values[0], language)
        return [header, opened.id, chatbot, shown, notice, _continue(opened), *values]

    async def attach(self, conversation: str, request: gr.Request) -> AsyncGenerator[list[Any], None]:
        """Goes on drawing a reply that runs already: after a reload, in a second tab, in another process."""
        language, tab = words.reader(request), self._tab(request)
        # A generator that yields nothing would empty everything it is wired to.
        yield [gr.skip()] * 5
        settled, tab.settled = tab.settled, False
        if settled:
            return
        try:
            opened = await self._opened(tab, request, conversation)
            if opened is None or tab.busy:
                return
            if opened.run is not None:
                async with aclosing(self._frames(opened.run, opened.turns[:-1], tab, language)) as frames:
                    async for frame in frames:
                        yield frame
            elif opened.busy_for:
                async with aclosing(self._elsewhere(opened, tab, language)) as frames:
                    async for frame in frames:
                        yield frame
            elif tab.unfinished:
                # It ended between the drawing of the chat and now.
                shown = show.window(opened.turns, language, show.WINDOW + tab.window)
                yield [shown, shown, gr.skip(), _continue(opened), gr.skip()]
            tab.unfinished = False
        except Exception:
            logger.exception("app.attach_failed")

    async def _elsewhere(self, opened: Conversation, tab: Tab, language: str) -> AsyncGenerator[list[Any], None]:
        """A reply that another process is writing, as it gets into the store: once a second."""
        size = show.WINDOW + tab.window
        while opened.busy_for and opened.run is None and not tab.gone and not tab.busy:
            yield [show.window(opened.turns, language, size), *[gr.skip()] * 4]
            await asyncio.sleep(1)
            opened = await asyncio.to_thread(self.chats.open, opened.owner, opened.id)
        shown = show.window(opened.turns, language, size)
        yield [shown, shown, gr.skip(), _continue(opened), gr.skip()]

    async def go_on(
        self,
        conversation: str,
        model: str | None,
        temperature: float | None,
        top_p: float | None,
        max_tokens: float | None,
        system: str | None,
        effort: str | None,
        request: gr.Request,
    ) -> AsyncGenerator[list[Any], None]:
        """Continues an answer that was cut off."""
        language, tab, owner = words.reader(request), self._tab(request), owner_of(request)
        settings = self._settings(True, model, temperature, top_p, max_tokens, system, effort)
        try:
            opened = await asyncio.to_thread(self.chats.open, owner, conversation)
            session = session_of(request)
            run = await asyncio.to_thread(self.chats.continue_, owner, conversation, settings, session=session)
            async with aclosing(self._frames(run, opened.turns[:-1], tab, language)) as frames:
                async for frame in frames:
                    yield frame
        except Exception as error:
            yield [gr.skip(), gr.skip(), gr.skip(), gr.skip(), _explained(error, language)]

    async def _frames(
        self, run: Run, before: Sequence[Turn], tab: Tab, language: str
    ) -> AsyncGenerator[list[Any], None]:
        """The whole chat while a run goes on, the text box with a Stop button meanwhile."""
        earlier = show.window(before, language, show.WINDOW + tab.window)
        textbox: Any = gr.Textbox(submit_btn=False, stop_btn=True, interactive=False)
        async with aclosing(watch(run, tab, patience=0)) as updates:
            async for update in updates:
                turn = update.turn
                shown = [*earlier, show.message("user", turn.user, turn.id), *show.live(update, language)]
                if not update.done:
                    yield [shown, gr.skip(), textbox, gr.Button(visible=False), ""]
                    textbox = gr.skip()
                else:
                    unlocked = gr.Textbox(submit_btn=True, stop_btn=False, interactive=True)
                    yield [shown, shown, unlocked, gr.Button(visible=can_continue([turn])), gr.skip()]

    # -- what the buttons do -------------------------------------------------------------------------------

    async def stop(self, conversation: str, request: gr.Request) -> None:
        """Ends the reply, wherever it was begun; at once, also before its first word."""
        tab = self._tab(request)
        tab.stopping = True
        if tab.run is not None:
            tab.run.stop()
        try:
            self.chats.stop(owner_of(request), conversation or tab.conversation)
        except Exception:
            logger.exception("app.stop_failed")

    async def undo(self, conversation: str, history: list[Any], undone: gr.UndoData, request: gr.Request) -> None:
        """Takes the last turn out of the line, if it is the one that this page took out of its chat.

        `history` is the chat without it: Gradio's own listener comes first. `settle` draws what is stored where the two
        do not agree.
        """
        tab, owner, language = self._tab(request), owner_of(request), words.reader(request)
        async with tab.order:
            try:
                opened = await asyncio.to_thread(self.chats.open, owner, conversation or tab.conversation)
                to = show.last_turn(history, opened.turns)
                seen = opened.turns and show.user_text(opened.turns[-1]).strip() == show.text_of(undone.value).strip()
                if not seen or to != (opened.turns[-2].id if len(opened.turns) > 1 else None):
                    raise StaleConversationError("The page does not show the last turn.")
                await asyncio.to_thread(self.chats.rewind, owner, opened.id, to)
                # What went with it waits again, as its text does.
                self.waiting.add(request.session_hash, opened.turns[-1].documents)
            except Exception as error:
                tab.refused = Refused("", _explained(error, language))

    async def show_earlier(self, conversation: str, history: list[Any], request: gr.Request) -> list[Any]:
        """Draws more of what came before. Returns the chat, twice."""
        tab = self._tab(request)
        try:
            opened = await self._opened(tab, request, conversation)
            if opened is not None and not tab.busy and not under_way(opened):
                tab.window = show.size_of(history, opened.turns) + EARLIER - show.WINDOW
                return [show.window(opened.turns, words.reader(request), show.WINDOW + tab.window)] * 2
        except Exception:
            logger.exception("app.earlier_failed")
        return [gr.skip()] * 2

    async def show_stop(self, request: gr.Request) -> Any:
        """For the runs for which Gradio does not: edited messages and suggested questions."""
        self._tab(request).stop_shown = True
        return gr.Textbox(submit_btn=False, stop_btn=True)

    async def settle(self, conversation: str, history: list[Any], request: gr.Request) -> list[Any]:
        """After each turn: the chat as it is stored where the page shows something else, and what is to be said.

        Returns id, chat (twice), text box, kept text, notice, Continue.
        """
        tab, language = self._tab(request), words.reader(request)
        nothing: list[Any] = [gr.skip()] * 7
        if tab.busy:
            return nothing
        async with tab.order:
            try:
                return await self._settled(tab, conversation, history, language, request)
            except Exception:
                logger.exception("app.settle_failed")
                return nothing

    async def _settled(
        self, tab: Tab, conversation: str, history: list[Any], language: str, request: gr.Request
    ) -> list[Any]:
        opened = await self._opened(tab, request, conversation)
        if opened is not None and opened.run is not None and tab.stopping:
            # Stop cancels the drawing before the run has ended: a moment later there is more to show.
            await asyncio.to_thread(opened.run.wait, 5)
            opened = await self._opened(tab, request, conversation)
        turns = opened.turns if opened is not None else []
        running = tab.unfinished = opened is not None and under_way(opened)
        size, usual = show.size_of(history, turns), show.WINDOW + tab.window
        shown = show.window(turns, language, size)
        # Also where a page has grown long, or an undo has left it nearly empty.
        redraw = not running and (
            size > 3 * usual or size < min(len(turns), usual // 2) or not show.same(history, shown)
        )
        shown = show.window(turns, language, usual) if redraw else shown
        tab.settled = not running
        refused, tab.refused, tab.stopping = tab.refused, None, False
        stop_shown, tab.stop_shown = tab.stop_shown, False
        return [
            opened.id if opened is not None and opened.id != conversation else gr.skip(),
            shown if redraw else gr.skip(),
            shown if redraw else gr.skip(),
            gr.Textbox(submit_btn=True, stop_btn=False) if stop_shown else gr.skip(),
            refused.text if refused and refused.text.strip() else gr.skip(),
            refused.why if refused else gr.skip(),
            gr.skip() if opened is None or running else _continue(opened),
        ]

    def unload(self, request: gr.Request) -> None:
        """The page was closed or is being loaded anew: it watches no more. What runs goes on for Chats' grace."""
        self.tabs.close(request.session_hash)
        self.waiting.close(request.session_hash)

    # -- bits ----------------------------------------------------------------------------------------------

    def _tab(self, request: gr.Request | None) -> Tab:
        return self.tabs.of(getattr(request, "session_hash", None))

    async def _opened(self, tab: Tab, request: gr.Request, conversation: str) -> Conversation | None:
        """The tab's conversation; None where there is none of this owner's."""
        try:
            return await asyncio.to_thread(self.chats.open, owner_of(request), tab.conversation or conversation)
        except ConversationNotFoundError:
            return None


def _explained(error: BaseException, language: str) -> str:
    if isinstance(error, GoneError):
        return words.say("attach.gone", language)
    if not isinstance(error, AssistantError):
        logger.error("app.unexpected", exc_info=error)
    return show.explained(error, language)


def _greeting(language: str) -> str:
    return f"## {words.say('app.greeting', language)}"


def _continue(opened: Conversation) -> Any:
    return gr.Button(visible=not under_way(opened) and can_continue(opened.turns))
