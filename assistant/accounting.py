"""What a reply has used: reports correct our estimates, and an estimate stands in where no report came."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from .catalog import ModelInfo
from .clients.base import ChatClient, known_info
from .compose import Composed
from .errors import StoreError
from .messages import Retrying, ThinkingDelta, Usage
from .reply import ReplyState
from .tokens import calibrate, estimate_request, estimate_tokens

if TYPE_CHECKING:
    from .store import ConversationStore

logger = logging.getLogger("assistant")

# Ends at which the service has not said what the reply used, or only what it read.
UNREPORTED = ("cancelled", "interrupted", "error")


def account(state: ReplyState, composed: Composed, client: ChatClient, model: str | None) -> None:
    """For the end of the reply to `composed` that `client` was asked for with `model`."""
    _calibrate(state, composed)
    if state.stop_reason in UNREPORTED:
        info = known_info(client, model)
        if info is not None:
            state.usage = _estimated(state, composed, info)


def _calibrate(state: ReplyState, composed: Composed) -> None:
    """What the model read corrects the estimates for it. Files and images are guesses and tell nothing of its words."""
    if state.usage is None or state.model is None or not state.usage.total_input_tokens:
        return
    if all(document.is_text for message in composed.messages for document in message.documents):
        estimated = estimate_request(composed.messages, composed.system)
        calibrate(state.model, estimated, state.usage.total_input_tokens)


def _estimated(state: ReplyState, composed: Composed, info: ModelInfo) -> Usage | None:
    """A service reports what was written with its last event, Converse what was read too; both are paid for without."""
    said = "".join(
        item if isinstance(item, str) else item.text for item in state.log if isinstance(item, (str, ThinkingDelta))
    )
    usage = state.usage
    if usage is None:
        if not said and not _was_read(state):
            return None
        usage = Usage(estimate_request(composed.messages, composed.system, state.model))
    usage = replace(usage, output_tokens=max(usage.output_tokens, estimate_tokens(said, state.model)))
    return replace(usage, cost=info.cost(usage))


def _was_read(state: ReplyState) -> bool:
    """Whether a reply without a word was being worked on: it was stopped, and not while it waited to be sent again."""
    waiting = bool(state.log) and isinstance(state.log[-1], Retrying)
    return state.stop_reason == "cancelled" and state.started_at is not None and not waiting


class Ledger:
    """Puts on their owners' days what was used beside turns. What a store does not take waits for the next time.

    Safe under threads. Blocks for the database.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[ConversationStore, str, Usage]] = deque()

    def book(self, store: ConversationStore, owner: str, usage: Usage) -> None:
        self._waiting.append((store, owner, usage))
        self.catch_up()

    def catch_up(self) -> None:
        for _ in range(len(self._waiting)):
            try:
                store, owner, usage = self._waiting.popleft()
            except IndexError:
                # Another thread has it.
                return
            try:
                store.add_usage(owner, usage)
            except StoreError as error:
                logger.warning("accounting.not_stored %s", error.message)
                self._waiting.append((store, owner, usage))
