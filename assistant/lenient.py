"""JSON in an answer, also where keys and words stand without their quotes."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from itertools import islice
from typing import Any

_DEPTH = 50
# Brackets that are tried as a beginning: thousands of them are noise, and would take seconds.
_STARTS = 500
# A bare word ends at what ends a value; a date with spaces and an amount with its thousands marked are one each.
_BARE = re.compile(r"(?:[^,{}\[\]\n\"']|(?<=\d),(?=\d{3}(?!\d))|(?<=[\d ]),(?=\s?\d{4}\s*[,}\n]))+")
_KEY = re.compile(r"[\w.$ -]+?(?=\s*:)")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?")
_QUOTED = {'"': re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL), "'": re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)}
_BLANK = re.compile(r"(?:\s|//[^\n]*)*")
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
# The last one: an exponent that Decimal can't hold.
_UNREADABLE = (ValueError, RecursionError, ArithmeticError)
_STRICT = json.JSONDecoder(parse_float=Decimal)


def find_json(text: str, kind: type | None = None) -> Any:
    """The first JSON object or array in `text`, or the text itself where that is JSON; None where there is none.

    With `kind` (dict or list) only such a value counts. Strict JSON is read as that; where it is none, keys and values
    may stand without quotes or in single ones, and a comma may be last. Numbers with a point become Decimal.
    """
    starts = r"\{" if kind is dict else r"\[" if kind is list else r"[{\[]"
    for match in islice(re.finditer(starts, text), _STARTS):
        for read in (_STRICT.raw_decode, _lenient):
            try:
                return read(text, match.start())[0]
            except _UNREADABLE:
                continue
    if kind is None:
        try:
            return _STRICT.decode(text.strip())
        except _UNREADABLE:
            return None
    return None


def _lenient(text: str, start: int) -> tuple[Any, int]:
    return _value(text, start, 0)


def _blank(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _value(text: str, at: int, depth: int) -> tuple[Any, int]:
    """The value at `at` and where it ends. Raises ValueError where there is none."""
    if depth > _DEPTH:
        raise ValueError("too deep")
    at = _blank(text, at)
    opening = text[at : at + 1]
    if opening == "{":
        return _object(text, at + 1, depth)
    if opening == "[":
        return _array(text, at + 1, depth)
    if opening in _QUOTED:
        return _string(text, at)
    match = _BARE.match(text, at)
    word = match[0].partition(" //")[0].strip() if match else ""
    if match is None or not word:
        raise ValueError("no value")
    if word in _WORDS:
        return _WORDS[word], match.end()
    if _NUMBER.fullmatch(word):
        return (Decimal(word) if re.search(r"[.eE]", word) else int(word)), match.end()
    return word, match.end()


def _string(text: str, at: int) -> tuple[str, int]:
    match = _QUOTED[text[at]].match(text, at)
    if match is None:
        raise ValueError("no end of the string")
    # Escapes as JSON has them; a raw line break within is let through.
    inner = match[1].replace("\\'", "'") if text[at] == "'" else match[1]
    try:
        return str(json.loads(f'"{inner}"', strict=False)), match.end()
    except ValueError:
        return inner, match.end()


def _object(text: str, at: int, depth: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while True:
        at = _blank(text, at)
        if text[at : at + 1] == "}":
            return found, at + 1
        if text[at : at + 1] in _QUOTED:
            key, at = _string(text, at)
        else:
            match = _KEY.match(text, at)
            if match is None:
                raise ValueError("no key")
            key, at = match[0].strip(), match.end()
        at = _blank(text, at)
        if text[at : at + 1] != ":":
            raise ValueError("no colon")
        found[key], at = _value(text, at + 1, depth + 1)
        at = _after(text, at, "}")


def _array(text: str, at: int, depth: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    while True:
        at = _blank(text, at)
        if text[at : at + 1] == "]":
            return found, at + 1
        value, at = _value(text, at, depth + 1)
        found.append(value)
        at = _after(text, at, "]")


def _after(text: str, at: int, closing: str) -> int:
    """Past the comma behind a value. A line break does instead; the closing bracket is left for the caller."""
    ended = at
    at = _blank(text, at)
    if text[at : at + 1] == ",":
        return at + 1
    if text[at : at + 1] == closing or "\n" in text[ended:at]:
        return at
    raise ValueError("no comma")
