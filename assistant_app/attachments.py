"""Files that wait for the next message: read, checked, shown as chips, and removed by hand."""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from assistant.documents import (
    DOCUMENT_FORMATS,
    IMAGE_FORMATS,
    MAX_DOCUMENT_BYTES,
    MAX_DOCUMENTS,
    MAX_IMAGE_BYTES,
    MAX_IMAGE_PIXELS,
    MAX_IMAGES,
    Document,
)
from assistant.errors import AssistantError, InvalidRequestError

from . import words
from .figures import number
from .identity import owner_of

logger = logging.getLogger("assistant")

# Of a text that is pasted or typed, in characters: a longer one becomes a document.
LONG_TEXT = 8_000
# Of everything that waits in this process, in bytes; past it what waits longest is forgotten, and said to be.
_MEMORY = 256 * 1024 * 1024
# Seconds for which it waits for a page that was closed, and may be on its way back.
_LEFT = 600.0

# Whose tab: the owner, and Gradio's session hash.
Place = tuple[str, str | None]

ENDINGS = tuple(f".{each}" for each in (*DOCUMENT_FORMATS, *IMAGE_FORMATS, "jpg", "htm", "markdown"))

# Of a file, as documents.py has them by kind.
_LIMITS = {True: MAX_IMAGE_BYTES, False: MAX_DOCUMENT_BYTES}

# By the code of what is wrong with a file.
_KEYS = {
    "unreadable": "attach.damaged",
    "no_text": "attach.no_text",
    "pixels": "attach.pixels",
    "cells": "attach.cells",
    "no_reader": "attach.no_reader",
}


class GoneError(InvalidRequestError):
    """What a page says is attached is not here any more: another process has it, or nobody."""


class Upload(gr.UploadButton):
    """Hands over the uploaded files as Gradio stored them, without leaving an empty file behind for each."""

    def get_block_name(self) -> str:
        return "uploadbutton"

    _schema: dict[str, Any] | None = None

    def api_info(self) -> dict[str, Any]:
        # Asked for with every page that is opened, and a tenth of what that costs.
        if self._schema is None:
            self._schema = super().api_info()
        return self._schema

    def preprocess(self, payload: Any) -> Any:
        given = getattr(payload, "root", payload)
        files = given if isinstance(given, (list, tuple)) else [given]
        return [(each.path, each.orig_name or Path(each.path).name) for each in files if each is not None]


def place_of(request: Any) -> Place:
    return owner_of(request), getattr(request, "session_hash", None)


class Waiting:
    """What is attached in each tab and not sent yet. One thread alone: the event loop's."""

    def __init__(self, memory: int = _MEMORY, left: float = _LEFT) -> None:
        self._tabs: OrderedDict[Place, dict[str, Document]] = OrderedDict()
        self._memory = memory
        self._left = left
        self._leaving: dict[Place, asyncio.TimerHandle] = {}

    def of(self, place: Place) -> dict[str, Document]:
        """The documents of a tab by their ids."""
        return self._tabs.get(place, {})

    def add(self, place: Place, documents: Iterable[Document]) -> None:
        held = self._tabs.setdefault(place, {})
        self._tabs.move_to_end(place)
        self._stay(place)
        held.update((each.id, each) for each in documents)
        while len(self._tabs) > 1 and self._size() > self._memory:
            self._tabs.popitem(last=False)

    def remove(self, place: Place, ids: Iterable[str]) -> None:
        held = self.of(place)
        for each in ids:
            held.pop(each, None)
        if not held:
            self._tabs.pop(place, None)

    def leave(self, place: Place) -> None:
        """The page was closed, or is being loaded anew: what waits there can still be brought along for a while."""
        if place in self._tabs:
            self._stay(place)
            self._leaving[place] = asyncio.get_running_loop().call_later(self._left, self._forget, place)

    def _stay(self, place: Place) -> None:
        # Gradio takes a page for closed whose connection broke: it may be heard of again.
        timer = self._leaving.pop(place, None)
        if timer is not None:
            timer.cancel()

    def _forget(self, place: Place) -> None:
        self._leaving.pop(place, None)
        self._tabs.pop(place, None)

    def bring(self, session: str, place: Place) -> bool:
        """To a page of the same owner what waits in its earlier one. False where nothing does any more.

        It stays there, too: a page that is loaded twice in a row may not have heard the first time.
        """
        held = self.of((place[0], session))
        if held:
            self.add(place, held.values())
        return bool(held)

    def forget(self, owner: str) -> None:
        """All of an owner's, in whatever tab."""
        for place in [each for each in self._tabs if each[0] == owner]:
            del self._tabs[place]

    def take(self, place: Place, attached: str) -> list[Document]:
        """The documents that a page says are attached, a text of ids. Raises GoneError where one is missing."""
        held = self.of(place)
        ids = [each for each in attached.split() if each] if isinstance(attached, str) else []
        if any(each not in held for each in ids):
            raise GoneError("What was attached is not here any more.")
        return [held[each] for each in ids]

    def shown(self, place: Place, language: str) -> tuple[str, str]:
        """Chips and ids of what waits in a tab."""
        self._stay(place)
        held = self.of(place)
        return chips(held.values(), language, session=place[1] or ""), " ".join(held)

    def _size(self) -> int:
        return sum(len(each.data) for held in self._tabs.values() for each in held.values())


