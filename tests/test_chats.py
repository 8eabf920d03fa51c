"""Chats and Run: replies that outlive pages, processes and databases. Real databases, scripted models."""

from __future__ import annotations

import asyncio
import gc
import random
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from assistant.chats import Chats, ConversationNotFoundError, Run, StaleConversationError, Update
from assistant.documents import Document
from assistant.errors import (
    BudgetExceededError,
    InvalidRequestError,
    ServiceError,
    SessionBusyError,
    StoreError,
    ThrottledError,
)
from assistant.limits import Limits
from assistant.memory import SummaryBufferMemory
from assistant.messages import Completed, Notice, Retrying, Turn
from assistant.session import ChatSession
from assistant.store import ConversationStore
from tests.places import END, LEASE, USAGE, Gate, Place, Scripted, Step, last, say, turns

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


# -- conversations -----------------------------------------------------------------------------------------


def test_a_conversation_goes_on_turn_by_turn(place: Place) -> None:
    client = Scripted(("Ho", "la", END), ("Bien", END))
    chats = place.chats(client)
    id = chats.create("ana").id
    first = say(chats, id, None, "Hola, ¿qué tal?")
    second = say(chats, id, first.turn_id, "¿Y tú?")
    conversation = chats.open("ana", id)
    assert turns(chats, id) == [("Hola, ¿qué tal?", "Hola", "end_turn"), ("¿Y tú?", "Bien", "end_turn")]
    assert (conversation.title, conversation.run, conversation.busy_for) == ("Hola, ¿qué tal?", None, 0.0)
    assert conversation.turns[-1] == second.snapshot().turn
    assert [message.text for message in client.asked[1]] == ["Hola, ¿qué tal?", "Hola", "¿Y tú?"]
    update = first.snapshot()
    assert (update.text, update.turn.usage, update.turn.model, update.done) == ("Hola", USAGE, "m", True)
    assert (update.error, update.retrying, update.notices) == (None, None, ())
    assert update.seconds is not None
    assert update.time_to_first_text is not None


def test_a_conversation_is_stored_with_its_first_turn_and_can_be_opened_before(place: Place) -> None:
    chats = place.chats()
    conversation = chats.create("ana", {"model": "x"})
    assert chats.list("ana") == []
    assert chats.open("ana", conversation.id) == conversation
    with pytest.raises(ConversationNotFoundError):
        chats.open("bea", conversation.id)
    say(chats, conversation.id, None, "Hola")
    assert [each.title for each in chats.list("ana")] == ["Hola"]
    assert chats.open("ana", conversation.id).settings == {"model": "x"}


def test_two_owners_never_see_each_other(place: Place) -> None:
    chats = place.chats()
    id = chats.create("ana").id
    run = say(chats, id, None, "Hola")
    before = chats.open("ana", id)
    for call in (
        lambda owner, id: chats.open(owner, id),
        lambda owner, id: chats.submit(owner, id, run.turn_id, "x"),
        lambda owner, id: chats.submit(owner, id, None, "x", branch=True),
        lambda owner, id: chats.continue_(owner, id),
        lambda owner, id: chats.rewind(owner, id, None),
        lambda owner, id: chats.rename(owner, id, "x"),
        lambda owner, id: chats.delete(owner, id),
        lambda owner, id: chats.restore(owner, id),
        lambda owner, id: chats.forget(owner, id),
    ):
        told = []
        for owner, which in (("bea", id), ("ana", "no such id")):
            with pytest.raises(ConversationNotFoundError) as caught:
                call(owner, which)
            told.append(str(caught.value))
        assert told[0] == told[1]
    assert chats.list("bea") == []
    assert chats.open("ana", id) == before


def test_another_owner_s_stop_stops_nothing(place: Place) -> None:
    gate = Gate()
    chats = place.chats(Scripted(("a", gate, "b", END)))
    id = chats.create("ana").id
    run = chats.submit("ana", id, None, "x")
    assert gate.reached.wait(30)
    chats.stop("bea", id)
    gate.open()
    assert last(run).turn.stop_reason == "end_turn"


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


def test_a_session_that_another_process_has_overtaken_is_read_anew(place: Place) -> None:
    client = Scripted(("a1", END), ("a3", END))
    chats, other = place.chats(client), place.chats(Scripted(("b2", END)))
    id = chats.create("ana").id
    first = say(chats, id, None, "one")
    second = say(other, id, first.turn_id, "two")
    say(chats, id, second.turn_id, "three")
    assert [message.text for message in client.asked[1]] == ["one", "a1", "two", "b2", "three"]


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


