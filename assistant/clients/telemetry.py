"""What is told about a reply when it has ended: one log line, and an OpenTelemetry span where somebody collects them.

Names follow OpenTelemetry's semantic conventions for generative AI (gen_ai.*). Nothing of the text is in either, unless
OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT is "true".
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from ..messages import Retrying
from ..reply import Reply, ReplyState
from .wire import Request

logger = logging.getLogger("assistant")


def observe(reply: Reply, sent: Callable[[], Request], *, provider: str = "aws.bedrock") -> None:
    """Tells of `reply` when it ends, and of the request that was `sent` last. Costs nothing while it streams."""
    # A program that collects spans has loaded the package; one that has not is not made to.
    tracing = "opentelemetry.trace" in sys.modules
    context: Any = None
    if tracing:
        from opentelemetry import context as contexts

        # The caller's: the reply may end in another thread.
        context = contexts.get_current()

    def tell(state: ReplyState) -> None:
        if state.started_at is None or state.ended_at is None:
            return
        request = sent()
        attributes = _attributes(state, request, provider)
        logger.info("bedrock.reply %s", attributes, extra={"reply": attributes})
        if tracing:
            _span(state, attributes, context, _content(state, request))

    reply.state.on_end(tell)


def _attributes(state: ReplyState, request: Request, provider: str) -> dict[str, Any]:
    usage = state.usage
    found: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": request.model,
        "gen_ai.request.max_tokens": request.max_tokens,
        "gen_ai.request.temperature": request.temperature,
        "gen_ai.request.top_p": request.top_p,
        "gen_ai.response.finish_reasons": [state.raw_stop_reason or state.stop_reason or "other"],
        "assistant.stop_reason": state.stop_reason,
        "assistant.attempts": 1 + sum(isinstance(item, Retrying) for item in state.log),
        "aws.region": request.region,
    }
    if usage is not None:
        found["gen_ai.usage.input_tokens"] = usage.total_input_tokens
        found["gen_ai.usage.output_tokens"] = usage.output_tokens
        found["gen_ai.usage.cache_read.input_tokens"] = usage.cache_read_tokens
        found["gen_ai.usage.cache_creation.input_tokens"] = usage.cache_write_tokens
        found["assistant.cost_usd"] = usage.cost
    if state.first_text_at is not None and state.started_at is not None:
        found["gen_ai.response.time_to_first_chunk"] = state.first_text_at - state.started_at
    if state.error is not None:
        found["error.type"] = getattr(state.error, "code", None) or type(state.error).__name__
    return {name: value for name, value in found.items() if value is not None}


def _content(state: ReplyState, request: Request) -> dict[str, str]:
    if os.environ.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "").lower() != "true":
        return {}
    said = [_message(message.role, message.text) for message in request.messages]
    return {
        "gen_ai.input.messages": json.dumps(said, ensure_ascii=False),
        "gen_ai.output.messages": json.dumps([_message("assistant", state.text)], ensure_ascii=False),
    }


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _span(state: ReplyState, attributes: dict[str, Any], context: Any, content: dict[str, str]) -> None:
    from opentelemetry import trace

    now = time.time_ns()
    began = now - int(((state.ended_at or 0) - (state.started_at or 0)) * 1e9)
    span = trace.get_tracer("assistant").start_span(
        f"chat {attributes['gen_ai.request.model']}",
        context=context,
        kind=trace.SpanKind.CLIENT,
        attributes={**attributes, **content},
        start_time=began,
    )
    if state.error is not None:
        span.set_status(trace.StatusCode.ERROR, type(state.error).__name__)
    span.end(now)
