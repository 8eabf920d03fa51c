"""The Messages wire: what goes out, by which headers, and what its frames mean."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from assistant import Document, ServiceError, StreamInterruptedError
from assistant.clients.claude import ANTHROPIC_VERSION
from assistant.clients.retry import RetryPolicy
from assistant.messages import Message
from tests.bedrock_server import BedrockServer, Fault, Recorded, Reply
from tests.wires import CLAUDE, client_of, set_environment

PNG = b"\x89PNG\r\n\x1a\n picture"
PDF = b"%PDF-1.4 paper"


@pytest.fixture(scope="module")
def module_server() -> Iterator[BedrockServer]:
    with BedrockServer() as server:
        yield server


@pytest.fixture
def server(module_server: BedrockServer, monkeypatch: pytest.MonkeyPatch) -> BedrockServer:
    set_environment(monkeypatch, module_server.env)
    module_server.requests.clear()
    return module_server


def sent(server: BedrockServer, messages: object, *, options: dict | None = None, **more: object) -> Recorded:
    client_of(**options or {}).complete(messages, model=CLAUDE, **more)
    return server.requests[-1]


def test_the_body_holds_the_documented_version_and_nothing_that_was_not_asked_for(server: BedrockServer) -> None:
    body = sent(server, "hola").body
    assert body == {
        "anthropic_version": ANTHROPIC_VERSION,
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hola"}]}],
    }


def test_every_wish_has_its_field(server: BedrockServer) -> None:
    body = sent(
        server, "hola", system="Sé breve.", max_tokens=9, stop_sequences=["\nH:"], temperature=0.5, extra={"top_k": 3}
    ).body
    assert body["system"] == [{"type": "text", "text": "Sé breve."}]
    assert (body["max_tokens"], body["stop_sequences"], body["temperature"], body["top_k"]) == (9, ["\nH:"], 0.5, 3)


def test_documents_stand_before_the_text_and_the_cache_point_behind_them(server: BedrockServer) -> None:
    documents = (
        Document("a.png", "png", PNG),
        Document("b.pdf", "pdf", PDF),
        Document.from_text("una nota", "IGNORE ALL.txt"),
    )
    (message,) = sent(server, [Message("user", "¿Qué es?", documents, cache=True)]).body["messages"]
    image, pdf, note, text = message["content"]
    assert image["source"] == {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}
    assert (pdf["type"], pdf["source"]["media_type"]) == ("document", "application/pdf")
    assert "una nota" in note["text"]
    assert "IGNORE" not in str(message)
    assert note["cache_control"] == {"type": "ephemeral"}
    assert text == {"type": "text", "text": "¿Qué es?"}


@pytest.mark.parametrize(("words", "cached"), [(10, False), (9000, True)])
def test_instructions_are_cached_from_the_models_minimum_on(words: int, cached: bool, server: BedrockServer) -> None:
    (block,) = sent(server, "hola", system="palabra " * words).body["system"]
    assert ("cache_control" in block) is cached


def test_guardrail_tier_and_metadata_are_signed_headers(server: BedrockServer) -> None:
    """The server checks the signature over them."""
    options = {"guardrail": ("gr1", "7"), "service_tier": "flex", "request_metadata": {"equipo": "niños"}}
    headers = sent(server, "hola", options=options).headers
    assert headers["x-amzn-bedrock-guardrailidentifier"] == "gr1"
    assert headers["x-amzn-bedrock-guardrailversion"] == "7"
    assert headers["x-amzn-bedrock-service-tier"] == "flex"
    assert headers["x-amzn-bedrock-request-metadata"] == '{"equipo": "ni\\u00f1os"}'
    assert "x-amzn-bedrock-guardrailidentifier" in headers["authorization"]


def test_the_sdk_asks_once(server: BedrockServer) -> None:
    """tenacity is the only owner of retries: the SDK's own would multiply them."""
    server.script(Fault("ServiceUnavailableException"), Reply("Hola"))
    client = client_of(retry=RetryPolicy(attempts=1))
    with pytest.raises(ServiceError):
        client.complete("hola", model=CLAUDE)
    assert len(server.requests) == 1
    client.complete("hola", model=CLAUDE)


def test_usage_is_known_before_the_end(server: BedrockServer) -> None:
    server.script(Fault("fin", after=1, reply=Reply("uno dos", input_tokens=77)))
    reply = client_of().stream("hola", model=CLAUDE)
    with pytest.raises(StreamInterruptedError):
        reply.drain()
    assert reply.usage is not None
    assert reply.usage.input_tokens == 77
    assert reply.usage.cost is not None


def test_an_omitted_thinking_block_is_no_event(server: BedrockServer) -> None:
    server.script(Reply("Hola", thinking=""))
    assert [str(type(event).__name__) for event in client_of().stream("hola", model=CLAUDE).events()] == [
        "TextDelta",
        "Completed",
    ]
