"""The page: what is on it, and which listener answers to what. No decisions here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from assistant.chats import Chats

from . import panels, words
from .attachments import ENDINGS, LONG_TEXT, Attachments
from .chat import Chat
from .chatbot import Page
from .header import Header
from .launch import MAX_FILE
from .panels import NOW as _NOW
from .panels import QUIET as _QUIET
from .sidebar import Sidebar

# Chats answered at once; Gradio's default is one. Chats' limits say no in words, a full queue would freeze the page.
CONCURRENCY = 200

_T = words.i18n()
_HERE = Path(__file__).parent
_JS = (_HERE / "page.js").read_text("utf-8").replace("__PANELS__", (_HERE / "panels.js").read_text("utf-8"))


# What the page's script says by itself.
_SCRIPT_WORDS = {
    "send": "chat.send",
    "stop": "chat.stop",
    "placeholder": "chat.placeholder",
    "edit": "chatbot.edit",
    "undo": "side.undo",
    "close": "side.close",
    "toggle": "side.toggle",
    "title": "side.rename",
    "pasted": "attach.pasted",
    "reading": "attach.reading",
    "tooLarge": "attach.size",
}


class Parts(NamedTuple):
    """What the listeners read and write."""

    header: gr.HTML
    conversation: gr.Textbox
    intent: gr.Textbox
    kept: gr.Textbox
    ended: gr.State
    notice: gr.Markdown
    go_on: gr.Button
    earlier: gr.Button
    settings: list[Any]
    interface: gr.ChatInterface
    side: panels.Side
    attach: panels.Attach
    extras: panels.Extras
    memory: panels.Memory
    cost: panels.Cost


class _After(NamedTuple):
    """Whoever has something to draw when a turn has ended."""

    side: Sidebar
    attach: Attachments
    panels: panels.Panels


def build(chats: Chats) -> gr.Blocks:
    """The page for these conversations, not launched yet."""
    chat = Chat(chats, Header(chats.client))
    # A plain string: I18nData would show its own source in the browser's tab.
    with Page(title="Assistant", analytics_enabled=False, fill_height=True) as demo:
        parts = _lay_out(chat)
        # ChatInterface's own place for what it throws away.
        demo.unread.add(parts.interface.null_component._id)
        after = _After(
            panels.wire_side_bar(demo, chat, parts.side, parts.conversation),
            panels.wire_attachments(chat, parts.attach, parts.side, parts.settings[0]),
            panels.Panels(chat, parts.memory, parts.cost, parts.conversation),
        )
        panels.wire_settings(demo, chat, parts.extras, parts.header, parts.settings)
        _wire_loading(demo, chat, parts, after)
        _wire_chat(chat, parts, after)
    # No limit on the queue: a refused event would freeze the page. Admission is Chats' and answers in words.
    demo.queue(max_size=None, default_concurrency_limit=CONCURRENCY, api_open=False)
    page: gr.Blocks = demo
    return page


def _lay_out(chat: Chat) -> Parts:
    side = panels.side_bar()
    header = gr.HTML("", elem_id="header", padding=False)
    conversation = gr.Textbox("", visible=False, label="Conversation id")
    intent = gr.Textbox("", visible=False, label="Intent")
    kept = gr.Textbox("", visible="hidden", label="Kept text", elem_id="kept")
    # Changes once a turn, at its end. A State is no part of what the endpoint answers. (ChatInterface's chatbot_state
    # is of no use for that: it changes in an event without queue, and Gradio tells of changes only from the queue.)
    ended = gr.State("")
    attached = gr.Textbox("", visible=False, label="Attached")
    # Made here and moved: to ChatInterface's own accordion nothing can be added, the page would never finish loading.
    with gr.Accordion(_T("settings.label"), open=False, elem_id="settings") as accordion:
        settings = _settings(chat.header.default_model)
        extras = panels.settings_extras()
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
        additional_inputs=[conversation, intent, *settings, attached],
        additional_outputs=[ended],
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
        kept,
        ended,
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


def _wire_loading(demo: gr.Blocks, chat: Chat, parts: Parts, after: _After) -> None:
    chatbot, state = parts.interface.chatbot, parts.interface.chatbot_state
    opened = demo.load(
        chat.open,
        [parts.conversation],
        [parts.header, parts.conversation, chatbot, state, parts.notice, parts.go_on, *parts.settings],
        js="() => [new URLSearchParams(location.search).get('c') || '']",
        **_QUIET,
    )
    opened.then(None, [parts.conversation], None, js="(id) => assistantPage.forgetOther(id)", **_QUIET)
    _draw_after(opened.then(chat.attach, [parts.conversation], _drawn(parts), **_QUIET), parts, after)
    demo.unload(chat.unload)


def _wire_chat(chat: Chat, parts: Parts, after: _After) -> None:
    chatbot, textbox, state = parts.interface.chatbot, parts.interface.textbox, parts.interface.chatbot_state
    # In the browser alone, so that it is done long before ChatInterface's third step, which reads what it writes.
    for listen, intent in (
        (textbox.submit, "send"),
        (chatbot.example_select, "send"),
        (chatbot.option_select, "send"),
        (chatbot.retry, "retry"),
        (chatbot.edit, "edit"),
    ):
        js = f"(id) => assistantPage.send(id, '{intent}')"
        drawn = [parts.intent, parts.notice, parts.go_on, parts.attach.chips]
        listen(None, [parts.conversation], drawn, js=js, **_QUIET)
    for listen in (chatbot.edit, chatbot.option_select):
        listen(chat.show_stop, None, [textbox], **_NOW)
    _settle_after(parts.ended.change, chat, parts, after)
    _settle_after(textbox.stop(chat.stop, [parts.conversation], None, **_NOW).then, chat, parts, after)
    _settle_after(chatbot.undo(chat.undo, [parts.conversation, chatbot], None, **_NOW).then, chat, parts, after)
    # Gradio's waste bin empties the chat on the screen alone; what it can mean here is a new one. See style.css, too.
    chatbot.clear(None, None, None, js="() => { location.href = '?'; }", **_QUIET)
    restore = "(kept, typed) => assistantPage.restore(kept, typed)"
    parts.kept.change(None, [parts.kept, textbox], [textbox, parts.kept], js=restore, **_QUIET)
    went_on = parts.go_on.click(chat.go_on, [parts.conversation, *parts.settings], _drawn(parts), **_QUIET)
    _draw_after(went_on, parts, after)
    parts.earlier.click(chat.show_earlier, [parts.conversation, state], [chatbot, state], **_QUIET)


def _settle_after(listen: Any, chat: Chat, parts: Parts, after: _After) -> None:
    """Draws what is stored where the page shows something else, once ChatInterface has done what it does at an end."""
    chatbot, state, textbox = parts.interface.chatbot, parts.interface.chatbot_state, parts.interface.textbox
    freed = listen(None, None, None, js="() => assistantPage.free()", **_QUIET)
    settled = freed.then(
        chat.settle,
        [parts.conversation, state],
        [parts.conversation, chatbot, state, textbox, parts.kept, parts.notice, parts.go_on],
        **_QUIET,
    )
    settled.then(after.attach.refresh, None, [parts.attach.chips, parts.attach.ids], **_QUIET)
    _draw_after(settled.then(chat.attach, [parts.conversation], _drawn(parts), **_QUIET), parts, after)


def _draw_after(event: Any, parts: Parts, after: _After) -> None:
    """What a turn changes beside the chat."""
    side = parts.side
    event.then(after.panels.refresh, [parts.conversation], after.panels.drawn, **_QUIET)
    event.then(after.side.follow, [parts.conversation, side.zone], [side.fresh], **_QUIET)


def _drawn(parts: Parts) -> list[Any]:
    """What a reply is drawn into by our own listeners."""
    interface = parts.interface
    return [interface.chatbot, interface.chatbot_state, interface.textbox, parts.go_on, parts.notice]


def head() -> str:
    """The page's script, with the words it needs."""
    labels = {
        language: {name: words.say(key, language) for name, key in _SCRIPT_WORDS.items()}
        for language in words.LANGUAGES
    }
    values = {"LABELS": _json(labels), "LONG_TEXT": LONG_TEXT, "MAX_FILE": MAX_FILE, "ENDINGS": ",".join(ENDINGS)}
    script = _JS
    for name, value in values.items():
        script = script.replace(f"__{name}__", str(value))
    return f"<script>{script}</script>"


def _json(value: Any) -> str:
    import json

    # Inside a <script>: "</" would end it.
    return json.dumps(value, ensure_ascii=False).replace("</", "<\\/")
