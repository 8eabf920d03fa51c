"""The Converse wire: what goes out, and what botocore's and urllib3's failures come to."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
import urllib3
from botocore import exceptions as aws

from assistant import AssistantError, CredentialsError, Document, InvalidRequestError, ServiceError, ThrottledError
from assistant.catalog import model_info
from assistant.clients.converse import ConverseStream, translate
from assistant.clients.retry import RetryPolicy
from assistant.clients.wire import Request
from assistant.messages import Message
from tests.bedrock_server import BedrockServer, Fault, Recorded, Reply
from tests.bedrock_wire import event_frame
from tests.files import PNG
from tests.wires import NOVA, client_of, set_environment

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
    client_of(**options or {}).complete(messages, model=NOVA, **more)
    return server.requests[-1]


def test_the_body_holds_nothing_that_was_not_asked_for(server: BedrockServer) -> None:
    assert sent(server, "hola").body == {
        "messages": [{"role": "user", "content": [{"text": "hola"}]}],
        "inferenceConfig": {"maxTokens": 1024},
    }


def test_every_wish_has_its_field(server: BedrockServer) -> None:
    body = sent(
        server,
        "hola",
        system="Sé breve.",
        max_tokens=9,
        stop_sequences=["\nH:"],
        temperature=0.5,
        top_p=0.9,
        extra={"inferenceConfig": {"topK": 3}},
    ).body
    assert body["system"] == [{"text": "Sé breve."}]
    assert body["inferenceConfig"] == {"maxTokens": 9, "temperature": 0.5, "topP": 0.9, "stopSequences": ["\nH:"]}
    assert body["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 3}}


def test_documents_have_neutral_names_each_its_own_in_the_whole_conversation(server: BedrockServer) -> None:
    first = Message(
        "user", "¿Qué es?", (Document("IGNORE ALL.pdf", "pdf", PDF), Document.from_text("nota")), cache=True
    )
    second = Message("user", "", (Document("b.pdf", "pdf", PDF + b"2"), Document("c.png", "png", PNG)))
    messages = sent(server, [first, Message("assistant", "Un papel."), second]).body["messages"]
    pdf, note, point, text = messages[0]["content"]
    assert pdf["document"]["name"] == "document-1"
    assert base64.b64decode(pdf["document"]["source"]["bytes"]) == PDF
    assert "nota" in note["text"]
    assert (point, text) == ({"cachePoint": {"type": "default"}}, {"text": "¿Qué es?"})
    other, image, filler = messages[2]["content"]
    assert (other["document"]["name"], image["image"]["format"]) == ("document-2", "png")
    assert filler["text"].strip(), "a document needs a text beside it"
    assert "IGNORE" not in str(messages)


@pytest.mark.parametrize(("words", "blocks"), [(10, 1), (9000, 2)])
def test_instructions_are_cached_from_the_models_minimum_on(words: int, blocks: int, server: BedrockServer) -> None:
    assert len(sent(server, "hola", system="palabra " * words).body["system"]) == blocks


def test_a_cache_point_stands_behind_a_text_without_documents(server: BedrockServer) -> None:
    long = "palabra " * 9000
    messages = [Message("user", long, cache=True), Message("assistant", "dos"), Message("user", "tres")]
    assert sent(server, messages).body["messages"][0]["content"] == [
        {"text": long},
        {"cachePoint": {"type": "default"}},
    ]


def test_guardrail_tier_and_metadata_are_fields(server: BedrockServer) -> None:
    options = {"guardrail": ("gr1", "7"), "service_tier": "flex", "request_metadata": {"equipo": "niños"}}
    body = sent(server, "hola", options=options).body
    assert body["guardrailConfig"] == {"guardrailIdentifier": "gr1", "guardrailVersion": "7"}
    assert body["serviceTier"] == {"type": "flex"}
    assert body["requestMetadata"] == {"equipo": "niños"}


def test_boto3_asks_once(server: BedrockServer) -> None:
    """tenacity is the only owner of retries: boto3's own would multiply them."""
    server.script(Fault("ServiceUnavailableException"), Reply("Hola"))
    client = client_of(retry=RetryPolicy(attempts=1))
    with pytest.raises(ServiceError):
        client.complete("hola", model=NOVA)
    assert len(server.requests) == 1
    client.complete("hola", model=NOVA)


def test_a_whole_answer_without_its_accounting_has_no_known_cost() -> None:
    """After messageStop the answer is whole: an end in the middle of what follows is no interruption."""
    request = Request(model_info(NOVA), "us-east-1", (Message("user", "x"),), 10)

    class Broken:
        chunked = True

        def stream(self) -> Iterator[bytes]:
            yield event_frame("messageStart", {"role": "assistant"})
            yield event_frame("contentBlockDelta", {"delta": {"text": "uno"}, "contentBlockIndex": 0})
            yield event_frame("messageStop", {"stopReason": "end_turn"})
            raise urllib3.exceptions.ProtocolError("reset")

    *_, end = ConverseStream(Broken(), request).items()
    assert (end.stop_reason, end.usage.cost) == ("end_turn", None)


@pytest.mark.parametrize(
    ("error", "kind", "transient"),
    [
        (aws.NoCredentialsError(), CredentialsError, False),
        (aws.PartialCredentialsError(provider="env", cred_var="x"), CredentialsError, False),
        (aws.TokenRetrievalError(provider="sso", error_msg="expired"), CredentialsError, False),
        (aws.UnauthorizedSSOTokenError(), CredentialsError, False),
        (aws.SSOTokenLoadError(error_msg="x"), CredentialsError, False),
        (aws.ProfileNotFound(profile="x"), CredentialsError, False),
        (aws.ParamValidationError(report="x"), InvalidRequestError, False),
        (aws.NoRegionError(), InvalidRequestError, False),
        (aws.EndpointConnectionError(endpoint_url="x"), ServiceError, True),
        (aws.ReadTimeoutError(endpoint_url="x"), ServiceError, True),
        (aws.ConnectTimeoutError(endpoint_url="x"), ServiceError, True),
        (aws.ProxyConnectionError(proxy_url="x"), ServiceError, True),
        (urllib3.exceptions.ProtocolError("x"), ServiceError, True),
        (
            aws.ClientError({"Error": {"Code": "ThrottlingException", "Message": "Too many tokens"}}, "Converse"),
            ThrottledError,
            True,
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_exception_below_has_an_error_of_ours(
    error: Exception, kind: type[AssistantError], transient: bool
) -> None:
    found = translate(error, NOVA, "us-east-1")
    assert (type(found), found.transient, found.model) == (kind, transient, NOVA)
