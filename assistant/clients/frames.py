"""Amazon's event-stream frames, cut from the bytes of a response. Both wires read them.

A frame is the total length, the length of its headers and a checksum of those two (4 bytes each), headers, payload,
and a checksum of all before. A reply's text comes in frames that all have the same few headers, so
each set of headers is parsed once a stream: that, and no object for a frame, makes this several times cheaper than
botocore's EventStreamBuffer.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from zlib import crc32

from ..errors import AssistantError
from .faults import service_error

# The limits of the format, as botocore has them (botocore/eventstream.py).
_LONGEST_HEADERS = 128 * 1024
_LONGEST_PAYLOAD = 24 * 1024 * 1024

_PRELUDE = struct.Struct(">III")
_CHECKSUM = struct.Struct(">I")
# What a frame has beside headers and payload: the prelude and the last checksum.
_LEAST = _PRELUDE.size + _CHECKSUM.size

# What reading a frame's payload may raise: it is no JSON, or not what the event's name says.
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError)

Headers = Mapping[str, Any]

_decode = json.JSONDecoder().raw_decode


class FrameError(ValueError):
    """Bytes that are no frame: a wrong checksum or an impossible length."""


def frames(chunks: Iterable[bytes]) -> Iterator[tuple[Headers, bytes]]:
    """Headers and payload of each frame, as soon as its last byte is there; `chunks` may cut them anywhere.

    What is left of a frame when the chunks end is dropped: who reads must know the last event. Raises FrameError.
    """
    known: dict[bytes, Headers] = {}
    rest = b""
    for chunk in chunks:
        data = rest + chunk if rest else chunk
        start, length = 0, len(data)
        while length - start >= _PRELUDE.size:
            total, of_headers, checksum = _PRELUDE.unpack_from(data, start)
            if crc32(data[start : start + 8]) != checksum:
                raise FrameError("The checksum of a frame's lengths is wrong.")
            payload_length = total - of_headers - _LEAST
            if of_headers > _LONGEST_HEADERS or not 0 <= payload_length <= _LONGEST_PAYLOAD:
                raise FrameError(f"A frame has an impossible length: {total} bytes, {of_headers} of headers.")
            end = start + total
            if end > length:
                break
            last = end - _CHECKSUM.size
            if crc32(data[start:last]) != _CHECKSUM.unpack_from(data, last)[0]:
                raise FrameError("The checksum of a frame is wrong.")
            body = start + _PRELUDE.size + of_headers
            raw = data[start + _PRELUDE.size : body]
            headers = known.get(raw)
            if headers is None:
                headers = known[raw] = _parse_headers(raw)
            yield headers, data[body:last]
            start = end
        rest = data[start:]


def _parse_headers(raw: bytes) -> Headers:
    from botocore.eventstream import EventStreamHeaderParser, ParserError

    try:
        parsed: Headers = EventStreamHeaderParser().parse(raw)
    except (ParserError, struct.error, LookupError, ValueError) as error:
        raise FrameError(f"The headers of a frame can't be read: {error}") from error
    return parsed


def read_json(data: bytes) -> Any:
    """What json.loads gives, for half its price: what follows the value is not looked at. Raises ValueError."""
    return _decode(data.decode().lstrip())[0]


def frame_error(headers: Headers, payload: bytes, *, model: str | None, region: str | None) -> AssistantError:
    """The error that a frame holds which is no event: an exception that the service names, or one that nobody knows."""
    code = headers.get(":exception-type") or headers.get(":error-code") or ""
    message = headers.get(":error-message") or ""
    with suppress(ValueError, AttributeError):
        told = json.loads(payload)
        message = told.get("message") or told.get("Message") or message
    return service_error(code, message, status=200, model=model, region=region)
