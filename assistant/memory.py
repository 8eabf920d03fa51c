"""SummaryBufferMemory: recent turns word for word, older ones folded into a summary. Compute first, commit last."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Self

from . import tokens
from .buffers import (
    BaseMemory,
    BufferMemory,
    Context,
    Memory,
    MemoryTurn,
    NoMemory,
    WindowMemory,
    history_text,
    up_to,
)
from .clients.base import ChatClient, known_info
from .documents import Document
from .errors import InvalidRequestError
from .folding import WORKER
from .holdings import MemoryItem, MemoryTokens, MemoryView
from .marks import Marks
from .messages import Usage
from .pins import DEFAULT_PIN_BUDGET, should_pin
from .planning import Budget, Plan, newest_within, plan
from .summarizer import Fold

__all__ = [
    "Budget",
    "BufferMemory",
    "Context",
    "Memory",
    "MemoryItem",
    "MemoryTokens",
    "MemoryTurn",
    "MemoryView",
    "NoMemory",
    "Plan",
    "SummaryBufferMemory",
    "WindowMemory",
    "history_text",
    "memory_from_dict",
    "plan",
    "should_pin",
]

logger = logging.getLogger("assistant")

# Estimates may be 10 % off; a request that is too long fails, one that is a little shorter does not.
_WINDOW_SHARE = 0.9

# The turns to wait after a failed fold: 1, 2, 4, … and no more than this.
_LONGEST_WAIT = 32


class SummaryBufferMemory(BaseMemory):
    """Keeps recent turns word for word and folds older ones into a summary, both together within `max_token_limit`.

    `model` may name a cheaper model for summaries (None: the conversation's own); what they cost is in `usage`, apart
    from the replies. `max_token_limit` (1 or more) is in estimated tokens and can be changed at any time; beyond it
    the oldest turns are folded until half of it is left. Half the limit is the summary's cap too: there it is
    condensed. It is written in the language of the conversation.

    A summary is asked for on a background thread, one for the whole process: `add_turn` and `context` never wait for it
    and never fail because of it. Until a checked answer replaces summary and turns, in one step, those turns are still
    sent word for word. A failure changes nothing; it is tried again after 1, 2, 4, … up to 32 further turns, with half
    as much at once each time, down to the limit.

    Safe under threads. Pinned documents do not count against the limit (see `pin`).
    """

    kind = "summary_buffer"

    def __init__(
        self,
        client: ChatClient,
        *,
        model: str | None = None,
        max_token_limit: int = 1024,
        human_prefix: str = "H",
        ai_prefix: str = "A",
    ) -> None:
        super().__init__(human_prefix=human_prefix, ai_prefix=ai_prefix)
        self.model = model
        self._client = client
        self._limit = _checked_limit(max_token_limit)
        self.paste_limit = self._limit
        # As the last context() named it, and by the id that its replies report.
        self._asked_model: str | None = None
        self._chat_model: str | None = None
        self._kept = 0
        self._marks = Marks()
        self._usage = Usage()
        # Called on the worker's thread with what each request for a summary has used.
        self.on_usage: Callable[[Usage], object] | None = None
        # Queued or being folded; `_fold` is the request under way.
        self._busy = False
        self._fold: Fold | None = None
        self._closed = False
        self._failures = 0
        self._wait = 0
        self._problem: str | None = None

    @property
    def max_token_limit(self) -> int:
        """In estimated tokens, 1 or more. Set it at any time: below what is held, a fold is queued.

        Setting raises InvalidRequestError for anything but a whole number from 1 upwards.
        """
        return self._limit

    @max_token_limit.setter
    def max_token_limit(self, limit: int) -> None:
        with self._idle:
            self._limit = _checked_limit(limit)
            due = self._due()
        self._submit(due)

    @property
    def summary(self) -> str:
        """What stands for the turns that are no longer kept. Set it to correct it, "" to empty it.

        What was set holds until it is folded with further turns, or a turn that it stands for is edited away. A
        summary that is being written from the old one is thrown away. Setting raises InvalidRequestError for what is
        not a text, or longer than `max_token_limit`.
        """
        return self._marks.current.summary

    @summary.setter
    def summary(self, text: str) -> None:
        if not isinstance(text, str):
            raise InvalidRequestError(f"The summary is a {type(text).__name__}; it has to be a text.")
        text = text.strip()
        size = tokens.estimate_tokens(text)
        with self._idle:
            if size > self._scaled_limit():
                count = round(size * tokens.ratio(self._chat_model))
                raise InvalidRequestError(
                    f"The summary has {count:,} tokens; the memory's limit is {self._limit:,}.",
                    hint="Shorten it, or raise the limit first.",
                    code="long_summary",
                    values={"tokens": count, "limit": self._limit},
                )
            self._marks.correct(text)
            self._stop_outdated_fold()
            due = self._due()
        self._submit(due)

    @property
    def covered(self) -> int:
        """How many of the oldest turns the summary stands for, those that were forgotten among them."""
        return self._marks.current.covered

    @property
    def tokens(self) -> MemoryTokens:
        with self._idle:
            scale = tokens.ratio(self._chat_model)
            summary, kept, pinned = self._marks.size, self._kept, self._pins.tokens
        return MemoryTokens(round(summary * scale), round(kept * scale), round(pinned * scale), self._limit)

    def view(self) -> MemoryView:
        """Summary, kept turns and pinned documents with the tokens of each, all of one moment. Never waits."""
        with self._idle:
            scale = tokens.ratio(self._chat_model)
            seen = self._viewed(self._turns, self._marks.current.summary, self._marks.size, scale)
            return replace(seen, problem=self._problem)

    @property
    def usage(self) -> Usage:
        """What summaries have cost, rejected and failed ones included."""
        return self._usage

    @property
    def problem(self) -> str | None:
        """Why the last summary failed or was rejected; None after one that was taken."""
        return self._problem

    def add_turn(self, user: str, assistant: str, *, id: str | None = None, documents: Sequence[Document] = ()) -> None:
        """Appends a turn; where that goes beyond the limit, a fold is queued. Never waits for it.

        `id`: None means a new one. `documents` are those the turn brought: ones that are pinned go when the turn is
        edited away.
        """
        super().add_turn(user, assistant, id=id, documents=documents)
        with self._idle:
            self._marks.settle()
            self._wait = max(0, self._wait - 1)
            due = self._due()
        self._submit(due)

    def _append(self, turn: MemoryTurn) -> None:
        self._turns.append(turn)
        self._kept += turn.size

    def context(
        self, *, reserve: int = 0, each: int = 0, model: str | None = None, before: str | None = None
    ) -> Context:
        """What to send before the next text. Never waits for a summary.

        All kept turns and pinned documents, unless they would not fit the window of `model` (None: the client's
        default) with `reserve` tokens for instructions, the new text and the answer, and `each` for what stands around
        every turn, a template for instance: then the oldest are left out of this request, as `omitted` and `left_out`
        say. Documents have a quarter of the window at least. `before` is the id of a kept turn: it and what follows is
        left out, to ask it again. The newest turn is always kept. Raises InvalidRequestError for the id of any other.
        """
        info = known_info(self._client, model)
        with self._idle:
            self._asked_model = model
            self._chat_model = info.id if info is not None else model
            # What was forgotten can be asked again, with nothing before it.
            turns = up_to(self._turns, before) if self._turns or not self._marks.current.forgotten else ()
            summary, documents, pins = self._marks.current.summary, self._pins.documents, self._pins.sizes
            around = each / tokens.ratio(self._chat_model)
            kept, room = self._kept + len(turns) * around, None
            if info is not None and info.context_window:
                usable = info.context_window * _WINDOW_SHARE - reserve
                room = usable / tokens.ratio(self._chat_model) - self._marks.size
            if room is None or kept + self._pins.tokens <= room:
                return Context(documents, summary, turns)
        # More than a quarter was pinned where another model, with a larger window, was asked before.
        sizes = [size for _, size in pins]
        gone = len(pins) - newest_within(sizes, min(room, max(self._pin_budget(model), room - kept)))
        omitted = len(turns) - newest_within([turn.size + around for turn in turns], room - sum(sizes[gone:]))
        return Context(documents[gone:], summary, turns[omitted:], omitted, documents[:gone])

    def rewind(self, turns: Sequence[MemoryTurn]) -> None:
        """Makes this the memory of exactly `turns`: all turns of the conversation that have a reply, oldest first.

        For undo, retry and edit of any turn, also while a fold is under way. Dropping the newest turn costs the same in
        any conversation. Where the summary stands for a turn that is gone, an earlier summary takes its place, and what
        came after that is word for word again until it is folded anew. A turn whose text changed needs a new id if it
        may have been folded: the newest never is.
        """
        with self._idle:
            self._pins.keep(turns)
            if not self._drop_newest(turns):
                self._return_to(turns)
            self._stop_outdated_fold()
            due = self._due()
        self._submit(due)

    def _stop_outdated_fold(self) -> None:
        """What it would say is refused: no need to pay for the rest. The lock is held."""
        if self._fold is not None and not self._is_current(self._fold):
            self._fold.cancel()

    def _drop_newest(self, turns: Sequence[MemoryTurn]) -> bool:
        """The usual undo. False where it is something else."""
        covered = self._marks.current.covered
        left = len(turns) - covered
        if left != len(self._turns) - 1 or left < (1 if covered else 0):
            return False
        if covered and turns[covered - 1].id != self._marks.current.last:
            return False
        if any(turns[covered + index] != self._turns[index] for index in range(left)):
            return False
        self._kept -= self._turns.pop().size
        return True

    def _return_to(self, turns: Sequence[MemoryTurn]) -> None:
        """To the latest summary that stands for none but a beginning of `turns`, the newest one left out."""
        known = {turn.id: turn for turn in self._turns}
        mark = self._marks.return_to(turns)
        self._turns.clear()
        self._kept = 0
        for turn in turns[mark.covered :]:
            before = known.get(turn.id)
            self._append(before if before == turn else turn.counted())

    def _budget(self) -> Budget:
        info = known_info(self._client, self._summarizer())
        limit = self._scaled_limit()
        # Bounded, so that a summary of much is made in steps, and within what the summariser can read.
        batch = max(4 * limit, 4096)
        if info is not None and info.context_window:
            batch = min(batch, max(256, info.context_window // 2 - limit))
        return Budget(limit, batch)

    def _scaled_limit(self) -> int:
        """In tokens of our estimate, whose ratio to the model's is known the better the longer it is used."""
        return max(1, round(self._limit / tokens.ratio(self._chat_model)))

    def _summarizer(self) -> str | None:
        # The conversation's own model is one that this account may use; the client's default need not be.
        return self.model or self._asked_model

    def _due(self) -> bool:
        """Whether a fold is to be queued now; notes that it is. O(1): it is asked at every turn. The lock is held."""
        if self._busy or self._closed or self._wait or not self._too_much():
            return False
        self._busy = True
        return True

    def _too_much(self) -> bool:
        budget = Budget(self._scaled_limit())
        over = self._kept + self._marks.size > budget.limit
        return over and (len(self._turns) > 1 or self._marks.size >= budget.cap)

    def _submit(self, due: bool) -> None:
        # Outside the lock: starting a thread takes a while.
        if due and not WORKER.submit(self):
            self._release()

    def _release(self) -> None:
        with self._idle:
            self._busy = False
            self._idle.notify_all()

    def begin_fold(self) -> Fold | None:
        """For the worker: the request to make now."""
        budget = self._budget()
        with self._idle:
            # With half of it after each failure: a short summary of very much is refused, and may be all there is. Not
            # with ever less: a summary is refused, too, where it is longer than what it would replace.
            step = replace(budget, batch=max(budget.batch >> self._failures, min(budget.limit, budget.batch)))
            wanted = plan(self._turns, self._marks.size, step) if self._busy and not self._closed else None
            if wanted is None:
                self._busy = False
                self._idle.notify_all()
                return None
            turns = tuple(islice(self._turns, wanted.count))
            self._fold = Fold(self._client, self._summarizer(), self._marks.current, turns, wanted, budget)
            return self._fold

    def end_fold(self, fold: Fold) -> bool:
        """For the worker: takes the answer in, if it still fits; True where there is more to fold."""
        more = self._take_in(fold)
        if self.on_usage is not None and fold.usage.total_tokens:
            try:
                self.on_usage(fold.usage)
            except Exception:
                logger.exception("memory.on_usage_failed")
        return more

    def _take_in(self, fold: Fold) -> bool:
        with self._idle:
            self._usage += fold.usage
            if self._fold is not fold:
                return False
            self._fold = None
            if fold.answer is not None and self._is_current(fold):
                self._commit(fold, fold.answer)
            elif fold.problem is not None and not fold.cancelled:
                self._failures += 1
                self._wait = min(2 ** (self._failures - 1), _LONGEST_WAIT)
                self._problem = fold.problem
                logger.info("memory.fold_failed", extra={"problem": fold.problem, "failures": self._failures})
            self._busy = False
            more = self._due()
            if not more:
                self._idle.notify_all()
            return more

    def _is_current(self, fold: Fold) -> bool:
        """The turns are still the oldest ones, not the newest among them, and the summary is the one it began with."""
        return (
            self._marks.current is fold.mark
            and len(self._turns) > len(fold.turns)
            and all(kept is turn for kept, turn in zip(self._turns, fold.turns, strict=False))
        )

    def _commit(self, fold: Fold, answer: str) -> None:
        for turn in fold.turns:
            self._turns.popleft()
            self._kept -= turn.size
        self._marks.advance(fold.turns, answer)
        self._failures = 0
        self._problem = None

    def after_fork(self) -> None:
        """A child process has no worker: what was under way is done again at the next turn."""
        super().after_fork()
        self._busy = False
        self._fold = None

    def _pin_budget(self, model: str | None) -> int:
        info = known_info(self._client, model)
        if info is None or not info.context_window:
            return DEFAULT_PIN_BUDGET
        return round(info.context_window / 4 / tokens.ratio(info.id))

    def flush(self, timeout: float | None = None) -> bool:
        """Folds what is due and waits for it, up to `timeout` seconds (None: for ever); False when that was not enough.

        True does not mean that it succeeded: see `problem`.
        """
        with self._idle:
            due = self._due()
        self._submit(due)
        with self._idle:
            return self._idle.wait_for(lambda: not self._busy, timeout)

    def clear(self) -> None:
        """Forgets everything, pinned documents too, for a new conversation; what summaries have cost stays."""
        super().clear()

    def forget(self) -> None:
        """Forgets summary, turns and pinned documents of a conversation that goes on.

        Unlike after `clear`, they stay forgotten when the memory is saved and loaded, or rewound to a transcript that
        holds them still.
        """
        with self._idle:
            marks = self._marks.forgetting(self._turns)
            self._forget()
            self._marks = marks

    def _forget(self) -> None:
        super()._forget()
        self._drop_fold()
        self._kept = 0
        self._marks = Marks()
        self._failures = self._wait = 0
        self._problem = None

    def close(self) -> None:
        """Ends work under way, and no more is begun. The memory can still be read and added to. Does not block."""
        with self._idle:
            self._closed = True
            self._drop_fold()

    def _drop_fold(self) -> None:
        if self._fold is not None:
            self._fold.cancel()
        self._fold = None
        self._busy = False
        self._idle.notify_all()

    def _saved(self) -> dict[str, Any]:
        return {
            **super()._saved(),
            "model": self.model,
            "max_token_limit": self._limit,
            "paste_limit": self.paste_limit,
            **self._marks.to_dict(),
            "usage": self._usage.to_dict(),
        }

    @classmethod
    def from_dict(cls, client: ChatClient, data: Mapping[str, Any]) -> Self:
        """The memory that `to_dict` saved. A fold that was under way is done again with the next turn or `flush`.

        Raises InvalidRequestError for data of another version or class.
        """
        memory = super().from_dict(client, data)
        memory._kept = sum(turn.size for turn in memory._turns)
        memory._marks = Marks.from_dict(data)
        memory.paste_limit = data.get("paste_limit", memory.paste_limit)
        memory._usage = Usage.from_dict(data["usage"])
        return memory

    @classmethod
    def _made(cls, client: ChatClient, data: Mapping[str, Any]) -> Self:
        names = ("model", "max_token_limit", "human_prefix", "ai_prefix")
        return cls(client, **{name: data[name] for name in names})


def _checked_limit(limit: int) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise InvalidRequestError(
            f"max_token_limit is {limit!r}; it is a whole number from 1 upwards.",
            code="out_of_range",
            values={"parameter": "max_token_limit", "value": limit, "low": 1, "high": None},
        )
    return limit


_KINDS: dict[str, type[BaseMemory]] = {
    kind.kind: kind for kind in (SummaryBufferMemory, BufferMemory, WindowMemory, NoMemory)
}


def memory_from_dict(client: ChatClient, data: Mapping[str, Any]) -> BaseMemory:
    """The memory of whatever class that `to_dict` saved. Raises InvalidRequestError for a class that is not known."""
    kind = _KINDS.get(str(data.get("kind")))
    if kind is None:
        raise InvalidRequestError(
            f"The saved memory is a {data.get('kind')!r}, which is not known.", hint="Update the package."
        )
    return kind.from_dict(client, data)
