"""The turns of a conversation: where one may stand, and who holds it for how long."""

from __future__ import annotations

import threading

import pytest

from assistant.messages import Turn
from assistant.store import ConversationStore
from assistant.stored import ConversationNotFoundError, Growth
from tests import stores
from tests.databases import Database
from tests.places import LEASE, Clock
from tests.stores import begin, ids, say

clock, store = stores.clock, stores.store


def test_the_text_is_there_before_the_turn_has_ended(store: ConversationStore) -> None:
    begin(store, None, "1")
    assert store.line("ana", "c") == [Turn("text of 1", id="1")]


def test_an_end_without_memory_keeps_the_stored_one(store: ConversationStore) -> None:
    say(store, None, "1")
    begin(store, "1", "2")
    store.end_turn("c", Turn("", stop_reason="error", id="2"), "lease of 2")
    assert store.get("ana", "c").memory == {"after": "1"}


def test_another_owner_can_neither_begin_nor_resume_nor_make_it_anew(store: ConversationStore) -> None:
    say(store, None, "1")
    for branch in (False, True):
        assert store.begin_turn("bea", "c", "1", Turn("x"), "l", LEASE, branch=branch).outcome == "not_found"
    assert store.resume_turn("bea", "c", "1", "l", LEASE).outcome == "not_found"
    assert not store.interrupt_expired("bea", "c")
    with pytest.raises(ConversationNotFoundError):
        store.create("bea", "c")
    with pytest.raises(ConversationNotFoundError):
        store.begin_turn("bea", "c", None, Turn("x"), "l", LEASE, create=True)
    assert ids(store) == ["1"]


def test_only_a_first_turn_makes_a_conversation(store: ConversationStore) -> None:
    assert store.begin_turn("ana", "new", "x", Turn("x"), "l", LEASE, create=True).outcome == "not_found"
    assert [each.id for each in store.list("ana")] == ["c"]


# -- the line ----------------------------------------------------------------------------------------------


def test_a_text_behind_anything_but_the_head_is_stale(store: ConversationStore) -> None:
    say(store, None, "1")
    say(store, "1", "2")
    for after in (None, "1", "nonsense"):
        assert begin(store, after, "x").outcome == "stale"
    assert begin(store, "nonsense", "x", branch=True).outcome == "stale"
    store.create("ana", "d")
    assert store.begin_turn("ana", "d", "1", Turn("x"), "l", LEASE, branch=True).outcome == "stale"
    assert ids(store) == ["1", "2"]


def test_a_branch_supersedes_what_came_after_and_keeps_it(store: ConversationStore, database: Database) -> None:
    for after, id in ((None, "1"), ("1", "2"), ("2", "3")):
        say(store, after, id)
    say(store, "1", "4", branch=True)
    assert ids(store) == ["1", "4"]
    assert begin(store, "3", "x", branch=True).outcome == "stale"
    say(store, None, "5", branch=True)
    assert ids(store) == ["5"]
    assert [row[0] for row in database.run("SELECT id FROM turns ORDER BY id")] == ["1", "2", "3", "4", "5"]


def test_the_head_moves_back_along_the_line_and_nowhere_else(store: ConversationStore) -> None:
    for after, id in ((None, "1"), ("1", "2"), ("2", "3")):
        say(store, after, id)
    assert store.move_head("ana", "c", "1").outcome == "ok"
    assert ids(store) == ["1"]
    assert store.move_head("ana", "c", "3").outcome == "stale"
    assert store.move_head("ana", "c", None).outcome == "ok"
    assert ids(store) == []
    say(store, None, "4")
    assert ids(store) == ["4"]


def test_every_change_of_the_line_raises_the_version(store: ConversationStore, clock: Clock) -> None:
    def version() -> int:
        return store.get("ana", "c", turns=False).version

    seen = [version()]
    for change in (
        lambda: begin(store, None, "1"),
        lambda: store.end_turn("c", Turn("", id="1"), "lease of 1"),
        lambda: store.resume_turn("ana", "c", "1", "l", LEASE),
        lambda: setattr(clock, "now", clock.now + LEASE) or store.interrupt_expired("ana", "c"),
        lambda: store.move_head("ana", "c", None),
    ):
        change()
        seen.append(version())
    assert seen == [0, 1, 2, 3, 4, 5]


# -- leases ------------------------------------------------------------------------------------------------


