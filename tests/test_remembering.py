"""The memory of a conversation, looked at and changed between turns, by this process and the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from assistant.chats import Chats
from assistant.documents import Document
from assistant.errors import InvalidRequestError, SessionBusyError, StoreError
from assistant.memory import BufferMemory
from assistant.session import ChatSession
from assistant.store import ConversationNotFoundError
from tests.places import END, Gate, Place, Scripted, last, say

NOTES = Document.from_text("the notes", "notes.txt")


def begun(place: Place, client: Scripted | None = None) -> tuple[Chats, str, str]:
    chats = place.chats(client)
    id = chats.create("ana").id
    first = say(chats, id, None, "one", documents=[NOTES])
    return chats, id, say(chats, id, first.turn_id, "two").turn_id


def asked(place: Place, id: str, after: str) -> list[str]:
    """What another process sends for the next turn."""
    client = Scripted()
    say(place.chats(client), id, after, "next")
    return [message.text for message in client.asked[0]]


def test_nothing_said_is_nothing_to_see(place: Place) -> None:
    chats = place.chats()
    id = chats.create("ana").id
    assert chats.memory("ana", id) is None
    for call in (chats.forget_memory, lambda owner, id: chats.set_summary(owner, id, "x")):
        with pytest.raises(InvalidRequestError):
            call("ana", id)


@pytest.mark.parametrize("fresh", [False, True])
def test_it_shows_what_is_sent(place: Place, fresh: bool) -> None:
    chats, id, _ = begun(place)
    view = (place.chats() if fresh else chats).memory("ana", id)
    assert view is not None
    assert [item.text for item in view.turns] == ["H: one\nA: ok", "H: two\nA: ok"]
    assert [(item.id, item.text) for item in view.documents] == [(NOTES.id, "notes.txt")]
    assert (view.summary, view.limit) == ("", 1024)
    assert view.tokens == sum(item.tokens for item in view.turns) > 0


@pytest.mark.parametrize("fresh", [False, True])
def test_a_summary_that_was_set_is_sent_with_the_next_turn(place: Place, fresh: bool) -> None:
    client = Scripted()
    chats, id, head = begun(place, client)
    (place.chats() if fresh else chats).set_summary("ana", id, "They met in Rome.")
    say(chats, id, head, "three")
    assert any("They met in Rome." in message.text for message in client.asked[-1]) or "Rome" in str(client.given[-1])
    view = place.chats().memory("ana", id)
    assert view is not None
    assert view.summary == "They met in Rome."


def test_the_limit_is_kept(place: Place) -> None:
    chats, id, head = begun(place)
    chats.set_memory_limit("ana", id, 300)
    say(chats, id, head, "three")
    view = place.chats().memory("ana", id)
    assert view is not None
    assert view.limit == 300
    with pytest.raises(InvalidRequestError):
        chats.set_memory_limit("ana", id, 0)


@pytest.mark.parametrize("fresh", [False, True])
def test_what_is_forgotten_is_sent_no_more_and_stays_in_the_transcript(place: Place, fresh: bool) -> None:
    chats, id, head = begun(place)
    (place.chats() if fresh else chats).forget_memory("ana", id)
    assert [turn.user for turn in chats.open("ana", id).turns] == ["one", "two"]
    assert asked(place, id, head) == ["next"]
    third = chats.open("ana", id).turns[-1].id
    assert asked(place, id, third) == ["next", "ok", "next"]


def test_an_unpinned_document_is_sent_no_more(place: Place) -> None:
    chats, id, head = begun(place)
    chats.unpin("ana", id, "no such document")
    chats.unpin("ana", id, NOTES.id)
    client = Scripted()
    say(place.chats(client), id, head, "three")
    assert all(not message.documents for message in client.asked[0])
    assert chats.open("ana", id).turns[0].documents == (NOTES,)


CHANGES: dict[str, Callable[[Chats, str, str], Any]] = {
    "memory": lambda chats, owner, id: chats.memory(owner, id),
    "set_summary": lambda chats, owner, id: chats.set_summary(owner, id, "x"),
    "set_memory_limit": lambda chats, owner, id: chats.set_memory_limit(owner, id, 500),
    "forget_memory": lambda chats, owner, id: chats.forget_memory(owner, id),
    "unpin": lambda chats, owner, id: chats.unpin(owner, id, NOTES.id),
}


@pytest.mark.parametrize("call", CHANGES)
def test_another_owner_s_memory_is_not_found(place: Place, call: str) -> None:
    chats, id, _ = begun(place)
    before = chats.memory("ana", id)
    for owner, which in (("bea", id), ("ana", "nosuch"), ("ana", "no such")):
        with pytest.raises(ConversationNotFoundError):
            CHANGES[call](chats, owner, which)
    assert chats.memory("ana", id) == before


def test_while_a_reply_runs_it_can_be_seen_and_not_changed(place: Place) -> None:
    gate = Gate()
    chats, id, head = begun(place, Scripted(("ok", END), ("ok", END), ("half", gate, END)))
    run = chats.submit("ana", id, head, "three")
    assert gate.reached.wait(30)
    other = place.chats()
    for each in (chats, other):
        assert each.memory("ana", id) is not None
        with pytest.raises(SessionBusyError):
            each.set_summary("ana", id, "x")
    gate.open()
    last(run)
    chats.set_summary("ana", id, "y")


def test_what_could_not_be_stored_does_not_hold(place: Place) -> None:
    chats, id, _ = begun(place)
    lock = place.breaking()
    with pytest.raises(StoreError):
        chats.set_summary("ana", id, "x")
    lock.close()
    view = chats.memory("ana", id)
    assert view is not None
    assert view.summary == ""


def test_what_another_process_added_is_seen_and_kept(place: Place) -> None:
    chats, id, head = begun(place)
    other = place.chats()
    third = say(other, id, head, "three").turn_id
    view = chats.memory("ana", id)
    assert view is not None
    assert [item.id for item in view.turns][-1] == third
    other.set_summary("ana", id, "They met in Rome.")
    chats.set_memory_limit("ana", id, 500)
    view = place.chats().memory("ana", id)
    assert view is not None
    assert (view.summary, view.limit, len(view.turns)) == ("They met in Rome.", 500, 3)


def test_the_session_that_was_changed_goes_on_without_being_read_again(place: Place) -> None:
    chats, id, head = begun(place)
    session = chats._pool["ana", id].session
    chats.set_summary("ana", id, "x")
    say(chats, id, head, "three")
    assert chats._pool["ana", id].session is session


def test_a_memory_without_a_summary_says_so(place: Place) -> None:
    client = cast(Any, Scripted())
    chats = place.chats(make_session=lambda: ChatSession(client, memory=BufferMemory()))
    id = chats.create("ana").id
    say(chats, id, None, "one")
    with pytest.raises(InvalidRequestError):
        chats.set_memory_limit("ana", id, 5)
