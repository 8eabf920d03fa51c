"""Titles: asked for in the background, taken only where they are some."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from assistant.errors import ThrottledError
from assistant.messages import Turn
from assistant.titles import Titler, title_from
from tests.places import END, USAGE, Gate, Place, Scripted, say

TITLED = ("Árboles altos", END)


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        ("Árboles altos", "Árboles altos"),
        ('  "Árboles altos."\n', "Árboles altos"),
        ("**Título: Árboles altos**", "Árboles altos"),
        ("\n# Title: «Tall trees»\nand more", "Tall trees"),
        ("word " * 40, "word " * 11 + "word…"),
        ("", ""),
        ('""', ""),
    ],
)
def test_a_title_is_one_short_line_without_decoration(answer: str, title: str) -> None:
    assert title_from(answer) == title


def title(place: Place, id: str) -> str:
    for chats in place.open:
        if chats._titler is not None:
            assert chats._titler.flush(30)
    return place.open[0].open("ana", id).title


def test_the_first_whole_turn_gets_a_title_from_the_model(place: Place) -> None:
    client = Scripted(("In California.", END), TITLED)
    chats = place.chats(client, titles=True)
    id = chats.create("ana").id
    run = say(chats, id, None, "¿Dónde crece el árbol más alto?", settings={"model": "x"})
    assert title(place, id) == "Árboles altos"
    assert client.given[1]["model"] == "x"
    assert "árbol más alto" in client.asked[1][0].text
    assert "In California." in client.asked[1][0].text
    assert [each.id for each in chats.list("ana", search="arboles")] == [id]
    say(chats, id, run.turn_id, "¿Y el segundo?")
    assert (len(client.asked), title(place, id)) == (3, "Árboles altos")
    # What it cost is the owner's too; of turns there were two.
    (today,) = chats.usage_by_day("ana", 1)
    assert (today.turns, today.input_tokens) == (2, 3 * USAGE.input_tokens)


def test_a_title_that_the_user_gave_stays(place: Place) -> None:
    gate = Gate()
    chats = place.chats(Scripted(("ok", END), (gate, *TITLED)), titles=True)
    id = chats.create("ana").id
    say(chats, id, None, "Hola")
    assert gate.reached.wait(30)
    chats.rename("ana", id, "Mine")
    gate.open()
    assert title(place, id) == "Mine"


@pytest.mark.parametrize("script", [(ThrottledError("no"),), ("", END), ("half",)])
def test_without_an_answer_the_first_words_stay(place: Place, script: Any) -> None:
    chats = place.chats(Scripted(("ok", END), script), titles=True)
    id = chats.create("ana").id
    say(chats, id, None, "Hola, ¿qué tal?")
    assert title(place, id) == "Hola, ¿qué tal?"


def test_neither_failed_nor_later_turns_are_asked_about(place: Place) -> None:
    client = Scripted((ThrottledError("no"),), ("ok", END))
    chats = place.chats(client, titles=True)
    id = chats.create("ana").id
    run = say(chats, id, None, "Hola")
    say(chats, id, run.turn_id, "¿Y?")
    assert (title(place, id), len(client.asked)) == ("Hola", 2)


def test_closing_waits_for_no_title() -> None:
    gate = Gate()
    titler = Titler(cast(Any, Scripted((gate, *TITLED))))
    told: list[str] = []
    titler.ask(Turn("x", "y"), None, lambda title, usage: told.append(title))
    assert gate.reached.wait(30)
    titler.close()
    assert titler.flush(30)
    titler.ask(Turn("x", "y"), None, lambda title, usage: told.append(title))
    assert told == [""]
    assert not any(thread.name == "assistant-titles" for thread in threading.enumerate())
