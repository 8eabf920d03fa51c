"""What a model's file says of itself, and files that are none."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from assistant.clients.gguf import read_gguf
from assistant.clients.local import LocalClient
from assistant.errors import LocalModelError
from tests import local_model
from tests.local_model import embedded, gguf

no_data_directory = local_model.no_data_directory


BROKEN = {
    "empty": b"",
    "a web page": b"<html>Not found</html>",
    "four letters": b"GGUF",
    "a version of the future": gguf(("general.architecture", "llama"), version=9),
    "no architecture": gguf(("general.name", "x")),
    "no context length": gguf(("general.architecture", "llama")),
    "half of the metadata": gguf(("general.architecture", "llama"), ("llama.context_length", 512))[:-6],
    "an embedding model": gguf(
        ("general.architecture", "bert"), ("bert.context_length", 512), ("bert.pooling_type", 1)
    ),
    "a projector": gguf(("general.architecture", "clip"), ("general.type", "mmproj"), ("clip.context_length", 1)),
    "an endless string": b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**63),
    "endless pairs": b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63) + b"\0" * 100,
    "nested arrays": b"GGUF"
    + struct.pack("<IQQQ", 3, 0, 1, 1)
    + b"k"
    + struct.pack("<I", 9)
    + struct.pack("<IQ", 9, 1) * 5000,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_file_that_is_no_model_is_refused_when_the_client_is_made(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(LocalModelError, match=r"model\.gguf"):
        LocalClient(path)


def test_a_file_that_is_missing_or_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.gguf", tmp_path):
        with pytest.raises(LocalModelError, match=path.name):
            LocalClient(path)


def test_what_the_file_says_is_read() -> None:
    file = read_gguf(embedded())
    assert (file.context_length, file.has_template, file.thinks) == (8192, True, False)
    # 30 layers, 3 heads of 64, keys and values, 2 bytes each.
    assert file.token_bytes == 30 * 3 * 64 * 2 * 2
    assert file.size == embedded().stat().st_size
