"""The page: what is on it, and which listener answers to what. No decisions here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from assistant.chats import Chats

from . import words
from .chat import Chat
from .header import Header

# Chats answered at once; Gradio's default is one. Chats' limits say no in words, a full queue would freeze the page.
CONCURRENCY = 200

_T = words.i18n()
_JS = (Path(__file__).parent / "page.js").read_text("utf-8")


class Parts(NamedTuple):
    """What the listeners read and write."""

    header: gr.HTML
    conversation: gr.Textbox
    intent: gr.Textbox
    kept: gr.Textbox
    ended: gr.State
    notice: gr.Markdown
    go_on: gr.Button
    settings: list[Any]
    interface: gr.ChatInterface


def build(chats: Chats) -> gr.Blocks:
    """The page for these conversations, not launched yet."""
    chat = Chat(chats, Header(chats.client))
    # A plain string: I18nData would show its own source in the browser's tab.
    with gr.Blocks(title="Assistant", analytics_enabled=False, fill_height=True) as demo:
        parts = _lay_out(chat)
        _wire_loading(demo, chat, parts)
        _wire_chat(chat, parts)
    # No limit on the queue: a refused event would freeze the page. Admission is Chats' and answers in words.
    demo.queue(max_size=None, default_concurrency_limit=CONCURRENCY, api_open=False)
    page: gr.Blocks = demo
    return page


def _lay_out(chat: Chat) -> Parts:
    header = gr.HTML("", elem_id="header", padding=False)
    conversation = gr.Textbox("", visible=False, label="Conversation id")
    intent = gr.Textbox("", visible=False, label="Intent")
    kept = gr.Textbox("", visible="hidden", label="Kept text", elem_id="kept")
    # Changes once a turn, at its end. A State is no part of what the endpoint answers. (ChatInterface's chatbot_state
    # is of no use for that: it changes in an event without queue, and Gradio tells of changes only from the queue.)
    ended = gr.State("")
    settings = _settings(chat.header.default_model)
    interface = gr.ChatInterface(
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
        additional_inputs=[conversation, intent, *settings],
        additional_outputs=[ended],
        additional_inputs_accordion=gr.Accordion(_T("settings.label"), open=False, elem_id="settings", render=False),
        # Overwritten in the reader's language as soon as the page is loaded: these cards are not translated by Gradio.
        examples=[[each["text"]] for each in words.examples("en")],
        example_labels=[each["display_text"] for each in words.examples("en")],
        cache_examples=False,
        editable=True,
        # What there is to wait for is said in the chat, in the reader's language.
        show_progress="hidden",
        concurrency_limit=CONCURRENCY,
        api_name="chat",
        fill_height=True,
    )
    column: Any = interface.chatbot.parent
    with column:
        notice = gr.Markdown("", elem_id="notice", container=False)
        go_on = gr.Button(_T("chat.continue"), visible=False, size="sm", elem_id="continue")
    # Beneath the text box, but above the accordion, which may be long.
    column.children.sort(key=lambda block: isinstance(block, gr.Accordion))
    return Parts(header, conversation, intent, kept, ended, notice, go_on, settings, interface)


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
            render=False,
            elem_id="model",
        ),
        *(
            gr.Number(
                None,
                label=_T(f"settings.{name}"),
                info=_T(f"settings.{name}.info"),
                placeholder=own,
                step=step,
                render=False,
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
            render=False,
            elem_id="system",
        ),
    ]


# Events of ours: not part of the API, nothing to see of their progress, and none waits for another.
_QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": None}
_NOW: dict[str, Any] = {**_QUIET, "queue": False}


def _wire_loading(demo: gr.Blocks, chat: Chat, parts: Parts) -> None:
    chatbot, state = parts.interface.chatbot, parts.interface.chatbot_state
    opened = demo.load(
        chat.open,
        [parts.conversation],
        [parts.header, parts.conversation, chatbot, state, parts.notice, parts.go_on, *parts.settings],
        js="() => [new URLSearchParams(location.search).get('c') || '']",
        **_QUIET,
    )
    opened.then(None, [parts.conversation], None, js="(id) => assistantPage.forgetOther(id)", **_QUIET)
    opened.then(chat.attach, [parts.conversation], _drawn(parts), **_QUIET)
    demo.load(chat.models, [parts.settings[0]], [parts.settings[0]], **_QUIET)
    demo.unload(chat.unload)


def _wire_chat(chat: Chat, parts: Parts) -> None:
    chatbot, textbox = parts.interface.chatbot, parts.interface.textbox
    # In the browser alone, so that it is done long before ChatInterface's third step, which reads what it writes.
    for listen, intent in (
        (textbox.submit, "send"),
        (chatbot.example_select, "send"),
        (chatbot.option_select, "send"),
        (chatbot.retry, "retry"),
        (chatbot.edit, "edit"),
    ):
        js = f"(id) => assistantPage.send(id, '{intent}')"
        listen(None, [parts.conversation], [parts.intent, parts.notice, parts.go_on], js=js, **_QUIET)
    for listen in (chatbot.edit, chatbot.option_select):
        listen(chat.show_stop, None, [textbox], **_NOW)
    _settle_after(parts.ended.change, chat, parts)
    _settle_after(textbox.stop(chat.stop, [parts.conversation], None, **_NOW).then, chat, parts)
    _settle_after(chatbot.undo(chat.undo, [parts.conversation, chatbot], None, **_NOW).then, chat, parts)
    # Gradio's waste bin empties the chat on the screen alone; what it can mean here is a new one. See style.css, too.
    chatbot.clear(None, None, None, js="() => { location.href = '?'; }", **_QUIET)
    restore = "(kept, typed) => assistantPage.restore(kept, typed)"
    parts.kept.change(None, [parts.kept, textbox], [textbox, parts.kept], js=restore, **_QUIET)
    parts.go_on.click(chat.go_on, [parts.conversation, *parts.settings], _drawn(parts), **_QUIET)
    parts.settings[0].change(chat.describe, [parts.settings[0]], [parts.header], **_NOW)


def _settle_after(listen: Any, chat: Chat, parts: Parts) -> None:
    """Draws what is stored where the page shows something else, once ChatInterface has done what it does at an end."""
    chatbot, state, textbox = parts.interface.chatbot, parts.interface.chatbot_state, parts.interface.textbox
    listen(None, None, None, js="() => assistantPage.free()", **_QUIET).then(
        chat.settle,
        [parts.conversation, state],
        [parts.conversation, chatbot, state, textbox, parts.kept, parts.notice, parts.go_on],
        **_QUIET,
    ).then(chat.attach, [parts.conversation], _drawn(parts), **_QUIET)


def _drawn(parts: Parts) -> list[Any]:
    """What a reply is drawn into by our own listeners."""
    interface = parts.interface
    return [interface.chatbot, interface.chatbot_state, interface.textbox, parts.go_on, parts.notice]


def head() -> str:
    """The page's script, with the words it needs."""
    labels = {
        language: {name: words.say(f"chat.{name}", language) for name in ("send", "stop", "placeholder")}
        for language in words.LANGUAGES
    }
    return f"<script>{_JS.replace('__LABELS__', _json(labels))}</script>"


def _json(value: Any) -> str:
    import json

    # Inside a <script>: "</" would end it.
    return json.dumps(value, ensure_ascii=False).replace("</", "<\\/")
