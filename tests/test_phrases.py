"""The tables of words that words.py puts together."""

from __future__ import annotations

from assistant_app import error_words, phrases, words


def test_no_word_hides_another() -> None:
    tables = [phrases.TABLE, error_words.TABLE]
    keys = [key for table in tables for key in table]
    assert len(keys) == len(set(keys))
    # words.py's own come first, and would be replaced without a sound.
    own = (words.__file__ or "").replace(".pyc", ".py")
    with open(own, encoding="utf-8") as source:
        text = source.read()
    assert [key for key in keys if f'    "{key}":' in text] == []
