"""The requests for one reply: what is put right between them, and how often."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from assistant import BedrockClient, InvalidRequestError, ModelNotFoundError
from assistant.clients.rules import LEARNED
from tests import wires
from tests.bedrock_errors import NO_TEMPERATURE
from tests.bedrock_server import BedrockServer, Fault, Reply
from tests.wires import NOVA, both_wires, client_of, inferences

module_server, server, shared, client = wires.module_server, wires.server, wires.shared, wires.client


@pytest.fixture
def newer(server: BedrockServer) -> Iterator[None]:
    """Models that came out after models.toml was written."""
    kept = list(server.models), list(server.profiles)
    for model, provider in (("anthropic.claude-opus-9-20280101-v1:0", "Anthropic"), ("amazon.nova-9", "Amazon")):
        server.models.append(
            server.models[0] | {"modelId": model, "modelArn": f"arn:m/{model}", "providerName": provider}
        )
        for geography in ("global", "us", "eu"):
            profile = server.profiles[0] | {
                "inferenceProfileId": f"{geography}.{model}",
                "inferenceProfileArn": f"arn:p/{geography}.{model}",
                "models": [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{model}"}],
            }
            server.profiles.append(profile)
    yield
    server.models[:], server.profiles[:] = kept


@pytest.mark.parametrize(
    ("asked", "called"),
    [
        ("anthropic.claude-opus-9-20280101-v1:0", "us.anthropic.claude-opus-9-20280101-v1:0"),
        ("claude-opus-9", "us.anthropic.claude-opus-9-20280101-v1:0"),
        ("amazon.nova-9", "us.amazon.nova-9"),
        ("nova-9", "us.amazon.nova-9"),
    ],
)
def test_the_accounts_list_tells_the_profile_of_a_model_that_the_package_does_not_know(
    asked: str, called: str, newer: None, server: BedrockServer
) -> None:
    client = client_of()
    reply = client.complete("hola", model=asked)
    assert (str(reply), reply.model) == (f"model={called} text=hola", called)
    assert [notice.values for notice in reply.notices] == [{"model": asked, "profile": called}]
    assert len(inferences(server)) == 2
    assert client.complete("hola", model=asked).model == called
    assert len(inferences(server)) == 3, "what was found costs no request any more"


def test_the_accounts_list_never_gives_another_model_or_another_geography(newer: None, server: BedrockServer) -> None:
    client = client_of()
    for asked in ("ap.amazon.nova-9", "jp.amazon.nova-9", "nova-99", "claude-opus-9-1", "deepseek.nova-9"):
        with pytest.raises(ModelNotFoundError):
            client.complete("hola", model=asked)
    server.deny.add("ListFoundationModels")
    with pytest.raises(ModelNotFoundError):
        client_of().complete("hola", model="amazon.nova-9")
    assert len(inferences(server)) == 6


@both_wires
def test_a_parameter_that_the_model_refuses_is_left_out_once_and_for_all(
    model: str, client: BedrockClient, server: BedrockServer
) -> None:
    server.script(Fault("ValidationException", message=NO_TEMPERATURE))
    reply = client.complete("hola", model=model, temperature=0.5)
    assert [recorded.asked.sampling for recorded in server.requests] == [{"temperature": 0.5}, {}]
    assert [notice.values["parameter"] for notice in reply.notices] == ["temperature"]
    again = client.complete("hola", model=model, temperature=0.5)
    assert len(server.requests) == 3, "what was learned costs no request any more"
    assert [notice.values["parameter"] for notice in again.notices] == ["temperature"]


@both_wires
def test_what_was_learned_holds_for_that_model_alone(model: str, client: BedrockClient, server: BedrockServer) -> None:
    server.script(Fault("ValidationException", message=NO_TEMPERATURE))
    client.complete("hola", model=model, temperature=0.5)
    client.complete("hola", model="us.anthropic.claude-sonnet-4-6", temperature=0.5)
    assert server.requests[-1].asked.sampling == {"temperature": 0.5}


@both_wires
def test_there_is_one_corrected_try_and_no_more(model: str, client: BedrockClient, server: BedrockServer) -> None:
    refusal = Fault("ValidationException", message=NO_TEMPERATURE)
    server.script(refusal, refusal)
    with pytest.raises(InvalidRequestError):
        client.complete("hola", model=model, temperature=0.5)
    assert len(server.requests) == 2


@both_wires
def test_a_refusal_after_text_is_not_tried_again(model: str, client: BedrockClient, server: BedrockServer) -> None:
    """Two requests never answer one turn."""
    late = Fault("validationException", after=1, message=NO_TEMPERATURE, reply=Reply("uno dos"))
    server.script(late)
    with pytest.raises(InvalidRequestError) as error:
        client.complete("hola", model=model, temperature=0.5)
    assert (len(server.requests), error.value.partial) == (1, "uno")


def test_a_refusal_of_something_that_was_not_sent_teaches_nothing(client: BedrockClient, server: BedrockServer) -> None:
    server.script(Fault("ValidationException", message=NO_TEMPERATURE))
    with pytest.raises(InvalidRequestError):
        client.complete("hola", model=NOVA, top_p=0.5)
    assert (len(server.requests), LEARNED.refused("nova-lite")) == (1, frozenset())
