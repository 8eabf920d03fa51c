"""Turns in and out of their tables: nothing is lost, and nothing kept twice."""

from __future__ import annotations

from assistant.documents import Document
from assistant.messages import Turn, Usage
from assistant.store import ConversationStore
from assistant.stored import Growth
from tests import stores
from tests.places import LEASE

clock, store = stores.clock, stores.store


def test_a_turn_comes_back_as_it_was(store: ConversationStore) -> None:
    document = Document("notes.txt", "txt", b"\x00\xffnotes")
    turn = Turn("¿qué tal?\n\tx  ", documents=(document,), id="t")
    assert store.begin_turn("ana", "c", None, turn, "l", LEASE, settings={"model": "m", "top_p": 0.5}).outcome == "ok"
    ended = Turn("", "bien", "max_tokens", "an error", Usage(1, 2, 3, 4, None), (document,), "m", "t")
    store.end_turn("c", ended, "l", {"summary": "s"})
    stored = store.get("ana", "c")
    assert stored.turns == [
        Turn("¿qué tal?\n\tx  ", "bien", "max_tokens", "an error", ended.usage, (document,), "m", "t")
    ]
    assert (stored.memory, stored.settings) == ({"summary": "s"}, {"model": "m", "top_p": 0.5})
    assert (stored.head, stored.lease_until, stored.title) == ("t", None, "¿qué tal? x")


def test_a_document_that_comes_again_is_kept_once(store: ConversationStore) -> None:
    document = Document.from_text("a long text")
    for after, id in ((None, "1"), ("1", "2")):
        turn = Turn("x", documents=(document, document), id=id)
        store.begin_turn("ana", "c", after, turn, id, LEASE)
        store.end_turn("c", turn, id)
    assert [turn.documents for turn in store.line("ana", "c")] == [(document, document)] * 2


def test_texts_that_no_database_takes_are_mended(store: ConversationStore) -> None:
    store.begin_turn("ana", "c", None, Turn("half \ud83d, whole \ud83d\ude00, nul \0", id="t"), "l", LEASE)
    store.save_growing([Growth("c", "t", "l", "\udc00 grows")], LEASE)
    assert store.line("ana", "c")[0].reply == "\ufffd grows"
    store.end_turn("c", Turn("", "\udc00", "end_turn", id="t"), "l")
    turn = store.line("ana", "c")[0]
    assert (turn.user, turn.reply) == ("half \ufffd, whole 😀, nul \ufffd", "\ufffd")
