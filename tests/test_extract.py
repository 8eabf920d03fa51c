"""What is in a file: its text, or what to do where there is none."""

from __future__ import annotations

import pytest

from assistant import Document, InvalidRequestError
from tests.files import docx_of, pdf_of, xlsx_of


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


@pytest.mark.parametrize(("format", "beginning"), [("pdf", b"%PDF"), ("docx", b"PK\x03\x04"), ("xlsx", b"")])
def test_a_damaged_file_says_so(format: str, beginning: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="can't be read") as caught:
        _ = Document.from_bytes(beginning + b"not what it says", f"broken.{format}").text
    assert "password" in caught.value.hint


def test_a_scan_without_text_says_what_to_do() -> None:
    with pytest.raises(InvalidRequestError, match="holds no text"):
        _ = Document.from_bytes(pdf_of(""), "scan.pdf").text
