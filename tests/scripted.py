"""A ChatClient that answers from a script, for what is above the wire."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from assistant.catalog import ModelInfo
from assistant.clients.base import Messages, as_messages
from assistant.messages import Completed, Message, TokenCount, Usage
from assistant.reply import CancelToken, Reply, SourceItem

ScriptedItem = SourceItem | BaseException


def ends(*texts: str, reason: str = "end_turn", usage: Usage | None = None) -> list[ScriptedItem]:
    """An answer in these deltas that comes to an end."""
    return [*texts, Completed(reason, usage or Usage(10, 5, cost=0.001), reason)]  # type: ignore[arg-type]


@dataclass
class Sent:
    messages: list[Message]
    options: dict[str, Any]


@dataclass
class ScriptedClient:
    """Answers with `script` in order, then echoes. `sent` is what it was asked. Exceptions in a script are raised."""

    script: list[Sequence[ScriptedItem]] = field(default_factory=list)
    prefill: bool = False
    context_window: int | None = 100_000
    sent: list[Sent] = field(default_factory=list)
    default_model: str = "scripted"

    def stream(self, messages: Messages, **options: Any) -> Reply:
        checked = as_messages(messages)

        def source(token: CancelToken) -> Iterator[SourceItem]:
            self.sent.append(Sent(checked, options))
            items = self.script.pop(0) if self.script else ends("echo: ", checked[-1].text)
            for item in items:
                if isinstance(item, BaseException):
                    raise item
                yield item

        return Reply(source, model=options.get("model") or self.default_model)

    def complete(self, messages: Messages, **options: Any) -> Reply:
        return self.stream(messages, **options).drain()

    def model_info(self, model: str | None = None) -> ModelInfo:
        name = model or self.default_model
        return ModelInfo(name, name, "Test", context_window=self.context_window, prefill=self.prefill)

    def models(self) -> list[ModelInfo]:
        return [self.model_info()]

    def count_tokens(self, messages: Messages, **options: Any) -> TokenCount:
        return TokenCount(sum(len(message.text) for message in as_messages(messages)) // 4, exact=False)
