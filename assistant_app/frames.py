"""What the server draws of the page: the names of its parts, in the order in which listeners return them."""

from __future__ import annotations

from typing import Any

import gradio as gr

# What a turn changes, from its first word to what stands beside it at its end.
TURN = (
    "conversation",
    "chat",
    "textbox",
    "go_on",
    "notice",
    "chips",
    "attached",
    "fresh",
    "untitled",
    "memory",
    "summary",
    "limit",
    "memory_said",
    "cost",
)
# What is drawn when the page is opened; the settings follow, in the order of settings.NAMES.
OPENED = (
    "header",
    "conversation",
    "chat",
    "notice",
    "go_on",
    "under_way",
    "chips",
    "attached",
    "top",
    "entries",
    "data",
    "zone",
    "preset",
)


def frame(parts: tuple[str, ...] = TURN, /, **drawn: Any) -> list[Any]:
    """Values for `parts`: what is named, and nothing for the others. Raises KeyError for any other name."""
    values = [drawn.pop(name, None) for name in parts]
    if drawn:
        raise KeyError(*drawn)
    return [gr.skip() if value is None else value for value in values]


def locked(text: str | None = None) -> Any:
    """The text box while a reply is under way: it shows Stop. See `unlocked`."""
    return gr.update(submit_btn=False, stop_btn=True, interactive=False, **_holding(text))


def unlocked(text: str | None = None) -> Any:
    """The text box after a reply, with `text` where that did not become a turn."""
    return gr.update(submit_btn=True, stop_btn=False, interactive=True, **_holding(text))


def _holding(text: str | None) -> dict[str, Any]:
    return {} if text is None else {"value": text}
