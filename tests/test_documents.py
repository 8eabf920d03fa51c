"""Documents: kinds and limits, and the way from files and through JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assistant import Document, InvalidRequestError
from assistant.documents import MAX_DOCUMENT_BYTES, MAX_IMAGE_BYTES
from tests.files import PNG, pdf_of


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


def test_a_file_of_another_kind_than_its_name_says_is_refused_before_it_is_sent() -> None:
    assert Document.from_bytes(b"\xef\xbb\xbf\n" + pdf_of("x"), "a.pdf").format == "pdf"
    for name in ("a.pdf", "a.docx", "a.xlsx"):
        with pytest.raises(InvalidRequestError, match="whatever its name says"):
            Document.from_bytes(PNG, name)


def test_documents_are_read_from_files_and_survive_json(tmp_path: Path) -> None:
    file = tmp_path / "a.pdf"
    file.write_bytes(pdf_of("x"))
    document = Document.from_path(file)
    assert Document.from_dict(json.loads(json.dumps(document.to_dict()))) == document
    with pytest.raises(FileNotFoundError):
        Document.from_path(tmp_path / "missing.pdf")


def test_a_note_from_windows_keeps_its_accents_and_a_name_of_any_bytes_is_a_text() -> None:
    document = Document("a\udcf1o.txt", "txt", "El año en Cádiz".encode("cp1252"))
    assert (document.text, document.name) == ("El año en Cádiz", "a\ufffdo.txt")
    assert Document.from_text("half \ud83d").text == "half \ufffd"
