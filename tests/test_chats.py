"""Chats: conversations that outlive pages, processes and databases. Real databases, scripted models."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assistant.chats import ConversationNotFoundError, StaleConversationError
from assistant.errors import (
    InvalidRequestError,
)
from assistant.messages import Completed, Turn
from tests.places import END, USAGE, Gate, Place, Scripted, last, say, turns

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
