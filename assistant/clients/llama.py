"""The engine: llama.cpp in this process through xllamacpp.

Nothing here knows messages or replies. `load` makes an engine of a file, once a process, and `run` yields the engine's
own chunks for one request.
"""

from __future__ import annotations

import atexit
import http.client
import json
import logging
import os
import re
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from ..errors import InvalidRequestError, LocalModelError
from ..reply import CancelToken
from .gguf import BROKEN_FILE_HINT, GgufFile

logger = logging.getLogger("assistant")

Chunk = dict[str, Any]

# Tokens that the engine reads in one step. It looks at nothing else in the meantime, so this is what a cancelled
# reading, the other conversations and the interpreter's end wait for (about 1 s with the embedded model on 2 cores).
# Measured there: 128 reads 3 to 10 % slower, 2048 no faster and makes the others stand still for 9 s.
BATCH = 256
# A larger model needs as long for fewer.
LARGE_BYTES, LARGE_BATCH = 1_000_000_000, 64

# Conversations beyond the slots keep what was read of them in memory, to this many MiB (llama.cpp's default: 8 GiB).
PROMPT_CACHE_MIB = 256

# What the engine takes beside the file and the conversations: compute buffers, tokenizer. Measured: 60 to 120 MB.
OVERHEAD_BYTES = 150_000_000

# Seconds that the interpreter's end waits for running calls. They end together, after two steps at most: 1 s, or 10
# where ten others want the cores too.
EXIT_SECONDS = 60.0

# A token count takes milliseconds; more means that the engine's own server is gone.
COUNT_SECONDS = 30.0

NO_ENGINE_HINT = 'Install the engine: `pip install "assistant[local]"`; or set AWS credentials to use Amazon Bedrock.'


def _read_number(path: str, pattern: str) -> int | None:
    try:
        found = re.search(pattern, Path(path).read_text("ascii"), re.MULTILINE)
    except (OSError, ValueError):
        return None
    return int(found[1]) if found else None


def total_memory() -> int | None:
    """Bytes of the machine, or of the container where that is less; None where the system doesn't tell."""
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
    return min(machine, _read_number("/sys/fs/cgroup/memory.max", r"^(\d+)$") or machine)


def available_memory() -> int | None:
    """Bytes that this process may still take; None where the system doesn't tell."""
    total = total_memory()
    # It counts the page cache as free, which is right: a model file lives in it. SC_AVPHYS_PAGES does not.
    free = _read_number("/proc/meminfo", r"^MemAvailable:\s+(\d+) kB")
    return total if free is None or total is None else min(total, free * 1024)


# --- engines ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Settings:
    """`window`: tokens that one conversation may have. `slots`: conversations answered at the same time; each has its
    own window, all share the cores and each step's batch."""

    window: int
    slots: int
    verbose: bool = False

    def needs(self, file: GgufFile) -> int:
        """Bytes in all: the file, every slot's window, and the engine itself."""
        return file.size + file.token_bytes * self.window * self.slots + OVERHEAD_BYTES


class _Calls:
    """Counts the threads that are inside the engine, so that the interpreter's end can wait for them.

    A thread that comes back from C++ while Python is being taken down is killed in the middle of C++ frames, and the
    process with it (measured: SIGSEGV).
    """

    def __init__(self) -> None:
        self._idle = threading.Condition()
        self._inside = 0
        self.closing = False

    def check(self) -> None:
        if self.closing:
            raise LocalModelError("The interpreter is ending.")

    @contextmanager
    def inside(self) -> Iterator[None]:
        with self._idle:
            self.check()
            self._inside += 1
        try:
            yield
        finally:
            with self._idle:
                self._inside -= 1
                self._idle.notify_all()

    def close(self, seconds: float) -> bool:
        """No call begins any more, the running ones end at their next callback; True when all have within `seconds`."""
        with self._idle:
            self.closing = True
            return self._idle.wait_for(lambda: not self._inside, seconds)


