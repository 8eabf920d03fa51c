"""The side bar: which conversations it lists, under which day, and what its commands answer."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from assistant.chats import Chats
from assistant.documents import Document
from assistant.errors import StoreError
from assistant.messages import STOP_REASONS
from assistant.stored import ConversationSummary
from assistant_app import guard, show, sidebar, words
from assistant_app.attachments import Waiting, place_of
from assistant_app.gate import TICKET
from assistant_app.identity import owner_of
from assistant_app.sidebar import Sidebar
from assistant_app.tabs import Tabs

from . import echoing, listeners
from .echoing import said
from .listeners import request_of

client, chats = echoing.client, listeners.chats


def test_days_are_those_of_the_reader_s_clock_and_nothing_is_markup() -> None:
    now = time.time()
    day = 24 * 3600
    ages = {"one": 0, "two": 1, "three": 4, "four": 20, "five": 300}
    found = [
        ConversationSummary(name, f"<{name}> & \"'", now - age * day, now - age * day) for name, age in ages.items()
    ]
    drawn = sidebar.drawn(found, "one", sidebar._today("0"), "en", searched=False)
    order = [drawn.index(each) for each in ("Today", "Yesterday", "Last 7 days", "Last 30 days", "Older")]
    assert order == sorted(order)
    assert "<one>" not in drawn
    assert drawn.count("aria-current") == 1
    midnight = datetime(2026, 11, 24, 1, tzinfo=UTC).timestamp()
    # JavaScript counts the minutes that UTC is ahead.
    assert sidebar._today("300")(midnight).day == 23
    assert sidebar._today("-60")(midnight).day == 24
    for odd in ("", "x", "nan", "1e99", "100000"):
        assert sidebar._today(odd)(midnight).day == 24


def test_a_command_that_is_none_and_a_store_that_fails_are_answered_in_words(
    chats: Chats, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = Sidebar(chats, Tabs())
    for command in ("", "x", "[]", "{}", '{"do": 7}', '{"do": "rename"}', '{"do": "export", "id": 7, "format": "x"}'):
        _, answer = asyncio.run(side.act(command, "", "0", request_of()))
        assert json.loads(answer)["do"] == "say"

    def fail(*_: Any, **__: Any) -> Any:
        raise StoreError("gone")

    monkeypatch.setattr(chats, "list", fail)
    assert "could not be read" in asyncio.run(side.opened("", "0", request_of()))["entries"]


def test_what_is_searched_for_now_is_what_is_drawn(chats: Chats) -> None:
    owner = owner_of(request_of())
    said(chats, owner, "apples")
    said(chats, owner, "pears")
    side = Sidebar(chats, Tabs())

    async def scenario() -> None:
        entries, _ = await side.act(json.dumps({"do": "find", "search": "apples"}), "", "0", request_of())
        assert "apples" in entries
        assert "pears" not in entries
        drawn = await side.after_turn("x", request_of(), False)
        assert "apples" in drawn["fresh"]
        assert "pears" not in drawn["fresh"]

    asyncio.run(scenario())


def test_a_title_is_looked_out_for_until_there_is_one(chats: Chats) -> None:
    owner, side = owner_of(request_of()), Sidebar(chats, Tabs())
    chats.titles = True
    id = said(chats, owner, "apples")
    assert asyncio.run(side.after_turn(id, request_of(), True))["untitled"].endswith(" apples")
    assert "untitled" not in asyncio.run(side.after_turn(id, request_of(), False))
    chats.store.suggest_title(owner, id, "All about fruit")
    drawn = asyncio.run(side.after_turn(id, request_of(), True))
    assert "All about fruit" in drawn["fresh"]
    assert "untitled" not in drawn


def test_a_title_that_comes_late_is_drawn(chats: Chats, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sidebar, "TITLE_LOOK", 0.01)
    owner = owner_of(request_of())
    id = said(chats, owner, "apples")

    async def scenario() -> list[str]:
        lists = []
        async for drawn in Sidebar(chats, Tabs()).follow(id, "1 apples", request_of()):
            lists.append(drawn)
            if len(lists) == 1:
                chats.rename(owner, id, "All about fruit")
        return lists

    first, second = asyncio.run(scenario())
    assert "All about fruit" not in first
    assert "All about fruit" in second


def test_an_export_is_in_the_reader_s_language(chats: Chats) -> None:
    owner = owner_of(request_of())
    id = said(chats, owner, "hola")
    command = json.dumps({"do": "export", "id": id, "format": "markdown"})
    _, answer = asyncio.run(Sidebar(chats, Tabs()).act(command, "", "0", request_of(language="es")))
    assert "**Tú**" in json.loads(answer)["text"]
    for reason in {*STOP_REASONS, "running"} - {"end_turn", "stop_sequence"}:
        assert reason in words.EXPORTED_ENDINGS


def test_with_all_data_goes_what_waits_to_be_sent(chats: Chats) -> None:
    waiting, notes = Waiting(), Document.from_text("The code is 1234.")
    mine, theirs = place_of(request_of()), place_of(request_of(owner="b" * 32))
    for place in (mine, (mine[0], "another tab"), theirs):
        waiting.add(place, [notes])
    side = Sidebar(chats, Tabs(), waiting.forget)
    asyncio.run(side.act(json.dumps({"do": "forget_all"}), "", "0", request_of()))
    assert waiting.of(mine) == waiting.of((mine[0], "another tab")) == {}
    assert waiting.of(theirs) == {notes.id: notes}


def test_only_who_has_signed_in_can_sign_out(chats: Chats) -> None:
    side = Sidebar(chats, Tabs())
    request = request_of()
    assert "logout" not in asyncio.run(side.opened("", "0", request))["data"]
    request.cookies[TICKET] = "a ticket"
    assert 'href="logout"' in asyncio.run(side.opened("", "0", request))["data"]


def acted(side: Sidebar, language: str = "es", **command: Any) -> dict[str, Any]:
    """What a page is told for a button of the side bar. What it imports it compresses first."""
    if "data" in command:
        command["data"] = base64.b64encode(gzip.compress(command["data"].encode())).decode()
    _, answer = asyncio.run(side.act(json.dumps(command), "", "0", request_of(language=language)))
    return dict(json.loads(answer))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("not JSON", "No se puede leer este archivo: está dañado o no es JSON. Elige una conversación exportada como "),
        ({"format": "x"}, "Este archivo no es una conversación exportada aquí. Elige uno hecho con «Exportar como "),
        ({"version": 2}, "Este archivo viene de una versión más nueva del asistente. Se podrá importar cuando se "),
        (
            {"turns": [{}]},
            "A este archivo le falta algo o fue modificado; no se importó nada. Exporta la conversación ",
        ),
        ({"settings": {"x": 1}}, "A este archivo le falta algo o fue modificado; no se importó nada. Exporta la "),
        ("x" * 9000, "Este archivo es demasiado grande: se pueden importar como máximo 0 MB y 10\u202f000 mensajes. "),
        ("attachment", "El adjunto «notas.pdf» de este archivo está dañado; no se importó nada. Exporta la "),
    ],
)
def test_why_a_file_is_not_imported_is_said_in_the_reader_s_language_alone(
    chats: Chats, monkeypatch: pytest.MonkeyPatch, change: Any, told: str
) -> None:
    monkeypatch.setattr(sidebar, "MAX_IMPORT", 8000)
    id = said(chats, "me", "hola", documents=[Document.from_text("x", "notas.txt")])
    data = chats.export("me", id, "json")
    if isinstance(change, dict):
        data = json.dumps({**json.loads(data), **change})
    data = data.replace("notas.txt", "notas.pdf").replace('"txt"', '"pdf"') if change == "attachment" else data
    answer = acted(Sidebar(chats, Tabs()), do="import", data=change if change in ("not JSON", "x" * 9000) else data)
    assert answer["text"].startswith(told)
    # The cause is there to be unfolded.
    assert answer["details"]
    assert not chats.list(owner_of(request_of()))


def test_what_was_exported_comes_back_and_what_is_too_large_for_that_is_named(
    chats: Chats, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However it is compressed, a file of that size fits into one request.
    assert sidebar.MAX_IMPORT * 1.02 < guard.MAX_BODY
    owner, side = owner_of(request_of()), Sidebar(chats, Tabs())
    id = said(chats, owner, "hola", documents=[Document.from_text(str(n) * 9000, f"{n}.txt") for n in range(2)])
    whole = acted(side, do="export", id=id, format="json")
    assert whole["note"] == ""
    monkeypatch.setattr(sidebar, "MAX_IMPORT", 20_000)
    part = acted(side, do="export", id=id, format="json")
    assert part["note"].startswith("Exportada sin estos adjuntos")
    assert part["note"].endswith("importarlo: 1.txt")
    monkeypatch.undo()
    for text, names, notes in ((whole["text"], ["0.txt", "1.txt"], 0), (part["text"], ["0.txt"], 1)):
        answer = acted(side, do="import", data=text)
        (turn,) = chats.open(owner, answer["to"].removeprefix("?c=")).turns
        assert [each.name for each in turn.documents] == names
        assert [show.notice_text(each, "es") for each in turn.notices] == notes * [
            "Sin incluir en el archivo importado: 1.txt. Adjunta otra vez lo que quieras consultar."
        ]


def test_one_file_is_imported_at_a_time(chats: Chats) -> None:
    side = Sidebar(chats, Tabs())
    side._importing = True
    assert acted(side, do="import", data="{}")["text"].startswith("Se está importando otro archivo.")
    side._importing = False
    assert acted(side, "en", do="import", data="{}")["text"].startswith("This file is no conversation")
    assert not side._importing
