"""Conversations as files: Markdown to read, JSON to read and to take in again."""

from __future__ import annotations

import json
import math
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

# Where the size of a file is limited: the turns that it may have, and one list within a turn; and characters for each
# list, object and value, for a file of nothing but those takes thirty times its size in memory.
MAX_TURNS, _MAX_LISTED, _PART = 10_000, 100, 30


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


def to_json(conversation: StoredConversation, most: int | None = None) -> str:
    """The line with everything that is known of it, documents included.

    With `most` only the newest documents with which the file stays below so many bytes; "left_out" names the others.
    """
    turns = [replace(turn, documents=()).to_dict() for turn in conversation.turns]
    data: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "left_out": [],
        "title": conversation.title,
        "created_at": conversation.created_at,
        "settings": conversation.settings,
        "turns": turns,
    }
    room = math.inf if most is None else most - len(_dumped(data).encode("utf-8", "replace"))
    for turn, written in zip(conversation.turns[::-1], turns[::-1], strict=True):
        for document in turn.documents:
            # The first one that does not fit is the last one whose data is read.
            if room > 0:
                room -= 4 * len(document.data) / 3 + 4 * len(document.name) + 200
            whole = room > 0
            written["documents"].append(document.to_dict() if whole else {"name": document.name})
            if not whole:
                data["left_out"].append(document.name)
    return _dumped(data)


def _dumped(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def left_out(text: str) -> list[str]:
    """The names of the documents that are not in what `to_json` gave, which is not read for it: it may be long."""
    mark = '"left_out": '
    names: list[str] = json.JSONDecoder().raw_decode(text, text.index(mark) + len(mark))[0]
    return names


def from_json(data: str | bytes, most: int | None = None) -> Imported:
    """What `to_json` gave, with new ids; what it left out is a notice of its turn.

    Raises InvalidRequestError that says what is wrong, and where; its `code` is "not_json", "not_ours", "newer",
    "attachment", "broken" or, past `most` bytes or ten thousand turns where `most` is given, "too_large".
    """
    if most is not None:
        marks = ("[", "{", ",") if isinstance(data, str) else (b"[", b"{", b",")
        if len(data) > most or sum(map(data.count, marks)) > most // _PART:  # type: ignore[arg-type]
            raise _too_large(most)
    try:
        read = json.loads(data, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise _bad(f"it is no JSON ({error})", "not_json") from error
    if not isinstance(read, Mapping) or read.get("format") != FORMAT:
        raise _bad(f'its format is not "{FORMAT}"', "not_ours")
    found = _Reader(read, "it")
    version = found.get("version", int)
    if version != VERSION:
        raise InvalidRequestError(
            f"The file has version {version}; this package reads {VERSION}.",
            hint="Update the package.",
            code="newer" if version > VERSION else "broken",
        )
    turns = found.get("turns", list)
    if most is not None and len(turns) > MAX_TURNS:
        raise _too_large(most)
    read_turns = [_turn(_Reader(each, f"turn {n}")) for n, each in enumerate(turns, 1)]
    return Imported(found.get("title", str), found.get("settings", dict), read_turns)


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
        if value is not None and not abs(value) < 1e300:
            raise _bad(f'"{name}" of {self.where} is out of range')
        return None if value is None else float(value)

    def each(self, name: str) -> list[_Reader]:
        listed = self.get(name, list) if self.has(name) else []
        if len(listed) > _MAX_LISTED:
            raise _bad(f"{self.where} has more than {_MAX_LISTED} {name}")
        return [_Reader(each, f"{name} {n} of {self.where}") for n, each in enumerate(listed, 1)]


_NAMES = {str: "a text", int: "a whole number", list: "a list", dict: "an object", type(None): "null"}


def _turn(found: _Reader) -> Turn:
    files = found.each("documents")
    left_out = ", ".join(each.get("name", str) for each in files if not each.has("data"))
    notices = [_notice(each) for each in found.each("notices")]
    if left_out:
        text = f"Not in the exported file, which would have been too large: {left_out}."
        notices.append(Notice("not_exported", text, {"names": left_out}))
    stop_reason = found.get("stop_reason", str, type(None)) or "interrupted"
    if stop_reason not in STOP_REASONS:
        raise _bad(f"{found.where} has the unknown stop reason {stop_reason[:40]!r}")
    return Turn(
        found.get("user", str),
        found.get("reply", str, type(None)),
        cast(StopReason, stop_reason),
        found.get("error", str, type(None)),
        _usage(_Reader(found.get("usage", dict), f"the usage of {found.where}")),
        tuple(_document(each) for each in files if each.has("data")),
        found.get("model", str, type(None)),
        new_id(),
        tuple(notices),
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
        raise _bad(f"{found.where} is not taken: {error.message}", "attachment", given["name"]) from error
    except ValueError as error:
        raise _bad(f'"data" of {found.where} is no base64', "attachment", given["name"]) from error


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _bad(why: str, code: str = "broken", name: str = "") -> InvalidRequestError:
    return InvalidRequestError(
        f"This file can't be taken in: {why}.",
        hint="Choose a conversation that was exported as JSON.",
        code=code,
        values={"name": name},
    )


def _too_large(most: int) -> InvalidRequestError:
    return InvalidRequestError(
        f"This file can't be taken in: it is too large. At most {most / 1e6:.0f} MB and {MAX_TURNS:,} turns are taken.",
        hint="Export it with fewer or smaller documents.",
        code="too_large",
        values={"megabytes": round(most / 1e6), "turns": MAX_TURNS},
    )


def _date(seconds: float) -> str:
    return f"*{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC*"