class Attachments:
    """The listeners. None raises."""

    def __init__(self, waiting: Waiting, info: Any) -> None:
        """`info`: model id to ModelInfo or None."""
        self.waiting = waiting
        self._info = info

    async def attach(self, files: Any, model: str | None, request: gr.Request) -> list[Any]:
        """Reads what was uploaded and deletes the files. Returns chips, ids and what the page is to say."""
        language, place = words.reader(request), place_of(request)
        said: list[str] = []
        try:
            info = self._info(model)
            scans = info is not None and info.documents
            read, said = await asyncio.to_thread(_read, files or [], language, scans)
            fitting, more = _fitting(self.waiting.of(place), read, language)
            said += more
            self.waiting.add(place, fitting)
            said += _unseen(fitting, info, language)
        except Exception:
            logger.exception("app.attach_failed")
            said.append(words.say("error.AssistantError", language))
        note = json.dumps({"do": "say", "text": "\n".join(said), "at": id(said)}) if said else gr.skip()
        return [*self.waiting.shown(place, language), note]

    async def remove(self, command: str, request: gr.Request) -> list[Any]:
        """Takes one away. Returns chips and ids."""
        place = place_of(request)
        self.waiting.remove(place, [str(command)])
        return list(self.waiting.shown(place, words.reader(request)))


def _unseen(documents: Sequence[Document], info: Any, language: str) -> list[str]:
    if info is None or info.images:
        return []
    return [
        words.say("attach.no_images", language, name=each.name, model=info.name or info.id)
        for each in documents
        if each.is_image
    ]


def _read(files: Sequence[tuple[str, str]], language: str, scans: bool) -> tuple[list[Document], list[str]]:
    """The documents in these files, which are gone afterwards, and what is wrong with the others. Blocks."""
    read: list[Document] = []
    said: list[str] = []
    for path, name in files:
        file = Path(path)
        try:
            data = file.read_bytes()
        except OSError as error:
            logger.warning("app.upload_unreadable %s", error)
            said.append(words.say("attach.unreadable", language, name=name))
            continue
        finally:
            # The folder is the file's own.
            with contextlib.suppress(OSError):
                file.unlink()
                file.parent.rmdir()
        try:
            read.append(checked(Document.from_bytes(data, name), scans))
        except AssistantError as error:
            said.append(_why(data, name, error, language))
    return read, said


def checked(document: Document, scans: bool) -> Document:
    """The document, looked into: what can't be read is said now and not when it is sent. Raises InvalidRequestError.

    `scans`: the model looks at the pages of a PDF, which need hold no text then.
    """
    try:
        if not document.is_image and not document.is_text:
            _ = document.text
    except InvalidRequestError as error:
        if not (scans and document.format == "pdf" and error.code == "no_text"):
            raise
    return document


def _why(data: bytes, name: str, error: AssistantError, language: str) -> str:
    ending = Path(name).suffix.lower()
    if ending not in (*ENDINGS, ".text", ""):
        kinds = ", ".join((*DOCUMENT_FORMATS, *IMAGE_FORMATS))
        return words.say("attach.kind", language, name=name, kinds=kinds)
    if not data:
        return words.say("attach.empty", language, name=name)
    limit = _LIMITS[ending in (".png", ".jpg", ".jpeg", ".gif", ".webp")]
    if len(data) > limit:
        values = {"size": f"{len(data) / 1e6:.1f}", "limit": f"{limit / 1e6:.2f}"}
        return words.say("attach.size", language, name=name, **values)
    key = _KEYS.get(error.code or "", "attach.unreadable")
    cells = number(error.values.get("cells", 0))
    return words.say(key, language, name=name, pixels=number(MAX_IMAGE_PIXELS), cells=cells)


def _fitting(held: dict[str, Document], read: Sequence[Document], language: str) -> tuple[list[Document], list[str]]:
    """Those that a message still takes beside what is attached."""
    count = {True: 0, False: 0}
    for each in held.values():
        count[each.is_image] += 1
    most = {True: MAX_IMAGES, False: MAX_DOCUMENTS}
    fitting, said = [], []
    for each in read:
        if each.id in held:
            continue
        if count[each.is_image] >= most[each.is_image]:
            values = {"documents": MAX_DOCUMENTS, "images": MAX_IMAGES, "name": each.name}
            said.append(words.say("attach.count", language, **values))
            continue
        count[each.is_image] += 1
        fitting.append(each)
    return fitting, said


def chips(documents: Iterable[Document], language: str, *, session: str | None = None) -> str:
    """Documents as chips, in HTML; empty where there are none. With the `session` of the tab in which they wait they
    can be removed, and the page can ask for them when it is loaded anew.
    """
    parts = []
    for each in documents:
        name = html.escape(each.name)
        remove = ""
        if session is not None:
            label = html.escape(words.say("attach.remove", language, name=each.name))
            remove = f'<button type="button" data-do="detach" data-id="{each.id}" aria-label="{label}">×</button>'
        kind = f'<span class="chip-kind">{html.escape(each.format)}</span>'
        size = f'<span class="chip-size">{_size(len(each.data))}</span>'
        parts.append(f'<span class="chip">{kind}<span class="chip-name">{name}</span>{size}{remove}</span>')
    waits = "" if session is None else f' data-session="{html.escape(session)}"'
    return f'<div class="chips"{waits}>{"".join(parts)}</div>' if parts else ""


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} kB"
