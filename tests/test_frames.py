"""Frames out of bytes: what botocore's own parser reads, in pieces of any size, and nothing that is broken."""

from __future__ import annotations

import itertools
import struct
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer

from assistant.clients.frames import FrameError, frame_error, frames, read_json
from assistant.errors import ServiceError, ThrottledError
from tests.bedrock_wire import chunk, damaged, event_frame, exception_frame, frame

MESSAGES = [
    event_frame("messageStart", {"role": "assistant"}),
    *(event_frame("contentBlockDelta", {"delta": {"text": f"niño {number}"}}) for number in range(5)),
    chunk({"type": "message_stop"}),
    exception_frame("throttlingException", "slow"),
    frame({}, b""),
    frame({":event-type": "big"}, bytes(70_000)),
]
BYTES = b"".join(MESSAGES)


def by_botocore() -> list[tuple[dict, bytes]]:
    buffer = EventStreamBuffer()
    buffer.add_data(BYTES)
    return [(message.headers, message.payload) for message in buffer]


@pytest.mark.parametrize("size", [1, 3, 100, 4096, len(BYTES)])
def test_the_same_frames_come_out_however_the_bytes_are_cut(size: int) -> None:
    pieces = (BYTES[start : start + size] for start in range(0, len(BYTES), size))
    assert list(frames(pieces)) == by_botocore()


def test_a_frame_is_there_with_its_last_byte() -> None:
    pieces = iter([MESSAGES[0] + MESSAGES[1][:-1]])
    assert len(list(itertools.islice(frames(pieces), 1))) == 1
    assert len(list(frames([MESSAGES[0] + MESSAGES[1][:-1]]))) == 1
    assert len(list(frames([MESSAGES[0] + MESSAGES[1][:-1], MESSAGES[1][-1:]]))) == 2


def test_headers_of_every_type_are_read() -> None:
    raw = b"\x01a\x00" + b"\x01b\x04" + struct.pack(">i", -7) + b"\x01c\x06" + struct.pack(">H", 2) + b"xy"
    prelude = struct.pack(">II", 16 + len(raw), len(raw))
    message = prelude + struct.pack(">I", crc32(prelude)) + raw
    message += struct.pack(">I", crc32(message))
    assert list(frames([message])) == [({"a": True, "b": -7, "c": b"xy"}, b"")]


def prelude(total: int, headers: int) -> bytes:
    lengths = struct.pack(">II", total, headers)
    return lengths + struct.pack(">I", crc32(lengths))


def whole(headers: bytes) -> bytes:
    message = prelude(16 + len(headers), len(headers)) + headers
    return message + struct.pack(">I", crc32(message))


@pytest.mark.parametrize(
    "broken",
    [
        damaged(MESSAGES[1]),
        b"\xff" + MESSAGES[1][1:],
        b"<html>Bad gateway</html>",
        prelude(15, 0),
        prelude(100, 85),
        prelude(2**31, 16),
        prelude(2**31, 2**30),
        whole(b"\x05ab"),
        whole(b"\x01a\x63"),
        whole(b"\x01a\x07\x00\x01\xff"),
        whole(b"\x01a\x00\x01a\x00"),
    ],
    ids=str,
)
def test_what_is_no_frame_is_an_error_and_nothing_is_waited_for(broken: bytes) -> None:
    """After a good frame, so that the reader is in the middle of the stream."""
    stream = frames([MESSAGES[0], broken])
    next(stream)
    with pytest.raises(FrameError):
        next(stream)


def test_json_is_read_as_json_loads_does() -> None:
    assert read_json('  {"a": ["ñ", 1.5, null]}\n'.encode()) == {"a": ["ñ", 1.5, None]}
    for wrong in (b"", b"{", b"{this is not json", b'{"a": "\xff"}'):
        with pytest.raises(ValueError, match=r"Expecting|codec"):
            read_json(wrong)


@pytest.mark.parametrize(
    ("headers", "payload", "kind", "code"),
    [
        ({":exception-type": "throttlingException"}, b'{"message": "slow"}', ThrottledError, "throttlingException"),
        ({":exception-type": "newException"}, b'{"Message": "slow"}', ServiceError, "newException"),
        ({":error-code": "internalServerException", ":error-message": "slow"}, b"", ServiceError, "internal"),
        ({":error-code": "x", ":error-message": "slow"}, b"[]", ServiceError, "x"),
    ],
)
def test_a_frame_that_is_no_event_is_the_error_it_names(
    headers: dict[str, str], payload: bytes, kind: type, code: str
) -> None:
    error = frame_error(headers, payload, model="m", region="r")
    assert type(error) is kind
    assert (error.code or "").startswith(code)
    assert (error.model, error.region) == ("m", "r")
    assert "slow" in error.message
