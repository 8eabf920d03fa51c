"""A gr.Blocks that does not walk a chat of which nothing has changed, so that one process serves hundreds of visitors.

For each update of a streamed reply Gradio makes models of all messages, dumps them, walks them three times for files
and compares them with those before; for each `gr.skip()` it makes the component anew. Here an old message is one
object that all of those take for a leaf, and what is skipped is skipped. Nothing else changes: whatever is not plain
text goes Gradio's own way. `ASSISTANT_PLAIN_CHATBOT=1` switches all of it off.
"""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import gradio as gr
from gradio.utils import deep_hash


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
    return [*(_leaf(each) for each in messages[:-1]), *(_whole(each) for each in messages[-1:])]


def still(messages: list[Any]) -> list[Any]:
    """Messages that do not change while others do: made leaves once, and not with each update."""
    return messages if plain() or not is_text(messages) else [_leaf(each) for each in messages]


def _leaf(message: Any) -> Any:
    if isinstance(message, Leaf) or message.get("options"):
        return _whole(message)
    content = message["content"]
    texts = (content,) if isinstance(content, str) else tuple(part["text"] for part in content)
    key = (message["role"], texts, *(message.get("metadata") or {}).items())
    leaf = _leaves.get(key)
    if leaf is None:
        leaf = _leaves[key] = Leaf(**_whole(message))
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
    if metadata is not None and not (isinstance(metadata, dict) and all(map(_is_plain, metadata.values()))):
        return False
    return isinstance(content, str) or (
        isinstance(content, list)
        and all(
            isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
            for part in content
        )
    )


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float))


def _whole(message: Any) -> Any:
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


class Page(gr.Blocks):
    """gr.Blocks whose updates cost what they change."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The parts whose changes something answers to; known when the first event comes.
        self._listened: set[int | None] | None = None
        if not plain():
            _leave_matplotlib_alone()

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False) -> Any:
        quick = {
            at: [_whole(message) for message in inputs[at]]
            for at, block in enumerate(block_fn.inputs)
            if isinstance(block, gr.Chatbot) and at < len(inputs) and is_text(inputs[at])
        }
        if not quick or plain() or block_fn.component_prop_inputs or len(inputs) != len(block_fn.inputs):
            return await super().preprocess_data(block_fn, inputs, state, explicit_call)
        rest = [at for at in range(len(inputs)) if at not in quick]
        part = copy.copy(block_fn)
        part.inputs = [block_fn.inputs[at] for at in rest]
        slow = await super().preprocess_data(part, [inputs[at] for at in rest], state, explicit_call)
        found: dict[int, Any] = {**quick, **dict(zip(rest, slow, strict=True))}
        return [found[at] for at in range(len(inputs))]

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> list[Any]:
        outputs = block_fn.outputs
        given = [predictions] if len(outputs) == 1 else predictions
        if plain() or not outputs or not isinstance(given, (list, tuple)) or len(given) != len(outputs):
            found: list[Any] = await super().postprocess_data(block_fn, predictions, state)
            return found
        quick = [self._quick(block, value) for block, value in zip(outputs, given, strict=True)]
        rest = [at for at, answer in enumerate(quick) if answer is _SLOW]
        if rest:
            part = copy.copy(block_fn)
            part.outputs = [outputs[at] for at in rest]
            slow = await super().postprocess_data(
                part, given[rest[0]] if len(rest) == 1 else [given[at] for at in rest], state
            )
            for at, answer in zip(rest, slow, strict=True):
                quick[at] = answer
        return quick

    def _quick(self, block: Any, given: Any) -> Any:
        if _is_skip(given):
            return None if block.stateful else {"__type__": "update"}
        if isinstance(block, gr.Chatbot) and is_text(given):
            return drawn(given)
        if type(block) in _TEXTS and isinstance(given, str):
            return given if type(block) is not gr.Markdown else inspect.cleandoc(given)
        if type(block) in _SIMPLE and _is_update(given):
            args = _arguments(given)
            if "value" not in args or (type(block) is gr.Textbox and isinstance(args["value"], str)):
                return {**args, "__type__": "update"}
        return _SLOW

    def get_state_ids_to_track(self, block_fn: Any, state: Any) -> tuple[list[int], list[Any]]:
        """Hashing whole chats tells the page of changes, and only what went through the queue is told."""
        if plain() or state is None:
            found: tuple[list[int], list[Any]] = super().get_state_ids_to_track(block_fn, state)
            return found
        if not block_fn.queue:
            return [], []
        if self._listened is None:
            self._listened = {id for fn in self.fns.values() for id, event in fn.targets if event == "change"}
        ids = [each._id for each in block_fn.outputs if each.stateful and each._id in self._listened]
        return ids, [deep_hash(state[id]) for id in ids]  # type: ignore[no-untyped-call]


_SLOW = object()

# Parts whose properties the server only passes on: no need to make the part anew in order to change one.
_SIMPLE = (gr.Textbox, gr.Button, gr.Markdown)
# Parts whose value is a text that is passed on as it is, but for Markdown's indentation.
_TEXTS = (gr.Textbox, gr.HTML, gr.Markdown)


def _is_update(given: Any) -> bool:
    return isinstance(given, gr.blocks.Block) or (isinstance(given, Mapping) and given.get("__type__") == "update")


def _arguments(given: Any) -> dict[str, Any]:
    if isinstance(given, gr.blocks.Block):
        return dict(given.constructor_args)
    return {name: value for name, value in given.items() if value is not None}


def _is_skip(given: Any) -> bool:
    return isinstance(given, Mapping) and given.get("__type__") == "update" and len(given) == 1


def _leave_matplotlib_alone() -> None:
    """Gradio switches matplotlib's backend around each event: the first visitor waits a second for its import where
    it is installed, and each update for a search where it is not. This page draws no figures."""
    from gradio import utils

    if hasattr(utils, "MatplotlibBackendMananger"):
        utils.MatplotlibBackendMananger = nullcontext  # type: ignore[misc, assignment]
