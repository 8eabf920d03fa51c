"""Cell and Outcome: one request of a grid, and what it gave."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .messages import Usage
from .scorers import Verdict


@dataclass(frozen=True, slots=True)
class Cell:
    """One place of the grid and the exact request it stands for. `repeat` and `input` count from 0.

    `model` is as it was given, `model_id` as it is called. `key` is a hash of the request; cells with the same request
    differ in their key by their order.
    """

    prompt: str
    model: str
    params: Mapping[str, Any]
    input: int
    row: Mapping[str, Any]
    repeat: int
    text: str
    system: str | None
    model_id: str
    key: str

    @property
    def params_label(self) -> str:
        return label_of(self.params)


def label_of(params: Mapping[str, Any]) -> str:
    """ "temperature=0.2 max_tokens=80"; "default" for none. Different params have different labels."""
    return " ".join(f"{name}={_short(value)}" for name, value in params.items()) or "default"


def _short(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    text = "{" + ",".join(f"{name}={_short(each)}" for name, each in value.items()) + "}"
    if len(text) <= 40:
        return text
    # A schema, say: its names, and a mark that changes with its values.
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:4]
    return "{" + ",".join(map(str, value)) + f"}}#{mark}"


@dataclass(slots=True)
class Outcome:
    """What one cell gave. Times are in seconds.

    `latency` and `ttft` (to the first text) are of the attempt that answered; `waited` is what the back-offs before it
    took, `retries` how many there were. `error` is None for a cell that is finished; its `text` is then the answer.
    `unjudged` says why a judge gave no verdict; it is asked again next time.
    """

    text: str = ""
    stop_reason: str | None = None
    usage: Usage = field(default_factory=lambda: Usage(cost=None))
    latency: float | None = None
    ttft: float | None = None
    waited: float = 0.0
    retries: int = 0
    error: str | None = None
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    unjudged: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "stop_reason": self.stop_reason,
            "usage": self.usage.to_dict(),
            "latency": self.latency,
            "ttft": self.ttft,
            "waited": self.waited,
            "retries": self.retries,
            "verdicts": {key: verdict.to_dict() for key, verdict in self.verdicts.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Outcome:
        known = {name: data[name] for name in ("text", "stop_reason", "latency", "ttft", "waited", "retries")}
        verdicts = {key: Verdict(**verdict) for key, verdict in data["verdicts"].items()}
        return cls(**known, usage=Usage.from_dict(data["usage"]), verdicts=verdicts)
