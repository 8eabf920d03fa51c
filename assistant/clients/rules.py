"""What a model takes: values are checked, what it would refuse is left out, and what it refused once is remembered."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from ..catalog import ModelInfo
from ..documents import MAX_DOCUMENTS, MAX_IMAGES
from ..errors import InvalidRequestError
from ..messages import Message, Notice
from ..tokens import estimate_request
from .base import Effort
from .wire import Request

# The smallest thinking budget that is taken, in tokens.
_LEAST_BUDGET = 1024

EFFORTS: tuple[str, ...] = get_args(Effort)

# Without thinking, effort goes up to "high" (botocore's service model, shape OutputConfig).
_THINKING_EFFORTS = ("xhigh", "max")

# Keys that `extra` may hold, by wire. They go into the request as they are; a misspelt one would be a 400 later.
EXTRA_CLAUDE = ("top_k", "metadata", "anthropic_beta", "tools", "tool_choice", "context_management")
# Documented additionalModelRequestFields of the model families on Converse.
EXTRA_CONVERSE = (
    "top_k",
    "inferenceConfig",
    "reasoning_effort",
    "reasoning_config",
    "reasoningConfig",
    "tools",
    "k",
    "p",
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller asked for, before the model's rules."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: tuple[str, ...] = ()
    effort: str | None = None
    thinking: bool | None = None
    extra: Mapping[str, Any] | None = None


class Learned:
    """Parameters that a model refused, for this process: a wrong rule costs one request, not one a turn."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refused: dict[str, set[str]] = {}

    def refused(self, model: str) -> frozenset[str]:
        with self._lock:
            return frozenset(self._refused.get(model, ()))

    def learn(self, model: str, parameter: str) -> None:
        with self._lock:
            self._refused.setdefault(model, set()).add(parameter)

    def clear(self) -> None:
        with self._lock:
            self._refused.clear()


LEARNED = Learned()


def check(wishes: Wishes, info: ModelInfo) -> None:
    """Raises InvalidRequestError for a value that no model, or not this one, can have. Nothing has been sent yet."""
    _in_range("temperature", wishes.temperature, 0, info.max_temperature, info)
    _in_range("top_p", wishes.top_p, 0, 1, info)
    _in_range("max_tokens", wishes.max_tokens, 1, info.max_output, info)
    if wishes.max_tokens is not None and not isinstance(wishes.max_tokens, int):
        raise InvalidRequestError(f"max_tokens is {wishes.max_tokens!r}; it is a whole number.")
    if wishes.effort is not None and wishes.effort not in EFFORTS:
        raise InvalidRequestError(f"effort is {wishes.effort!r}.", hint="It is one of " + ", ".join(EFFORTS) + ".")
    if any(not isinstance(stop, str) or not stop for stop in wishes.stop_sequences):
        raise InvalidRequestError("A stop sequence is empty.", hint="Leave it out.")
    if not isinstance(wishes.extra or {}, Mapping):
        raise InvalidRequestError(f"extra is {wishes.extra!r}; it is a dict.", hint='For example {"top_k": 40}.')
    allowed = EXTRA_CLAUDE if info.is_claude else EXTRA_CONVERSE
    for key in wishes.extra or ():
        if key not in allowed:
            raise InvalidRequestError(
                f"extra holds {key!r}, which {info.name} does not know.", hint="Known keys: " + ", ".join(allowed) + "."
            )
    for key in ("top_k", "k", "p"):
        _in_range(f"extra[{key!r}]", (wishes.extra or {}).get(key), 0, None, info)


def _in_range(name: str, value: float | None, low: float, high: float | None, info: ModelInfo) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidRequestError(f"{name} is {value!r}; it is a number.", model=info.id)
    if not low <= value <= (high if high is not None else value):
        top = f"to {high:,.10g}" if high is not None else "upwards"
        raise InvalidRequestError(
            f"{name} is {value}; it goes from {low} {top}.",
            hint=f"That is what {info.name} takes. Left out, the model's own is used.",
            model=info.id,
            code="out_of_range",
            values={"parameter": name, "value": value, "low": low, "high": high},
        )


