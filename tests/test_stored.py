"""What stores tell: titles of one line, and texts as a database takes them."""

from __future__ import annotations

import pytest

from assistant import StoreError
from assistant.stored import ConversationNotFoundError, StaleConversationError, clean_text, title_of


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("  Hola,\n\n ¿qué\ttal? ", "Hola, ¿qué tal?"),
        ("word " * 30, " ".join(["word"] * 12) + "…"),
        ("a" * 100, "a" * 60 + "…"),
        (f"{'b' * 50}, {'c' * 50}", "b" * 50 + "…"),
        ("", ""),
    ],
)
def test_a_title_is_the_first_words_on_one_line(text: str, title: str) -> None:
    assert title_of(text) == title
    assert len(title) <= 61


def test_no_database_gets_half_a_character_or_a_nul() -> None:
    assert clean_text("half \ud83d, whole \ud83d\ude00, nul \0") == "half \ufffd, whole 😀, nul \ufffd"


def test_errors_of_the_store_say_what_to_do() -> None:
    for kind in (ConversationNotFoundError, StaleConversationError):
        assert issubclass(kind, StoreError)
        assert kind("No.").hint


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("", ""),
        ("  Hola,\n\n ¿qué tal?  ", "Hola, ¿qué tal?"),
        ("word " * 40, "word word word word word word word word word word word word…"),
        ("x" * 100, "x" * 60 + "…"),
        ("a, " * 30, ("a, " * 20).rstrip(", ") + "…"),
    ],
)
def test_a_title_is_the_first_words(text: str, title: str) -> None:
    assert title_of(text) == title
