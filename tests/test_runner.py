"""From a text to a reply that runs, however it ends, and the sessions that are kept for the next one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest

from assistant.chats import Chats
from assistant.errors import BudgetExceededError, InvalidRequestError, ServiceError, SessionBusyError, ThrottledError
from assistant.limits import Limits
from assistant.messages import Completed, Notice
from assistant.runs import Run
from assistant.session import ChatSession
from assistant.stored import StaleConversationError
from tests.places import END, LEASE, USAGE, Gate, Place, Scripted, Step, collected, last, say, turns


def test_a_session_that_another_process_has_overtaken_is_read_anew(place: Place) -> None:
    client = Scripted(("a1", END), ("a3", END))
    chats, other = place.chats(client), place.chats(Scripted(("b2", END)))
    id = chats.create("ana").id
    first = say(chats, id, None, "one")
    second = say(other, id, first.turn_id, "two")
    say(chats, id, second.turn_id, "three")
    assert [message.text for message in client.asked[1]] == ["one", "a1", "two", "b2", "three"]


def test_a_second_turn_while_one_runs_is_refused_here_and_elsewhere(place: Place) -> None:
    gate = Gate()
    chats, other = place.chats(Scripted(("a", gate, END))), place.chats()
    id = chats.create("ana").id
    run = chats.submit("ana", id, None, "x")
    assert gate.reached.wait(30)
    for busy in (
        lambda: chats.submit("ana", id, run.turn_id, "y"),
        lambda: other.submit("ana", id, run.turn_id, "y"),
        lambda: other.submit("ana", id, None, "y", branch=True),
        lambda: chats.continue_("ana", id),
        lambda: chats.rewind("ana", id, None),
        lambda: other.rewind("ana", id, None),
    ):
        with pytest.raises(SessionBusyError):
            busy()
    elsewhere = other.open("ana", id)
    assert (elsewhere.run, elsewhere.busy_for, elsewhere.turns[-1].stop_reason) == (None, LEASE, None)
    gate.open()
    say(other, id, last(run).turn.id, "y")


def test_of_many_who_submit_at_once_one_gets_the_turn(place: Place) -> None:
    every = [place.chats(busy_timeout=30) for _ in range(4)]
    id = every[0].create("ana").id
    first = say(every[0], id, None, "x")
    barrier = threading.Barrier(8)
    runs: list[Run] = []
    refused: list[type] = []

    def attempt(chats: Chats) -> None:
        barrier.wait(30)
        try:
            runs.append(chats.submit("ana", id, first.turn_id, "y"))
        except (SessionBusyError, StaleConversationError) as error:
            refused.append(type(error))

    threads = [threading.Thread(target=attempt, args=(chats,)) for chats in every for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(runs), len(refused)) == (1, 7)
    assert last(runs[0]).error is None


# -- its end -----------------------------------------------------------------------------------------------


def test_what_a_model_does_not_take_is_said_once_a_conversation(place: Place) -> None:
    def noted(name: str) -> Sequence[Step]:
        return (Notice("parameter_left_out", f"temperature was left out: {name}"), Notice("passing", "now"), "ok", END)

    chats = place.chats(Scripted(noted("one"), noted("one"), noted("two"), noted("one")))
    id = chats.create("ana").id
    said = []
    after = None
    for _ in range(3):
        run = say(chats, id, after, "x")
        said.append([notice.text[-3:] for notice in run.snapshot().notices])
        after = run.turn_id
    assert said == [["one", "now"], ["now"], ["two", "now"]]
    other = say(chats, chats.create("ana").id, None, "x")
    assert [notice.code for notice in other.snapshot().notices] == ["parameter_left_out", "passing"]


def test_stop_works_before_the_first_word_and_keeps_the_user_s_text(place: Place) -> None:
    gate = Gate()
    chats = place.chats(Scripted((gate, "never shown", END)))
    id = chats.create("ana").id
    run = chats.submit("ana", id, None, "x")
    assert gate.reached.wait(30)
    chats.stop("ana", id)
    update = last(run)
    assert (update.text, update.turn.reply, update.turn.stop_reason, update.error) == ("", None, "cancelled", None)
    assert turns(chats, id) == [("x", None, "cancelled")]
    run = say(chats, id, run.turn_id, "y")
    assert run.snapshot().text == "ok"


def test_stop_in_the_middle_keeps_what_was_shown(place: Place) -> None:
    gate = Gate()
    chats = place.chats(Scripted(("half", gate, END)))
    id = chats.create("ana").id
    run = chats.submit("ana", id, None, "x")
    assert gate.reached.wait(30)
    run.stop()
    run.stop()
    assert last(run).turn.stop_reason == "cancelled"
    assert turns(chats, id) == [("x", "half", "cancelled")]
    run.stop()


def test_stop_before_the_thread_has_asked_sends_no_request(place: Place) -> None:
    made, go = threading.Event(), threading.Event()
    client = Scripted()

    def make() -> ChatSession:
        made.set()
        assert go.wait(30)
        return ChatSession(cast(Any, client))

    chats = place.chats(client, make_session=make)
    run = chats.submit("ana", chats.create("ana").id, None, "x")
    assert made.wait(30)
    run.stop()
    go.set()
    assert (last(run).turn.stop_reason, last(run).seconds) == ("cancelled", None)


def test_a_failure_ends_the_run_with_its_error_and_the_turn_can_be_asked_again(place: Place) -> None:
    chats = place.chats(Scripted(("half", ServiceError("broken")), (ThrottledError("slow"),)))
    id = chats.create("ana").id
    first = last(say(chats, id, None, "x"))
    assert isinstance(first.error, ServiceError)
    assert (first.text, first.turn.stop_reason) == ("half", "error")
    second = last(say(chats, id, first.turn.id, "y"))
    assert isinstance(second.error, ThrottledError)
    third = last(say(chats, id, first.turn.id, "y", branch=True))
    assert third.turn.stop_reason == "end_turn"
    assert turns(chats, id) == [("x", "half", "error"), ("y", "ok", "end_turn")]


@pytest.mark.parametrize("script", [("half", RuntimeError("a bug")), (RuntimeError("a bug"),)])
def test_a_bug_is_an_update_with_an_error_and_never_a_dead_page(
    place: Place, caplog: pytest.LogCaptureFixture, script: Sequence[Step]
) -> None:
    chats = place.chats(Scripted(script))
    id = chats.create("ana").id
    run = chats.submit("ana", id, None, "x")
    update = collected(run)[-1]
    assert isinstance(update.error, ServiceError)
    assert (update.error.code, update.turn.stop_reason, update.done) == ("unexpected", "error", True)
    assert "chats.run_failed" in caplog.text
    assert say(chats, id, run.turn_id, "y").snapshot().text == "ok"
    assert [turn[2] for turn in turns(chats, id)] == ["error", "end_turn"]


def test_a_request_that_can_t_be_made_is_the_turn_s_error(place: Place) -> None:
    chats = place.chats(Scripted((InvalidRequestError("no such parameter"),)))
    id = chats.create("ana").id
    update = last(say(chats, id, None, "x"))
    assert isinstance(update.error, InvalidRequestError)
    assert turns(chats, id) == [("x", None, "error")]
    say(chats, id, update.turn.id, "y")
    assert [turn[1] for turn in turns(chats, id)] == [None, "ok"]


def test_a_continuation_that_can_t_be_asked_leaves_the_turn_as_it_was(place: Place) -> None:
    chats = place.chats(Scripted(("one", Completed("max_tokens", USAGE)), (InvalidRequestError("no"),), (" two", END)))
    id = chats.create("ana").id
    say(chats, id, None, "count")
    assert isinstance(last(chats.continue_("ana", id)).error, InvalidRequestError)
    assert turns(chats, id) == [("count", "one", "max_tokens")]
    assert last(chats.continue_("ana", id)).text == "one two"


def test_limits_are_asked_first_and_told_afterwards(place: Place) -> None:
    limits = Limits(messages_per_minute=3, tokens_per_day=10, concurrent_runs=1, clock=place.clock)
    gate = Gate()
    chats = place.chats(Scripted((gate, "a", END)), limits=limits)
    id = chats.create("ana").id
    run = chats.submit("ana", id, None, "x")
    with pytest.raises(BudgetExceededError):
        chats.submit("ana", chats.create("ana").id, None, "y")
    gate.open()
    after = last(run).turn.id
    with pytest.raises(StaleConversationError):
        chats.submit("ana", id, "nonsense", "y")
    say(chats, id, after, "y")
    with pytest.raises(BudgetExceededError) as caught:
        chats.submit("ana", id, None, "y", branch=True)
    assert caught.value.code == "tokens_per_day"
    assert len(turns(chats, id)) == 2


# -- sessions ----------------------------------------------------------------------------------------------


def test_closing_stops_and_saves(place: Place) -> None:
    gate = Gate()
    chats = place.chats(Scripted(("half", gate, END)))
    id = chats.create("ana").id
    run = chats.submit("ana", id, None, "x")
    assert gate.reached.wait(30)
    chats.close()
    assert run.done
    with pytest.raises(SessionBusyError):
        chats.submit("ana", id, run.turn_id, "y")
    assert turns(place.chats(), id) == [("x", "half", "cancelled")]


def test_the_pool_holds_few_sessions_and_never_drops_what_is_not_saved(place: Place) -> None:
    chats = place.chats(pool_size=2)
    chats.store.check()
    unsaved = chats.create("ana").id
    lock = place.breaking()
    say(chats, unsaved, None, "x")
    for _ in range(3):
        say(chats, chats.create("ana").id, None, "y")
    assert len(chats._pool) == 4
    assert turns(chats, unsaved) == [("x", "ok", "end_turn")]
    lock.close()
    chats.tick()
    for _ in range(3):
        say(chats, chats.create("ana").id, None, "z")
    assert len(chats._pool) == 2
    assert turns(chats, unsaved) == [("x", "ok", "end_turn")]
