"""Searches: the same words are found on every database, whatever their case and accents."""

from __future__ import annotations

import pytest

from assistant import searching
from assistant.messages import Turn
from assistant.searching import fold, words_of
from assistant.store import ConversationStore, Growth
from tests.databases import ON_SQLITE, Database


@pytest.fixture
def store(database: Database) -> ConversationStore:
    return ConversationStore(database.url)


def say(store: ConversationStore, id: str, text: str, reply: str, owner: str = "ana") -> None:
    after = store.get(owner, id).head if any(each.id == id for each in store.list(owner)) else None
    turn = Turn(text)
    begun = store.begin_turn(owner, id, after, turn, "l", 15, create=True)
    assert begun.outcome == "ok"
    store.end_turn(id, Turn(text, reply, "end_turn", id=turn.id), "l")


def found(store: ConversationStore, search: str, owner: str = "ana") -> list[str]:
    return sorted(each.id for each in store.list(owner, search=search))


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("ÁRBOL", "arbol"),
        ("a\u0301rbol", "arbol"),
        ("Straße", "strasse"),
        ("İstanbul", "istanbul"),
        ("ﬁne", "fine"),
        ("ΣΊΣΥΦΟΣ", "σισυφοσ"),
        ("100% Mine", "100% mine"),
    ],
)
def test_case_and_accents_are_folded(text: str, folded: str) -> None:
    assert fold(text) == folded


def test_words_are_letters_and_digits_and_each_ideograph() -> None:
    assert words_of("snake_case, C3PO; 日本語!", None, "Snake") == {"snake", "case", "c3po", "日", "本", "語"}
    assert words_of("x" * 100) == {"x" * 40}


def test_words_are_found_by_their_beginnings_in_any_order_and_alphabet(store: ConversationStore) -> None:
    say(store, "a", "¿Dónde crece el ÁRBOL más alto?", "En California: Hyperion, una secuoya.")
    say(store, "b", "日本語を話しますか", "Straße und Größe")
    say(store, "c", "nothing of it", "nothing")
    searches = (
        "arbol",
        "ÁRBOL",
        "árb",
        "california DONDE",
        "本",
        "STRASSE",
        "lifornia",
        "arbol strasse",
        "secuoya:*",
        "'",
    )
    assert {search: found(store, search) for search in searches} == {
        "arbol": ["a"],
        "ÁRBOL": ["a"],
        "árb": ["a"],
        "california DONDE": ["a"],
        "本": ["b"],
        "STRASSE": ["b"],
        "lifornia": [],
        "arbol strasse": [],
        "secuoya:*": ["a"],
        "'": [],
    }


def test_a_title_is_found_by_any_part_of_it(store: ConversationStore) -> None:
    say(store, "a", "x", "y")
    store.rename("ana", "a", "El Árbol_100%")
    assert [found(store, search) for search in ("RBOL_1", "rbol-1", "0%", "%%")] == [["a"], [], ["a"], []]


def test_other_owners_texts_are_not_found(store: ConversationStore) -> None:
    say(store, "a", "secret", "words")
    say(store, "b", "secret", "words", owner="bea")
    assert (found(store, "secret"), found(store, "secret", "bea"), found(store, "secret", "eve")) == (["a"], ["b"], [])


def test_long_conversations_are_found_by_each_of_their_turns(
    store: ConversationStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_TURNS", 3)
    for number in range(7):
        say(store, "a", f"question{number}", f"answer{number}")
    assert all(found(store, f"{kind}{number}") == ["a"] for kind in ("question", "answer") for number in range(7))
    assert database.run("SELECT count(*) FROM search_texts") == [(3,)]


def test_a_text_of_any_size_is_stored_and_found(store: ConversationStore) -> None:
    # More than a megabyte of words, the most that PostgreSQL takes in one value.
    letters = "कखगघचछजझटठडढतथदधनपफबभमयरलवशसह"
    many = [first + second + third + letters[:30] for first in letters for second in letters for third in letters]
    say(store, "a", " ".join(many[:9000]) + " x", "beginning " + " ".join(many[9000:]))
    say(store, "a", "afterwards", "end")
    assert [found(store, search) for search in ("beginning", "afterwards")] == [["a"]] * 2


def test_what_is_erased_is_found_no_more(store: ConversationStore, database: Database) -> None:
    say(store, "a", "secret", "words")
    store.erase("ana", "a")
    assert database.run("SELECT count(*) FROM search_texts") == [(0,)]
    if database.path is not None:
        assert database.run("SELECT count(*) FROM search_index WHERE search_index MATCH 'secret'") == [(0,)]


def test_a_turn_that_was_interrupted_is_found(database: Database) -> None:
    now = 1000.0
    store = ConversationStore(database.url, clock=lambda: now)
    store.begin_turn("ana", "a", None, Turn("question", id="t"), "l", 15, create=True)
    store.save_growing([Growth("a", "t", "l", "half an answer")], 15)
    assert found(store, "answer") == []
    now += 20
    store.interrupt_expired("ana", "a")
    assert found(store, "answer") == found(store, "question") == ["a"]


@ON_SQLITE
def test_a_sqlite_without_full_text_search_finds_the_same(
    store: ConversationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(store, "a", "¿Dónde crece el ÁRBOL?", "En California")
    say(store, "b", "arbol", "x", owner="bea")
    monkeypatch.setattr(searching, "has_fts", lambda tx: False)
    searches = ("arbol", "árb", "donde cal", "lifornia", "100%")
    assert [found(store, search) for search in searches] == [["a"], ["a"], ["a"], [], []]
