"""A session from what is stored: its turns, its settings, and its memory with all that is pinned."""

from __future__ import annotations

from typing import Any, cast

import pytest

from assistant.documents import Document
from assistant.memory import SummaryBufferMemory
from assistant.messages import Turn
from assistant.restoring import restored_session, saved_memory
from assistant.session import ChatSession
from tests.places import END, LEASE, Gate, Place, Scripted, say


def test_a_fresh_process_shows_the_same_and_goes_on(place: Place) -> None:
    chats = place.chats()
    id = chats.create("ana").id
    document = Document.from_text("the notes")
    first = say(chats, id, None, "one", documents=[document], settings={"system": "Be brief.", "temperature": 0.5})
    second = say(chats, id, first.turn_id, "two")
    client = Scripted()
    again = place.chats(client)
    assert again.open("ana", id) == chats.open("ana", id)
    say(again, id, second.turn_id, "three")
    sent = client.asked[0]
    assert [message.text for message in sent] == ["one", "ok", "two", "ok", "three"]
    assert sent[0].documents == (document,)
    assert client.given[0]["system"] == "Be brief."
    assert client.given[0]["temperature"] == 0.5


def test_summary_and_pins_come_back_with_the_session(place: Place) -> None:
    def make() -> ChatSession:
        client = cast(Any, Scripted())
        return ChatSession(client, memory=SummaryBufferMemory(client, max_token_limit=64))

    chats = place.chats(make_session=make)
    id = chats.create("ana").id
    document = Document("scan.pdf", "pdf", b"%PDF" * 1000)
    run = say(chats, id, None, "read this", documents=[document])
    session = chats._pool["ana", id].session
    assert isinstance(session.memory, SummaryBufferMemory)
    session.memory.summary = "They read a scan."
    run = say(chats, id, run.turn_id, "and?")
    saved = chats.store.get("ana", id).memory
    assert saved is not None
    assert len(str(saved)) < 2000, "the document's data belongs to the turn, not to each state of the memory"
    again = place.chats(make_session=make)
    say(again, id, run.turn_id, "go on")
    memory = again._pool["ana", id].session.memory
    assert isinstance(memory, SummaryBufferMemory)
    assert memory.summary == "They read a scan."
    assert memory.max_token_limit == 64
    assert memory.pinned == (document,)


def test_a_document_of_a_turn_without_a_reply_is_not_saved_with_every_state(place: Place) -> None:
    client = cast(Any, Scripted())
    document = Document("scan.pdf", "pdf", b"%PDF" * 10_000)
    turns = [Turn("read this", None, "error", documents=(document,)), Turn("and?", "ok", "end_turn")]
    session = restored_session(lambda: ChatSession(client), turns, None)
    assert session.memory.pinned == (document,)
    state = saved_memory(session, turns[-1].id)
    assert len(str(state)) < 2000
    assert restored_session(lambda: ChatSession(client), turns, state).memory.pinned == (document,)


@pytest.mark.parametrize("memory", ["NULL", "'{}'", """'{"turn": "x", "state": {"version": 99}}'"""])
def test_a_memory_that_can_t_be_read_is_made_again_from_the_turns(place: Place, memory: str) -> None:
    chats = place.chats()
    id = chats.create("ana").id
    document = Document.from_text("the notes")
    run = say(chats, id, None, "one", documents=[document])
    place.run(f"UPDATE conversations SET memory = {memory}")
    client = Scripted()
    say(place.chats(client), id, run.turn_id, "two")
    assert [message.text for message in client.asked[0]] == ["one", "ok", "two"]
    assert client.asked[0][0].documents == (document,)


def test_what_the_session_was_made_with_holds_where_the_settings_say_nothing(place: Place) -> None:
    client = Scripted()
    chats = place.chats(client, make_session=lambda: ChatSession(cast(Any, client), system="Base.", temperature=0.5))
    id = chats.create("ana").id
    run = say(chats, id, None, "1")
    run = say(chats, id, run.turn_id, "2", settings={"system": "Other.", "temperature": None})
    run = say(chats, id, run.turn_id, "3", settings={})
    say(place.chats(client, make_session=chats._make_session), id, run.turn_id, "4")
    given = [(each["system"], each.get("temperature")) for each in client.given]
    assert given == [("Base.", 0.5), ("Other.", None), ("Base.", 0.5), ("Base.", 0.5)]


def test_what_an_interrupted_turn_brought_is_remembered_though_its_memory_was_never_saved(place: Place) -> None:
    gate, client = Gate(), Scripted()
    chats, other = place.chats(Scripted(("ok", END), ("half", gate, END)), grace=None), place.chats(client)
    id = chats.create("ana").id
    first = say(chats, id, None, "one")
    document = Document.from_text("the notes")
    run = chats.submit("ana", id, first.turn_id, "two", documents=[document])
    assert gate.reached.wait(30)
    chats.tick()
    place.clock.now += LEASE
    say(other, id, run.turn_id, "three")
    assert [message.text for message in client.asked[0]] == ["one", "ok", "two", "half", "three"]
    assert client.asked[0][0].documents == (document,)
