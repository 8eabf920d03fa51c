"""A summariser that keeps exactly the facts it is shown, and turns that hold one fact each."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

from assistant.buffers import BaseMemory
from assistant.catalog import ModelInfo
from assistant.clients.base import as_messages
from assistant.errors import ThrottledError
from assistant.memory import MemoryTurn
from assistant.messages import Completed, TokenCount, Usage
from assistant.reply import CancelToken, Reply, SourceItem
from assistant.tokens import estimate_request, estimate_tokens

FACT = re.compile(r"F\d{3}=\w+")
PATIENCE = 30.0


class Summarizer:
    """A client that keeps exactly the facts it is shown. `failing` is the share of calls that fail, at random.

    `gate`: answers wait for it; `asked` is set when the first one waits. `answer` replaces what it says.
    """

    default_model = "summarizer"

    def __init__(self, failing: float = 0.0, seed: int = 0, window: int | None = 200_000) -> None:
        self.failing = failing
        self.window = window
        self.prompts: list[str] = []
        self.options: list[dict[str, Any]] = []
        self.tokens: list[CancelToken] = []
        self.answer: Callable[[str], str] = lambda prompt: (
            "\n".join(sorted(set(FACT.findall(prompt)))) + "\nEso es todo."
        )
        self.reason = "end_turn"
        self.gate: threading.Event | None = None
        self.asked = threading.Event()
        self._random = random.Random(seed)

    def stream(self, messages: Any, **options: Any) -> Reply:
        checked = as_messages(messages)
        prompt = checked[0].text

        def source(token: CancelToken) -> Iterator[SourceItem]:
            self.prompts.append(prompt)
            self.options.append(options)
            self.tokens.append(token)
            self.asked.set()
            if self.gate is not None:
                assert self.gate.wait(PATIENCE)
            if self._random.random() < self.failing:
                raise ThrottledError("scripted")
            answer = self.answer(prompt)
            yield answer
            usage = Usage(estimate_request(checked, options["system"]), estimate_tokens(answer))
            yield Completed(self.reason, usage)  # type: ignore[arg-type]

        return Reply(source, model=self.default_model)

    def complete(self, messages: Any, **options: Any) -> Reply:
        return self.stream(messages, **options).drain()

    def models(self) -> list[ModelInfo]:
        return [self.model_info()]

    def model_info(self, model: str | None = None) -> ModelInfo:
        name = model or self.default_model
        return ModelInfo(name, name, "Test", context_window=self.window)

    def count_tokens(self, messages: Any, **options: Any) -> TokenCount:
        return TokenCount(estimate_request(as_messages(messages)), False)


FILLER = "Claro, lo anoto y seguimos con lo que habíamos hablado sobre el viaje, la casa y el trabajo de la semana. "


def said(number: int, words: int = 1) -> tuple[str, str]:
    """A turn of about 60 tokens, one fact in it."""
    return f"Recuerda esto, por favor: F{number:03}=k{number * 7919 % 10007}. {FILLER * words}", FILLER


def fill(memory: BaseMemory, count: int, start: int = 0) -> None:
    for number in range(start, start + count):
        memory.add_turn(*said(number), id=f"t{number}")


def known(memory: BaseMemory) -> set[str]:
    """The facts that the next request would hold."""
    return set(FACT.findall(memory.history))


def facts(count: int, start: int = 0) -> set[str]:
    return {fact for number in range(start, start + count) for fact in FACT.findall(said(number)[0])}


def turns(count: int, start: int = 0) -> list[MemoryTurn]:
    return [MemoryTurn(f"t{number}", *said(number)) for number in range(start, start + count)]
