"""What a GGUF file says of its model: a small reader of the format's header, with nothing but the standard library."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import LocalModelError

BROKEN_FILE_HINT = "Download the file again, or set ASSISTANT_LOCAL_MODEL to another GGUF file."


@dataclass(frozen=True, slots=True)
class GgufFile:
    """A model file. `context_length` is what the model was trained for, in tokens; `token_bytes` is what one token of a
    conversation takes in memory; `thinks` tells that its chat template knows a thinking part."""

    path: Path
    name: str
    size: int
    context_length: int
    token_bytes: int
    has_template: bool
    thinks: bool


# GGUF value types: 8 is a string, 9 an array, the others are numbers of a fixed size (little endian).
_NUMBERS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_STRING, _ARRAY = 8, 9
# Longer arrays are vocabularies: 100,000 strings that nobody here wants to see.
_LONG_ARRAY = 4096


class _Metadata:
    """Walks the key-value part of a GGUF file. struct.error, IndexError and ValueError mean a broken file."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def read(self) -> dict[str, Any]:
        if self._data[:4] != b"GGUF":
            raise ValueError("it does not begin with the letters GGUF")
        self._at = 4
        version = self._number("<I")
        if version not in (2, 3):
            raise ValueError(f"its format version is {version}; 2 and 3 are known")
        self._number("<Q")  # the number of tensors
        return dict(self._pair() for _ in range(self._number("<Q")))

    def _pair(self) -> tuple[str, Any]:
        key = self._string()
        return key, self._value(self._number("<I"))

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._array()
        return self._number(_NUMBERS[kind])

    def _number(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return value

    def _string(self) -> str:
        length = self._number("<Q")
        end = self._at + length
        if end > len(self._data):
            raise ValueError("it ends in the middle of its metadata")
        text = self._data[self._at : end].decode("utf-8", "replace")
        self._at = end
        return text

    def _array(self) -> list[Any] | None:
        kind, count = self._number("<I"), self._number("<Q")
        if count <= _LONG_ARRAY:
            return [self._value(kind) for _ in range(count)]
        if kind == _STRING:
            self._skip_strings(count)
        else:
            self._at += count * struct.calcsize(_NUMBERS[kind])
        return None

    def _skip_strings(self, count: int) -> None:
        data, at, length = self._data, self._at, struct.Struct("<Q").unpack_from
        for _ in range(count):
            at += 8 + length(data, at)[0]
        self._at = at


def read_gguf(path: Path) -> GgufFile:
    """What the file says of itself; takes about 30 ms, then nothing until the file changes.

    Raises LocalModelError where there is no such file, or it is no GGUF file, or broken, or no chat model.
    """
    try:
        about = path.stat()
    except OSError as error:
        raise LocalModelError(f"There is no model file {path}.", hint="Check ASSISTANT_LOCAL_MODEL.") from error
    return _read_gguf(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=64)
def _read_gguf(path: Path, size: int, changed: int) -> GgufFile:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            known = _Metadata(data).read()
        return _describe(path, size, known)
    except (ValueError, KeyError, IndexError, struct.error, TypeError, OverflowError, RecursionError) as error:
        why = str(error) if isinstance(error, ValueError) and size else "its metadata can't be read"
        raise LocalModelError(
            f"{path} is not a usable GGUF file: {why if size else 'it is empty'}.", hint=BROKEN_FILE_HINT
        ) from error
    except OSError as error:
        raise LocalModelError(f"The model file {path} can't be read: {error.strerror}.") from error


def _describe(path: Path, size: int, known: dict[str, Any]) -> GgufFile:
    kind = str(known["general.architecture"])
    if known.get("general.type", "model") != "model" or kind == "clip" or f"{kind}.pooling_type" in known:
        raise ValueError(f"it holds no chat model ({known.get('general.type', kind)})")
    template = str(known.get("tokenizer.chat_template", ""))
    context_length = int(known[f"{kind}.context_length"])
    if context_length < 1:
        raise ValueError("its context length is missing")
    return GgufFile(
        path=path,
        name=str(known.get("general.name") or path.stem),
        size=size,
        context_length=context_length,
        token_bytes=_token_bytes(kind, known),
        has_template=bool(template),
        thinks="enable_thinking" in template or "<think>" in template,
    )


def _token_bytes(kind: str, known: dict[str, Any]) -> int:
    """Keys and values of one token in every layer, in 16 bits."""

    def of(name: str, default: int) -> Any:
        return known.get(f"{kind}.{name}") or default

    layers, heads = int(of("block_count", 0)), of("attention.head_count", 1)
    key_heads = of("attention.head_count_kv", heads)
    total = sum(key_heads) if isinstance(key_heads, list) else layers * int(key_heads)
    size = int(of("embedding_length", 0)) // max(1, max(heads) if isinstance(heads, list) else int(heads))
    return int(total * (of("attention.key_length", size) + of("attention.value_length", size)) * 2)
