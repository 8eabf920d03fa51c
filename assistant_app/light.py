"""A gr.Blocks whose events cost what they change, so that one process serves hundreds of visitors.

Gradio prepares each value that an event brings in a thread of its own, for each `gr.skip()` makes the component anew,
and describes every part of the page for each visitor. Here what is plain stays where it is, and what is skipped is
skipped. Nothing else changes: whatever is not plain goes Gradio's own way. `ASSISTANT_PLAIN_CHATBOT=1` switches all
of it off.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import gradio as gr
from gradio import state_holder
from gradio.routes import App
from gradio.utils import deep_hash

from .chatbot import drawn, is_plain, is_text, plain, whole
from .events import Events


class Page(gr.Blocks):
    """See above."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The parts whose changes something answers to; known when the first event comes.
        self._listened: set[int | None] | None = None
        if not plain():
            _leave_matplotlib_alone()

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False) -> Any:
        if plain() or block_fn.component_prop_inputs or len(inputs) != len(block_fn.inputs):
            return await super().preprocess_data(block_fn, inputs, state, explicit_call)
        found = [_prepared(block, given, state) for block, given in zip(block_fn.inputs, inputs, strict=True)]
        rest = [at for at, value in enumerate(found) if value is _SLOW]
        if rest:
            part = copy.copy(block_fn)
            part.inputs = [block_fn.inputs[at] for at in rest]
            slow = await super().preprocess_data(part, [inputs[at] for at in rest], state, explicit_call)
            for at, value in zip(rest, slow, strict=True):
                found[at] = value
        return found

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

# Parts that prepare a plain value without reading a file or waiting for anything.
_PLAIN_INPUTS = (gr.Textbox, gr.Dropdown, gr.Slider, gr.Number, gr.Checkbox, gr.Radio)


def _prepared(block: Any, given: Any, state: Any) -> Any:
    """What a listener is given for a part's value, or _SLOW: Gradio's own way, which also says what is wrong."""
    if isinstance(block, gr.Chatbot) and is_text(given):
        return [whole(message) for message in given]
    if type(block) not in _PLAIN_INPUTS or not is_plain(given):
        return _SLOW
    # The visitor's own, if an update has changed its choices or bounds.
    mine = state[block._id] if state is not None and block._id in state else block
    try:
        return mine.preprocess(given)
    except Exception:
        return _SLOW


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


_BUILDING: ContextVar[bool] = ContextVar("building", default=False)
_create_app = App.create_app


@contextmanager
def building() -> Iterator[None]:
    """Around the making of a page: only the web app that launch() makes is ever served.

    Gradio makes one at each end of a block, and one for the queue, of a quarter of a second each.
    """
    token = _BUILDING.set(True)
    try:
        yield
    finally:
        _BUILDING.reset(token)


def _app_or_none(*args: Any, **kwargs: Any) -> App | None:
    return None if _BUILDING.get() else _create_app(*args, **kwargs)


App.create_app = staticmethod(_app_or_none)  # type: ignore[method-assign, assignment]


def _leave_matplotlib_alone() -> None:
    """Gradio switches matplotlib's backend around each event: the first visitor waits a second for its import where
    it is installed, and each update for a search where it is not. This page draws no figures."""
    from gradio import utils

    if hasattr(utils, "MatplotlibBackendMananger"):
        utils.MatplotlibBackendMananger = nullcontext  # type: ignore[misc, assignment]


def lighten(demo: gr.Blocks) -> None:
    """For a page that was launched: what Gradio does for each visitor and each request that this page has no use of."""
    if plain():
        return
    app: Any = demo.app
    sessions = _Sessions()  # type: ignore[no-untyped-call]
    sessions.set_blocks(demo)
    app.state_holder = sessions
    app.router.routes[:0] = Events(app).routes()
    # Gradio looks into its queue a thousand times a second, and a hundred times for a progress that nothing here has.
    app.get_blocks()._queue.sleep_when_free = 0.005
    app.get_blocks()._queue.progress_update_sleep_when_free = 1.0


class _Session(state_holder.SessionState):
    """What is kept of a visitor, without a description of each part of the page: only Gradio's deep links read them."""

    def __init__(self, blocks: Any) -> None:
        super().__init__(SimpleNamespace(default_config=blocks.default_config, blocks={}))  # type: ignore[arg-type]
        self.blocks_config.config_for_block = _undescribed  # type: ignore[method-assign, assignment]


def _undescribed(*_: Any) -> dict[str, Any]:
    return {}


class _Sessions(state_holder.StateHolder):
    def __getitem__(self, session_id: str) -> state_holder.SessionState:
        if session_id not in self.session_data:
            self.session_data[session_id] = _Session(self.blocks)
        return super().__getitem__(session_id)
