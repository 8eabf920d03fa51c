"""What an owner has: preferences, presets, usage, files, temporary chats, and the end of it all."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from assistant.documents import Document
from assistant.errors import InvalidRequestError, ThrottledError
from assistant.lines import StoredDocument
from assistant.messages import Notice, Usage
from assistant.store import ConversationNotFoundError, ConversationStore
from tests.places import END, USAGE, Gate, Place, Scripted, last, say, turns

NOTES = Document.from_text("the notes", "notes.txt")


# -- what is kept of a turn --------------------------------------------------------------------------------


def test_notices_times_and_the_class_of_an_error_are_stored_with_the_turn(place: Place) -> None:
    left_out = Notice("parameter_left_out", "no temperature", {"parameter": "temperature"})
    client = Scripted((left_out, "ok", END), (left_out, Notice("own", "other"), "half", ThrottledError("slow")))
    chats = place.chats(client)
    id = chats.create("ana").id
    first = say(chats, id, None, "one")
    second = say(chats, id, first.turn_id, "two")
    for opened in (chats.open("ana", id), place.chats().open("ana", id)):
        one, two = opened.turns
        assert (one.notices, one.error_code) == ((left_out,), "")
        assert one.started is not None
        assert one.first_text_after is not None
        # What a model does not take is said once a conversation.
        assert ([notice.code for notice in two.notices], two.error_code) == (["own"], "ThrottledError")
    assert second.snapshot().turn == chats.open("ana", id).turns[1]


def test_an_error_before_the_model_was_asked_has_its_class_too(place: Place) -> None:
    chats = place.chats(Scripted((InvalidRequestError("no such model"),)))
    id = chats.create("ana").id
    turn = last(say(chats, id, None, "one")).turn
    assert (turn.error_code, turn.started) == ("InvalidRequestError", None)
    assert place.chats().open("ana", id).turns == [turn]


def test_a_turn_that_is_continued_keeps_what_was_noticed(place: Place) -> None:
    cut = replace(END, stop_reason="max_tokens")
    client = Scripted((Notice("a", "x"), "one ", cut), (Notice("b", "y"), "two", END))
    chats = place.chats(client)
    id = chats.create("ana").id
    say(chats, id, None, "one")
    before = chats.open("ana", id).turns[0]
    last(chats.continue_("ana", id))
    (turn,) = place.chats().open("ana", id).turns
    assert [notice.code for notice in turn.notices] == ["a", "b"]
    assert (turn.started, turn.first_text_after) == (before.started, before.first_text_after)


def test_opening_reads_no_documents_and_their_data_comes_when_asked_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    chats = place.chats()
    id = chats.create("ana").id
    say(chats, id, None, "one", documents=[NOTES])
    read: list[Any] = []
    find = ConversationStore._document_data
    monkeypatch.setattr(ConversationStore, "_document_data", lambda *given: read.append(given) or find(*given))
    (document,) = place.chats().open("ana", id).turns[0].documents
    assert isinstance(document, StoredDocument)
    assert (document.name, document.format, document.id, document.is_text) == ("notes.txt", "txt", NOTES.id, True)
    assert read == []
    assert (document.text, document.to_dict()) == ("the notes", NOTES.to_dict())
    assert (document == NOTES, document == NOTES, hash(document) == hash(NOTES), len(read)) == (True, True, True, 1)


# -- usage -------------------------------------------------------------------------------------------------


def test_a_conversation_s_usage_is_that_of_all_its_turns(place: Place) -> None:
    chats = place.chats()
    id = chats.create("ana").id
    assert chats.open("ana", id).usage == Usage()
    first = say(chats, id, None, "one")
    say(chats, id, first.turn_id, "two")
    say(chats, id, None, "one, edited", branch=True)
    assert chats.open("ana", id).usage == USAGE + USAGE + USAGE
    assert len(chats.open("ana", id).turns) == 1


def test_usage_by_day_counts_each_reply_once(place: Place) -> None:
    cut = replace(END, stop_reason="max_tokens")
    chats = place.chats(Scripted(("a", cut), ("b", END), ("c", replace(END, usage=Usage(1, 1, cost=None)))))
    id = chats.create("ana").id
    run = say(chats, id, None, "one")
    last(chats.continue_("ana", id))
    place.clock.now += 86_400
    say(chats, id, run.turn_id, "two")
    three, two, one = chats.usage_by_day("ana", 3)[::-1]
    assert (one.turns, one.input_tokens) == (0, 0)
    assert (two.turns, two.input_tokens, two.output_tokens, two.cost) == (1, 6, 4, 1.0)
    assert (three.turns, three.input_tokens, three.cost) == (1, 1, None)
    assert [day.day for day in (one, two, three)] == ["1970-01-11", "1970-01-12", "1970-01-13"]
    assert all(day.turns == 0 for day in chats.usage_by_day("bea"))
    chats.forget("ana", id)
    assert chats.usage_by_day("ana", 2)[0].turns == 1


# -- preferences and presets -------------------------------------------------------------------------------


def test_preferences_are_the_settings_of_new_conversations(place: Place) -> None:
    chats = place.chats()
    assert chats.preferences("ana") == {}
    chats.set_preferences("ana", {"model": "x", "temperature": 0.5})
    chats.set_preferences("ana", {"model": "y"})
    other = place.chats()
    assert (other.preferences("ana"), other.preferences("bea")) == ({"model": "y"}, {})
    assert other.create("ana").settings == {"model": "y"}
    assert other.create("ana", {}).settings == {}
    with pytest.raises(InvalidRequestError):
        chats.set_preferences("ana", {"modle": "y"})


def test_presets_are_saved_by_name_and_deleted_by_their_owner(place: Place) -> None:
    chats = place.chats()
    one = chats.save_preset("ana", "  Brief\nanswers ", {"system": "Be brief."})
    place.clock.now += 1
    two = chats.save_preset("ana", "Other", {"temperature": 0.0})
    assert place.chats().presets("ana") == [one, two]
    assert one.name == "Brief answers"
    again = chats.save_preset("ana", "Brief answers", {"system": "Be very brief."})
    assert again.id == one.id
    chats.delete_preset("bea", one.id)
    assert chats.presets("ana") == [again, two]
    assert chats.presets("bea") == []
    chats.delete_preset("ana", one.id)
    chats.delete_preset("ana", one.id)
    assert chats.presets("ana") == [two]
    for name, settings in ((" ", {}), ("x", {"modle": 1})):
        with pytest.raises(InvalidRequestError):
            chats.save_preset("ana", name, settings)


# -- files -------------------------------------------------------------------------------------------------


def test_what_was_exported_comes_back_as_a_conversation_that_goes_on(place: Place) -> None:
    chats = place.chats()
    id = chats.create("ana", {"model": "x"}).id
    first = say(chats, id, None, "¿uno?", documents=[NOTES])
    say(chats, id, first.turn_id, "two")
    chats.rename("ana", id, "Título")
    client = Scripted()
    other = place.chats(client)
    made = other.import_("bea", chats.export("ana", id, "json"))
    assert made.id != id
    assert (made.title, made.settings) == ("Título", {"model": "x"})
    assert [(turn.user, turn.reply) for turn in made.turns] == [("¿uno?", "ok"), ("two", "ok")]
    assert not {turn.id for turn in made.turns} & {turn.id for turn in chats.open("ana", id).turns}
    assert [each.id for each in other.list("bea", search="uno")] == [made.id]
    # It was paid for elsewhere.
    assert other.usage_by_day("bea", 1)[0].turns == 0
    run = other.submit("bea", made.id, made.turns[-1].id, "three")
    assert run.wait(30)
    assert [message.text for message in client.asked[0]] == ["¿uno?", "ok", "two", "ok", "three"]
    assert client.asked[0][0].documents == (NOTES,)
    assert "# Título" in chats.export("ana", id)


def test_exports_are_the_owner_s_and_of_known_formats(place: Place) -> None:
    chats = place.chats()
    id = chats.create("ana").id
    say(chats, id, None, "one")
    for format in ("markdown", "json"):
        with pytest.raises(ConversationNotFoundError):
            chats.export("bea", id, format)
    with pytest.raises(InvalidRequestError):
        chats.export("ana", id, "pdf")
    bad = json.loads(chats.export("ana", id, "json"))
    with pytest.raises(InvalidRequestError):
        chats.import_("ana", json.dumps({**bad, "settings": {"modle": 1}}))
    assert len(chats.list("ana")) == 1


# -- temporary chats ---------------------------------------------------------------------------------------


def test_a_temporary_chat_goes_on_and_is_written_nowhere(place: Place) -> None:
    client = Scripted()
    chats = place.chats(client)
    made = chats.create("ana", temporary=True)
    assert (made.temporary, chats.open("ana", made.id).temporary) == (True, True)
    first = say(chats, made.id, None, "a secret", documents=[NOTES])
    say(chats, made.id, first.turn_id, "more")
    say(chats, made.id, first.turn_id, "instead", branch=True)
    opened = chats.open("ana", made.id)
    assert ([turn.user for turn in opened.turns], opened.temporary) == (["a secret", "instead"], True)
    assert [message.text for message in client.asked[-1]] == ["a secret", "ok", "instead"]
    assert chats.memory("ana", made.id) is not None
    assert (chats.list("ana"), chats.list("ana", search="secret")) == ([], [])
    assert "a secret" in chats.export("ana", made.id)
    for table in ("conversations", "turns", "documents", "search_words", "usage_days"):
        assert place.run(f"SELECT count(*) FROM {table}") == [(0,)]
    with pytest.raises(ConversationNotFoundError):
        chats.open("bea", made.id)
    with pytest.raises(ConversationNotFoundError):
        place.chats().open("ana", made.id)
    chats.forget("ana", made.id)
    with pytest.raises(ConversationNotFoundError):
        chats.open("ana", made.id)


def test_an_ordinary_chat_is_not_temporary(place: Place) -> None:
    chats = place.chats()
    id = chats.create("ana").id
    say(chats, id, None, "x")
    assert not chats.open("ana", id).temporary


def test_the_oldest_temporary_chats_go(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assistant.runner._TEMPORARY", 2)
    chats = place.chats()
    made = [chats.create("ana", temporary=True).id for _ in range(2)]
    say(chats, made[0], None, "x")
    made.append(chats.create("ana", temporary=True).id)
    with pytest.raises(ConversationNotFoundError):
        chats.open("ana", made[0])
    assert chats.open("ana", made[2]).temporary


# -- the end -----------------------------------------------------------------------------------------------


def test_forgetting_all_leaves_nothing_of_the_owner_and_all_of_the_others(place: Place) -> None:
    gate = Gate()
    chats = place.chats(Scripted(("ok", END), ("ok", END), ("ok", END), ("ok", END), ("half", gate, END)))
    deleted, own, hers = (chats.create(owner).id for owner in ("ana", "ana", "bea"))
    say(chats, deleted, None, "x", documents=[NOTES])
    chats.delete("ana", deleted)
    say(chats, own, None, "x")
    run = chats.submit("bea", hers, None, "x")
    assert run.wait(30)
    passing = chats.create("ana", temporary=True).id
    say(chats, passing, None, "x")
    for owner in ("ana", "bea"):
        chats.save_preset(owner, "x", {})
        chats.set_preferences(owner, {"model": "x"})
    running = chats.create("ana").id
    under_way = chats.submit("ana", running, None, "x")
    assert gate.reached.wait(30)
    draft = chats.create("ana").id
    chats.forget_all("ana")
    assert under_way.wait(30)
    for id in (deleted, own, passing, running, draft):
        with pytest.raises(ConversationNotFoundError):
            chats.open("ana", id)
    with pytest.raises(ConversationNotFoundError):
        chats.restore("ana", deleted)
    for table in ("conversations", "preferences", "presets", "usage_days"):
        assert place.run(f"SELECT DISTINCT owner FROM {table}") == [("bea",)]
    for table in ("turns", "search_texts", "search_words"):
        assert place.run(f"SELECT count(*) FROM {table}") == [(1,)]
    assert place.run("SELECT count(*) FROM documents") == [(0,)]
    assert turns(chats, chats.create("ana").id) == []
    assert [turn.user for turn in chats.open("bea", hers).turns] == ["x"]