def fit(request: Request, wishes: Wishes) -> tuple[Request, list[Notice]]:
    """The request with what the model takes of the wishes, and a notice for each thing that it does not."""
    info = request.info
    refused = LEARNED.refused(info.name)
    notices: list[Notice] = []
    taken: dict[str, Any] = {"stop_sequences": wishes.stop_sequences, "extra": dict(wishes.extra or {})}

    def leave_out(parameter: str, why: str) -> None:
        text = f"{parameter} was left out: {why}."
        notices.append(Notice("parameter_left_out", text, {"parameter": parameter, "model": info.name}))

    for name in ("temperature", "top_p"):
        value = getattr(wishes, name)
        if value is None:
            continue
        if info.sampling == "none" or name in refused:
            leave_out(name, f"{info.name} does not take it")
        elif name == "top_p" and info.sampling == "one" and "temperature" in taken:
            leave_out(name, f"{info.name} takes only one of temperature and top_p")
        else:
            taken[name] = value
    if wishes.effort is not None:
        if wishes.effort in info.efforts and "effort" not in refused:
            taken["effort"] = wishes.effort
        else:
            none = "effort" in refused or not info.efforts
            leave_out("effort", f"{info.name} has no effort{'' if none else f' {wishes.effort!r}'}")
    if wishes.thinking is not None:
        block = None if "thinking" in refused else _thinking(info, wishes.thinking, request.max_tokens)
        if block == {"type": "disabled"} and taken.get("effort") in _THINKING_EFFORTS:
            leave_out("thinking", f"{info.name} can't have it turned off at effort {wishes.effort!r}")
        elif block is not None:
            taken["thinking"] = block
            if block["type"] in ("enabled", "adaptive"):
                for name in ("temperature", "top_p"):
                    if taken.pop(name, None) is not None:
                        leave_out(name, f"{info.name} does not take it while it thinks")
        elif info.thinking_on == "enabled" and wishes.thinking and "thinking" not in refused:
            leave_out("thinking", f"it needs max_tokens above {_LEAST_BUDGET:,}")
        elif wishes.thinking != info.thinks_by_default or "thinking" in refused:
            leave_out("thinking", f"{info.name} can't have it turned {'on' if wishes.thinking else 'off'}")
    if "stop_sequences" in refused and taken.pop("stop_sequences"):
        leave_out("stop_sequences", f"{info.name} does not take them")
    no_sampling = {"top_k"} if info.sampling == "none" else set()
    for key in [key for key in taken["extra"] if key in refused | no_sampling]:
        del taken["extra"][key]
        leave_out(key, f"{info.name} does not take it")
    return replace(request, **taken), notices


def default_max_tokens(info: ModelInfo, wishes: Wishes) -> int:
    """What max_tokens=None means: 1,024, or 8,192 for a model that thinks, unasked or because it is asked to."""
    asked = wishes.thinking or (info.reasoning == "reasoning_config" and wishes.effort in info.efforts)
    thinks = info.thinks_by_default or (bool(asked) and info.thinking != "no")
    wanted = 8192 if thinks else 1024
    return min(wanted, info.max_output) if info.max_output else wanted