def test_settings_are_kept_until_others_come(place: Place) -> None:
    client = Scripted()
    chats = place.chats(client)
    id = chats.create("ana").id
    run = say(chats, id, None, "1", settings={"model": "x", "system": "S", "max_tokens": 7, "effort": None})
    run = say(chats, id, run.turn_id, "2")
    run = say(chats, id, run.turn_id, "3", settings={"model": "y"})
    assert [(each["model"], each.get("system"), each.get("max_tokens")) for each in client.given] == [
        ("x", "S", 7),
        ("x", "S", 7),
        ("y", None, None),
    ]


@pytest.mark.parametrize("settings", [{"temprature": 1}, {"model": object()}])
def test_settings_that_make_no_sense_are_refused_and_nothing_is_stored(place: Place, settings: dict[str, Any]) -> None:
    chats = place.chats()
    id = chats.create("ana").id
    with pytest.raises(InvalidRequestError):
        chats.submit("ana", id, None, "x", settings)
    with pytest.raises(InvalidRequestError):
        chats.submit("ana", id, None, " \n")
    assert chats.list("ana") == []


def test_deleting_stops_what_runs_and_can_be_taken_back(place: Place) -> None:
    gate = Gate()
    chats = place.chats(Scripted(("half", gate, END)))
    id = chats.create("ana").id
    run = chats.submit("ana", id, None, "x")
    assert gate.reached.wait(30)
    chats.delete("ana", id)
    assert last(run).error is None
    with pytest.raises(ConversationNotFoundError):
        chats.open("ana", id)
    chats.restore("ana", id)
    assert turns(chats, id) == [("x", "half", "cancelled")]
    chats.forget("ana", id)
    with pytest.raises(ConversationNotFoundError):
        chats.restore("ana", id)


def test_what_was_deleted_is_erased_when_the_time_to_take_it_back_is_over(place: Place) -> None:
    chats = place.chats()
    early, late = chats.create("ana").id, chats.create("ana").id
    for id in (early, late):
        say(chats, id, None, "x")
        place.clock.now += 1800
        chats.delete("ana", id)
    chats.tick()
    assert len(place.run("SELECT id FROM conversations")) == 2
    # An hour after it was looked last.
    place.clock.now += 3601
    chats.delete("ana", say(chats, chats.create("ana").id, None, "y").conversation_id)
    chats.tick()
    assert len(place.run("SELECT id FROM conversations")) == 1
    with pytest.raises(ConversationNotFoundError):
        chats.restore("ana", late)


@pytest.mark.parametrize("id", ["", "half \ud83d", "nul\0", 7, None])
def test_ids_that_no_database_takes_are_not_found_or_stale(place: Place, id: Any) -> None:
    chats = place.chats()
    own = chats.create("ana").id
    run = say(chats, own, None, "x")
    for call in (chats.open, chats.delete, chats.continue_):
        with pytest.raises(ConversationNotFoundError):
            call("ana", id)
    if id is not None:
        with pytest.raises(StaleConversationError):
            chats.submit("ana", own, id, "y")
    assert chats.list("ana", search="half \ud83d") == []
    assert [turn.id for turn in chats.open("ana", own).turns] == [run.turn_id]


def test_a_draft_that_is_written_to_by_a_stale_page_leaves_nothing_behind(place: Place) -> None:
    chats = place.chats()
    id = chats.create("ana").id
    for branch in (False, True):
        with pytest.raises(StaleConversationError):
            chats.submit("ana", id, "abc", "x", branch=branch)
    assert chats.list("ana") == []
    say(chats, id, None, "x")


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


# -- where a text goes -------------------------------------------------------------------------------------


def test_a_stale_page_loses_nobody_s_turns(place: Place) -> None:
    chats = place.chats()
    id = chats.create("ana").id
    first = say(chats, id, None, "one")
    say(chats, id, first.turn_id, "two")
    for after in (None, first.turn_id, "nonsense"):
        with pytest.raises(StaleConversationError):
            chats.submit("ana", id, after, "from a stale page")
    other = say(chats, chats.create("ana").id, None, "x")
    with pytest.raises(StaleConversationError):
        chats.submit("ana", id, other.turn_id, "x", branch=True)
    assert [turn[0] for turn in turns(chats, id)] == ["one", "two"]


