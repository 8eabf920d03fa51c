"""Text from outside, made into text that every part of the way takes."""

from __future__ import annotations

import codecs
from collections.abc import Iterable

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def decoded(data: bytes) -> str:
    """The text of a file or a pipe: UTF-8, UTF-16 with its mark, else Windows-1252, which takes (almost) any bytes."""
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    try:
        return data.decode()
    except UnicodeDecodeError:
        # What a Spanish note written on Windows is; as UTF-8 it would lose every accent.
        return data.decode("cp1252", errors="replace")


def repaired(text: str) -> str:
    """`text` without halves of a character (lone surrogates), which no JSON, no database and no terminal takes.

    They come from half an emoji in a browser, and from arguments that are not UTF-8. Raises TypeError for anything but
    a str.
    """
    if not isinstance(text, str):
        raise TypeError(f"a text is a str, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError:
        # Two halves that belong together become one character.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def listed(stop_sequences: Iterable[str]) -> tuple[str, ...]:
    """Stop sequences as a tuple. TypeError for a str: in letters, the answer would end at the first of them."""
    if isinstance(stop_sequences, str):
        raise TypeError(f"stop_sequences is a list of texts: [{stop_sequences!r}]")
    return tuple(stop_sequences)
