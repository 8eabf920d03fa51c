"""What the accordion holds, on its way to a conversation's settings and back. Nothing raises: the client checks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

# In the order of the accordion's components.
NAMES = ("model", "temperature", "top_p", "max_tokens", "system")


def to_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """What was chosen. An empty field is the model's own and stays away."""
    found: dict[str, Any] = {}
    for name in NAMES:
        value = values.get(name)
        value = _number(name, value) if name not in ("model", "system") else _text(value)
        if value is not None:
            found[name] = value
    return found


def from_settings(settings: Mapping[str, Any], default_model: str) -> list[Any]:
    """The accordion's values for a conversation."""
    values = [settings.get(name) for name in NAMES]
    values[0] = values[0] or default_model
    values[-1] = values[-1] or ""
    return values


def _text(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _number(name: str, value: Any) -> float | int | None:
    """Scripts send anything; what is no number counts as empty; what is out of range is for the client to say."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(number):
        return None
    return int(number) if name == "max_tokens" else number
