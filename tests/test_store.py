"""ConversationStore: what an owner has and nobody else sees, on real SQLite files and a real PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from assistant.documents import Document
from assistant.messages import Turn
from assistant.store import ConversationNotFoundError, ConversationStore
from tests import stores
from tests.databases import ON_SQLITE, Database
from tests.places import LEASE, Clock
from tests.stores import begin, ids, say

clock, store = stores.clock, stores.store


NOBODY_S: dict[str, Callable[[ConversationStore, str, str], object]] = {
    "get": lambda store, owner, id: store.get(owner, id),
    "line": lambda store, owner, id: store.line(owner, id),
    "rename": lambda store, owner, id: store.rename(owner, id, "mine"),
    "set_settings": lambda store, owner, id: store.set_settings(owner, id, {}),
    "delete": lambda store, owner, id: store.delete(owner, id),
    "restore": lambda store, owner, id: store.restore(owner, id),
    "erase": lambda store, owner, id: store.erase(owner, id),
    "move_head": lambda store, owner, id: store.move_head(owner, id, None),
}


@pytest.mark.parametrize("call", NOBODY_S)
def test_another_owner_s_conversation_is_not_found_just_like_none(store: ConversationStore, call: str) -> None:
    say(store, None, "1")
    before = store.get("ana", "c")
    told = []
    for owner, id in (("bea", "c"), ("ana", "no such id")):
        with pytest.raises(ConversationNotFoundError) as caught:
            NOBODY_S[call](store, owner, id)
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert store.get("ana", "c") == before


def test_lists_hold_the_owner_s_own_the_last_changed_first(store: ConversationStore, clock: Clock) -> None:
    say(store, None, "1")
    for number in range(3):
        clock.now += 1
        store.create("ana", f"c{number}")
    store.create("bea", "b")
    clock.now += 1
    begin(store, "1", "2")
    assert [(each.id, each.running) for each in store.list("ana", limit=2)] == [("c", True), ("c2", False)]
    assert [each.id for each in store.list("bea")] == ["b"]


def test_search_looks_into_titles_and_texts_of_the_owner_alone(store: ConversationStore) -> None:
    say(store, None, "1")
    store.create("ana", "d")
    store.rename("ana", "d", "100% mine")
    store.create("bea", "b")
    store.rename("bea", "b", "100% hers")
    found = {
        word: [each.id for each in store.list("ana", search=word)]
        for word in ("TEXT OF", "reply", "0% m", "0%m", "hers")
    }
    assert found == {"TEXT OF": ["c"], "reply": ["c"], "0% m": ["d"], "0%m": [], "hers": []}


def test_deleted_is_gone_until_restored_and_erased_is_gone(store: ConversationStore) -> None:
    say(store, None, "1")
    store.delete("ana", "c")
    assert store.list("ana") == []
    assert begin(store, "1", "2").outcome == "not_found"
    with pytest.raises(ConversationNotFoundError):
        store.get("ana", "c")
    store.restore("ana", "c")
    assert ids(store) == ["1"]
    store.erase("ana", "c")
    with pytest.raises(ConversationNotFoundError):
        store.restore("ana", "c")
    store.create("bea", "c")
    assert store.line("bea", "c") == []


def test_what_was_deleted_before_a_time_is_erased_whoever_s_it_is(
    store: ConversationStore, clock: Clock, database: Database
) -> None:
    for owner, id in (("ana", "early"), ("bea", "early too"), ("ana", "late"), ("ana", "kept")):
        turn = Turn(f"text of {id}", id=f"turn {id}")
        store.begin_turn(owner, id, None, turn, f"lease {id}", LEASE, create=True)
        if id == "late":
            clock.now += 10
        if id != "kept":
            store.delete(owner, id)
    assert store.erase_deleted(clock.now) == 2
    assert sorted(database.run("SELECT id FROM conversations WHERE id <> 'c'")) == [("kept",), ("late",)]
    assert sorted(database.run("SELECT id FROM turns")) == [("turn kept",), ("turn late",)]
    store.restore("ana", "late")


@ON_SQLITE
def test_nothing_of_what_was_erased_is_left_in_the_files(store: ConversationStore, tmp_path: Path) -> None:
    document = Document.from_text("marmalade " * 2000)
    store.begin_turn("ana", "c", None, Turn("marmalade", documents=(document,), id="1"), "l", LEASE, create=True)
    store.end_turn("c", Turn("", "marmalade " * 200, "end_turn", id="1"), "l", {"summary": "marmalade"})
    store.create("bea", "d")

    def found() -> bool:
        return any(b"marmalade" in file.read_bytes() for file in (tmp_path / "data").iterdir())

    assert found()
    store.erase_all("ana")
    assert not found()
    assert [each.id for each in store.list("bea")] == ["d"]


def test_importing_the_store_and_chats_loads_no_sqlalchemy() -> None:
    program = "import sys, assistant.store, assistant.chats; print('sqlalchemy' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout.strip() == "False"
