"""Application inference profiles: an id that tells nothing, the model behind it, and who looks it up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from assistant import InvalidRequestError
from assistant.clients.rules import LEARNED
from tests.bedrock_server import BedrockServer, Fault
from tests.wires import Reader, client_of, set_environment

TEAM = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockServer]:
    LEARNED.clear()
    with BedrockServer() as server:
        set_environment(monkeypatch, server.env)
        yield server


def test_an_application_profile_has_the_wire_and_the_rules_of_the_model_behind_it(server: BedrockServer) -> None:
    client = client_of()
    reply = client.stream("hola", model=TEAM, temperature=0.5, top_p=0.5, extra={"anthropic_beta": ["x"]})
    assert server.requests == [], "stream() makes no request"
    reply.drain()
    assert [recorded.operation for recorded in server.requests] == [
        "GetInferenceProfile",
        "InvokeModelWithResponseStream",
    ]
    body = server.requests[-1].body
    assert (body["temperature"], "top_p" in body) == (0.5, False)
    assert [notice.code for notice in reply.notices] == ["parameter_left_out"]
    assert reply.usage is not None
    assert reply.usage.cost == client.model_info("claude-haiku-4-5").cost(reply.usage)
    assert client.model_info(TEAM).name == "claude-haiku-4-5"


def test_an_application_profile_is_looked_up_once(server: BedrockServer) -> None:
    client = client_of()
    for _ in range(3):
        client.complete("hola", model=TEAM)
    client.count_tokens("hola", model=TEAM)
    assert [r.operation for r in server.requests].count("GetInferenceProfile") == 1


def test_a_listing_tells_of_application_profiles_too(server: BedrockServer) -> None:
    client = client_of()
    assert TEAM in {info.id for info in client.models()}
    client.complete("hola", model=TEAM)
    assert "GetInferenceProfile" not in {r.operation for r in server.requests}


def test_a_profile_that_may_not_be_looked_up_is_called_on_converse_with_a_notice(server: BedrockServer) -> None:
    server.deny.add("GetInferenceProfile")
    client = client_of()
    reply = client.complete("hola", model=TEAM)
    assert [notice.code for notice in reply.notices] == ["profile_unknown"]
    assert server.requests[-1].operation == "ConverseStream"
    assert server.requests[-1].model == TEAM
    assert client.complete("hola", model=TEAM).notices == []
    assert [r.operation for r in server.requests].count("GetInferenceProfile") == 1


def test_a_failed_look_up_that_may_pass_is_made_again(server: BedrockServer) -> None:
    server.faults["GetInferenceProfile"] = Fault("ServiceUnavailableException")
    client = client_of()
    client.complete("hola", model=TEAM)
    del server.faults["GetInferenceProfile"]
    client.complete("hola", model=TEAM)
    assert server.requests[-1].operation == "InvokeModelWithResponseStream"


def test_cancel_does_not_wait_for_a_look_up(server: BedrockServer) -> None:
    server.faults["GetInferenceProfile"] = Fault("hang")
    reader = Reader(client_of().stream("hola", model=TEAM))
    assert server.wait_until(lambda: server.requests)
    reader.reply.cancel()
    reader.join()
    assert (reader.reply.stop_reason, len(server.requests)) == ("cancelled", 1)


def test_the_rules_of_a_looked_up_profile_are_checked_at_the_first_step(server: BedrockServer) -> None:
    reply = client_of().stream("hola", model=TEAM, extra={"misspelt": 1})
    with pytest.raises(InvalidRequestError, match="misspelt"):
        reply.drain()
    assert [recorded.operation for recorded in server.requests] == ["GetInferenceProfile"]
