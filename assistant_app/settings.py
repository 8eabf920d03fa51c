"""What the accordion holds, on its way to a conversation's settings and back. Nothing raises: the client checks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from assistant.catalog import ModelInfo

# In the order of the accordion's components.
NAMES = ("model", "temperature", "top_p", "max_tokens", "system", "effort")
_TEXTS = ("model", "system", "effort")


def to_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """What was chosen. An empty field is the model's own and stays away."""
    found: dict[str, Any] = {}
    for name in NAMES:
        value = values.get(name)
        value = _text(value) if name in _TEXTS else _number(name, value)
        if value is not None:
            found[name] = value
    return found


def from_settings(settings: Mapping[str, Any], default_model: str) -> list[Any]:
    """The accordion's values for a conversation."""
    # An imported conversation may have been changed by hand: what is none is left away.
    settings = to_settings(settings)
    values = {name: settings.get(name) for name in NAMES}
    return [*({**values, "model": values["model"] or default_model, "system": values["system"] or ""}.values())]


def taken(info: ModelInfo | None) -> dict[str, bool]:
    """Which of the settings a model takes; where nothing is known of it, all but the effort."""
    sampling = info.sampling if info is not None else "both"
    return {
        "temperature": sampling != "none",
        "top_p": sampling == "both",
        "effort": info is not None and bool(info.efforts),
    }


def fitting(settings: Mapping[str, Any], info: ModelInfo | None) -> dict[str, Any]:
    """Without what was chosen for another model and is not shown for this one."""
    shown = taken(info)
    kept = {name: value for name, value in settings.items() if shown.get(name, True)}
    if info is not None and kept.get("effort") not in (None, *info.efforts):
        del kept["effort"]
    return kept


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
