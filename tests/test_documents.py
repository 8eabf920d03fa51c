"""Documents: kinds, limits, and the text inside."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from assistant import Document, InvalidRequestError
from assistant.documents import MAX_DOCUMENT_BYTES, MAX_IMAGE_BYTES
from assistant.pixels import image_size

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452")


def pdf_of(text: str) -> bytes:
    """A PDF of one page, written by hand: pypdf reads, it does not draw text."""
    content = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode("latin-1")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    out = io.BytesIO(b"%PDF-1.4\n")
    out.seek(0, io.SEEK_END)
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % offset for offset in offsets))
    out.write(b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start))
    return out.getvalue()


def docx_of(*paragraphs: str) -> bytes:
    import docx

    file = docx.Document()
    for paragraph in paragraphs:
        file.add_paragraph(paragraph)
    table = file.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "Total", "0,03"
    out = io.BytesIO()
    file.save(out)
    return out.getvalue()


def xlsx_of(*rows: list) -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("factura.pdf", pdf_of("Factura n\xfamero 1484934918"), "Factura número 1484934918"),
        ("carta.docx", docx_of("Señora Núñez:", "Un saludo"), "Señora Núñez:\nUn saludo\nTotal\t0,03"),
        ("cuentas.xlsx", xlsx_of(["Mes", "USD"], [None, None], ["enero", 0.03]), "# Sheet\nMes\tUSD\nenero\t0.03"),
        ("nota.txt", "\ufeffHola, ¿qué tal?".encode(), "Hola, ¿qué tal?"),
        ("LEEME.MARKDOWN", b"# Hola", "# Hola"),
        ("tabla.csv", "a;ñ".encode(), "a;ñ"),
    ],
)
def test_the_text_of_every_kind_is_read(name: str, data: bytes, expected: str) -> None:
    document = Document.from_bytes(data, name)
    assert document.text.strip() == expected
    assert document.as_text().text.strip() == expected


def test_a_document_is_the_same_by_its_content_whatever_its_name() -> None:
    assert Document.from_text("a", "x.txt").id == Document.from_text("a", "y.txt").id
    assert Document.from_text("a").id != Document.from_text("b").id


def test_images_have_no_text_and_a_media_type() -> None:
    image = Document.from_bytes(b"\xff\xd8\xff\xe0", "foto.JPG")
    assert (image.format, image.media_type, image.is_image) == ("jpeg", "image/jpeg", True)
    with pytest.raises(InvalidRequestError, match="does not take images"):
        _ = image.text


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("program.exe", b"MZ", "not taken"),
        ("noending", b"", "empty"),
        ("big.pdf", b"x" * (MAX_DOCUMENT_BYTES + 1), "limit"),
        ("big.png", b"x" * (MAX_IMAGE_BYTES + 1), "limit"),
    ],
)
def test_wrong_kinds_and_sizes_are_refused_with_the_limit(name: str, data: bytes, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words) as caught:
        Document.from_bytes(data, name)
    assert caught.value.hint


@pytest.mark.parametrize(("format", "beginning"), [("pdf", b"%PDF"), ("docx", b"PK\x03\x04"), ("xlsx", b"")])
def test_a_damaged_file_says_so(format: str, beginning: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="can't be read") as caught:
        _ = Document.from_bytes(beginning + b"not what it says", f"broken.{format}").text
    assert "password" in caught.value.hint


@pytest.mark.parametrize("format", ["png", "jpeg", "gif", "webp"])
def test_an_image_is_what_its_bytes_say_and_one_that_no_model_takes_is_refused(format: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (2, 1)).save(out, format)
    for ending in ("png", "jpg", "gif", "webp"):
        assert Document.from_bytes(out.getvalue(), f"foto.{ending}").format == format
    with pytest.raises(InvalidRequestError, match="can't be read") as caught:
        Document.from_bytes(b"\x00\x00\x00\x18ftypheic", f"foto.{format}")
    assert "webp" in caught.value.hint


def test_a_file_of_another_kind_than_its_name_says_is_refused_before_it_is_sent() -> None:
    assert Document.from_bytes(b"\xef\xbb\xbf\n" + pdf_of("x"), "a.pdf").format == "pdf"
    for name in ("a.pdf", "a.docx", "a.xlsx"):
        with pytest.raises(InvalidRequestError, match="whatever its name says"):
            Document.from_bytes(PNG, name)


def test_a_scan_without_text_says_what_to_do() -> None:
    with pytest.raises(InvalidRequestError, match="holds no text"):
        _ = Document.from_bytes(pdf_of(""), "scan.pdf").text


def test_documents_are_read_from_files_and_survive_json(tmp_path: Path) -> None:
    file = tmp_path / "a.pdf"
    file.write_bytes(pdf_of("x"))
    document = Document.from_path(file)
    assert Document.from_dict(json.loads(json.dumps(document.to_dict()))) == document
    with pytest.raises(FileNotFoundError):
        Document.from_path(tmp_path / "missing.pdf")


@pytest.mark.parametrize(("kind", "ending"), [("PNG", "png"), ("GIF", "gif"), ("JPEG", "jpg"), ("WEBP", "webp")])
@pytest.mark.parametrize("options", [{}, {"lossless": True}])
def test_the_size_of_an_image_is_read_and_too_large_ones_are_refused(kind: str, ending: str, options: dict) -> None:
    def image(width: int, height: int) -> bytes:
        out = io.BytesIO()
        Image.new("RGB", (width, height)).save(out, kind, **(options if kind == "WEBP" else {}))
        return out.getvalue()

    assert image_size(image(37, 11)) == (37, 11)
    assert Document.from_bytes(image(8000, 2), f"a.{ending}").is_image
    with pytest.raises(InvalidRequestError, match="8001 by 2 pixels"):
        Document.from_bytes(image(8001, 2), f"a.{ending}")


def test_a_header_that_nobody_knows_is_not_judged() -> None:
    for data in (b"", PNG, b"\xff\xd8", b"\xff\xd8\xff", b"RIFFxxxxWEBP", b"RIFFxxxxWEBPVP8X", b"GIF89a", b"BM"):
        assert image_size(data) is None


def test_a_note_from_windows_keeps_its_accents_and_a_name_of_any_bytes_is_a_text() -> None:
    document = Document("a\udcf1o.txt", "txt", "El año en Cádiz".encode("cp1252"))
    assert (document.text, document.name) == ("El año en Cádiz", "a\ufffdo.txt")
    assert Document.from_text("half \ud83d").text == "half \ufffd"