class Engine:
    """A loaded model. Thread-safe; lives as long as the process."""

    def __init__(self, file: GgufFile, settings: Settings) -> None:
        self.file = file
        self.settings = settings
        self._key = secrets.token_hex(32)
        self._lock = threading.Lock()
        self._running = 0
        self._places = threading.Semaphore(settings.slots)
        self._loops = False
        self._server = _start(file, settings, self._key)
        host, _, port = str(self._server.listening_address).removeprefix("http://").rpartition(":")
        self._address = (host, int(port))

    @property
    def running(self) -> int:
        """Requests in the engine, and those that wait for a slot."""
        return self._running

    def complete(self, request: Chunk, on_chunk: Callable[[Chunk], bool], stopped: Callable[[], bool]) -> None:
        """Runs one request, blocking; `on_chunk` gets each chunk, and returns True to stop.

        It waits for a slot here and not in the engine, which would begin to read even what was cancelled meanwhile, one
        after the other: `stopped` is asked when the slot is there.

        Most errors of the engine come as a chunk. Raises InvalidRequestError where it can't build the prompt (a JSON
        schema or a chat template that it doesn't understand), LocalModelError for the rest.
        """

        def seen(chunk: Chunk) -> bool:
            self._loops = self._loops or "choices" in chunk
            return on_chunk(chunk)

        with self._lock:
            self._running += 1
        try:
            with self._places:
                if not stopped():
                    with _calls.inside():
                        self._server.handle_chat_completions(request, seen)
        except (ValueError, TypeError) as error:
            text = f"The local model does not take this request: {error}"
            raise InvalidRequestError(text, model=self.file.path.stem) from error
        except RuntimeError as error:
            raise LocalModelError(f"The local model failed: {error}", model=self.file.path.stem) from error
        finally:
            with self._lock:
                self._running -= 1

    def count(self, request: Chunk) -> int:
        """Tokens that `request` puts into the window, by the model's own tokenizer and template. About 2 ms.

        xllamacpp has no call for it, but the server that it starts on the loopback address has. Nobody else can use
        that server: it wants a key that is 256 random bits and never leaves this process.
        """
        connection = http.client.HTTPConnection(*self._address, timeout=COUNT_SECONDS)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            connection.request("POST", "/v1/chat/completions/input_tokens", json.dumps(request), headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise LocalModelError("The embedded model did not count the tokens.", model=self.file.path.stem) from error
        finally:
            connection.close()
        if response.status != 200:
            message = answer.get("error", {}).get("message", "no reason given")
            raise InvalidRequestError(f"The embedded model did not take the messages: {message}")
        return int(answer["input_tokens"])

    def close(self) -> None:
        """Takes the engine down. Nobody else may be inside."""
        # Its loop begins a moment after its constructor returned. An engine that is taken down in between never hears
        # of it, and its destructor waits for ever: a first chunk tells that the loop runs.
        if not self._loops:
            request = {"messages": [{"role": "user", "content": "-"}], "stream": True, "return_progress": True}
            with suppress(ValueError, TypeError, RuntimeError):
                self._server.handle_chat_completions(request, lambda chunk: True)
        self._server = None


def _import_engine() -> Any:
    """xllamacpp, with threads that wait for each other politely.

    By default they spin for milliseconds. Where anything else wants the cores, as the page does, they take them from
    each other: 4 tokens a second instead of 30 (two cores, three processes). Spinning briefly costs nothing where they
    are alone (124 tokens a second both ways). libgomp reads this once, when it is loaded.
    """
    brief = {} if os.environ.keys() & {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} else {"GOMP_SPINCOUNT": "1000"}
    os.environ.update(brief)
    try:
        import xllamacpp
    except (ImportError, OSError) as error:
        raise LocalModelError("The engine of the embedded model can't be loaded.", hint=NO_ENGINE_HINT) from error
    finally:
        for name in brief:
            os.environ.pop(name, None)
    return xllamacpp


def _start(file: GgufFile, settings: Settings, key: str) -> Any:
    xllamacpp = _import_engine()
    params = xllamacpp.CommonParams()
    params.model.path = str(file.path)
    params.n_parallel = settings.slots
    # Divided evenly: each slot has a cache of its own, so that no conversation can take the room of another.
    params.n_ctx = settings.window * settings.slots
    params.kv_unified = False
    params.n_batch = params.n_ubatch = BATCH if file.size < LARGE_BYTES else LARGE_BATCH
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = cores()
    params.cache_ram_mib = PROMPT_CACHE_MIB
    # -1 is below errors: not one line of llama.cpp's reaches the terminal. The threshold is one for the whole process.
    params.verbosity = 3 if settings.verbose else -1
    params.api_keys = [key]
    params.cors_origins = "http://127.0.0.1"
    params.ui = params.endpoint_slots = False
    params.n_threads_http = 2
    try:
        return xllamacpp.Server(params)
    except Exception as error:
        raise LocalModelError(
            f"{file.path} could not be loaded: the file is broken or incomplete, or newer than the engine.",
            hint=BROKEN_FILE_HINT + " LocalClient(verbose=True) shows what llama.cpp says.",
        ) from error


_reading_speeds: dict[Path, float] = {}


def reading_speed(file: GgufFile) -> float:
    """Tokens of a prompt that are read in a second: 100 until it was measured."""
    return _reading_speeds.get(file.path, 100.0)


def learn_reading_speed(file: GgufFile, tokens: int, per_second: float) -> None:
    """Takes up what the engine measured. Short readings tell little: overhead, and waiting for others."""
    if tokens >= 128 and per_second > 0:
        before = _reading_speeds.get(file.path, per_second)
        _reading_speeds[file.path] = (before + per_second) / 2


def cores() -> int:
    """The cores that this process may use, which in a container can be fewer than there are."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:
        return os.cpu_count() or 1


_calls = _Calls()
_engines: dict[tuple[GgufFile, Settings], Engine] = {}
_loading = threading.Lock()
_at_exit: list[Callable[[], None]] = []


def loaded(file: GgufFile, settings: Settings) -> Engine | None:
    return _engines.get((file, settings))


def load(file: GgufFile, settings: Settings) -> Engine:
    """The engine for a file and settings, the same one for all who ask. Raises LocalModelError.

    Loading blocks whoever asks first (about 1 s for the embedded model) and those who come meanwhile.
    """
    with _calls.inside(), _loading:
        engine = _engines.get((file, settings))
        if engine is None:
            _check_memory(file, settings)
            if not _at_exit:
                _at_exit.append(atexit.register(_end))
            logger.debug("local_model_loading", extra={"path": str(file.path), "slots": settings.slots})
            engine = _engines[file, settings] = Engine(file, settings)
        return engine


def _check_memory(file: GgufFile, settings: Settings) -> None:
    """Raises before llama.cpp takes memory that isn't there: the system would end the process."""
    available, needed = available_memory(), settings.needs(file)
    if available is not None and needed > available:
        raise LocalModelError(
            f"{file.path.name} needs about {needed / 1e9:.1f} GB of memory for {settings.slots} conversations of "
            f"{settings.window} tokens; {available / 1e9:.1f} GB are available.",
            hint="Take a smaller model or quantisation, a smaller context_window, or fewer slots.",
        )


def _end() -> None:
    """At the interpreter's end: running calls stop at their next callback, then the engines are taken down in order."""
    if not _calls.close(EXIT_SECONDS):
        # Going on would end in a segmentation fault (measured) as soon as the call comes back.
        logger.error("local_model_does_not_stop", extra={"seconds": EXIT_SECONDS})
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(1)
    while _engines:
        _engines.popitem()[1].close()


# --- one request ------------------------------------------------------------------------------------------------------

_WOKEN = object()


def run(get_engine: Callable[[], Engine], request: Chunk, token: CancelToken) -> Iterator[Chunk]:
    """The engine's chunks for `request`, as they come. Ends at once when `token` is cancelled.

    The engine's call blocks and can't be woken, so it has a thread of its own and the reader waits on a queue. After a
    cancel or close() that thread lives on until the engine's next callback, which then frees the slot: one BATCH of
    reading at most. If it still waits for a slot, it lives until there is one, and gives it back.
    """
    chunks: SimpleQueue[Any] = SimpleQueue()
    abandoned = threading.Event()

    def stopped() -> bool:
        return abandoned.is_set() or token.cancelled or _calls.closing

    def on_chunk(chunk: Chunk) -> bool:
        chunks.put(chunk)
        return stopped()

    def work() -> None:
        end: BaseException | None
        try:
            get_engine().complete(request, on_chunk, stopped)
            end = None
        except BaseException as error:
            end = error
        # Whoever still reads when the interpreter ends is a daemon thread. It ends with the process, and without a
        # traceback on the terminal.
        if not _calls.closing:
            chunks.put(end)

    _calls.check()
    with token.waking(lambda: chunks.put(_WOKEN)):
        threading.Thread(target=work, name="assistant-local", daemon=True).start()
        try:
            while (chunk := chunks.get()) is not None and not token.cancelled:
                if isinstance(chunk, BaseException):
                    raise chunk
                if chunk is not _WOKEN:
                    yield chunk
        finally:
            abandoned.set()
