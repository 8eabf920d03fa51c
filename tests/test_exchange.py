"""Exchange: conversations as files, and what is said about files that are none."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from assistant import exchange
from assistant.documents import Document
from assistant.errors import InvalidRequestError
from assistant.exchange import Labels, from_json, to_json, to_markdown
from assistant.messages import Notice, Turn, Usage
from assistant.store import StoredConversation

TURNS = [
    Turn(
        "¿qué tal?",
        "Bien, `código`",
        "end_turn",
        usage=Usage(1, 2, cost=0.5),
        documents=(Document.from_text("the notes", "notes.txt"),),
        model="m",
        id="t1",
        notices=(Notice("profile_chosen", "text", {"a": 1}),),
        started=5.0,
        first_text_after=0.5,
    ),
    Turn("y?", None, "error", "It failed", error_code="ThrottledError", usage=Usage(cost=None), id="t2"),
]
STORED = StoredConversation("c", "ana", "Título", {"model": "m"}, "t2", 1, None, 0.0, 0.0, TURNS)


def test_json_comes_back_as_it_was_with_new_ids() -> None:
    read = from_json(to_json(STORED))
    assert (read.title, read.settings) == ("Título", {"model": "m"})
    assert len({turn.id for turn in (*read.turns, *TURNS)}) == 4
    for turn, before in zip(read.turns, TURNS, strict=True):
        turn.id = before.id
    assert read.turns == TURNS
    assert from_json(to_json(STORED).encode()).title == "Título"


def test_markdown_holds_texts_names_and_how_a_reply_ended() -> None:
    text = to_markdown(STORED)
    for part in ("# Título", "¿qué tal?", "notes.txt", "**m**", "Bien, `código`", "y?", "*(error)*", "1970-01-01"):
        assert part in text
    assert "the notes" not in text


def test_markdown_s_own_words_are_those_that_were_asked_for() -> None:
    labels = Labels("Conversación", "Tú", "Asistente", {"error": "sin respuesta"})
    text = to_markdown(replace(STORED, title=" ", turns=[replace(TURNS[1], model=None)]), labels)
    for part in ("# Conversación", "**Tú**", "**Asistente**", "*(sin respuesta)*"):
        assert part in text


def changed(**values: Any) -> str:
    return json.dumps({**json.loads(to_json(STORED)), **values})


def turn(**values: Any) -> list[Any]:
    return [{**json.loads(to_json(STORED))["turns"][0], **values}]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "no JSON"),
        (b"\xff\xfe\x00", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "format"),
        ("{}", "format"),
        (changed(format="other"), "format"),
        (changed(version=2), "version 2"),
        (changed(turns=turn(notices=[{}] * 101)), "more than 100 notices"),
        (changed(turns=turn(started=10**400)), "out of range"),
        (changed().replace('"started": 5.0', '"started": 1e999'), "out of range"),
        (changed(version=True), '"version"'),
        (changed(title=7), '"title" of it'),
        (changed(settings=[]), '"settings" of it'),
        (changed(turns={}), '"turns" of it'),
        (changed(turns=["x"]), "turn 1 is no object"),
        (changed(turns=turn(user=None)), '"user" of turn 1'),
        (changed(turns=turn(stop_reason="x")), "stop reason"),
        (changed(turns=turn(usage={"input_tokens": "1"})), "usage of turn 1"),
        (changed(turns=turn(started="now")), '"started" of turn 1'),
        (changed(turns=turn(documents=[{"name": "a", "format": "exe", "data": "eA=="}])), "documents 1 of turn 1"),
        (changed(turns=turn(documents=[{"name": "a", "format": "txt", "data": "é"}])), "base64"),
        (changed(turns=turn(notices=[{"code": 1}])), "notices 1 of turn 1"),
        (to_json(STORED).replace('"started": 5.0', '"started": NaN'), "no JSON"),
    ],
)
def test_what_is_no_conversation_is_refused_and_says_where(data: str | bytes, why: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        from_json(data)
    assert why in str(caught.value)


def test_a_file_is_kept_below_a_size_without_its_older_documents_and_says_so() -> None:
    files = [Document.from_text(str(n) * 3000, f"{n}.txt") for n in range(3)]
    turns = [Turn("¿qué?" * 100, "esto", "end_turn", documents=(file,)) for file in files]
    stored = replace(STORED, turns=turns)
    most = len(to_json(stored).encode()) - 1
    text = to_json(stored, most)
    assert len(text.encode()) <= most
    assert json.loads(text)["left_out"] == exchange.left_out(text) == ["0.txt"]
    read = from_json(text, most).turns
    assert [turn.documents for turn in read] == [(), (files[1],), (files[2],)]
    assert [notice.values for notice in read[0].notices] == [{"names": "0.txt"}]
    assert [each.documents for each in from_json(to_json(stored)).turns] == [turn.documents for turn in turns]


def test_what_would_take_far_more_memory_than_it_is_long_is_refused_before_it_is_read() -> None:
    text = to_json(STORED)
    assert from_json(text, 30 * len(text)).title == "Título"
    lists = json.dumps({"format": "assistant-conversation", "turns": [[]] * 1000}).replace(" ", "")
    many = changed(turns=turn(documents=[], notices=[]) * (exchange.MAX_TURNS + 1))
    for data in (text, text.encode(), lists, many):
        with pytest.raises(InvalidRequestError) as caught:
            from_json(data, 10**9 if data is many else len(data) - (data is not lists))
        assert caught.value.code == "too_large"


def test_ids_of_documents_follow_from_their_data_whatever_the_file_says() -> None:
    given = json.loads(to_json(STORED))
    given["turns"][0]["documents"][0]["id"] = "x'; DROP"
    assert from_json(json.dumps(given)).turns[0].documents == TURNS[0].documents
