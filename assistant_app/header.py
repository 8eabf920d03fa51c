"""Who answers here, and why; and the list of models that can be asked."""

from __future__ import annotations

import asyncio
import html
import logging
import threading
from typing import Any

from assistant.catalog import ModelInfo, model_info
from assistant.clients.base import ChatClient
from assistant.errors import AssistantError

from . import show, words

logger = logging.getLogger("assistant")

# Seconds that a page waits for the list: a listing is a few requests, and without a network they take their time.
PATIENCE = 30.0


class Header:
    """The client in words. Asks for its models in the background, once; never blocks and never raises."""

    def __init__(self, client: ChatClient) -> None:
        self._client = client
        self._models: list[ModelInfo] | None = None
        self.default_model = self._default_model()
        threading.Thread(target=self._list, name="assistant-models", daemon=True).start()

    def _default_model(self) -> str:
        try:
            return self._client.default_model
        except Exception:
            logger.exception("app.no_default_model")
            return ""

    def _list(self) -> None:
        try:
            self.refresh()
        except Exception:
            # Said at the first turn, too, where a person reads it.
            logger.warning("app.no_models", exc_info=True)
            self._models = self._models or []

    def refresh(self) -> int:
        """Asks the client for its models anew, and says how many there are. Blocks, and raises what the client does;
        the list stays as it was then."""
        self._models = list(self._client.models())
        return len(self._models)

    def info(self, model: str) -> ModelInfo | None:
        """What is known of a model, by whatever id; None where nothing is. Does not block."""
        model = model or self.default_model
        for info in self._models or ():
            if info.id == model:
                return info
        try:
            return model_info(model)
        except AssistantError:
            return None

    def knows(self, model: str) -> bool:
        """Whether a model is in the list, or none is chosen. Everything is, while there is no list."""
        return (
            not model
            or not self._models
            or model == self.default_model
            or any(info.id == model for info in self._models)
        )

    async def choices(self, chosen: str) -> list[tuple[str, str]]:
        """(label, id) of each model, the default one and the chosen one among them."""
        for _ in range(int(PATIENCE / 0.1)):
            if self._models is not None:
                break
            await asyncio.sleep(0.1)
        grouped = sorted(self._models or (), key=lambda info: (info.legacy, info.provider.lower()))
        found = [(_label(info), info.id) for info in grouped]
        known = {model for _, model in found}
        return [
            (model, model) for model in dict.fromkeys((self.default_model, chosen)) if model and model not in known
        ] + found

    def html(self, model: str, language: str) -> str:
        """The line under the title."""
        return (
            '<header class="assistant-header">'
            f'<div class="assistant-title"><h1>{_say("app.title", language)}</h1>'
            f'<a class="assistant-new" href="?">{_say("app.new", language)}</a></div>'
            f'<p class="assistant-status"><strong>{html.escape(self._who(language))}</strong> '
            f"<code>{html.escape(model or self.default_model)}</code> "
            f'<span class="assistant-why">{html.escape(self._why(language))}</span></p></header>'
        )

    def _who(self, language: str) -> str:
        backend = getattr(self._client, "backend", "")
        if backend == "bedrock":
            region = _attribute(self._client, "region")
            return f"{words.say('status.bedrock', language)}{f' · {region}' if region else ''}"
        if backend == "local":
            return words.say("status.embedded" if self._embedded else "status.local", language)
        return str(_attribute(self._client, "description") or type(self._client).__name__)

    def _why(self, language: str) -> str:
        parts = [words.say("status.small", language)] if self._embedded else []
        reason = _attribute(self._client, "reason")
        if reason:
            parts.append(f"{words.say('status.why', language)}: {show.reason_text(reason, language)}.")
        return " ".join(parts)

    @property
    def _embedded(self) -> bool:
        # The client's own words for the small model of its wheel; any other GGUF file is the reader's choice.
        return "only for trying things out" in str(_attribute(self._client, "description") or "")


def _attribute(client: Any, name: str) -> Any:
    try:
        return getattr(client, name, None)
    except Exception:
        return None


def _label(info: ModelInfo) -> str:
    parts = [info.provider, info.id]
    if info.price is not None:
        # For a million tokens, in and out; a mark that both languages read.
        surcharge = info.price.regional if info.regional else 1.0
        parts.append(f"${info.price.input * surcharge:.4g} → ${info.price.output * surcharge:.4g} / M")
    if info.legacy:
        parts.append("LEGACY")
    return " · ".join(parts)


def _say(key: str, language: str) -> str:
    return html.escape(words.say(key, language))
