"""Conversations as files: Markdown to read, JSON to read and to take in again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from .documents import Document
from .errors import InvalidRequestError
from .messages import STOP_REASONS, Notice, StopReason, Turn, Usage, new_id
from .store import StoredConversation

FORMAT = "assistant-conversation"
VERSION = 1


class Imported(NamedTuple):
    """What a file holds, with new ids."""

    title: str
    settings: dict[str, Any]
    turns: list[Turn]


class Labels(NamedTuple):
    """The words of a Markdown export that are not the conversation's own. `endings` by stop reason, and "running"."""

    conversation: str = "Conversation"
    you: str = "You"
    assistant: str = "Assistant"
    endings: Mapping[str, str] = MappingProxyType({})


ENGLISH = Labels()


def to_markdown(conversation: StoredConversation, labels: Labels = ENGLISH) -> str:
    """The line as a text to read: titles, texts, the names of documents, and how a reply ended that was cut off."""
    parts = [f"# {' '.join(conversation.title.split()) or labels.conversation}", _date(conversation.created_at)]
    for turn in conversation.turns:
        parts += ["---", f"**{labels.you}**", turn.user]
        if turn.documents:
            parts.append("\n".join(f"- 📎 {document.name}" for document in turn.documents))
        parts.append(f"**{turn.model or labels.assistant}**")
        if turn.reply:
            parts.append(turn.reply)
        if turn.stop_reason not in ("end_turn", "stop_sequence"):
            ending = turn.stop_reason or "running"
            parts.append(f"*({labels.endings.get(ending, ending)})*")
    return "\n\n".join(parts) + "\n"


def to_json(conversation: StoredConversation) -> str:
    """The line with everything that is known of it, documents included."""
    data = {
        "format": FORMAT,
        "version": VERSION,
        "title": conversation.title,
        "created_at": conversation.created_at,
        "settings": conversation.settings,
        "turns": [turn.to_dict() for turn in conversation.turns],
    }
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def from_json(data: str | bytes) -> Imported:
    """What `to_json` gave, with new ids. Raises InvalidRequestError that says what is wrong, and where."""
    try:
        read = json.loads(data, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise _bad(f"it is no JSON ({error})") from error
    found = _Reader(read, "it")
    if found.get("format", str) != FORMAT:
        raise _bad(f'its format is not "{FORMAT}"')
    if found.get("version", int) != VERSION:
        raise InvalidRequestError(
            f"The file has version {found.get('version', int)}; this package reads {VERSION}.",
            hint="Update the package.",
        )
    turns = [_turn(_Reader(each, f"turn {n}")) for n, each in enumerate(found.get("turns", list), 1)]
    return Imported(found.get("title", str), found.get("settings", dict), turns)


class _Reader:
    """Fields of a given kind out of plain data; what is missing or of another kind is an error that names it."""

    def __init__(self, data: Any, where: str) -> None:
        if not isinstance(data, Mapping):
            raise _bad(f"{where} is no object")
        self._data = data
        self.where = where

    def get(self, name: str, *kinds: type) -> Any:
        value = self._data.get(name)
        # bool is an int, and means something else.
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(_NAMES.get(kind, kind.__name__) for kind in kinds)
            raise _bad(f'"{name}" of {self.where} is not {wanted}')
        return value

    def has(self, name: str) -> bool:
        return name in self._data

    def number(self, name: str) -> float | None:
        value = self.get(name, int, float, type(None)) if self.has(name) else None
        return None if value is None else float(value)

    def each(self, name: str) -> list[_Reader]:
        listed = self.get(name, list) if self.has(name) else []
        return [_Reader(each, f"{name} {n} of {self.where}") for n, each in enumerate(listed, 1)]


_NAMES = {str: "a text", int: "a whole number", list: "a list", dict: "an object", type(None): "null"}


def _turn(found: _Reader) -> Turn:
    stop_reason = found.get("stop_reason", str, type(None)) or "interrupted"
    if stop_reason not in STOP_REASONS:
        raise _bad(f"{found.where} has the unknown stop reason {stop_reason[:40]!r}")
    return Turn(
        found.get("user", str),
        found.get("reply", str, type(None)),
        cast(StopReason, stop_reason),
        found.get("error", str, type(None)),
        _usage(_Reader(found.get("usage", dict), f"the usage of {found.where}")),
        tuple(_document(each) for each in found.each("documents")),
        found.get("model", str, type(None)),
        new_id(),
        tuple(_notice(each) for each in found.each("notices")),
        # The name of a class, and nothing else.
        re.sub(r"\W", "", found.get("error_code", str) if found.has("error_code") else "")[:64],
        found.number("started"),
        found.number("first_text_after"),
    )


def _notice(found: _Reader) -> Notice:
    return Notice(found.get("code", str), found.get("text", str), found.get("values", dict))


def _usage(found: _Reader) -> Usage:
    tokens = {name: max(0, found.get(name, int)) for name in Usage.__slots__ if name != "cost"}
    return replace(Usage(**tokens), cost=found.number("cost"))


def _document(found: _Reader) -> Document:
    given = {name: found.get(name, str) for name in ("name", "format", "data")}
    try:
        # The id follows from the data, whatever the file says.
        return Document.from_dict({**given, "id": ""})
    except InvalidRequestError as error:
        raise _bad(f"{found.where} is not taken: {error.message}") from error
    except ValueError as error:
        raise _bad(f'"data" of {found.where} is no base64') from error


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _bad(why: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"This file can't be taken in: {why}.", hint="Choose a conversation that was exported as JSON."
    )


def _date(seconds: float) -> str:
    return f"*{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC*"
