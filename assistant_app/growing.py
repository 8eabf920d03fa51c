"""More words of a reply that is being drawn, sent to the page without Gradio's walk through all that is on it.

A frame that a listener yields costs the server some ten times as much as these words: a call through the whole of
Gradio, with models, copies and comparisons of fourteen parts. What goes out here is what Gradio would send in the end:
"append this to the text of the last message".
"""

from __future__ import annotations

from typing import Any

from gradio.context import LocalContext

from .chatbot import plain
from .events import send

# No edits.
_NOTHING: list[Any] = []


class Growing:
    """The last message of a chat that a listener draws, to be made inside it. `at`: the chat among what it returns."""

    def __init__(self, at: int) -> None:
        self._at = at
        self._blocks: Any = LocalContext.blocks.get(None)
        id = LocalContext.event_id.get(None)
        # None where no page waits: a script's call, or Gradio's own way was asked for.
        self._event: Any = None
        if self._blocks is not None and id is not None and not plain():
            self._event = self._blocks._queue.event_ids_to_events.get(id)
        self._sent = ""

    def add(self, text: str) -> bool:
        """Sends more of the message's text. False where a frame has to be yielded, as after the page was closed."""
        event = self._event
        if event is None or not event.alive or (drawn := self._drawn()) is None:
            return False
        if not text:
            return True
        edits: list[Any] = [_NOTHING] * len(drawn)
        edits[self._at] = [["append", [len(drawn[self._at]) - 1, "content", 0, "text"], text]]
        send(self._blocks._queue, event, edits)
        self._sent += text
        return True

    def settle(self) -> None:
        """Before a frame is yielded: what Gradio compares it with is to be what the page shows."""
        drawn = self._drawn() if self._sent else None
        if drawn is not None:
            *before, last = drawn[self._at]
            # Anew: what was yielded may still wait to be sent.
            (part,) = last["content"]
            drawn[self._at] = [*before, {**last, "content": [{**part, "text": part["text"] + self._sent}]}]
        self._sent = ""

    def _drawn(self) -> list[Any] | None:
        """What Gradio takes the page to show; None where nothing was yielded yet that text can be added to."""
        app = self._blocks._queue.server_app
        iterator = app.iterators.get(self._event._id)
        runs = self._blocks.pending_diff_streams.get(self._event.session_hash, {})
        drawn: list[Any] | None = runs.get(self._blocks._stream_run_key(iterator)) if iterator is not None else None
        chat = drawn[self._at] if drawn is not None else None
        text = isinstance(chat, list) and chat and isinstance(chat[-1], dict) and len(chat[-1]["content"]) == 1
        return drawn if text else None