@pytest.mark.parametrize("fresh", [False, True])
def test_a_branch_leaves_the_superseded_turns_out_of_the_line_and_of_the_context(place: Place, fresh: bool) -> None:
    client = Scripted()
    chats = place.chats(client)
    id = chats.create("ana").id
    first = say(chats, id, None, "one")
    second = say(chats, id, first.turn_id, "two")
    say(chats, id, second.turn_id, "three")
    if fresh:
        chats = place.chats(client)
    say(chats, id, first.turn_id, "two, edited", branch=True)
    assert [turn[0] for turn in turns(chats, id)] == ["one", "two, edited"]
    assert [message.text for message in client.asked[-1]] == ["one", "ok", "two, edited"]
    assert place.run("SELECT count(*) FROM turns") == [(4,)]
    say(chats, id, None, "all anew", branch=True)
    assert [message.text for message in client.asked[-1]] == ["all anew"]


def test_rewinding_is_an_undo(place: Place) -> None:
    client = Scripted()
    chats = place.chats(client)
    id = chats.create("ana").id
    first = say(chats, id, None, "one")
    second = say(chats, id, first.turn_id, "two")
    assert [turn.user for turn in chats.rewind("ana", id, first.turn_id).turns] == ["one"]
    with pytest.raises(StaleConversationError):
        chats.rewind("ana", id, second.turn_id)
    say(chats, id, first.turn_id, "three")
    assert [message.text for message in client.asked[-1]] == ["one", "ok", "three"]
    assert chats.rewind("ana", id, None).turns == []


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


# -- a run -------------------------------------------------------------------------------------------------


def collected(run: Run, interval: float = 0.0) -> list[Update]:
    async def watch() -> list[Update]:
        return [update async for update in run.updates(interval)]

    return asyncio.run(watch())


def test_any_number_of_watchers_see_the_same_end(place: Place) -> None:
    gate = Gate()
    chats = place.chats(Scripted(("Ho", gate, "la", END)))
    id = chats.create("ana").id
    run = chats.submit("ana", id, None, "x")
    assert gate.reached.wait(30)
    second = chats.open("ana", id)
    assert second.run is run
    assert second.turns[-1].reply == "Ho"

    async def watch(run: Run) -> list[Update]:
        seen = []
        async for update in run.updates(0.0):
            seen.append(update)
            gate.open()
        return seen

    async def both() -> list[list[Update]]:
        return await asyncio.gather(watch(run), watch(run), watch(run))

    seen = asyncio.run(both())
    for updates in seen:
        assert updates[0].text == "Ho"
        assert [update.done for update in updates] == [False] * (len(updates) - 1) + [True]
        assert updates[-1] == run.snapshot()
    assert run.snapshot().text == "Hola"
    assert collected(run) == [run.snapshot()]


def test_updates_take_all_there_is_and_end_with_what_is_stored(place: Place) -> None:
    chats = place.chats(Scripted((*(f"{n} " for n in range(2000)), END)))
    id = chats.create("ana").id
    run = chats.submit("ana", id, None, "x")
    updates = collected(run)
    texts = [update.text for update in updates]
    assert all(after.startswith(before) for before, after in pairwise(texts))
    assert updates[-1].turn == chats.open("ana", id).turns[-1]


def test_waiting_for_another_attempt_shows_until_text_comes(place: Place) -> None:
    retrying, first, second = Retrying(2, 1.5, ThrottledError("slow down")), Gate(), Gate()
    chats = place.chats(Scripted((Notice("n", "a note"), retrying, first, "Hola", second, END)))
    run = chats.submit("ana", chats.create("ana").id, None, "x")
    assert first.reached.wait(30)
    waiting = run.snapshot()
    assert (waiting.retrying, waiting.text, [notice.code for notice in waiting.notices]) == (retrying, "", ["n"])
    first.open()
    assert second.reached.wait(30)
    assert (run.snapshot().retrying, run.snapshot().text) == (None, "Hola")
    second.open()
    assert last(run).retrying is None


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


def test_a_watcher_that_is_dropped_has_left(place: Place) -> None:
    gate = Gate()
    chats = place.chats(Scripted(("half", gate, END)))
    run = chats.submit("ana", chats.create("ana").id, None, "x")
    assert gate.reached.wait(30)

    async def watch_and_drop() -> None:
        watcher = cast("AsyncGenerator[Update]", run.updates(0.0))
        await anext(watcher)
        assert run._watchers == 1
        del watcher
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert run._watchers == 0

    asyncio.run(watch_and_drop())
    gate.open()


