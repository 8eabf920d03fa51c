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
from assistant.runs import Run, Update
from assistant.store import ConversationNotFoundError, StaleConversationError

from . import show, words
from .header import Header
from .identity import owner_of
from .settings import from_settings, to_settings
from .tabs import Refused, Tab, Tabs

logger = logging.getLogger("assistant")

# What the page's own buttons put into the hidden `intent`; a script leaves it empty.
BRANCHING = ("retry", "edit")

# Seconds within which most replies have their first word: until then nothing is drawn but Gradio's own dots.
PATIENCE = 0.4


class Chat:
    """The listeners of one page, for all its visitors."""

    def __init__(self, chats: Chats, header: Header) -> None:
        self.chats = chats
        self.header = header
        self.tabs = Tabs()

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
        request: gr.Request | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Answers a message. Only `message` is needed: a conversation is begun where none is named.

        Each update is a message whose text is the whole answer so far. Within one session the next message goes
        on with the same conversation. Empty numbers mean the model's own.
        """
        language = _language(request)
        chosen = {"model": model, "temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
        settings = to_settings({**chosen, "system": system})
        tab = self._tab(request)
        text = message if isinstance(message, str) else str(message or "")
        from_page = bool(intent)
        try:
            run = await self._begin(tab, owner_of(request), conversation, history, text, settings, intent)
        except Exception as error:
            why = _explained(error, language)
            tab.refused = Refused(text, why)
            yield show.plain(why), new_id()
            return
        try:
            async with aclosing(_watch(run, tab)) as updates:
                async for update in updates:
                    drawn = show.live(update, language) if from_page else _for_scripts(update, language)
                    if drawn:
                        # The second value tells the page that the turn has ended, by being another one.
                        yield drawn, new_id() if update.done else gr.skip()
        except Exception as error:
            why = _explained(error, language)
            yield show.plain("\n\n".join(part for part in (run.text, why) if part)), new_id()

    async def _begin(
        self,
        tab: Tab,
        owner: str,
        conversation_id: str,
        history: list[Any],
        text: str,
        settings: dict[str, Any],
        intent: str,
    ) -> Run:
        async with tab.order:
            # An undo that is under way comes first.
            tab.starting, tab.stopping = True, False
        work = asyncio.ensure_future(
            asyncio.to_thread(self._submit, owner, conversation_id or tab.conversation, history, text, settings, intent)
        )

        def begun(done: asyncio.Future[Run]) -> None:
            # Also where this listener was cancelled by Stop meanwhile: the run has begun all the same.
            tab.starting = False
            if not done.cancelled() and done.exception() is None:
                tab.conversation = done.result().conversation_id
                if tab.stopping:
                    done.result().stop()

        work.add_done_callback(begun)
        return await asyncio.shield(work)

    def _submit(
        self, owner: str, conversation_id: str, history: list[Any], text: str, settings: dict[str, Any], intent: str
    ) -> Run:
        """Finds where the text belongs and begins the turn there; blocks. What the history says is not believed."""
        try:
            opened = self.chats.open(owner, conversation_id) if conversation_id else self.chats.create(owner)
        except ConversationNotFoundError:
            if not intent or any(show.names_turn(each) for each in history or ()):
                raise
            # A page that was opened before the server was started anew: nothing was said yet, so nothing is lost.
            opened = self.chats.create(owner)
        after = show.last_turn(history, opened.turns)
        return self.chats.submit(owner, opened.id, after, text, settings, branch=intent in BRANCHING)

    # -- opening and looking on ----------------------------------------------------------------------------

    async def open(self, conversation: str, request: gr.Request) -> list[Any]:
        """What the page shows when it is loaded: header, id, chat (twice), notice, Continue, the accordion."""
        language = _language(request)
        owner, notice = owner_of(request), ""
        opened = Conversation("", owner)
        try:
            if conversation:
                try:
                    opened = await asyncio.to_thread(self.chats.open, owner, conversation)
                except AssistantError as error:
                    notice = show.explained(error, language)
            if not opened.id:
                opened = await asyncio.to_thread(self.chats.create, owner)
        except Exception as error:
            notice = _explained(error, language)
        tab = self._tab(request)
        tab.conversation, tab.unfinished = opened.id, _under_way(opened)
        shown = show.conversation(opened.turns, language)
        chatbot = gr.Chatbot(value=shown, examples=words.examples(language), placeholder=_greeting(language))  # type: ignore[arg-type]
        values = from_settings(opened.settings, self.header.default_model)
        header = self.header.html(values[0], language)
        return [header, opened.id, chatbot, shown, notice, _continue(opened), *values]

    async def attach(self, conversation: str, request: gr.Request) -> AsyncGenerator[list[Any], None]:
        """Goes on drawing a reply that runs already: after a reload, in a second tab, in another process."""
        language, tab = _language(request), self._tab(request)
        # A generator that yields nothing would empty everything it is wired to.
        yield [gr.skip()] * 5
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
                shown = show.conversation(opened.turns, language)
                yield [shown, shown, gr.skip(), _continue(opened), gr.skip()]
            tab.unfinished = False
        except Exception:
            logger.exception("app.attach_failed")

    async def _elsewhere(self, opened: Conversation, tab: Tab, language: str) -> AsyncGenerator[list[Any], None]:
        """A reply that another process is writing, as it gets into the store: once a second."""
        while opened.busy_for and opened.run is None and not tab.gone and not tab.busy:
            yield [show.conversation(opened.turns, language), *[gr.skip()] * 4]
            await asyncio.sleep(1)
            opened = await asyncio.to_thread(self.chats.open, opened.owner, opened.id)
        shown = show.conversation(opened.turns, language)
        yield [shown, shown, gr.skip(), _continue(opened), gr.skip()]

    async def go_on(
        self,
        conversation: str,
        model: str | None,
        temperature: float | None,
        top_p: float | None,
        max_tokens: float | None,
        system: str | None,
        request: gr.Request,
    ) -> AsyncGenerator[list[Any], None]:
        """Continues an answer that was cut off."""
        language, tab, owner = _language(request), self._tab(request), owner_of(request)
        chosen = {"model": model, "temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
        settings = to_settings({**chosen, "system": system})
        try:
            opened = await asyncio.to_thread(self.chats.open, owner, conversation)
            run = await asyncio.to_thread(self.chats.continue_, owner, conversation, settings)
            async with aclosing(self._frames(run, opened.turns[:-1], tab, language)) as frames:
                async for frame in frames:
                    yield frame
        except Exception as error:
            yield [gr.skip(), gr.skip(), gr.skip(), gr.skip(), _explained(error, language)]

    async def _frames(
        self, run: Run, before: Sequence[Turn], tab: Tab, language: str
    ) -> AsyncGenerator[list[Any], None]:
        """The whole chat while a run goes on, the text box with a Stop button meanwhile."""
        earlier = show.conversation(before, language)
        textbox: Any = gr.Textbox(submit_btn=False, stop_btn=True, interactive=False)
        async with aclosing(_watch(run, tab, patience=0)) as updates:
            async for update in updates:
                turn = update.turn
                shown = [*earlier, show.message("user", turn.user, turn.id), *show.live(update, language)]
                if not update.done:
                    yield [shown, gr.skip(), textbox, gr.Button(visible=False), ""]
                    textbox = gr.skip()
                else:
                    unlocked = gr.Textbox(submit_btn=True, stop_btn=False, interactive=True)
                    yield [shown, shown, unlocked, gr.Button(visible=_can_continue([turn])), gr.skip()]

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
        tab, owner, language = self._tab(request), owner_of(request), _language(request)
        async with tab.order:
            try:
                opened = await asyncio.to_thread(self.chats.open, owner, conversation or tab.conversation)
                to = show.last_turn(history, opened.turns)
                seen = opened.turns and opened.turns[-1].user.strip() == show.text_of(undone.value).strip()
                if not seen or to != (opened.turns[-2].id if len(opened.turns) > 1 else None):
                    raise StaleConversationError("The page does not show the last turn.")
                await asyncio.to_thread(self.chats.rewind, owner, opened.id, to)
            except Exception as error:
                tab.refused = Refused("", _explained(error, language))

    async def show_stop(self, request: gr.Request) -> Any:
        """For the runs for which Gradio does not: edited messages and suggested questions."""
        self._tab(request).stop_shown = True
        return gr.Textbox(submit_btn=False, stop_btn=True)

    async def settle(self, conversation: str, history: list[Any], request: gr.Request) -> list[Any]:
        """After each turn: the chat as it is stored where the page shows something else, and what is to be said.

        Returns id, chat (twice), text box, kept text, notice, Continue.
        """
        tab, language = self._tab(request), _language(request)
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
        running = tab.unfinished = opened is not None and _under_way(opened)
        shown = show.conversation(turns, language)
        redraw = not running and not show.same(history, shown)
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

    async def describe(self, model: str | None, request: gr.Request) -> str:
        """The header for the model that is chosen."""
        return self.header.html(model if isinstance(model, str) else "", _language(request))

    async def models(self, model: str | None) -> Any:
        """The model list for the accordion, once it is there; the page is used meanwhile."""
        try:
            choices = await self.header.choices(chosen=model if isinstance(model, str) else "")
            return gr.Dropdown(choices=choices)
        except Exception:
            logger.exception("app.models_failed")
            return gr.skip()

    def unload(self, request: gr.Request) -> None:
        """The page was closed or is being loaded anew: it watches no more. What runs goes on for Chats' grace."""
        self.tabs.close(request.session_hash)

    # -- bits ----------------------------------------------------------------------------------------------

    def _tab(self, request: gr.Request | None) -> Tab:
        return self.tabs.of(getattr(request, "session_hash", None))

    async def _opened(self, tab: Tab, request: gr.Request, conversation: str) -> Conversation | None:
        """The tab's conversation; None where there is none of this owner's."""
        try:
            return await asyncio.to_thread(self.chats.open, owner_of(request), tab.conversation or conversation)
        except ConversationNotFoundError:
            return None


