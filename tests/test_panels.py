"""The side bar, attachments, figures and panels without a browser."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pypdf import PdfWriter

from assistant.catalog import ModelInfo, Price
from assistant.chats import Chats, ConversationSummary
from assistant.documents import MAX_DOCUMENTS, Document
from assistant.errors import InvalidRequestError, StoreError, ThrottledError
from assistant.messages import STOP_REASONS, Notice, Retrying, Turn, Usage
from assistant.runs import Update
from assistant.store import ConversationStore
from assistant_app import attachments, cost, figures, header, memory_panel, phrases, show, sidebar, watching, words
from assistant_app.asking import Asked, submit
from assistant_app.attachments import LONG_TEXT, Attachments, GoneError, Waiting
from assistant_app.controls import Controls
from assistant_app.cost import Costs
from assistant_app.gate import TICKET
from assistant_app.header import Header
from assistant_app.identity import COOKIE, owner_of
from assistant_app.memory_panel import MemoryPanel
from assistant_app.settings import fitting
from assistant_app.sidebar import Sidebar
from assistant_app.tabs import Tab, Tabs

from .browser import ScriptedClient


def request_of(owner: str = "a" * 32, session: str = "s", language: str = "en") -> Any:
    headers = {"accept-language": language}
    return SimpleNamespace(username=None, cookies={COOKIE: owner}, session_hash=session, headers=headers)


@pytest.fixture
def client() -> ScriptedClient:
    made = ScriptedClient()
    made.echo = True
    return made


@pytest.fixture
def chats(client: ScriptedClient, tmp_path: Path) -> Iterator[Chats]:
    made = Chats(client, ConversationStore(data_dir=tmp_path), grace=None)
    yield made
    made.close()


def said(chats: Chats, owner: str, text: str, **more: Any) -> str:
    """A conversation with one turn that has ended."""
    id = chats.create(owner).id
    assert chats.submit(owner, id, None, text, **more).wait(10)
    return id


# -- the side bar ------------------------------------------------------------------------------------------


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


# -- attachments -------------------------------------------------------------------------------------------


def uploaded(directory: Path, *files: tuple[str, bytes]) -> list[tuple[str, str]]:
    """Files as Gradio hands them over, each in a folder of its own."""
    given = []
    for name, data in files:
        path = directory / name / name
        path.parent.mkdir()
        path.write_bytes(data)
        given.append((str(path), name))
    return given


def test_uploads_are_read_and_deleted_whatever_is_in_them(tmp_path: Path) -> None:
    files = uploaded(tmp_path, ("a.txt", b"a"), ("b.exe", b"MZ"), ("c.pdf", b"no"), ("d.txt", b""))
    files.append((str(tmp_path / "gone.txt"), "gone.txt"))
    listener = Attachments(Waiting(), lambda model: None)
    chips, ids, note = asyncio.run(listener.attach(files, "m", request_of()))
    assert "a.txt" in chips
    assert len(ids.split()) == 1
    for name in ("b.exe", "c.pdf", "d.txt", "gone.txt"):
        assert name in json.loads(note)["text"]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(("reads", "said"), [(False, "no contiene texto"), (True, "")])
def test_a_scan_is_for_models_that_look_at_its_pages(tmp_path: Path, reads: bool, said: str) -> None:
    page = io.BytesIO()
    writer = PdfWriter()
    writer.add_blank_page(100, 100)
    writer.write(page)
    info = ModelInfo("m", "M", "test", documents=reads)
    listener = Attachments(Waiting(), lambda model: info)
    files = uploaded(tmp_path, ("scan.pdf", page.getvalue()))
    chips, _, note = asyncio.run(listener.attach(files, "m", request_of(language="es")))
    assert ("scan.pdf" in chips) == reads
    assert (json.loads(note)["text"] if said else "").find(said) >= 0


def test_what_is_wrong_with_a_file_is_said_in_the_reader_s_language_alone(tmp_path: Path) -> None:
    wide = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (9000).to_bytes(4, "big") + (10).to_bytes(4, "big")
    files = uploaded(tmp_path, ("roto.pdf", b"no pdf"), ("ancha.png", wide))
    *_, note = asyncio.run(Attachments(Waiting(), lambda model: None).attach(files, "m", request_of(language="es")))
    assert json.loads(note)["text"].split("\n") == [
        "No se pudo leer roto.pdf. ¿Está dañado o protegido con contraseña? Guárdalo otra vez.",
        "ancha.png es demasiado grande: una imagen puede tener 8,000 píxeles por lado.",
    ]


def test_a_message_takes_so_many_documents_and_no_more() -> None:
    many = [Document.from_text(str(n), f"{n}.txt") for n in range(MAX_DOCUMENTS + 1)]
    fitting, notes = attachments._fitting({}, many, "es")
    assert fitting == many[:-1]
    assert f"{MAX_DOCUMENTS}.txt quedó fuera" in notes[0]
    assert attachments._fitting({many[0].id: many[0]}, many[:1], "en") == ([], [])


def test_what_waits_is_the_tab_s_own_and_bounded() -> None:
    waiting = Waiting(memory=10)
    one, two = Document.from_text("123456"), Document.from_text("654321")
    waiting.add("a", [one])
    assert waiting.take("a", one.id) == [one]
    with pytest.raises(GoneError):
        waiting.take("b", one.id)
    waiting.add("b", [two])
    with pytest.raises(GoneError):
        waiting.take("a", one.id)
    assert waiting.take("b", two.id) == [two]
    waiting.remove("b", [two.id])
    assert waiting.take("b", "") == []


def test_a_retry_asks_the_same_with_the_same_documents(chats: Chats) -> None:
    document = Document.from_text("The code is 1234.", "<notes>.txt")
    id = said(chats, "me", "What is it?", documents=[document])
    (turn,) = chats.open("me", id).turns
    assert "&lt;notes&gt;.txt" in show.text_of(show.conversation([turn], "en")[1])
    run, _ = submit(chats, Asked("me", id, [], "something that a page made up", {}, "retry"))
    assert run.wait(10)
    assert run.turn.user == "What is it?"
    assert [each.name for each in run.turn.documents] == ["<notes>.txt"]
    run, _ = submit(chats, Asked("me", id, [], "Another question", {}, "edit"))
    assert run.wait(10)
    assert (run.turn.user, len(run.turn.documents)) == ("Another question", 1)


def test_a_long_text_of_the_page_becomes_a_document_and_a_script_s_does_not(chats: Chats) -> None:
    text = "word " * LONG_TEXT
    asked = Asked("me", chats.create("me").id, [], text, {}, "send", alone="Read it.")
    run, _ = submit(chats, asked)
    assert run.wait(10)
    assert run.turn.user == "Read it."
    assert run.turn.documents[0].text == text
    run, _ = submit(chats, Asked("me", chats.create("me").id, [], text, {}))
    assert run.wait(10)
    assert (run.turn.user, run.turn.documents) == (text, ())


# -- model and settings ------------------------------------------------------------------------------------


def test_what_a_model_does_not_show_is_not_sent() -> None:
    chosen = {"temperature": 0.5, "top_p": 0.9, "effort": "high", "max_tokens": 9}
    none = ModelInfo("m", "m", "P", sampling="none", efforts=("low", "high"))
    assert fitting(chosen, none) == {"effort": "high", "max_tokens": 9}
    assert fitting({"effort": "huge"}, none) == {}
    assert fitting(chosen, ModelInfo("m", "m", "P")) == {"temperature": 0.5, "top_p": 0.9, "max_tokens": 9}
    assert "top_p" not in fitting(chosen, ModelInfo("m", "m", "P", sampling="one"))
    assert fitting(chosen, None) == {"temperature": 0.5, "top_p": 0.9, "max_tokens": 9}


def test_models_are_labelled_with_provider_price_and_age() -> None:
    price = Price(3.0, 15.0, regional=1.1)
    assert header._label(ModelInfo("m", "m", "P", price=price)) == "P · m · $3 → $15 / M"
    assert header._label(ModelInfo("m", "m", "P", price=price, regional=True, legacy=True)).endswith(
        "$3.3 → $16.5 / M · LEGACY"
    )
    assert header._label(ModelInfo("m", "m", "P")) == "P · m"


def test_a_preset_of_another_owner_is_none(chats: Chats, client: ScriptedClient) -> None:
    controls = Controls(chats, Header(client))
    mine, theirs = request_of(), request_of("b" * 32)
    dropdown, _, note = asyncio.run(controls.save("Poet", "m", 0.5, None, None, "Rhyme.", None, mine))
    assert "Poet" in note
    assert asyncio.run(controls.pick(dropdown.value, "m", mine))[4] == "Rhyme."
    assert "Rhyme." not in str(asyncio.run(controls.pick(dropdown.value, "m", theirs)))
    asyncio.run(controls.delete(dropdown.value, theirs))
    assert asyncio.run(controls.pick(dropdown.value, "m", mine))[4] == "Rhyme."
    for odd in (None, "", "task:nothing", "no such id"):
        assert "Rhyme" not in str(asyncio.run(controls.pick(odd, "m", mine)))


@pytest.mark.parametrize("name", words.EXAMPLES)
def test_each_of_the_three_tasks_is_a_preset(chats: Chats, client: ScriptedClient, name: str) -> None:
    controls = Controls(chats, Header(client))
    values = asyncio.run(controls.pick(f"task:{name}", "mine", request_of(language="es")))
    assert values[0] == "mine"
    assert values[4] == phrases.TABLE[f"preset.{name}.text"][1]


# -- figures -----------------------------------------------------------------------------------------------


def test_an_unknown_cost_is_never_nothing() -> None:
    assert figures.dollars(None, "es") == "coste desconocido"
    assert [figures.dollars(each, "en") for each in (0, 0.00001, 0.0123, 12.5)] == [
        "$0",
        "< $0.0001",
        "$0.0123",
        "$12.50",
    ]
    assert figures.footer(Turn("hi", "yes", "end_turn"), "en") == ""
    line = figures.footer(Turn("hi", "yes", "end_turn", usage=Usage(1000, 2, cost=None), first_text_after=0.44), "en")
    assert "cost unknown" in line
    assert "first word after 0.4 s" in line
    assert "≈" not in line
    # Nobody has said so: it was stopped.
    line = figures.footer(Turn("hi", "y", "cancelled", usage=Usage(1000, 2, cost=0.5)), "en")
    assert "≈ 1\u202f000 tokens in, 2 out · $0.5000" in line
    days = [SimpleNamespace(day="2026-11-24", input_tokens=5, output_tokens=5, cost=None, turns=1)]
    assert "cost unknown" in cost.by_day(days, "en", datetime(2026, 11, 24, tzinfo=UTC))


def test_days_are_drawn_to_scale() -> None:
    days = [
        SimpleNamespace(day=f"2026-11-{day}", input_tokens=tokens, output_tokens=0, cost=0.5, turns=int(tokens > 0))
        for day, tokens in (("22", 50), ("23", 0), ("24", 100))
    ]
    drawn = cost.by_day(days, "en", datetime(2026, 11, 24, tzinfo=UTC))
    assert drawn.count("<rect") == 2
    assert f'height="{cost._HEIGHT:.1f}"' in drawn
    assert f'height="{cost._HEIGHT / 2:.1f}"' in drawn
    assert "$1.00" in drawn, "the sum of the days"


def test_the_panels_of_an_empty_or_foreign_conversation_show_nothing_of_it(chats: Chats) -> None:
    id = said(chats, owner_of(request_of()), "my secret")
    theirs = request_of("b" * 32, session="t")
    for conversation in ("", "no such", id):
        assert "secret" not in str(asyncio.run(MemoryPanel(chats).show(conversation, theirs)))
        assert "30 days" in asyncio.run(Costs(chats).show(conversation, theirs))
    for conversation in ("", id):
        asyncio.run(MemoryPanel(chats).forget(conversation, theirs))
        asyncio.run(MemoryPanel(chats).save(conversation, "evil", 1.0, theirs))
        asyncio.run(MemoryPanel(chats).unpin("x", conversation, theirs))
    assert "secret" in asyncio.run(MemoryPanel(chats).show(id, request_of()))[0]


def test_a_gauge_past_its_limit_is_full() -> None:
    assert 'style="width:100%"' in memory_panel._gauge(30, 10, "en")
    assert 'style="width:50%"' in memory_panel._gauge(5, 10, "en")
    assert memory_panel._gauge(5, 0, "en")


# -- what is said ------------------------------------------------------------------------------------------


def test_an_error_is_known_by_its_name_before_its_words() -> None:
    turn = Turn("hi", None, "error", error="zu viele Anfragen", error_code="ThrottledError")
    assert "Demasiadas peticiones." in show.text_of(show.conversation([turn], "es")[-1])


def test_a_stored_notice_is_said_once_for_each_model() -> None:
    note = Notice("parameter_left_out", "top_p was left out", {"parameter": "top_p", "model": "m"})
    passing = Notice("reading_prompt", "reading", {"seconds": 3})
    turns = [Turn("hi", "yes", "end_turn", model=model, notices=(note, passing)) for model in ("m", "m", "other")]
    texts = [show.text_of(each) for each in show.conversation(turns, "en")]
    assert sum("top_p was left out" in text for text in texts) == 2
    assert not any("Reading" in text for text in texts)


def test_that_nothing_can_be_saved_is_said_in_the_reader_s_language_and_without_paths() -> None:
    for code, why in (("locked", "otro programa"), ("full", "lleno"), (None, "falló")):
        notice = Notice("not_saved", "The database sqlite:////home/ana/x.db …", {"code": code, "hint": "…"})
        said = show.notice_text(notice, "es")
        assert why in said
        assert "sqlite" not in said


def test_a_wait_counts_down() -> None:
    waiting = Retrying(2, 7.0, ThrottledError("slow down"))
    now = [0.0]

    class Run:
        async def updates(self, *_: Any) -> Any:
            for second in (0.0, 2.5, 9.0):
                now[0] = second
                yield Update("", Turn("hi"), retrying=waiting)
            yield Update("done", Turn("hi"), done=True)

    async def scenario() -> list[Any]:
        run: Any = Run()
        watched = watching.watch(run, Tab(), clock=lambda: now[0])
        return [update.retrying and update.retrying.wait async for update in watched]

    assert asyncio.run(scenario()) == [7.0, 4.5, 0.0, None]


def test_an_export_is_in_the_reader_s_language(chats: Chats) -> None:
    owner = owner_of(request_of())
    id = said(chats, owner, "hola")
    command = json.dumps({"do": "export", "id": id, "format": "markdown"})
    _, answer = asyncio.run(Sidebar(chats, Tabs()).act(command, "", "0", request_of(language="es")))
    assert "**Tú**" in json.loads(answer)["text"]
    for reason in {*STOP_REASONS, "running"} - {"end_turn", "stop_sequence"}:
        assert reason in words.EXPORTED_ENDINGS


def test_only_who_has_signed_in_can_sign_out(chats: Chats) -> None:
    side = Sidebar(chats, Tabs())
    request = request_of()
    assert "logout" not in asyncio.run(side.opened("", "0", request))["data"]
    request.cookies[TICKET] = "a ticket"
    assert 'href="logout"' in asyncio.run(side.opened("", "0", request))["data"]


def test_a_model_that_was_only_begun_is_said_not_to_be_in_the_list(chats: Chats, client: ScriptedClient) -> None:
    listed = Header(client)
    listed.refresh()
    controls = Controls(chats, listed)
    for name, seen in (("", True), ("scripted-2", True), ("script", False)):
        _, told, *_ = asyncio.run(controls.fit(name, request_of()))
        assert told.info.startswith("From the list" if seen else "“script” is not in the list")


def test_what_is_imported_and_is_none_is_said(chats: Chats) -> None:
    command = json.dumps({"do": "import", "data": "{}"})
    _, answer = asyncio.run(Sidebar(chats, Tabs()).act(command, "", "0", request_of(language="es")))
    assert "no es una conversación exportada aquí" in json.loads(answer)["text"]
    with pytest.raises(InvalidRequestError):
        chats.import_("me", "{}")
