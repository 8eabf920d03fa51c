"""Documents and images that go to a model together with a text."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import InvalidRequestError
from .pixels import image_kind, image_size
from .texts import decoded, repaired

# Limits of Converse: botocore's service model, shapes DocumentBlock and ImageBlock (read 2026-11-23).
MAX_DOCUMENT_BYTES = 4_500_000
MAX_IMAGE_BYTES = 3_750_000
MAX_IMAGE_PIXELS = 8_000
MAX_DOCUMENTS = 5
MAX_IMAGES = 20

IMAGE_FORMATS = ("png", "jpeg", "gif", "webp")
TEXT_FORMATS = ("txt", "md", "html", "csv")
DOCUMENT_FORMATS = ("pdf", "docx", "xlsx", *TEXT_FORMATS)
_ALIASES = {"jpg": "jpeg", "htm": "html", "markdown": "md", "text": "txt"}
# What such a file begins with; a PDF may have a few bytes before it.
_BEGINNINGS = {"pdf": b"%PDF", "docx": b"PK\x03\x04", "xlsx": b"PK\x03\x04"}
_MEDIA_TYPES = {"md": "text/markdown", "webp": "image/webp"}


@lru_cache(maxsize=16)
def _extracted(document: Document) -> str:
    from .extract import extract_text

    # A PDF's own tables of characters may yield halves of them.
    return repaired(extract_text(document.data, document.format, document.name))


@dataclass(frozen=True, slots=True)
class Document:
    """A file or a long text. `format` is its kind ("pdf", "txt", "png", …); `id` follows from the content.

    Raises InvalidRequestError for a kind, a size or an image of more pixels than models take, and for a file whose
    first bytes are of no such kind. An image of another kind that they take counts as that.
    """

    name: str
    format: str
    data: bytes = field(repr=False)
    id: str = ""

    def __post_init__(self) -> None:
        # A file's name may be bytes of any encoding.
        object.__setattr__(self, "name", repaired(self.name))
        object.__setattr__(self, "format", _ALIASES.get(self.format.lower(), self.format.lower()))
        if self.format not in IMAGE_FORMATS + DOCUMENT_FORMATS:
            raise InvalidRequestError(
                f"{self.name}: files of the kind {self.format!r} are not taken.",
                hint="Kinds that are: " + ", ".join(DOCUMENT_FORMATS + IMAGE_FORMATS) + ".",
            )
        limit = MAX_IMAGE_BYTES if self.is_image else MAX_DOCUMENT_BYTES
        if not self.data:
            raise InvalidRequestError(f"{self.name} is empty.", hint="Choose a file with content.")
        # A text may be longer: it travels as text, where the model's window is the limit.
        if len(self.data) > limit and not self.is_text:
            raise InvalidRequestError(
                f"{self.name} has {len(self.data) / 1e6:.1f} MB; the limit is {limit / 1e6:.2f} MB.",
                hint="Make the file smaller, or split it.",
            )
        object.__setattr__(self, "format", self._kind())
        pixels = image_size(self.data) if self.is_image else None
        if pixels is not None and max(pixels) > MAX_IMAGE_PIXELS:
            raise InvalidRequestError(
                f"{self.name} has {pixels[0]} by {pixels[1]} pixels; the limit is {MAX_IMAGE_PIXELS} on either side.",
                hint="Make the image smaller.",
                code="pixels",
            )
        if not self.id:
            object.__setattr__(self, "id", hashlib.sha256(self.data).hexdigest()[:32])

    def _kind(self) -> str:
        """`format`, or what kind of image the bytes really are: a model refuses one under another kind's name."""
        if self.is_image:
            kind = image_kind(self.data)
        else:
            beginning = _BEGINNINGS.get(self.format, b"")
            kind = self.format if beginning in self.data[:1024] else None
        if kind is None:
            raise InvalidRequestError(
                f"{self.name} can't be read: it is no {self.format} file, whatever its name says.",
                hint="Save it again as " + ", ".join(IMAGE_FORMATS) + "."
                if self.is_image
                else "Is it damaged, or protected by a password? Save it again.",
                code="unreadable",
            )
        return kind

    @classmethod
    def from_path(cls, path: str | os.PathLike[str]) -> Document:
        """Reads a file. Raises InvalidRequestError for a kind or size not taken, OSError for an unreadable file."""
        file = Path(path)
        return cls(file.name, file.suffix.lstrip(".") or "txt", file.read_bytes())

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Document:
        """The kind follows from the ending of `name`."""
        return cls(name, Path(name).suffix.lstrip(".") or "txt", data)

    @classmethod
    def from_text(cls, text: str, name: str = "text.txt") -> Document:
        return cls(name, "txt", repaired(text).encode())

    @property
    def is_image(self) -> bool:
        return self.format in IMAGE_FORMATS

    @property
    def is_text(self) -> bool:
        return self.format in TEXT_FORMATS

    @property
    def media_type(self) -> str:
        return _MEDIA_TYPES.get(self.format) or mimetypes.types_map.get(f".{self.format}", "application/octet-stream")

    @property
    def text(self) -> str:
        """The text: as it stands, or taken out of a PDF, Word or Excel file (kept for the last few).

        Raises InvalidRequestError for images, and for files that are damaged or hold no text.
        """
        if self.is_text:
            return decoded(self.data)
        if self.is_image:
            raise InvalidRequestError(
                f"{self.name}: this model does not take images.",
                hint="Choose a model that sees, or describe the image.",
            )
        return _extracted(self)

    def as_text(self) -> Document:
        """The same as a text document, for a model that does not read files of this kind."""
        return self if self.is_text else Document(f"{self.name}.txt", "txt", self.text.encode())

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "format": self.format,
            "data": base64.b64encode(self.data).decode("ascii"),
            "id": self.id,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Document:
        return cls(data["name"], data["format"], base64.b64decode(data["data"]), data["id"])
