"""The side bar: whose conversations these are, by day, and what can be done with them."""

from __future__ import annotations

import asyncio
import base64
import html
import json
import logging
import re
import time
import zlib
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import gradio as gr

from assistant import exchange
from assistant.chats import Chats, ConversationSummary
from assistant.errors import AssistantError
from assistant.messages import new_id
from assistant.stored import first_title

from . import show, words
from .figures import number
from .gate import TICKET
from .identity import owner_of
from .tabs import Tabs

logger = logging.getLogger("assistant")

# Conversations that are listed; older ones are found by searching.
LISTED = 200
# Of an exported conversation, in bytes: what goes out can come back. On its way it is compressed, and in base64: in all
# about as long, whatever is in it, and below what guard.py takes.
MAX_IMPORT = 60_000_000
# Seconds for which a title that the model is writing is waited for, and between two looks.
TITLE_PATIENCE, TITLE_LOOK = 20.0, 1.0

_EXPORTS = {"markdown": ("md", "text/markdown"), "json": ("json", "application/json")}


class Sidebar:
    """The listeners of the side bar. None raises; what went wrong is said in the notice that they return."""

    def __init__(self, chats: Chats, tabs: Tabs, forgotten: Callable[[str], object] = lambda owner: None) -> None:
        """`forgotten` is called with an owner whose data was deleted, for what the page itself holds of it."""
        self.chats = chats
        self.tabs = tabs
        self._forgotten = forgotten
        self._importing = False
        self._actions: dict[str, Callable[..., dict[str, Any]]] = {
            "rename": self._rename,
            "delete": self._delete,
            "restore": self._restore,
            "export": self._export,
            "forget_all": self._forget_all,
        }

    async def opened(self, conversation: str, zone: str, request: gr.Request) -> dict[str, Any]:
        """When the page is opened: the links at the top, the list, the data menu, and the browser's time zone."""
        language = words.reader(request)
        self.tabs.of(request.session_hash).zone = zone
        entries = await self._found(conversation, zone, request)
        signed_in = TICKET in (request.cookies or {})
        data = _data(language, signed_in=signed_in)
        return {"top": _top(language), "entries": entries, "data": data, "zone": zone}

    async def after_turn(self, conversation: str, request: Any, first: bool) -> dict[str, Any]:
        """The list as it is now. After a `first` turn, `untitled`: its title, if a model may still be replacing it."""
        drawn: dict[str, Any] = {}
        if first and self.chats.titles and conversation:
            # Before the list: a title that comes between the two is in it, and looked for in vain no longer.
            opened = await asyncio.to_thread(self.chats.open, owner_of(request), conversation)
            if opened.turns and opened.title == first_title(opened.turns[0]):
                drawn["untitled"] = f"{new_id()} {opened.title}"
        drawn["fresh"] = await self._found(conversation, self.tabs.of(request.session_hash).zone, request)
        return drawn

    async def follow(self, conversation: str, untitled: str, request: gr.Request) -> AsyncGenerator[Any, None]:
        """The list again when the model has found a title for a new conversation."""
        tab, owner = self.tabs.of(request.session_hash), owner_of(request)
        # A generator that yields nothing would empty what it is wired to.
        yield gr.skip()
        try:
            before = untitled.partition(" ")[2]
            deadline = time.monotonic() + TITLE_PATIENCE
            while not tab.gone and time.monotonic() < deadline:
                opened = await asyncio.to_thread(self.chats.open, owner, conversation)
                if opened.title != before:
                    yield await self._found(conversation, tab.zone, request)
                    return
                if len(opened.turns) > 1 or opened.temporary:
                    return
                await asyncio.sleep(TITLE_LOOK)
        except Exception as error:
            if not isinstance(error, AssistantError):
                logger.exception("app.follow_failed")

    async def _found(self, conversation: str, zone: str, request: gr.Request) -> Any:
        """The list, or what the tab's search finds; nothing where something else is searched for by then."""
        language, owner = words.reader(request), owner_of(request)
        tab = self.tabs.of(request.session_hash)
        search = tab.search
        try:
            found = await asyncio.to_thread(self.chats.list, owner, LISTED, search)
        except Exception as error:
            if not isinstance(error, AssistantError):
                logger.exception("app.list_failed")
            return f'<p class="side-none">{html.escape(show.error_text(error, language))}</p>'
        if tab.search != search:
            return gr.skip()
        return drawn(found, conversation, _today(zone), language, searched=bool(search))

    async def act(self, command: str, conversation: str, zone: str, request: gr.Request) -> list[Any]:
        """What a button of the side bar asks for, as JSON: {"do": …, …}. Returns the list and what the page does then,
        as JSON too: {"do": "say" | "deleted" | "download" | "go", …}."""
        language, owner = words.reader(request), owner_of(request)
        done: dict[str, Any] = {}
        try:
            given = json.loads(command)
            if given["do"] == "find":
                self.tabs.of(request.session_hash).search = str(given["search"]).strip()[:200]
            elif given["do"] == "import":
                done = await self._alone(owner, given, language)
            else:
                done = await asyncio.to_thread(self._actions[given["do"]], owner, given, language)
                if given["do"] == "forget_all":
                    self._forgotten(owner)
        except Exception as error:
            done = _said(error, language)
        # Two equal answers one after the other are two answers.
        answer = await asyncio.to_thread(json.dumps, {**done, "at": time.time()}) if done else gr.skip()
        return [await self._found(conversation, zone, request), answer]

    async def _alone(self, owner: str, given: dict[str, Any], language: str) -> dict[str, Any]:
        """One import at a time, for all visitors: a large file takes memory many times its size."""
        if self._importing:
            return {"do": "say", "text": words.say("side.import.busy", language)}
        self._importing = True
        try:
            return await asyncio.to_thread(self._import, owner, given, language)
        finally:
            self._importing = False

    # -- actions; they block ---------------------------------------------------------------------------------

    def _rename(self, owner: str, given: dict[str, Any], language: str) -> dict[str, Any]:
        title = " ".join(str(given["title"]).split())[:200]
        if title:
            self.chats.rename(owner, given["id"], title)
        return {}

    def _delete(self, owner: str, given: dict[str, Any], language: str) -> dict[str, Any]:
        title = self.chats.open(owner, given["id"]).title or words.say("side.untitled", language)
        self.chats.delete(owner, given["id"])
        return {"do": "deleted", "id": given["id"], "text": words.say("side.deleted", language, title=title)}

    def _restore(self, owner: str, given: dict[str, Any], language: str) -> dict[str, Any]:
        self.chats.restore(owner, given["id"])
        return {"do": "go", "to": f"?c={given['id']}"} if given.get("shown") else {}

    def _export(self, owner: str, given: dict[str, Any], language: str) -> dict[str, Any]:
        ending, kind = _EXPORTS[given["format"]]
        text = self.chats.export(owner, given["id"], given["format"], _labels(language), MAX_IMPORT)
        title = self.chats.open(owner, given["id"]).title
        left_out = exchange.left_out(text) if given["format"] == "json" else []
        note = words.say("side.left_out", language, names=", ".join(left_out)) if left_out else ""
        return {"do": "download", "name": f"{_file_name(title)}.{ending}", "type": kind, "text": text, "note": note}

    def _import(self, owner: str, given: dict[str, Any], language: str) -> dict[str, Any]:
        # One byte more than is taken: never all that somebody may have compressed.
        data = zlib.decompressobj(wbits=31).decompress(base64.b64decode(given["data"]), MAX_IMPORT + 1)
        return {"do": "go", "to": f"?c={self.chats.import_(owner, data, MAX_IMPORT).id}"}

    def _forget_all(self, owner: str, given: dict[str, Any], language: str) -> dict[str, Any]:
        self.chats.forget_all(owner)
        return {"do": "go", "to": "?", "text": words.say("side.forgotten", language)}


