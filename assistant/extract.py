"""The text of a PDF, Word or Excel file, for models that can't read the file themselves."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

from .errors import InvalidRequestError

# A sheet of formulas copied down to the last row would be a million empty lines.
_MOST_CELLS = 200_000


class _TooLarge(Exception):
    """A sheet of more cells than are read."""


def extract_text(data: bytes, format: str, name: str) -> str:
    """Text of `data`. Raises InvalidRequestError for a damaged or locked file (`code` "unreadable"), one that holds
    no text, a scan for example ("no_text"), sheets of too many cells ("cells"), and a missing package ("no_reader")."""
    try:
        text = _READERS[format](data).strip()
    except ModuleNotFoundError as error:
        raise InvalidRequestError(
            f"{name}: reading {format} files needs a package that is not installed ({error.name}).",
            hint='pip install "assistant[documents]"',
            code="no_reader",
        ) from error
    except _TooLarge as error:
        raise InvalidRequestError(
            f"{name} has more than {_MOST_CELLS:,} cells.",
            hint="Remove sheets, or save the part that matters as CSV.",
            code="cells",
            values={"cells": _MOST_CELLS},
        ) from error
    except Exception as error:
        raise InvalidRequestError(
            f"{name} can't be read: {error}",
            hint="Is it damaged, or protected by a password? Save it again.",
            code="unreadable",
        ) from error
    if not text:
        raise InvalidRequestError(
            f"{name} holds no text.",
            hint="A scanned file needs a model that sees: choose one that takes documents.",
            code="no_text",
        )
    return text


def _pdf(data: bytes) -> str:
    from pypdf import PdfReader

    return "\n\n".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages)


def _docx(data: bytes) -> str:
    import docx
    from docx.table import Table

    def parts() -> Iterator[str]:
        for block in docx.Document(io.BytesIO(data)).iter_inner_content():
            if isinstance(block, Table):
                for row in block.rows:
                    yield "\t".join(cell.text for cell in row.cells)
            else:
                yield block.text

    return "\n".join(parts())


def _xlsx(data: bytes) -> str:
    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)

    def lines() -> Iterator[str]:
        cells = 0
        for sheet in book.worksheets:
            yield f"# {sheet.title}"
            for row in sheet.iter_rows(values_only=True):
                cells += len(row)
                if cells > _MOST_CELLS:
                    raise _TooLarge
                if any(value is not None for value in row):
                    yield "\t".join("" if value is None else str(value) for value in row)

    try:
        text = "\n".join(lines())
    finally:
        book.close()
    return text


_READERS: dict[str, Callable[[bytes], str]] = {"pdf": _pdf, "docx": _docx, "xlsx": _xlsx}
