"""The embedded model in tests: on one core, and away from the models of whoever runs them."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from assistant.clients import llama, local
from assistant.clients.local import LocalClient
from tests.kernels import keep_to_one_core

NAME = "SmolLM2-135M-Instruct.Q4_1"
GREEDY: dict[str, Any] = {"temperature": 0, "extra": {"frequency_penalty": 0.0}}
OnChunk = Callable[[llama.Chunk], bool]
Stopped = Callable[[], bool]


@pytest.fixture(scope="module", autouse=True)
def one_core() -> Iterator[None]:
    before = keep_to_one_core()
    yield
    if before:
        os.sched_setaffinity(0, before)


@pytest.fixture(autouse=True)
def no_data_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No test sees the models of whoever runs it."""
    directory = tmp_path / "data"
    directory.mkdir()
    monkeypatch.setenv("ASSISTANT_DATA_DIR", str(directory))
    return directory


def embedded() -> Path:
    path = local._embedded()
    assert path is not None
    return path


def engine_of(client: LocalClient) -> llama.Engine:
    client.warm()
    file = client._file
    engine = llama.loaded(file, client._settings(file))
    assert engine is not None
    return engine


def text_chunk(text: str) -> llama.Chunk:
    return {"choices": [{"index": 0, "finish_reason": None, "delta": {"content": text}}]}


def gguf(*pairs: tuple[str, str | int], version: int = 3) -> bytes:
    """A GGUF file without tensors."""

    def string(text: str) -> bytes:
        return struct.pack("<Q", len(text)) + text.encode()

    def value(given: str | int) -> bytes:
        return struct.pack("<I", 8) + string(given) if isinstance(given, str) else struct.pack("<II", 4, given)

    body = b"".join(string(key) + value(given) for key, given in pairs)
    return b"GGUF" + struct.pack("<IQQ", version, 0, len(pairs)) + body