async def _watch(run: Run, tab: Tab, patience: float = PATIENCE) -> AsyncGenerator[Update, None]:
    """A run's updates for as long as the tab is open; nothing before the first word or `patience` seconds."""
    tab.run = run
    clock = asyncio.get_running_loop().time
    begun = clock()
    try:
        async with aclosing(run.updates()) as updates:  # type: ignore[type-var]
            async for update in updates:
                if tab.gone:
                    return
                if update.done:
                    # Before the last one is out: the page answers to it at once, and is no longer busy then.
                    tab.run = None
                if update.text or update.done or update.retrying or update.notices or clock() - begun >= patience:
                    yield update
    finally:
        # Nothing that blocks: Gradio runs this on the event loop.
        if tab.run is run:
            tab.run = None


def _for_scripts(update: Update, language: str) -> Any:
    """The whole text so far; at the end of a failed reply what went wrong, too."""
    text = update.text
    if update.done and update.error is not None:
        text = "\n\n".join(part for part in (text, show.explained(update.error, language)) if part)
    return show.plain(text) if text or update.done else None


def _language(request: gr.Request | None) -> str:
    try:
        return words.language_of(dict(request.headers)) if request is not None else "en"
    except Exception:
        return "en"


def _explained(error: BaseException, language: str) -> str:
    if not isinstance(error, AssistantError):
        logger.error("app.unexpected", exc_info=error)
    return show.explained(error, language)


def _greeting(language: str) -> str:
    return f"## {words.say('app.greeting', language)}"


def _under_way(opened: Conversation) -> bool:
    return opened.run is not None or opened.busy_for > 0


def _can_continue(turns: Sequence[Turn]) -> bool:
    return bool(turns) and bool(turns[-1].reply) and turns[-1].stop_reason in show.CONTINUABLE


def _continue(opened: Conversation) -> Any:
    return gr.Button(visible=not _under_way(opened) and _can_continue(opened.turns))
