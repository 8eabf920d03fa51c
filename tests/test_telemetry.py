"""What is told about a reply: one log line and one span, without the text."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from assistant import BedrockClient, RetryPolicy, ServiceError
from tests.bedrock_server import BedrockServer, Fault, Reply

MODELS = ["claude-haiku-4-5", "nova-lite"]


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # Once a process: OpenTelemetry refuses a second one.
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> InMemorySpanExporter:
    exporter.clear()
    return exporter


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockServer]:
    with BedrockServer() as running:
        for name, value in running.env.items():
            monkeypatch.setenv(name, value)
        yield running


def client() -> BedrockClient:
    return BedrockClient(retry=RetryPolicy(attempts=2, sleep=lambda token, seconds: False))


def only(spans: InMemorySpanExporter) -> tuple[ReadableSpan, dict]:
    (span,) = spans.get_finished_spans()
    return span, dict(span.attributes or {})


@pytest.mark.parametrize("model", MODELS)
def test_a_reply_is_one_span_with_tokens_and_no_text(
    server: BedrockServer, spans: InMemorySpanExporter, model: str
) -> None:
    server.script(Fault("ThrottlingException"), Reply(text="SECRET answer", input_tokens=11, output_tokens=7))
    with trace.get_tracer("test").start_as_current_span("caller") as caller:
        reply = client().complete("SECRET question", model=model, max_tokens=50, temperature=0.5)
    span = next(span for span in spans.get_finished_spans() if span.name.startswith("chat "))
    found = dict(span.attributes or {})
    assert span.name == f"chat {reply.model}"
    assert span.parent is not None
    assert span.parent.span_id == caller.get_span_context().span_id
    assert (found["gen_ai.provider.name"], found["gen_ai.request.max_tokens"]) == ("aws.bedrock", 50)
    assert found["gen_ai.request.temperature"] == 0.5
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (11, 7)
    assert (found["assistant.attempts"], found["gen_ai.response.finish_reasons"]) == (2, ("end_turn",))
    assert found["gen_ai.response.time_to_first_chunk"] >= 0
    assert "SECRET" not in str(found)


@pytest.mark.parametrize("model", MODELS)
def test_a_failure_is_told_with_its_type(server: BedrockServer, spans: InMemorySpanExporter, model: str) -> None:
    server.script(Fault("InternalServerException"), Fault("InternalServerException"))
    with pytest.raises(ServiceError):
        client().complete("hi", model=model)
    span, found = only(spans)
    assert not span.status.is_ok
    assert (found["error.type"], found["assistant.stop_reason"]) == ("InternalServerException", "error")


def test_the_text_is_told_where_it_is_asked_for(
    server: BedrockServer, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    server.script(Reply(text="Hola."))
    client().complete("¿Qué tal?", model="nova-lite")
    _, found = only(spans)
    assert json.loads(str(found["gen_ai.input.messages"]))[0]["parts"][0]["content"] == "¿Qué tal?"
    assert json.loads(str(found["gen_ai.output.messages"]))[0]["parts"][0]["content"] == "Hola."


def test_a_reply_that_never_began_is_not_told(server: BedrockServer, spans: InMemorySpanExporter) -> None:
    client().stream("hi", model="nova-lite").cancel()
    assert spans.get_finished_spans() == ()


def test_one_log_line_a_reply_and_the_exact_request_at_debug(
    server: BedrockServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="assistant")
    client().complete("hola", model="nova-lite", temperature=0.25)
    lines = [record for record in caplog.records if record.name == "assistant"]
    assert [record.getMessage().split()[0] for record in lines] == ["bedrock.request", "bedrock.reply"]
    assert lines[0].body["inferenceConfig"]["temperature"] == 0.25
    assert lines[1].reply["gen_ai.usage.output_tokens"] > 0
    everything = " ".join(str(vars(record)) for record in caplog.records if record.name == "assistant")
    assert server.env["AWS_SECRET_ACCESS_KEY"] not in everything
