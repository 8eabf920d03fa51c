"""The file of finished cells: what is paid for is kept, and a killed run goes on."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from .cells import Cell, Outcome
from .errors import InvalidRequestError

_BEGINNING = b'{"key": "'


class ResumeFile:
    """What is finished (`outcomes`, by key), and a place for more. Safe under threads; one process at a time writes.

    A line goes out in one write and is flushed at once, so that a killed process leaves at most a torn last line: that
    one is ignored, and cut off before the next. A later line of the same key counts instead of an earlier one.
    """

    def __init__(self, file: IO[bytes] | None, outcomes: dict[str, Outcome]) -> None:
        self.outcomes = outcomes
        self._file = file
        self._lock = threading.Lock()

    @classmethod
    def read(cls, path: str | Path | None) -> dict[str, Outcome]:
        """What a file holds; nothing where there is none. Raises InvalidRequestError for a file of another kind."""
        if path is None or not Path(path).exists():
            return {}
        return _parsed(Path(path).read_bytes(), path)[0]

    @classmethod
    def open(cls, path: str | Path | None) -> ResumeFile:
        """To read and append; None keeps nothing. Raises InvalidRequestError where another run has it open."""
        if path is None:
            return cls(None, {})
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+b", buffering=0)  # noqa: SIM115 - closed by __exit__
        try:
            _take(file, path)
            file.seek(0)
            outcomes, whole = _parsed(file.read(), path)
            file.truncate(whole)
        except BaseException:
            file.close()
            raise
        return cls(file, outcomes)

    def append(self, cell: Cell, outcome: Outcome) -> None:
        """Keeps a finished cell. Raises OSError where the disk is full."""
        if self._file is None:
            return
        place = {"key": cell.key, "prompt": cell.prompt, "model": cell.model, "params": dict(cell.params)}
        line = json.dumps({**place, "input": cell.input, "repeat": cell.repeat, **outcome.to_dict()}) + "\n"
        with self._lock:
            data = line.encode()
            while data:
                data = data[self._file.write(data) :]

    def __enter__(self) -> ResumeFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def _parsed(data: bytes, path: str | Path) -> tuple[dict[str, Outcome], int]:
    """What is finished, and how many bytes of the file are whole lines."""
    outcomes: dict[str, Outcome] = {}
    whole = data.rfind(b"\n") + 1
    torn = data[whole:]
    if torn and not (torn.startswith(_BEGINNING) or _BEGINNING.startswith(torn)):
        # Cutting off the end of somebody's other file would be worse than stopping here.
        raise _foreign(path, data.count(b"\n") + 1)
    for number, line in enumerate(data[:whole].splitlines(), start=1):
        try:
            read: dict[str, Any] = json.loads(line)
            outcomes[read["key"]] = Outcome.from_dict(read)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _foreign(path, number) from error
    return outcomes, whole


def _foreign(path: str | Path, line: int) -> InvalidRequestError:
    return InvalidRequestError(
        f"Line {line} of {path} is not a cell of an experiment.", hint="Give resume= a file of its own."
    )


def _take(file: IO[bytes], path: str | Path) -> None:
    """Two runs with one file would pay for the same cells. Ends with the process, however it ends."""
    with suppress(ImportError):
        # Not on Windows, where nothing guards against it.
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InvalidRequestError(f"Another run is using {os.fspath(path)}.", hint="Wait for it.") from error
