"""What a run would take, before its first request."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from .catalog import ModelInfo
from .clients.base import ChatClient
from .errors import AssistantError
from .messages import Message, Usage
from .tokens import estimate_request


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a run would take: estimates before it, made offline.

    `calls` counts cells that are not finished yet, `judge_calls` the verdicts still to be asked for. `input_tokens` is
    an estimate (within 15 % or so), `output_tokens` the most there can be: each cell's max_tokens. So `cost` (USD) is
    an upper bound as good as the first; None where the price of a model in `unpriced` is not known.
    """

    cells: int
    calls: int
    judge_calls: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    unpriced: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def __str__(self) -> str:
        judged = f" and {self.judge_calls} verdicts" if self.judge_calls else ""
        cost = f"the price of {', '.join(self.unpriced)} is not known" if self.cost is None else f"{self.cost:.6f} USD"
        return (
            f"{self.calls} requests{judged} for {self.cells} cells: about {self.input_tokens:,} input tokens and at "
            f"most {self.output_tokens:,} output tokens, at most about {cost}"
        )

    def _repr_markdown_(self) -> str:
        return str(self)


class Bill:
    """Adds up what requests are about to cost."""

    def __init__(self) -> None:
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost = 0.0
        self.unpriced: dict[str, None] = {}
        self._infos: dict[tuple[int, str | None], ModelInfo | None] = {}

    def info(self, client: ChatClient, model: str | None) -> ModelInfo | None:
        """Looked up once: some clients read a directory for it."""
        place = (id(client), model)
        if place not in self._infos:
            self._infos[place] = None
            with suppress(AssistantError):
                self._infos[place] = client.model_info(model)
        return self._infos[place]

    def add(
        self,
        client: ChatClient,
        model: str | None,
        text: str,
        system: str | None,
        max_tokens: int | None,
        *,
        more: int = 0,
    ) -> None:
        """One request; `more` input tokens are still to come."""
        info = self.info(client, model)
        if info is None:
            # There is no such model: the cell will say so, and nothing is paid for it.
            return
        tokens = estimate_request([Message("user", text)], system, info.id) + more
        output = max_tokens or info.default_max_tokens
        self.input_tokens += tokens
        self.output_tokens += output
        cost = info.cost(Usage(tokens, output, cost=None))
        if cost is None:
            self.unpriced[info.id] = None
        else:
            self.cost += cost
