"""The page: what is on it, and which listener answers to what. No decisions here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from assistant.chats import Chats

from . import panels, words
from .attachments import ENDINGS, LONG_TEXT
from .chat import Chat
from .controls import Controls
from .frames import OPENED, TURN, frame
from .header import Header
from .interface import Interface
from .launch import MAX_FILE
from .light import Page, building
from .panels import NOW as _NOW
from .panels import QUIET as _QUIET
from .settings import NAMES
from .show import TEMPORARY
from .sidebar import Sidebar

_T = words.i18n()
_HERE = Path(__file__).parent
_JS = (_HERE / "page.js").read_text("utf-8").replace("__PANELS__", (_HERE / "panels.js").read_text("utf-8"))


# What the page's script says by itself.
_SCRIPT_WORDS = {
    "app": "app.title",
    "send": "chat.send",
    "yours": "chat.yours",
    "answer": "chat.answer",
    "copyCode": "chat.copy_code",
    "limit": "memory.limit",
    "reset": "memory.reset",
    "footer": "app.looks",
    "stop": "chat.stop",
    "placeholder": "chat.placeholder",
    "edit": "chatbot.edit",
    "retry": "chatbot.retry",
    "undoTurn": "chatbot.undo",
    "submit": "chatbot.submit",
    "cancelEdit": "chatbot.cancel",
    "chat": "chat.label",
    "down": "chat.down",
    "lost": "chat.lost",
    "undo": "side.undo",
    "close": "side.close",
    "details": "chat.details",
    "toggle": "side.toggle",
    "failed": "chat.failed",
    "title": "side.rename",
    "pasted": "attach.pasted",
    "reading": "attach.reading",
    "uploading": "attach.uploading",
    "uploadFailed": "attach.failed",
    "uploadLimit": "attach.upload_limit",
    "uploadLimitOfAll": "attach.upload_limit.all",
    "uploadTooLarge": "attach.upload_size",
    "filesFirst": "attach.first",
    "tooLarge": "attach.size",
}


class Parts(NamedTuple):
    """What the listeners read and write."""

    header: gr.HTML
    conversation: gr.Textbox
    intent: gr.Textbox
    sent: gr.Textbox
    under_way: gr.State
    notice: gr.Markdown
    go_on: gr.Button
    earlier: gr.Button
    settings: list[Any]
    interface: Interface
    side: panels.Side
    attach: panels.Attach
    extras: panels.Extras
    memory: panels.Memory
    cost: panels.Cost

    def named(self) -> dict[str, Any]:
        """Each part by the name that frames.py has for it."""
        return {
            "header": self.header,
            "conversation": self.conversation,
            "under_way": self.under_way,
            "chat": self.interface.chatbot,
            "textbox": self.interface.textbox,
            "go_on": self.go_on,
            "notice": self.notice,
            "chips": self.attach.chips,
            "attached": self.attach.ids,
            "top": self.side.top,
            "entries": self.side.entries,
            "fresh": self.side.fresh,
            "data": self.side.data,
            "zone": self.side.zone,
            "untitled": self.side.untitled,
            "preset": self.extras.preset,
            "memory": self.memory.seen,
            "summary": self.memory.summary,
            "limit": self.memory.limit,
            "memory_said": self.memory.said,
            "cost": self.cost.seen,
            **dict(zip(NAMES, self.settings, strict=True)),
        }

    def of(self, names: tuple[str, ...]) -> list[Any]:
        named = self.named()
        return [named[name] for name in names]


def build(chats: Chats) -> gr.Blocks:
    """The page for these conversations, not launched yet."""
    with building():
        return _build(chats)


def _build(chats: Chats) -> gr.Blocks:
    chat = Chat(chats, Header(chats.client))
    side_bar = Sidebar(chats, chat.tabs, chat.waiting.forget)
    # A plain string: I18nData would show its own source in the browser's tab.
    with Page(title="Assistant", analytics_enabled=False, fill_height=True) as demo:
        parts = _lay_out(chat)
        standing = panels.Panels(chat, parts.memory, parts.cost, parts.conversation)
        panels.wire_side_bar(side_bar, parts.side, parts.conversation)
        panels.wire_attachments(chat, parts.attach, parts.side, parts.settings[0])
        controls = panels.wire_settings(demo, chat, parts.extras, parts.header, parts.settings)
        _wire_loading(demo, chat, parts, side_bar, controls)
        _wire_turns(chat, parts)
        _wire_buttons(chat, parts)

    async def beside(conversation: str, request: Any, first: bool) -> dict[str, Any]:
        drawn = await side_bar.after_turn(conversation, request, first)
        return {**drawn, **await standing.after_turn(conversation, request)}

    chat.beside = beside
    # No limit on the queue: a refused event would freeze the page. Admission is Chats' and answers in words.
    demo.queue(max_size=None, default_concurrency_limit=None, api_open=False)
    page: gr.Blocks = demo
    return page


def _lay_out(chat: Chat) -> Parts:
    side = panels.side_bar()
    header = gr.HTML("", elem_id="header", padding=False)
    conversation = gr.Textbox("", visible=False, label="Conversation id")
    intent = gr.Textbox("", visible=False, label="Intent")
    sent = gr.Textbox("", visible=False, label="Sent text")
    # Changes where a page is opened whose reply runs already.
    under_way = gr.State("")
    attached = gr.Textbox("", visible=False, label="Attached")
    # Made here and moved: to ChatInterface's own accordion nothing can be added, the page would never finish loading.
    with gr.Accordion(_T("settings.label"), open=False, elem_id="settings") as accordion:
        settings = _settings(chat.header.default_model)
        extras = panels.settings_extras()
    interface = _interface(chat, [conversation, *settings])
    column: Any = interface.chatbot.parent
    with column:
        attach = panels.attachments(attached)
        notice = gr.Markdown("", elem_id="notice", container=False)
        go_on = gr.Button(_T("chat.continue"), visible=False, size="sm", elem_id="continue")
        # Pressed by the link in front of a window of the chat.
        earlier = gr.Button("", visible="hidden", elem_id="earlier")
        memory, cost = panels.memory(), panels.cost()
    here: Any = accordion.parent
    here.children.remove(accordion)
    accordion.parent = column
    # Beneath the text box the notice and the buttons, then the accordions, which may be long.
    column.children.append(accordion)
    column.children.sort(key=lambda block: isinstance(block, gr.Accordion))
    column.children.sort(key=lambda block: block in (memory.panel, cost.panel))
    return Parts(
        header,
        conversation,
        intent,
        sent,
        under_way,
        notice,
        go_on,
        earlier,
        settings,
        interface,
        side,
        attach,
        extras,
        memory,
        cost,
    )


def _interface(chat: Chat, inputs: list[Any]) -> Interface:
    """The chat and its text box. `inputs` are what the endpoint for scripts takes beside the message."""
    return Interface(
        chat.chat,
        chatbot=gr.Chatbot(
            label=_T("chat.label"),
            show_label=False,
            scale=1,
            min_height=260,
            layout="bubble",
            editable="user",
            buttons=["copy"],
            feedback_options=None,
            elem_id="chat",
        ),
        textbox=gr.Textbox(
            label=_T("chat.textbox"),
            placeholder=_T("chat.placeholder"),
            container=False,
            scale=7,
            max_lines=8,
            autofocus=True,
            submit_btn=True,
            stop_btn=True,
            elem_id="message",
        ),
        additional_inputs=inputs,
        # Overwritten in the reader's language as soon as the page is loaded: these cards are not translated by Gradio.
        examples=[[each["text"]] for each in words.examples("en")],
        example_labels=[each["display_text"] for each in words.examples("en")],
        cache_examples=False,
        editable=True,
        concurrency_limit=None,
        api_name="chat",
        fill_height=True,
    )


def _settings(default_model: str) -> list[Any]:
    """The accordion's fields. None has a range of Gradio's: a value outside of one freezes the page for good."""
    own = _T("settings.own")
    return [
        gr.Dropdown(
            [default_model] if default_model else [],
            value=default_model or None,
            label=_T("settings.model"),
            info=_T("settings.model.info"),
            allow_custom_value=True,
            elem_id="model",
        ),
        *(
            gr.Number(
                None,
                label=_T(f"settings.{name}"),
                info=_T(f"settings.{name}.info"),
                placeholder=own,
                step=step,
                elem_id=name,
            )
            for name, step in (("temperature", 0.1), ("top_p", 0.05), ("max_tokens", 1))
        ),
        gr.Textbox(
            "",
            label=_T("settings.system"),
            info=_T("settings.system.info"),
            lines=2,
            max_lines=10,
            elem_id="system",
        ),
        gr.Dropdown(
            [""],
            value=None,
            label=_T("settings.effort"),
            info=_T("settings.effort.info"),
            allow_custom_value=True,
            visible=False,
            elem_id="effort",
        ),
    ]


def _wire_loading(demo: gr.Blocks, chat: Chat, parts: Parts, side_bar: Sidebar, controls: Controls) -> None:
    names = (*OPENED, *NAMES)

    async def load(conversation: str, zone: str, left: str, request: gr.Request) -> list[Any]:
        drawn = await chat.open(conversation, request, left)
        drawn |= await side_bar.opened(drawn["conversation"], zone, request)
        return frame(names, **drawn, preset=await controls.presets(request))

    inputs = [parts.conversation, parts.side.zone, parts.attach.ids]
    opened = demo.load(load, inputs, parts.of(names), js="() => assistantPage.opened()", **_QUIET)
    shown = [parts.conversation, parts.interface.chatbot]
    opened.then(None, shown, None, js="(id, chat) => assistantPage.loaded(id, chat)", **_QUIET)
    parts.under_way.change(None, None, [parts.interface.textbox], js="() => assistantPage.lock()", **_QUIET)
    _ends(parts, parts.under_way.change(chat.attach, [parts.conversation], parts.of(TURN), **_QUIET))
    demo.unload(chat.unload)


def _ends(parts: Parts, answered: Any) -> None:
    """In the browser alone: the address names the conversation, or the page is freed where the server failed."""
    answered.then(None, [parts.conversation], None, js="(id) => assistantPage.ended(id)", **_QUIET)
    freed = [parts.interface.textbox, parts.notice]
    answered.failure(None, None, freed, js="() => assistantPage.failed()", **_QUIET)


# The text box is free a moment before Gradio takes a turn for ended: a message of that moment is not to be dropped.
_TURN: dict[str, Any] = {**_QUIET, "trigger_mode": "multiple"}


def _wire_turns(chat: Chat, parts: Parts) -> None:
    """Each begins in the browser, where the text box is locked at once, and is one request: see Interface."""
    chatbot, textbox, turn = parts.interface.chatbot, parts.interface.textbox, parts.of(TURN)
    begins = [chatbot, textbox, parts.sent, parts.intent, parts.notice, parts.go_on]
    for listen, js in (
        (textbox.submit, "(text, chat, id) => assistantPage.send(text, chat, id)"),
        (chatbot.retry, "(text, chat, id) => assistantPage.retry(chat, id)"),
    ):
        begun = listen(None, [textbox, chatbot, parts.conversation], begins, js=js, **_QUIET)
        given = [parts.sent, chatbot, parts.conversation, parts.intent, parts.attach.ids, *parts.settings]
        _ends(parts, begun.then(chat.say, given, turn, **_TURN))
    locks = [textbox, parts.notice, parts.go_on]
    for listen, answer, given in (
        (chatbot.edit, chat.edit, [chatbot, parts.conversation, *parts.settings]),
        (chatbot.option_select, chat.pick, [chatbot, parts.conversation, *parts.settings]),
        (chatbot.example_select, chat.pick, [chatbot, parts.conversation, *parts.settings]),
        (parts.go_on.click, chat.go_on, [parts.conversation, *parts.settings]),
    ):
        listen(None, [parts.conversation], locks, js="(id) => assistantPage.begin(id)", **_QUIET)
        _ends(parts, listen(answer, given, turn, **_TURN))


def _wire_buttons(chat: Chat, parts: Parts) -> None:
    chatbot, textbox = parts.interface.chatbot, parts.interface.textbox
    textbox.stop(chat.stop, [parts.conversation], None, **_NOW)
    chatbot.undo(chat.undo, [parts.conversation, chatbot, textbox], parts.of(TURN), **_NOW)
    # Gradio's waste bin empties the chat on the screen alone; what it can mean here is a new one. See style.css, too.
    chatbot.clear(None, None, None, js="() => { location.href = '?'; }", **_QUIET)
    parts.earlier.click(chat.show_earlier, [parts.conversation, chatbot], [chatbot], **_QUIET)


def head() -> str:
    """The page's script, with the words it needs."""
    labels = {
        language: {
            **{name: words.say(key, language) for name, key in _SCRIPT_WORDS.items()},
            "colours": [words.say(f"colours.{name}", language) for name in ("light", "dark", "system")],
        }
        for language in words.LANGUAGES
    }
    values = {
        "LABELS": _json(labels),
        "LONG_TEXT": LONG_TEXT,
        "MAX_FILE": MAX_FILE,
        "ENDINGS": ",".join(ENDINGS),
        "TEMPORARY": TEMPORARY,
    }
    script = _JS
    for name, value in values.items():
        script = script.replace(f"__{name}__", str(value))
    return f"<script>{script}</script>"


def _json(value: Any) -> str:
    import json

    # Inside a <script>: "</" would end it.
    return json.dumps(value, ensure_ascii=False).replace("</", "<\\/")
