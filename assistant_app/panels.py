"""The side bar, the attachments and the panels on the page: where they stand, and which listener answers to what."""

from __future__ import annotations

from typing import Any, NamedTuple

import gradio as gr

from . import words
from .attachments import Attachments, Upload
from .chat import Chat
from .controls import Controls
from .cost import Costs
from .memory_panel import HIGHEST, LOWEST, Limit, MemoryPanel
from .sidebar import Sidebar

_T = words.i18n()

# Events of ours: not part of the API, nothing to see of their progress, and none waits for another.
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": None}
NOW: dict[str, Any] = {**QUIET, "queue": False}

# What the page's script has ready for a listener: it presses a hidden button, and the listener's js takes it.
_TAKE = "assistantPage.take()"


class Side(NamedTuple):
    top: gr.HTML
    search: gr.Textbox
    entries: gr.HTML
    data: gr.HTML
    zone: gr.Textbox
    command: gr.Textbox
    done: gr.Textbox
    fresh: gr.Textbox
    act: gr.Button
    untitled: gr.State


class Attach(NamedTuple):
    upload: Upload
    chips: gr.HTML
    ids: gr.Textbox
    command: gr.Textbox
    detach: gr.Button


class Extras(NamedTuple):
    """What stands in the accordion beside the settings themselves."""

    refresh: gr.Button
    preset: gr.Dropdown
    name: gr.Textbox
    save: gr.Button
    delete: gr.Button
    keep: gr.Button
    said: gr.Markdown


class Memory(NamedTuple):
    panel: gr.Accordion
    seen: gr.HTML
    summary: gr.Textbox
    limit: Limit
    said: gr.Markdown
    save: gr.Button
    forget: gr.Button
    command: gr.Textbox
    unpin: gr.Button

    @property
    def drawn(self) -> list[Any]:
        return [self.seen, self.summary, self.limit, self.said]


class Cost(NamedTuple):
    panel: gr.Accordion
    seen: gr.HTML


# -- where they stand --------------------------------------------------------------------------------------


def side_bar() -> Side:
    with gr.Sidebar(open=True, width=290, elem_id="side"):
        top = gr.HTML("", padding=False)
        search = gr.Textbox(
            "",
            label=_T("side.search"),
            show_label=False,
            placeholder=_T("side.search.hint"),
            container=False,
            max_lines=1,
            elem_id="search",
        )
        entries = gr.HTML("", padding=False, elem_id="entries")
        data = gr.HTML("", padding=False, elem_id="your-data")
        zone = gr.Textbox("", visible=False, label="Time zone")
        command = gr.Textbox("", visible=False, label="Command")
        done = gr.Textbox("", visible="hidden", label="Done", elem_id="done")
        fresh = gr.Textbox("", visible="hidden", label="Entries", elem_id="fresh")
        act = gr.Button("", visible="hidden", elem_id="act")
        untitled = gr.State("")
    return Side(top, search, entries, data, zone, command, done, fresh, act, untitled)


def attachments(ids: gr.Textbox) -> Attach:
    with gr.Row(elem_id="attachments"):
        upload = Upload(
            _T("attach.button"),  # type: ignore[arg-type]
            file_count="multiple",
            size="sm",
            scale=0,
            min_width=150,
            elem_id="attach",
        )
        chips = gr.HTML("", padding=False, elem_id="chips")
    command = gr.Textbox("", visible=False, label="Command")
    detach = gr.Button("", visible="hidden", elem_id="detach")
    return Attach(upload, chips, ids, command, detach)


def settings_extras() -> Extras:
    refresh = gr.Button(_T("settings.refresh"), size="sm", elem_id="refresh-models")
    with gr.Row(elem_id="presets"):
        preset = gr.Dropdown(
            [],
            value=None,
            label=_T("preset.label"),
            info=_T("preset.info"),
            allow_custom_value=True,
            elem_id="preset",
        )
        name = gr.Textbox("", label=_T("preset.name"), info=_T("preset.name.info"), max_lines=1, elem_id="preset-name")
    with gr.Row(elem_id="preset-buttons"):
        save = gr.Button(_T("preset.save"), size="sm", elem_id="preset-save")
        delete = gr.Button(_T("preset.delete"), size="sm", elem_id="preset-delete")
        keep = gr.Button(_T("settings.default"), size="sm", elem_id="use-as-default")
    said = gr.Markdown("", elem_id="settings-said", elem_classes="said", container=False)
    return Extras(refresh, preset, name, save, delete, keep, said)


def memory() -> Memory:
    with gr.Accordion(_T("memory.label"), open=False, elem_id="memory") as panel:
        seen = gr.HTML("", padding=False)
        summary = gr.Textbox(
            "",
            label=_T("memory.summary"),
            info=_T("memory.summary.info"),
            lines=2,
            max_lines=12,
            elem_id="summary",
        )
        limit = Limit(
            LOWEST,
            HIGHEST,
            value=1024,
            step=LOWEST,
            label=_T("memory.limit"),
            info=_T("memory.limit.info"),
            elem_id="memory-limit",
        )
        with gr.Row():
            save = gr.Button(_T("memory.save"), size="sm", elem_id="memory-save")
            forget = gr.Button(_T("memory.forget"), size="sm", variant="stop", elem_id="memory-forget")
        said = gr.Markdown("", elem_id="memory-said", elem_classes="said", container=False)
        command = gr.Textbox("", visible=False, label="Command")
        unpin = gr.Button("", visible="hidden", elem_id="unpin")
    return Memory(panel, seen, summary, limit, said, save, forget, command, unpin)


