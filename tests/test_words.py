"""Every string of the page, in both languages, and which of them a reader gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistant import errors
from assistant.errors import AssistantError
from assistant_app import error_words, words

ROOT = Path(__file__).parent.parent


def _gaps(text: str) -> set[str]:
    import re

    return set(re.findall(r"\{(\w+)\}", text))


@pytest.mark.parametrize("key", words.TABLE)
def test_every_word_is_there_in_both_languages_with_the_same_gaps(key: str) -> None:
    english, spanish = words.TABLE[key]
    assert english.strip()
    assert spanish.strip()
    assert _gaps(english) == _gaps(spanish)


def test_every_error_of_the_library_has_words_and_a_next_step_of_its_own() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AssistantError)]
    for kind in kinds:
        assert f"error.{kind.__name__}" in words.TABLE
        assert f"error.{kind.__name__}.next" in words.TABLE


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("es-MX,es;q=0.9,en;q=0.8", "es"),
        ("en-US,en;q=0.9,es;q=0.8", "en"),
        ("fr-FR,fr;q=0.9,es;q=0.5,en;q=0.4", "es"),
        ("en;q=0.1, es;q=0.9", "es"),
        ("de", "en"),
        ("", "en"),
        ("es;q=much", "en"),
    ],
)
def test_the_language_is_the_reader_s(header: str, language: str) -> None:
    assert words.language_of({"accept-language": header}) == language


def test_every_code_with_words_of_its_own_is_one_that_errors_have() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "assistant").rglob("*.py"))
    for key in error_words.TABLE:
        _, _, code = key.removesuffix(".next").partition("Error.")
        if key.startswith("error.") and code.islower() and code not in ("after", "because", "edit", "retry"):
            assert f'"{code}"' in sources or code in ("undo", "continue"), key
