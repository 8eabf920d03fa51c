"""Attachments: what is taken of what is uploaded, and what waits for a message."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from pathlib import Path

import pytest
from pypdf import PdfWriter

from assistant import extract
from assistant.catalog import ModelInfo
from assistant.documents import MAX_DOCUMENTS, Document
from assistant_app import attachments
from assistant_app.attachments import Attachments, GoneError, Waiting

from .files import docx_of, xlsx_of
from .listeners import request_of


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


def test_what_is_wrong_with_a_file_is_said_in_the_reader_s_language_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (9000).to_bytes(4, "big") + (10).to_bytes(4, "big")
    locked, writer = io.BytesIO(), PdfWriter()
    writer.add_blank_page(100, 100)
    writer.encrypt("secret")
    writer.write(locked)
    monkeypatch.setattr(extract, "_MOST_CELLS", 1)
    files = uploaded(
        tmp_path,
        ("roto.pdf", b"no pdf"),
        ("ancha.png", wide),
        ("cerrado.pdf", locked.getvalue()),
        ("hoja.xlsx", xlsx_of(["1", "2"])),
        ("carta.docx", docx_of("Hola")),
        ("vacío.txt", b""),
        ("grande.pdf", b"%PDF" + bytes(4_600_000)),
        ("juego.exe", b"MZ"),
    )
    monkeypatch.setitem(sys.modules, "docx", None)
    files.append((str(tmp_path / "ida.txt"), "ida.txt"))
    *_, note = asyncio.run(Attachments(Waiting(), lambda model: None).attach(files, "m", request_of(language="es")))
    assert json.loads(note)["text"].split("\n") == [
        "No se pudo leer roto.pdf. ¿Está dañado o protegido con contraseña? Guárdalo otra vez.",
        "ancha.png es demasiado grande: una imagen puede tener 8\u202f000 píxeles por lado.",
        "No se pudo leer cerrado.pdf. ¿Está dañado o protegido con contraseña? Guárdalo otra vez.",
        "hoja.xlsx tiene más de 1 celdas. Quítale hojas, o guarda como CSV la parte que importa.",
        "carta.docx: aquí no se puede leer este tipo de archivo. Pega su texto o guárdalo como PDF o TXT.",
        "vacío.txt está vacío.",
        "grande.pdf tiene 4.6 MB; el límite es de 4.50 MB.",
        "juego.exe: no se admiten archivos de este tipo. "
        "Se admiten: pdf, docx, xlsx, txt, md, html, csv, png, jpeg, gif, webp.",
        "No se pudo leer ida.txt. Adjúntalo otra vez.",
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
    here, there = ("ana", "a"), ("ana", "b")
    waiting.add(here, [one])
    assert waiting.take(here, one.id) == [one]
    for elsewhere in (there, ("eva", "a")):
        with pytest.raises(GoneError):
            waiting.take(elsewhere, one.id)
    waiting.add(there, [two])
    with pytest.raises(GoneError):
        waiting.take(here, one.id)
    assert waiting.take(there, two.id) == [two]
    waiting.remove(there, [two.id])
    assert waiting.take(there, "") == []


def test_what_waits_follows_its_owner_to_the_next_page_for_a_while() -> None:
    one = Document.from_text("123456")

    async def left_and_brought(left: float) -> list[bool]:
        waiting = Waiting(left=left)
        waiting.add(("ana", "a"), [one])
        waiting.leave(("ana", "a"))
        # Whatever is due by now has run.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        brought = [waiting.bring("a", place) for place in (("eva", "b"), ("ana", "b"), ("ana", "c"))]
        assert bool(waiting.of(("ana", "b"))) == brought[1]
        return brought

    async def heard_of_again() -> bool:
        waiting = Waiting(left=-1)
        waiting.add(("ana", "a"), [one])
        waiting.leave(("ana", "a"))
        waiting.shown(("ana", "a"), "en")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return bool(waiting.of(("ana", "a")))

    assert asyncio.run(heard_of_again())
    assert asyncio.run(left_and_brought(600)) == [False, True, True], "to a page that is loaded twice in a row, too"
    assert asyncio.run(left_and_brought(-1)) == [False, False, False]