def drawn(
    found: Sequence[ConversationSummary], current: str, today: Callable[[float], date], language: str, *, searched: bool
) -> str:
    """The list as HTML: plain links, so that each opens as a page of its own."""
    if not found:
        key = "side.not_found" if searched else "side.none"
        return f'<p class="side-none">{_say(key, language)}</p>'
    now = today(time.time())
    groups: dict[str, list[str]] = {}
    for each in found:
        groups.setdefault(_day(today(each.updated_at), now), []).append(_entry(each, current, language))
    parts = [
        f'<h2 class="side-day">{_say(f"side.{name}", language)}</h2><ul>{"".join(entries)}</ul>'
        for name, entries in groups.items()
    ]
    if len(found) >= LISTED:
        parts.append(f'<p class="side-none">{_say("side.more", language, count=LISTED)}</p>')
    return f'<nav class="side-list" aria-label="{_say("side.label", language)}">{"".join(parts)}</nav>'


def _entry(each: ConversationSummary, current: str, language: str) -> str:
    title = each.title or words.say("side.untitled", language)
    shown, id = html.escape(title), html.escape(each.id)
    busy = (
        f'<span class="side-busy" role="img" aria-label="{_say("side.busy", language)}">●</span>'
        if each.running
        else ""
    )
    here = ' aria-current="page"' if each.id == current else ""
    buttons = "".join(
        f'<button type="button" data-do="{do}" data-id="{id}"{more}>{_say(f"side.{label}", language)}</button>'
        for do, label, more in (
            ("rename", "rename", ""),
            ("export", "markdown", ' data-format="markdown"'),
            ("export", "json", ' data-format="json"'),
            ("delete", "delete", ""),
        )
    )
    return (
        f'<li class="side-entry"><a href="?c={id}" title="{shown}"{here}>{shown}</a>{busy}'
        f'<details class="side-menu"><summary aria-label="{_say("side.options", language, title=title)}">⋯</summary>'
        f"<div>{buttons}</div></details></li>"
    )