def _thinking(info: ModelInfo, wanted: bool, max_tokens: int) -> dict[str, Any] | None:
    """The wire's `thinking` for a wish; None where the model has no such switch or is that way already."""
    if info.thinking == "no" or (info.thinking == "always" and not wanted) or wanted == info.thinks_by_default:
        return None
    kind = info.thinking_on if wanted else info.thinking_off
    if kind is None:
        return None
    if kind == "enabled":
        # The budget counts against max_tokens and must stay below it.
        if max_tokens <= _LEAST_BUDGET:
            return None
        return {"type": kind, "budget_tokens": max(_LEAST_BUDGET, max_tokens // 2)}
    return {"type": kind}


# How the service names a parameter that it refuses, and what we call it. In the order in which they are looked for.
_NAMES = {
    "temperature": r"temperature",
    "top_p": r"top_?p",
    "top_k": r"top_?k",
    "effort": r"effort|output_?config|reasoning_?effort|reasoning_?config",
    "thinking": r"thinking",
    "stop_sequences": r"stop_?sequences",
}
_REFUSAL = (
    r"deprecated|not (supported|allowed|permitted|accept)|unsupported|cannot (both )?be|can.t be"
    r"|does not support|extraneous|unknown"
)


def refused_parameter(message: str, request: Request) -> str | None:
    """The parameter of this request that a ValidationException complains of; None where it names none that was sent."""
    if not re.search(_REFUSAL, message, re.I):
        return None
    sent = {
        name
        for name in ("temperature", "top_p", "effort", "thinking", "stop_sequences")
        if getattr(request, name) not in (None, ())
    } | set(request.extra)
    patterns = {**_NAMES, **{key: re.escape(key) for key in request.extra if key not in _NAMES}}
    found = {name: re.search(rf"\b({word})\b", message, re.I) for name, word in patterns.items() if name in sent}
    named = {name: match.start() for name, match in found.items() if match}
    if "temperature" in named and "top_p" in named:
        # Only one of the two is taken: temperature is the one that stays.
        return "top_p"
    # The first that is named: what follows is what it does not go with.
    return min(named, key=named.__getitem__, default=None)


def fit_messages(messages: Sequence[Message], info: ModelInfo, system: str | None = None) -> tuple[Message, ...]:
    """Messages as the model takes them after `system`: roles alternate, cache points only where something is cached,
    and attachments within the limits. Raises InvalidRequestError."""
    merged: list[Message] = []
    for message in messages:
        if merged and merged[-1].role == message.role:
            before = merged[-1]
            text = "\n\n".join(part for part in (before.text, message.text) if part.strip())
            documents = before.documents + message.documents
            merged[-1] = Message(message.role, text, documents, before.cache or message.cache)
        else:
            merged.append(message)
    _check_documents(merged, info)
    for index, message in enumerate(merged):
        if message.cache and not worth_caching(merged[: index + 1], info, system):
            merged[index] = replace(message, cache=False)
    if not info.documents:
        merged = [_documents_as_text(message) for message in merged]
    last = merged[-1]
    if last.role == "assistant":
        if not info.prefill:
            raise InvalidRequestError(
                f"{info.name} does not go on from a given beginning of its answer.",
                hint="End with a user message.",
                model=info.id,
            )
        # Claude refuses a beginning that ends with white space.
        merged[-1] = replace(last, text=last.text.rstrip())
    return tuple(merged)


def worth_caching(messages: Sequence[Message], info: ModelInfo, system: str | None) -> bool:
    """Whether a cache point can stand behind these: the model ignores one behind less than its minimum."""
    if info.cache_minimum is None:
        return False
    if not all(document.is_text for message in messages for document in message.documents):
        # What a model makes of a file only it can tell; a page is a thousand tokens and more.
        return True
    # The point stands behind the documents, and the last text comes after it.
    *before, last = messages or [Message("user", "")]
    prefix = [*before, replace(last, text="") if last.documents else last]
    return estimate_request(prefix, system, info.id) >= info.cache_minimum


def _check_documents(messages: Sequence[Message], info: ModelInfo) -> None:
    documents = [document for message in messages for document in message.documents]
    images = [document for document in documents if document.is_image]
    files = [document for document in documents if not document.is_image and not document.is_text]
    if images and not info.images:
        raise InvalidRequestError(
            f"{info.name} does not take images.", hint="Choose a model that sees.", model=info.id, code="no_images"
        )
    if len(images) > MAX_IMAGES or (info.documents and len(files) > MAX_DOCUMENTS):
        raise InvalidRequestError(
            f"There are {len(images)} images and {len(files)} documents.",
            hint=f"At most {MAX_IMAGES} images and {MAX_DOCUMENTS} documents go into one request.",
        )


def _documents_as_text(message: Message) -> Message:
    if all(document.is_image or document.is_text for document in message.documents):
        return message
    return replace(
        message,
        documents=tuple(document if document.is_image else document.as_text() for document in message.documents),
    )
