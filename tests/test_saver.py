"""What keeps runs in the store: their leases, whom nobody watches, and databases that fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from assistant.chats import Chats
from assistant.documents import Document
from assistant.errors import SessionBusyError, StoreError
from assistant.runs import Update
from assistant.store import ConversationStore
from assistant.stored import StaleConversationError
from tests.databases import ON_SQLITE
from tests.places import END, LEASE, Gate, Place, Scripted, last, say, turns

# -- leases ------------------------------------------------------------------------------------------------


def test_a_run_that_goes_on_keeps_its_lease_and_what_it_has_is_stored(place: Place) -> None:
    gate = Gate()
    chats, other = place.chats(Scripted(("half", gate, END)), grace=None), place.chats()
    id = chats.create("ana").id
    run = chats.submit("ana", id, None, "x")
    assert gate.reached.wait(30)
    for _ in range(3):
        place.clock.now += LEASE - 1
        chats.tick()
        assert turns(other, id) == [("x", "half", None)]
    gate.open()
    last(run)


def test_a_process_that_is_gone_loses_its_lease_to_the_next(place: Place) -> None:
    gate = Gate()
    client = Scripted()
    chats, other = place.chats(Scripted(("half", gate, "late", END)), grace=None), place.chats(client)
    id = chats.create("ana").id
    run = chats.submit("ana", id, None, "x")
    assert gate.reached.wait(30)
    chats.tick()
    place.clock.now += LEASE - 1
    with pytest.raises(SessionBusyError) as busy:
        other.submit("ana", id, run.turn_id, "y")
    assert busy.value.retry_after == 1.0
    place.clock.now += 1
    say(other, id, run.turn_id, "y")
    expected = [("x", "half", "interrupted"), ("y", "ok", "end_turn")]
    assert turns(other, id) == expected
    assert [message.text for message in client.asked[0]] == ["x", "half", "y"]
    # The first one wakes up: its save is refused, it is told so, and nothing of its late text is stored.
    chats.tick()
    update = last(run)
    assert isinstance(update.error, StaleConversationError)
    assert turns(other, id) == expected
    assert turns(chats, id) == expected


def test_the_end_of_a_run_that_lost_its_lease_is_refused_too(place: Place) -> None:
    gate = Gate()
    chats, other = place.chats(Scripted(("half", gate, "late", END))), place.chats()
    id = chats.create("ana").id
    run = chats.submit("ana", id, None, "x")
    assert gate.reached.wait(30)
    place.clock.now += LEASE
    assert turns(other, id) == [("x", None, "interrupted")]
    gate.open()
    assert isinstance(last(run).error, StaleConversationError)
    assert turns(chats, id) == [("x", None, "interrupted")]
    assert say(chats, id, run.turn_id, "y").snapshot().error is None


def test_a_run_that_ends_while_the_saver_saves_has_not_lost_anything(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    chats = place.chats(Scripted(("half", gate, END)), grace=None)
    id = chats.create("ana").id
    run = chats.submit("ana", id, None, "x")
    assert gate.reached.wait(30)
    save = chats.store.save_growing

    def late(growing: Any, seconds: float) -> set[str]:
        gate.open()
        assert run.wait(30)
        return save(growing, seconds)

    monkeypatch.setattr(chats.store, "save_growing", late)
    chats.tick()
    assert run.snapshot().error is None
    assert turns(chats, id) == [("x", "half", "end_turn")]


def test_a_run_that_is_merely_late_interrupts_nothing(place: Place) -> None:
    gate = Gate()
    chats = place.chats(Scripted(("half", gate, END)))
    id = chats.create("ana").id
    run = chats.submit("ana", id, None, "x")
    assert gate.reached.wait(30)
    place.clock.now += 10 * LEASE
    conversation = chats.open("ana", id)
    assert (conversation.run, conversation.turns[-1].stop_reason) == (run, None)
    gate.open()
    assert last(run).error is None
    assert turns(chats, id) == [("x", "half", "end_turn")]


def test_an_interrupted_reply_is_continued_by_another_process(place: Place) -> None:
    gate = Gate()
    client = Scripted((" and half", END))
    chats, other = place.chats(Scripted(("half", gate, END)), grace=None), place.chats(client)
    id = chats.create("ana").id
    document = Document.from_text("the notes")
    chats.submit("ana", id, None, "x", documents=[document])
    assert gate.reached.wait(30)
    chats.tick()
    place.clock.now += LEASE
    assert last(other.continue_("ana", id)).text == "half and half"
    assert turns(other, id) == [("x", "half and half", "end_turn")]
    assert client.asked[0][0].documents == (document,)


# -- runs that nobody watches ------------------------------------------------------------------------------


def test_a_reply_that_nobody_watches_is_stopped_after_the_grace(place: Place) -> None:
    gate = Gate()
    chats = place.chats(Scripted(("half", gate, END)), grace=10.0)
    id = chats.create("ana").id
    run = chats.submit("ana", id, None, "x")
    assert gate.reached.wait(30)

    async def watch_and_leave() -> None:
        watcher = cast("AsyncGenerator[Update]", run.updates(0.0))
        await anext(watcher)
        place.clock.now += 100
        chats.tick()
        assert run.snapshot().turn.stop_reason is None
        await watcher.aclose()

    asyncio.run(watch_and_leave())
    place.clock.now += 9
    chats.tick()
    assert not run._stopping
    place.clock.now += 1
    chats.tick()
    assert run._stopping
    assert last(run).turn.stop_reason == "cancelled"
    assert turns(chats, id) == [("x", "half", "cancelled")]


def test_without_a_grace_and_while_somebody_waits_nothing_is_stopped(place: Place) -> None:
    gate = Gate()
    chats = place.chats(Scripted(("a", gate, END)), grace=None)
    run = chats.submit("ana", chats.create("ana").id, None, "x")
    assert gate.reached.wait(30)
    place.clock.now += 1000
    chats.tick()
    gate.open()
    assert last(run).turn.stop_reason == "end_turn"


# -- databases that fail -----------------------------------------------------------------------------------


def codes(update: Update) -> list[str]:
    return [notice.code for notice in update.notices]


def test_while_the_database_is_locked_the_chat_goes_on_and_is_saved_later(place: Place) -> None:
    client = Scripted()
    chats = place.chats(client, grace=None)
    id = chats.create("ana").id
    first = say(chats, id, None, "one")
    lock = place.breaking()
    second = say(chats, id, first.turn_id, "two", settings={"model": "x"})
    update = second.snapshot()
    assert (update.text, update.error, codes(update)) == ("ok", None, ["not_saved"])
    assert update.notices[0].values["code"] == "locked"
    with pytest.raises(StaleConversationError):
        chats.submit("ana", id, first.turn_id, "from a stale page")
    third = say(chats, id, second.turn_id, "three")
    say(chats, id, second.turn_id, "three, edited", branch=True)
    assert [message.text for message in client.asked[-1]] == ["one", "ok", "two", "ok", "three, edited"]
    shown = turns(chats, id)
    assert [turn[0] for turn in shown] == ["one", "two", "three, edited"]
    with pytest.raises(StoreError):
        chats.rewind("ana", id, first.turn_id)
    # Longer than any lease: nobody else could write either.
    place.clock.now += 10 * LEASE
    chats.tick()
    assert codes(third.snapshot()) == ["not_saved"]
    lock.close()
    chats.tick()
    assert codes(third.snapshot()) == []
    other = place.chats()
    assert turns(other, id) == shown
    assert other.open("ana", id).settings == {"model": "x"}
    assert len(chats._saver._behind) == 0
    say(chats, id, other.open("ana", id).turns[-1].id, "four")


def test_a_first_text_is_answered_though_it_can_t_be_stored(place: Place) -> None:
    chats = place.chats()
    chats.store.check()
    id = chats.create("ana", {"system": "S"}).id
    lock = place.breaking()
    run = say(chats, id, None, "Hola")
    assert (run.snapshot().text, codes(run.snapshot())) == ("ok", ["not_saved"])
    assert turns(chats, id) == [("Hola", "ok", "end_turn")]
    lock.close()
    assert [turn.user for turn in chats.open("ana", id).turns] == ["Hola"]
    assert turns(place.chats(), id) == [("Hola", "ok", "end_turn")]
    assert place.chats().open("ana", id).settings == {"system": "S"}


def test_a_database_that_fails_in_the_middle_is_told_and_forgiven(place: Place) -> None:
    gates = [Gate(), Gate()]
    chats = place.chats(Scripted(("a", gates[0], "b", gates[1], "c", END)), grace=None)
    id = chats.create("ana").id
    run = chats.submit("ana", id, None, "x")
    assert gates[0].reached.wait(30)
    lock = place.breaking()
    chats.tick()
    assert codes(run.snapshot()) == ["not_saved"]
    gates[0].open()
    assert gates[1].reached.wait(30)
    lock.close()
    chats.tick()
    assert codes(run.snapshot()) == []
    assert turns(place.chats(), id) == [("x", "ab", None)]
    gates[1].open()
    last(run)
    assert turns(place.chats(), id) == [("x", "abc", "end_turn")]


def test_a_failure_that_is_over_before_the_end_leaves_no_notice(place: Place) -> None:
    gate = Gate()
    chats = place.chats(Scripted(("a", gate, END)), grace=None)
    run = chats.submit("ana", chats.create("ana").id, None, "x")
    assert gate.reached.wait(30)
    lock = place.breaking()
    chats.tick()
    lock.close()
    gate.open()
    assert codes(last(run)) == []


def test_a_run_that_could_begin_only_later_is_saved_while_it_grows(place: Place) -> None:
    gate = Gate()
    chats = place.chats(Scripted(("half", gate, END)), grace=None)
    chats.store.check()
    id = chats.create("ana").id
    lock = place.breaking()
    run = chats.submit("ana", id, None, "x")
    assert gate.reached.wait(30)
    lock.close()
    chats.tick()
    chats.tick()
    assert codes(run.snapshot()) == []
    assert turns(place.chats(), id) == [("x", "half", None)]
    gate.open()
    last(run)
    assert turns(place.chats(), id) == [("x", "half", "end_turn")]


@ON_SQLITE
def test_a_read_only_database_is_read_and_the_chat_goes_on(place: Place) -> None:
    first = place.chats()
    id = first.create("ana").id
    run = say(first, id, None, "one")
    store = ConversationStore(f"sqlite:///file:{place.database.path}?mode=ro&uri=true", clock=place.clock)
    chats = Chats(cast(Any, Scripted()), store, save_every=3600, clock=place.clock)
    place.open.append(chats)
    assert [turn.user for turn in chats.open("ana", id).turns] == ["one"]
    new = chats.create("ana").id
    update = last(say(chats, new, None, "two"))
    assert (update.text, codes(update), update.notices[0].values["code"]) == ("ok", ["not_saved"], "read_only")
    with pytest.raises(StoreError):
        chats.submit("ana", id, run.turn_id, "not known to this process")


@ON_SQLITE
def test_a_file_that_is_no_database_stops_no_chat(place: Place) -> None:
    assert place.database.path is not None
    place.database.path.parent.mkdir()
    place.database.path.write_bytes(b"Dear diary, " * 1000)
    chats = place.chats()
    id = chats.create("ana").id
    update = last(say(chats, id, None, "x"))
    assert (update.text, update.notices[0].values["code"]) == ("ok", "not_a_database")
    assert turns(chats, id) == [("x", "ok", "end_turn")]
    with pytest.raises(StoreError):
        chats.list("ana")