def test_a_conversation_that_is_held_is_busy_and_says_for_how_long(store: ConversationStore, clock: Clock) -> None:
    begin(store, None, "1")
    clock.now += 5
    for busy in (
        begin(store, "1", "2"),
        begin(store, None, "2", branch=True),
        store.resume_turn("ana", "c", "1", "other", LEASE),
        store.move_head("ana", "c", None),
    ):
        assert (busy.outcome, busy.busy_for) == ("busy", 10.0)


def test_of_many_who_begin_at_once_one_does(store: ConversationStore, database: Database, clock: Clock) -> None:
    others = [ConversationStore(database.url, clock=clock, busy_timeout=30) for _ in range(8)]
    barrier = threading.Barrier(8)
    outcomes: list[str] = []

    def attempt(other: ConversationStore, number: int) -> None:
        barrier.wait(30)
        outcomes.append(begin(other, None, f"t{number}").outcome)

    threads = [threading.Thread(target=attempt, args=(other, n)) for n, other in enumerate(others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for other in others:
        other.close()
    assert sorted(outcomes) == ["busy"] * 7 + ["ok"]
    assert len(ids(store)) == 1


def test_beginning_again_after_a_lost_answer_is_the_same_beginning(store: ConversationStore) -> None:
    first = begin(store, None, "1")
    assert begin(store, None, "1") == first
    assert begin(store, None, "1", branch=True) == first
    assert ids(store) == ["1"]


def test_an_expired_lease_is_taken_over_and_its_turn_shown_as_interrupted(
    store: ConversationStore, clock: Clock
) -> None:
    begin(store, None, "1")
    store.save_growing([Growth("c", "1", "lease of 1", "half")], LEASE)
    clock.now += LEASE
    say(store, "1", "2")
    first, second = store.line("ana", "c")
    assert (first.reply, first.stop_reason, second.stop_reason) == ("half", "interrupted", "end_turn")


def test_saves_of_a_run_that_lost_its_lease_change_nothing(store: ConversationStore, clock: Clock) -> None:
    begin(store, None, "1")
    clock.now += LEASE
    say(store, "1", "2")
    assert store.save_growing([Growth("c", "1", "lease of 1", "late")], LEASE) == {"1"}
    assert store.end_turn("c", Turn("", "late", "end_turn", id="1"), "lease of 1", {"late": 1}) is None
    stored = store.get("ana", "c")
    assert [turn.reply for turn in stored.turns] == [None, "reply to 2"]
    assert (stored.memory, stored.lease_until) == ({"after": "2"}, None)


def test_growth_renews_the_lease_of_many_in_one_transaction(store: ConversationStore, clock: Clock) -> None:
    growing = []
    for number in range(300):
        store.begin_turn("ana", f"c{number}", None, Turn("x", id=f"t{number}"), f"l{number}", LEASE, create=True)
        growing.append(Growth(f"c{number}", f"t{number}", f"l{number}", f"text {number}" if number % 2 else None))
    growing.append(Growth("c", "none", "never held", "x"))
    clock.now += 10
    assert store.save_growing(growing, LEASE) == {"none"}
    assert store.save_growing([], LEASE) == set()
    for number in (0, 1, 299):
        stored = store.get("ana", f"c{number}")
        assert stored.lease_until == clock.now + LEASE
        assert stored.turns[0].reply == (f"text {number}" if number % 2 else None)


def test_a_lease_that_ran_out_unnoticed_is_still_held(store: ConversationStore, clock: Clock) -> None:
    begin(store, None, "1")
    clock.now += 10 * LEASE
    assert store.save_growing([Growth("c", "1", "lease of 1", "on")], LEASE) == set()
    assert begin(store, "1", "2").outcome == "busy"


def test_a_turn_is_interrupted_when_its_lease_has_expired_and_not_before(
    store: ConversationStore, clock: Clock
) -> None:
    begin(store, None, "1")
    clock.now += LEASE - 0.1
    assert not store.interrupt_expired("ana", "c")
    assert store.line("ana", "c")[0].stop_reason is None
    clock.now += 0.1
    assert store.interrupt_expired("ana", "c")
    assert store.line("ana", "c")[0].stop_reason == "interrupted"
    assert not store.interrupt_expired("ana", "c")
    assert store.save_growing([Growth("c", "1", "lease of 1", "late")], LEASE) == {"1"}


def test_a_turn_that_is_resumed_runs_again(store: ConversationStore) -> None:
    say(store, None, "1")
    assert store.resume_turn("ana", "c", "x", "l", LEASE).outcome == "stale"
    assert store.resume_turn("ana", "c", "1", "l", LEASE).outcome == "ok"
    turn = store.line("ana", "c")[0]
    assert (turn.reply, turn.stop_reason) == ("reply to 1", None)