def cost() -> Cost:
    with gr.Accordion(_T("cost.label"), open=False, elem_id="cost") as panel:
        seen = gr.HTML("", padding=False)
    return Cost(panel, seen)


# -- which listener answers to what ------------------------------------------------------------------------


def wire_side_bar(listeners: Sidebar, side: Side, conversation: gr.Textbox) -> None:
    side.act.click(
        listeners.act,
        [side.command, conversation, side.zone],
        [side.entries, side.done],
        js=f"(command, ...rest) => [{_TAKE}, ...rest]",
        trigger_mode="multiple",
        **QUIET,
    )
    side.fresh.change(
        None,
        [side.fresh],
        [side.entries],
        js="(entries) => assistantPage.fresh(entries)",
        trigger_mode="multiple",
        **QUIET,
    )
    side.done.change(None, [side.done], None, js="(text) => assistantPage.done(text)", **QUIET)
    side.untitled.change(listeners.follow, [conversation, side.untitled], [side.fresh], **QUIET)


def wire_attachments(chat: Chat, attach: Attach, side: Side, model: Any) -> None:
    listeners = Attachments(chat.waiting, lambda name: chat.header.info(name if isinstance(name, str) else ""))
    drawn = [attach.chips, attach.ids]
    attach.upload.upload(None, [attach.chips], [attach.chips], js="(chips) => assistantPage.reading(chips)", **QUIET)
    attach.upload.upload(
        listeners.attach, [attach.upload, model], [*drawn, side.done], trigger_mode="multiple", **QUIET
    )
    attach.detach.click(
        listeners.remove, [attach.command], drawn, js=f"() => [{_TAKE}]", trigger_mode="multiple", **QUIET
    )


def wire_settings(demo: gr.Blocks, chat: Chat, extras: Extras, header: gr.HTML, settings: list[Any]) -> Controls:
    """`settings` in the order of settings.NAMES."""
    listeners = Controls(chat.chats, chat.header)
    model, temperature, top_p, max_tokens, _, effort = settings
    fitted = [header, model, temperature, top_p, max_tokens, effort]
    model.change(listeners.fit, [model], fitted, **NOW)
    demo.load(listeners.models, [model], fitted, **QUIET)
    extras.refresh.click(listeners.refresh, [model], [*fitted, extras.said], **QUIET)
    extras.preset.input(listeners.pick, [extras.preset, model], [*settings, extras.said], **QUIET)
    extras.save.click(listeners.save, [extras.name, *settings], [extras.preset, extras.name, extras.said], **QUIET)
    extras.delete.click(listeners.delete, [extras.preset], [extras.preset, extras.said], **QUIET)
    extras.keep.click(listeners.keep, settings, [extras.said], **QUIET)
    return listeners


class Panels:
    """Those that show what the store holds are drawn when they are opened, and after a turn while they stand open."""

    def __init__(self, chat: Chat, memory: Memory, cost: Cost, conversation: gr.Textbox) -> None:
        self._chat = chat
        self._memory, self._costs = MemoryPanel(chat.chats), Costs(chat.chats)
        self._wire(memory, cost, conversation)

    def _wire(self, memory: Memory, cost: Cost, conversation: gr.Textbox) -> None:
        memory.panel.expand(self._open_memory, [conversation], memory.drawn, **QUIET)
        memory.panel.collapse(self._close_memory, None, None, **NOW)
        memory.save.click(self._memory.save, [conversation, memory.summary, memory.limit], memory.drawn, **QUIET)
        memory.forget.click(self._memory.forget, [conversation], memory.drawn, **QUIET)
        memory.unpin.click(
            self._memory.unpin,
            [memory.command, conversation],
            memory.drawn,
            js=f"(command, ...rest) => [{_TAKE}, ...rest]",
            trigger_mode="multiple",
            **QUIET,
        )
        cost.panel.expand(self._open_cost, [conversation], [cost.seen], **QUIET)
        cost.panel.collapse(self._close_cost, None, None, **NOW)

    async def after_turn(self, conversation: str, request: Any) -> dict[str, Any]:
        """What stands open, as it is now."""
        standing = self._chat.tabs.of(request.session_hash).panels
        drawn: dict[str, Any] = {}
        if "memory" in standing:
            seen = await self._memory.show(conversation, request)
            drawn |= dict(zip(("memory", "summary", "limit", "memory_said"), seen, strict=True))
        if "cost" in standing:
            drawn["cost"] = await self._costs.show(conversation, request)
        return drawn

    async def _open_memory(self, conversation: str, request: gr.Request) -> list[Any]:
        self._chat.tabs.of(request.session_hash).panels.add("memory")
        return await self._memory.show(conversation, request)

    async def _close_memory(self, request: gr.Request) -> None:
        self._chat.tabs.of(request.session_hash).panels.discard("memory")

    async def _open_cost(self, conversation: str, request: gr.Request) -> str:
        self._chat.tabs.of(request.session_hash).panels.add("cost")
        return await self._costs.show(conversation, request)

    async def _close_cost(self, request: gr.Request) -> None:
        self._chat.tabs.of(request.session_hash).panels.discard("cost")