def test_a_watcher_whose_event_loop_is_gone_has_left(place: Place) -> None:
    gate = Gate()
    chats = place.chats(Scripted(("half", gate, END)))
    run = chats.submit("ana", chats.create("ana").id, None, "x")
    assert gate.reached.wait(30)
    loop = asyncio.new_event_loop()
    watcher = cast("AsyncGenerator[Update]", run.updates(0.0))
    loop.run_until_complete(anext(watcher))
    loop.close()
    assert run._watchers == 1
    del watcher
    gc.collect()
    assert run._watchers == 0
    gate.open()


def test_without_a_grace_and_while_somebody_waits_nothing_is_stopped(place: Place) -> None:
    gate = Gate()
    chats = place.chats(Scripted(("a", gate, END)), grace=None)
    run = chats.submit("ana", chats.create("ana").id, None, "x")
    assert gate.reached.wait(30)
    place.clock.now += 1000
    chats.tick()
    gate.open()
    assert last(run).turn.stop_reason == "end_turn"


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


def test_a_cut_off_reply_is_continued_in_the_same_turn(place: Place) -> None:
    gate = Gate()
    cut = Completed("max_tokens", USAGE)
    client = Scripted(("one two", cut), (gate, " three", END), (InvalidRequestError("no"),))
    chats = place.chats(client)
    id = chats.create("ana").id
    first = say(chats, id, None, "count")
    run = place.chats(client).continue_("ana", id)
    assert run.turn_id == first.turn_id
    assert gate.reached.wait(30)
    assert run.snapshot().text == "one two"
    gate.open()
    update = last(run)
    assert (update.text, update.turn.stop_reason, update.turn.usage) == ("one two three", "end_turn", USAGE + USAGE)
    assert [message.text for message in client.asked[1]] == ["count", "one two"]
    assert turns(chats, id) == [("count", "one two three", "end_turn")]
    with pytest.raises(InvalidRequestError):
        chats.continue_("ana", id)
    say(chats, id, run.turn_id, "and?")


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


# -- killed processes --------------------------------------------------------------------------------------

VICTIM = """
import sys, threading
from assistant.catalog import ModelInfo
from assistant.chats import Chats
from assistant.reply import Reply
from assistant.store import ConversationStore

go = threading.Semaphore(0)

class Endless:
    default_model = "m"
    def model_info(self, model=None):
        return ModelInfo("m", "M", "test", context_window=100_000)
    def stream(self, messages, **given):
        def source(token):
            number = 0
            while True:
                go.acquire()
                number += 1
                yield f"word{number} "
        return Reply(source, model="m")

chats = Chats(Endless(), ConversationStore(sys.argv[1]), grace=None, save_every=3600)
conversation = chats.create("ana")
run = chats.submit("ana", conversation.id, None, "the user's text")
print(conversation.id, flush=True)
while True:
    go.release(3)
    chats.tick()
    print(run.saved_length, flush=True)
"""


@pytest.mark.parametrize("seed", [0, 1, 2, *(pytest.param(n, marks=pytest.mark.soak) for n in range(3, 200))])
def test_a_process_killed_in_mid_stream_loses_no_committed_text(place: Place, seed: int) -> None:
    chance = random.Random(seed)
    root = str(Path(__file__).parent.parent)
    victim = subprocess.Popen(
        [sys.executable, "-c", VICTIM, place.database.url], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert victim.stdout is not None
    id = victim.stdout.readline().strip()
    committed = 0
    for _ in range(chance.randrange(1, 60)):
        committed = int(victim.stdout.readline())
    for _ in range(chance.randrange(20_000)):
        pass
    victim.send_signal(signal.SIGKILL)
    committed = max([committed, *(int(line) for line in victim.stdout.read().split("\n")[:-1] if line)])
    victim.wait(30)
    victim.stdout.close()

    if place.database.path is not None:
        assert place.run("PRAGMA integrity_check") == [("ok",)]
    ((until,),) = place.run("SELECT lease_until FROM conversations")
    place.clock.now = until - 1
    chats = place.chats()
    conversation = chats.open("ana", id)
    assert (conversation.turns[-1].stop_reason, conversation.busy_for) == (None, 1.0)
    place.clock.now = until
    turn = chats.open("ana", id).turns[-1]
    whole = "".join(f"word{number} " for number in range(1, 100_000))
    assert (turn.user, turn.stop_reason) == ("the user's text", "interrupted")
    assert whole.startswith(turn.reply or "")
    assert len(turn.reply or "") >= committed
    assert say(chats, id, turn.id, "go on").snapshot().error is None


def test_turns_of_a_conversation_are_plain_turns(place: Place) -> None:
    chats = place.chats()
    id = chats.create("ana").id
    say(chats, id, None, "x")
    assert all(type(turn) is Turn for turn in chats.open("ana", id).turns)