def _top(language: str) -> str:
    return (
        f'<div class="side-top"><a class="side-new" href="?">{_say("side.new", language)}</a>'
        f'<a class="side-new side-quiet" href="?c={show.TEMPORARY}">{_say("side.temporary", language)}</a></div>'
    )


def _data(language: str, *, signed_in: bool) -> str:
    question = _say("side.forget_all.confirm", language)
    values = {"megabytes": round(MAX_IMPORT / 1e6), "turns": number(exchange.MAX_TURNS)}
    too_large = " ".join(
        _say(f"error.InvalidRequestError.too_large{part}", language, **values) for part in ("", ".next")
    )
    out = f'<a href="logout">{_say("auth.sign_out", language)}</a>' if signed_in else ""
    return (
        f'<details class="side-data"><summary>{_say("side.data", language)}</summary><div>'
        f'<button type="button" data-do="import" data-limit="{MAX_IMPORT}" data-too-large="{too_large}">'
        f"{_say('side.import', language)}</button>"
        f'<button type="button" class="danger" data-do="forget_all" data-confirm="{question}">'
        f"{_say('side.forget_all', language)}</button>{out}</div></details>"
    )


def _day(day: date, today: date) -> str:
    age = (today - day).days
    for limit, name in ((0, "today"), (1, "yesterday"), (7, "week"), (30, "month")):
        if age <= limit:
            return name
    return "older"


def _today(zone: str) -> Callable[[float], date]:
    """Days as the reader's clock has them; `zone` are JavaScript's minutes behind UTC."""
    try:
        offset = timezone(timedelta(minutes=-float(zone)))
    except (TypeError, ValueError, OverflowError):
        offset = UTC
    return lambda seconds: datetime.fromtimestamp(seconds, offset).date()


def _labels(language: str) -> exchange.Labels:
    endings = {name: words.say(f"export.{name}", language) for name in words.EXPORTED_ENDINGS}
    conversation, you, assistant = (
        words.say(f"export.{name}", language) for name in ("conversation", "you", "assistant")
    )
    return exchange.Labels(conversation, you, assistant, endings)


def _file_name(title: str) -> str:
    return re.sub(r"[^\w\- ]+", "", title).strip()[:60] or "conversation"


def _said(error: BaseException, language: str) -> dict[str, Any]:
    if not isinstance(error, AssistantError):
        logger.error("app.action_failed", exc_info=error)
    details = str(error) if isinstance(error, AssistantError) else ""
    return {"do": "say", "text": " ".join(show.told(error, language)), "details": details}


def _say(key: str, language: str, **values: Any) -> str:
    return html.escape(words.say(key, language, **values))
