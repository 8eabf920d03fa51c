"""Messages of a chat that does not have to be walked where nothing has changed.

For each update of a streamed reply Gradio makes models of all messages, dumps them, walks them three times for files
and compares them with those before. Here an old message is one object that all of those take for a leaf.
`ASSISTANT_PLAIN_CHATBOT=1` switches it off, with all that light.py does.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary


def plain() -> bool:
    """Whether Gradio's own way was asked for."""
    return os.environ.get("ASSISTANT_PLAIN_CHATBOT", "") not in ("", "0")


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Leaf:
    """A message that does not change any more, with the fields that Gradio's page expects, written as JSON as it is."""

    role: str
    metadata: dict[str, Any] | None
    content: list[dict[str, Any]]
    options: list[dict[str, Any]] | None


# While a reply is drawn, what was drawn last holds its leaves. Of one text there is one, whosever it is.
_leaves: WeakValueDictionary[tuple[Any, ...], Leaf] = WeakValueDictionary()


def drawn(messages: list[Any]) -> list[Any]:
    """Messages as Gradio's page expects them: all but the last as leaves, the same one for the same message."""
    return [*(_leaf(each) for each in messages[:-1]), *(whole(each) for each in messages[-1:])]


def still(messages: list[Any]) -> list[Any]:
    """Messages that do not change while others do: made leaves once, and not with each update."""
    return messages if plain() or not is_text(messages) else [_leaf(each) for each in messages]


def _leaf(message: Any) -> Any:
    if isinstance(message, Leaf) or message.get("options"):
        return whole(message)
    content = message["content"]
    texts = (content,) if isinstance(content, str) else tuple(part["text"] for part in content)
    key = (message["role"], texts, *(message.get("metadata") or {}).items())
    leaf = _leaves.get(key)
    if leaf is None:
        leaf = _leaves[key] = Leaf(**whole(message))
    return leaf


def is_text(value: Any) -> bool:
    """Whether these are messages of text alone: no files, no components, nothing that a browser made up."""
    return isinstance(value, list) and all(_is_text_message(each) for each in value)


def _is_text_message(message: Any) -> bool:
    if isinstance(message, Leaf):
        return True
    if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
        return False
    metadata, content = message.get("metadata"), message.get("content")
    if metadata is not None and not (isinstance(metadata, dict) and all(map(is_plain, metadata.values()))):
        return False
    return isinstance(content, str) or (
        isinstance(content, list)
        and all(
            isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
            for part in content
        )
    )


def is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float))


def whole(message: Any) -> Any:
    """A message as Gradio's own models would dump it; a bare str is left as it is, its indentation too."""
    if isinstance(message, Leaf):
        return message
    content = message["content"]
    texts = [content] if isinstance(content, str) else [part["text"] for part in content]
    return {
        "role": message["role"],
        "metadata": message.get("metadata"),
        "content": [{"text": text, "type": "text"} for text in texts],
        "options": message.get("options"),
    }
