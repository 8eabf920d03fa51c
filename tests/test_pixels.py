"""What an image is and how large, read from its first bytes."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from assistant import Document, InvalidRequestError
from assistant.pixels import image_size
from tests.files import PNG


@pytest.mark.parametrize("format", ["png", "jpeg", "gif", "webp"])
def test_an_image_is_what_its_bytes_say_and_one_that_no_model_takes_is_refused(format: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (2, 1)).save(out, format)
    for ending in ("png", "jpg", "gif", "webp"):
        assert Document.from_bytes(out.getvalue(), f"foto.{ending}").format == format
    with pytest.raises(InvalidRequestError, match="can't be read") as caught:
        Document.from_bytes(b"\x00\x00\x00\x18ftypheic", f"foto.{format}")
    assert "webp" in caught.value.hint


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
