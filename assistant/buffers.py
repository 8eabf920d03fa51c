"""What every memory has in common, and the memories that never summarise: BufferMemory, WindowMemory, NoMemory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self, runtime_checkable

from .documents import Document
from .errors import InvalidRequestError
from .folding import MEMORIES
from .holdings import MemoryItem, MemoryView
from .messages import Notice, Usage, new_id
from .pins import DEFAULT_PIN_BUDGET, Pins
from .tokens import MESSAGE_TOKENS, estimate_tokens

VERSION = 1


@dataclass(frozen=True, slots=True)
class MemoryTurn:
    """One turn as a memory keeps it. `tokens` is our estimate, counted once; None until a memory has counted it."""

    id: str
    user: str
    reply: str
    tokens: int | None = field(default=None, compare=False)

    @property
    def size(self) -> int:
        """Estimated tokens, roles included."""
        if self.tokens is not None:
            return self.tokens
        return estimate_tokens(self.user) + estimate_tokens(self.reply) + 2 * MESSAGE_TOKENS

    def counted(self) -> MemoryTurn:
        return self if self.tokens is not None else replace(self, tokens=self.size)

    def to_dict(self) -> dict[str, Any]:
        return {"id": self.id, "user": self.user, "reply": self.reply, "tokens": self.size}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MemoryTurn:
        return cls(data["id"], data["user"], data["reply"], data.get("tokens"))


@dataclass(frozen=True, slots=True)
class Context:
    """What a memory gives for the next request. `turns` begin with a user's text each, in order.

    What is in the memory and did not fit the model's window with this request: `omitted` is the number of oldest turns,
    `left_out` are the least recently pinned documents.
    """

    documents: tuple[Document, ...] = ()
    summary: str = ""
    turns: tuple[MemoryTurn, ...] = ()
    omitted: int = 0
    left_out: tuple[Document, ...] = ()


def history_text(context: Context, human_prefix: str = "H", ai_prefix: str = "A") -> str:
    """The conversation as one text, the seed's way: the summary first, then "H: …" and "A: …" in turn."""
    parts = [context.summary] if context.summary else []
    parts += [f"{human_prefix}: {turn.user}\n{ai_prefix}: {turn.reply}" for turn in context.turns]
    return "\n".join(parts)


@runtime_checkable
class Memory(Protocol):
    """What ChatSession needs of a memory. All of it is safe under threads; nothing waits for a model but `flush`."""

    human_prefix: str
    ai_prefix: str

    paste_limit: int | None

    @property
    def max_token_limit(self) -> int | None: ...

    @property
    def turns(self) -> tuple[MemoryTurn, ...]: ...

    @property
    def history(self) -> str: ...

    @property
    def pinned(self) -> tuple[Document, ...]: ...

    @property
    def usage(self) -> Usage: ...

    def add_turn(
        self, user: str, assistant: str, *, id: str | None = None, documents: Sequence[Document] = ()
    ) -> None: ...

    def context(
        self, *, reserve: int = 0, each: int = 0, model: str | None = None, before: str | None = None
    ) -> Context: ...

    def rewind(self, turns: Sequence[MemoryTurn]) -> None: ...

    def pin(self, document: Document, *, model: str | None = None, turn: str | None = None) -> str: ...

    def unpin(self, id: str) -> bool: ...

    def take_notices(self) -> list[Notice]: ...

    def flush(self, timeout: float | None = None) -> bool: ...

    def clear(self) -> None: ...

    def close(self) -> None: ...

    def to_dict(self) -> dict[str, Any]: ...


