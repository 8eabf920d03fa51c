"""Text from outside: encodings, halves of characters, lists that are no text."""

from __future__ import annotations

import codecs

import pytest

from assistant.texts import decoded, listed, repaired

NOTE = "El año pasado llovió en Cádiz: 5 €."


@pytest.mark.parametrize(
    "data",
    [
        NOTE.encode(),
        codecs.BOM_UTF8 + NOTE.encode(),
        NOTE.encode("cp1252"),
        NOTE.encode("utf-16"),
        codecs.BOM_UTF16_BE + NOTE.encode("utf-16-be"),
    ],
    ids=["utf-8", "utf-8 with mark", "windows", "utf-16", "utf-16 big end first"],
)
def test_text_files_of_every_kind_keep_their_accents(data: bytes) -> None:
    assert decoded(data) == NOTE


def test_bytes_that_are_no_text_are_decoded_all_the_same() -> None:
    repaired(decoded(bytes(range(256)))).encode()
    repaired(decoded(codecs.BOM_UTF16_LE + b"a")).encode()


@pytest.mark.parametrize(
    ("text", "whole"),
    [(NOTE, NOTE), ("a\udcf1b", "a\ufffdb"), ("\ud83d\ude00", "😀"), ("x\ud83d", "x\ufffd"), ("", "")],
)
def test_halves_of_characters_do_not_get_through(text: str, whole: str) -> None:
    assert repaired(text) == whole


def test_what_is_no_text_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="a text is a str, not bytes"):
        repaired(b"x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="stop_sequences is a list"):
        listed("END")
    assert listed(["END"]) == ("END",)