class BaseMemory:
    """Prefixes, pins and kept turns with their sum: what the memories share. `kind` names the class in saved data."""

    kind = ""

    def __init__(self, *, human_prefix: str = "H", ai_prefix: str = "A") -> None:
        self.human_prefix = human_prefix
        self.ai_prefix = ai_prefix
        # What `should_pin` goes by: the limit as it was first, so that a turn is remembered in the same words later.
        self.paste_limit: int | None = None
        self._idle = threading.Condition(threading.Lock())
        self._turns: deque[MemoryTurn] = deque()
        self._pins = Pins()
        self._notices: list[Notice] = []
        MEMORIES.add(self)

    @property
    def max_token_limit(self) -> int | None:
        return None

    @property
    def turns(self) -> tuple[MemoryTurn, ...]:
        """The turns that are kept word for word, oldest first."""
        with self._idle:
            return tuple(self._turns)

    @property
    def history(self) -> str:
        """What would be sent, as one text: the summary, then the turns with their prefixes."""
        return history_text(self.context(), self.human_prefix, self.ai_prefix)

    @property
    def usage(self) -> Usage:
        """What summaries have cost; the replies are the session's."""
        return Usage()

    def view(self) -> MemoryView:
        """What is held now and what each part costs, all of one moment. Never waits for a summary."""
        with self._idle:
            return self._viewed(self._turns)

    def _viewed(
        self, turns: Iterable[MemoryTurn], summary: str = "", summary_tokens: int = 0, scale: float = 1.0
    ) -> MemoryView:
        """`scale`: tokens of the model in use for one of ours. The lock is held."""
        items = [MemoryItem(turn.id, self._said(turn), round(turn.size * scale)) for turn in turns]
        documents = [MemoryItem(document.id, document.name, round(size * scale)) for document, size in self._pins.sizes]
        size = round(summary_tokens * scale)
        tokens = size + sum(item.tokens for item in items)
        return MemoryView(summary, size, items, documents, tokens, self.max_token_limit)

    def _said(self, turn: MemoryTurn) -> str:
        return history_text(Context(turns=(turn,)), self.human_prefix, self.ai_prefix)

    def context(
        self, *, reserve: int = 0, each: int = 0, model: str | None = None, before: str | None = None
    ) -> Context:
        """What to send before the next text. `before`: without the kept turn of this id and what follows it."""
        with self._idle:
            return Context(self._pins.documents, "", up_to(self._turns, before))

    def add_turn(self, user: str, assistant: str, *, id: str | None = None, documents: Sequence[Document] = ()) -> None:
        """Appends a turn. `documents` are those it brought: ones that are pinned go when the turn is edited away."""
        turn = MemoryTurn(id or new_id(), user, assistant).counted()
        with self._idle:
            for document in documents:
                self._pins.own(document.id, turn.id)
            self._append(turn)

    def rewind(self, turns: Sequence[MemoryTurn]) -> None:
        """Makes this the memory of exactly `turns`, all turns of the conversation that have a reply, oldest first."""
        with self._idle:
            self._pins.keep(turns)
            self._turns.clear()
            for turn in turns:
                self._append(turn.counted())

    def _append(self, turn: MemoryTurn) -> None:
        """Takes one turn in. The lock is held."""
        self._turns.append(turn)

    @property
    def pinned(self) -> tuple[Document, ...]:
        """Documents that stay whole in front of the model, least recently pinned first."""
        with self._idle:
            return self._pins.documents

    def pin(self, document: Document, *, model: str | None = None, turn: str | None = None) -> str:
        """Keeps a document whole in every later request; returns its id. Pinning it again makes it the most recent.

        The budget is a quarter of the window of `model` (None: the client's default), or 32,000 tokens where that is
        not known; beyond it, and beyond 5 files or 20 images, the least recently pinned goes, and `take_notices()` says
        so. So does a document that is above the budget by itself. `turn` is the id of the turn that brings it: the
        document goes when that does.
        """
        budget = self._pin_budget(model)
        with self._idle:
            self._notices += self._pins.pin(document, budget)
            if turn is not None:
                self._pins.own(document.id, turn)
        return document.id

    def unpin(self, id: str) -> bool:
        """False where no such document is pinned."""
        with self._idle:
            return self._pins.unpin(id)

    def take_notices(self) -> list[Notice]:
        """What happened since the last call that the reader may want to know, for the next reply."""
        with self._idle:
            notices, self._notices = self._notices, []
        return notices

    def _pin_budget(self, model: str | None) -> int:
        return DEFAULT_PIN_BUDGET

    def flush(self, timeout: float | None = None) -> bool:
        """Waits for work under way, up to `timeout` seconds (None: for ever); False when that was not enough."""
        return True

    def clear(self) -> None:
        """Forgets everything, pinned documents too."""
        with self._idle:
            self._forget()

    def _forget(self) -> None:
        """The lock is held."""
        self._turns.clear()
        self._pins = Pins()
        self._notices.clear()

    def close(self) -> None:
        """Ends work under way. The memory can still be read and added to."""

    def after_fork(self) -> None:
        """In a child process: a thread that does not exist here may have held the lock."""
        self._idle = threading.Condition(threading.Lock())

    def to_dict(self) -> dict[str, Any]:
        """Everything but the client, as plain data for JSON."""
        with self._idle:
            return self._saved()

    def _saved(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "kind": self.kind,
            "human_prefix": self.human_prefix,
            "ai_prefix": self.ai_prefix,
            "turns": [turn.to_dict() for turn in self._turns],
            "pinned": self._pins.to_list(),
        }

    @classmethod
    def from_dict(cls, client: Any, data: Mapping[str, Any]) -> Self:
        """The memory that `to_dict` saved. Raises InvalidRequestError for data of another version or class."""
        check_saved(data, cls.kind)
        memory = cls._made(client, data)
        memory._turns.extend(MemoryTurn.from_dict(turn) for turn in data["turns"])
        memory._pins = Pins.from_list(data["pinned"])
        return memory

    @classmethod
    def _made(cls, client: Any, data: Mapping[str, Any]) -> Self:
        return cls(human_prefix=data["human_prefix"], ai_prefix=data["ai_prefix"])


def check_saved(data: Mapping[str, Any], kind: str) -> None:
    if data.get("version") != VERSION:
        raise InvalidRequestError(
            f"The saved memory has version {data.get('version')!r}; this package reads {VERSION}.",
            hint="Update the package.",
        )
    if data.get("kind") != kind:
        raise InvalidRequestError(f"The saved memory is a {data.get('kind')!r}, not a {kind!r}.")


def up_to(turns: Sequence[MemoryTurn] | deque[MemoryTurn], before: str | None) -> tuple[MemoryTurn, ...]:
    """All turns, or those that stand before the one with this id. Raises InvalidRequestError where it is not kept."""
    everything = tuple(turns)
    if before is None:
        return everything
    # From the end: it is the newest one nearly always.
    for index in range(len(everything) - 1, -1, -1):
        if everything[index].id == before:
            return everything[:index]
    raise InvalidRequestError(
        f"The turn {before} is not kept word for word.", hint="Use rewind() with the turns to keep."
    )


class BufferMemory(BaseMemory):
    """Keeps and sends everything: exact, and every turn costs more than the one before."""

    kind = "buffer"


class WindowMemory(BaseMemory):
    """Keeps the last `k` turns (1 or more) and forgets the rest."""

    kind = "window"

    def __init__(self, k: int = 5, *, human_prefix: str = "H", ai_prefix: str = "A") -> None:
        if k < 1:
            raise InvalidRequestError(f"k is {k}; it is 1 or more.", hint="NoMemory() is the one that keeps nothing.")
        super().__init__(human_prefix=human_prefix, ai_prefix=ai_prefix)
        self.k = k
        # One more than is sent: a turn that is continued is asked for with `before`, and its predecessors are wanted.
        self._turns = deque(maxlen=k + 1)

    def context(
        self, *, reserve: int = 0, each: int = 0, model: str | None = None, before: str | None = None
    ) -> Context:
        with self._idle:
            return Context(self._pins.documents, "", up_to(self._turns, before)[-self.k :])

    @property
    def turns(self) -> tuple[MemoryTurn, ...]:
        with self._idle:
            return tuple(self._turns)[-self.k :]

    def view(self) -> MemoryView:
        with self._idle:
            return self._viewed(tuple(self._turns)[-self.k :])

    def _saved(self) -> dict[str, Any]:
        return {**super()._saved(), "k": self.k}

    @classmethod
    def _made(cls, client: Any, data: Mapping[str, Any]) -> Self:
        return cls(data["k"], human_prefix=data["human_prefix"], ai_prefix=data["ai_prefix"])


class NoMemory(BaseMemory):
    """Every turn is the first one. Documents that are pinned by hand or attached are still sent."""

    kind = "none"

    def __init__(self, *, human_prefix: str = "H", ai_prefix: str = "A") -> None:
        super().__init__(human_prefix=human_prefix, ai_prefix=ai_prefix)
        # The last turn is kept so that it can be continued; nothing of it is sent.
        self._turns = deque(maxlen=1)

    def context(
        self, *, reserve: int = 0, each: int = 0, model: str | None = None, before: str | None = None
    ) -> Context:
        with self._idle:
            return Context(self._pins.documents)

    @property
    def turns(self) -> tuple[MemoryTurn, ...]:
        return ()

    def view(self) -> MemoryView:
        with self._idle:
            return self._viewed(())
