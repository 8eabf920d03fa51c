"""BedrockClient: the model that is asked for is the model that is called, by its rules, and the reply says what was
done about them. Against real frames; the wires have files of their own."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from assistant import BedrockClient, ChatSession, InvalidRequestError, ModelAccessError, ModelNotFoundError
from assistant.messages import Message, Notice, ThinkingDelta, Usage
from tests import wires
from tests.bedrock_server import BedrockServer, Reply
from tests.wires import CLAUDE, NOVA, both_wires, caught, client_of, inferences, session_of

module_server, server, shared, client = wires.module_server, wires.server, wires.shared, wires.client

OPUS = "us.anthropic.claude-opus-4-7"
TEAM = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6"


def codes(notices: list[Notice]) -> list[str]:
    return [notice.code for notice in notices]


# --- which model ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "called", "notice"),
    [
        (None, "us.anthropic.claude-haiku-5-5", False),
        ("claude-haiku-4-5", CLAUDE, False),
        ("nova-lite", NOVA, False),
        ("anthropic.claude-opus-4-7", OPUS, True),
        ("anthropic.claude-haiku-4-5-20251001-v1:0", CLAUDE, True),
        ("global.anthropic.claude-opus-4-7", "global.anthropic.claude-opus-4-7", False),
        (OPUS, OPUS, False),
        (NOVA, NOVA, False),
        ("us.amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1:0", False),
        ("moonshotai.kimi-k2.5", "moonshotai.kimi-k2.5", False),
        ("gpt-oss-120b", "openai.gpt-oss-120b-1:0", False),
        ("deepseek-r1", "us.deepseek.r1-v1:0", False),
        ("qwen.qwen3-32b", "qwen.qwen3-32b-v1:0", False),
        ("us.anthropic.claude-haiku-4-5", CLAUDE, False),
        ("global.claude-opus-4-7", "global.anthropic.claude-opus-4-7", False),
        ("us.meta.llama3-3-70b-instruct-v1:0", "us.meta.llama3-3-70b-instruct-v1:0", False),
        (f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{OPUS}", None, False),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{NOVA}", None, False),
        (TEAM, None, False),
    ],
)
def test_the_model_that_is_asked_for_is_the_model_that_is_called(
    asked: str | None, called: str | None, notice: bool, client: BedrockClient, server: BedrockServer
) -> None:
    called = called or asked
    reply = client.complete("hola", model=asked)
    (recorded,) = inferences(server)
    assert recorded.model == called == reply.model
    assert recorded.operation.startswith("Invoke") is ("claude" in str(called) or called == TEAM)
    assert codes(reply.notices) == (["profile_chosen"] if notice else [])
    if notice:
        assert reply.notices[0].values == {"model": asked, "profile": called}


def test_a_name_that_does_not_exist_comes_back_with_those_that_look_like_it(client: BedrockClient) -> None:
    with pytest.raises(ModelNotFoundError) as error:
        client.complete("hola", model="Claude-Haiku-45")
    assert error.value.hint.startswith('Did you mean "claude-haiku-4-5"')


@pytest.mark.parametrize("options", [{}, {"temperature": 0.5}, {"max_tokens": 5, "stop_sequences": ("x",)}])
def test_no_set_of_options_changes_the_model(
    options: dict[str, Any], client: BedrockClient, server: BedrockServer
) -> None:
    """The program this one began with fell back to its default model when nothing else was set."""
    for model in (CLAUDE, NOVA):
        client.complete("hola", model=model, **options)
        assert server.requests[-1].model == model


def test_the_environment_names_the_default_model(
    client: BedrockClient, server: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSISTANT_MODEL", "nova-lite")
    assert client.default_model == client.complete("hola").model == NOVA


@pytest.mark.parametrize(
    ("region", "called"),
    [
        ("us-west-2", "us.anthropic.claude-opus-4-7"),
        ("eu-west-1", "eu.anthropic.claude-opus-4-7"),
        ("ap-northeast-1", "jp.anthropic.claude-opus-4-7"),
        ("sa-east-1", "global.anthropic.claude-opus-4-7"),
        ("ca-central-1", "us.anthropic.claude-opus-4-7"),
    ],
)
def test_a_base_id_gets_the_profile_of_the_regions_geography_and_else_the_global_one(region: str, called: str) -> None:
    assert BedrockClient(region=region).resolve("anthropic.claude-opus-4-7")[0].id == called


@pytest.mark.parametrize(
    "model", ["anthropic.claude-instant-v1", "claude-v2", "claude-3-haiku", "titan-text-express-v1"]
)
def test_a_retired_model_is_refused_before_anything_is_sent_and_names_todays(
    model: str, client: BedrockClient, server: BedrockServer
) -> None:
    with pytest.raises(ModelNotFoundError, match="no longer offered") as error:
        client.stream("hola", model=model)
    assert "model=" in error.value.hint
    assert server.requests == []


# --- rules ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "asked", "sent", "left_out"),
    [
        (OPUS, {"temperature": 0.2, "top_p": 0.9}, {}, ["temperature", "top_p"]),
        (OPUS, {"extra": {"top_k": 5}}, {}, ["top_k"]),
        ("us.anthropic.claude-sonnet-4-6", {"temperature": 0.2, "top_p": 0.9}, {"temperature": 0.2}, ["top_p"]),
        ("us.anthropic.claude-sonnet-4-6", {"top_p": 0.9}, {"top_p": 0.9}, []),
        (CLAUDE, {"temperature": 0.2, "extra": {"top_k": 5}}, {"temperature": 0.2, "top_k": 5}, []),
        (NOVA, {"temperature": 0.2, "top_p": 0.9}, {"temperature": 0.2, "top_p": 0.9}, []),
        (CLAUDE, {}, {}, []),
        (NOVA, {}, {}, []),
        (
            "us.anthropic.claude-sonnet-4-6",
            {"thinking": True, "temperature": 0.2},
            {},
            ["temperature"],
        ),
    ],
)
def test_what_a_model_does_not_take_is_not_sent_and_is_told(
    model: str,
    asked: dict[str, Any],
    sent: dict[str, float],
    left_out: list[str],
    client: BedrockClient,
    server: BedrockServer,
) -> None:
    reply = client.complete("hola", model=model, **asked)
    assert server.requests[-1].asked.sampling == sent
    assert [notice.values["parameter"] for notice in reply.notices] == left_out
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("model", "asked", "thinking", "effort", "left_out"),
    [
        (OPUS, {"thinking": True}, {"type": "adaptive"}, None, []),
        (OPUS, {"thinking": False}, {}, None, []),
        ("us.anthropic.claude-sonnet-5-5", {"thinking": False}, {"type": "between_tools"}, None, []),
        ("us.anthropic.claude-haiku-5-5", {"thinking": False}, {"type": "disabled"}, None, []),
        ("us.anthropic.claude-opus-5-5", {"thinking": False}, {}, None, ["thinking"]),
        ("us.anthropic.claude-opus-5-5", {"thinking": True}, {}, None, []),
        (CLAUDE, {"thinking": True}, {"type": "enabled", "budget_tokens": 4096}, None, []),
        (CLAUDE, {"thinking": True, "max_tokens": 1025}, {"type": "enabled", "budget_tokens": 1024}, None, []),
        (CLAUDE, {"thinking": True, "max_tokens": 500}, {}, None, ["thinking"]),
        (NOVA, {"thinking": True}, {}, None, ["thinking"]),
        ("us.anthropic.claude-haiku-5-5", {"thinking": False, "effort": "max"}, {}, "max", ["thinking"]),
        ("us.anthropic.claude-haiku-5-5", {"thinking": False, "effort": "high"}, {"type": "disabled"}, "high", []),
        (OPUS, {"effort": "xhigh"}, {}, "xhigh", []),
        ("us.anthropic.claude-sonnet-4-6", {"effort": "xhigh"}, {}, None, ["effort"]),
        ("us.anthropic.claude-sonnet-4-6", {"effort": "low"}, {}, "low", []),
        (CLAUDE, {"effort": "low"}, {}, None, ["effort"]),
        (NOVA, {"effort": "low"}, {}, None, ["effort"]),
    ],
)
def test_effort_and_thinking_go_where_they_are_understood(
    model: str,
    asked: dict[str, Any],
    thinking: dict[str, Any],
    effort: str | None,
    left_out: list[str],
    client: BedrockClient,
    server: BedrockServer,
) -> None:
    """The server refuses what the model would."""
    reply = client.complete("hola", model=model, **asked)
    recorded = server.requests[-1].asked
    assert (recorded.thinking, recorded.effort) == (thinking, effort)
    assert [notice.values["parameter"] for notice in reply.notices] == left_out


NOVA_2, GPT_OSS = "us.amazon.nova-2-lite-v1:0", "openai.gpt-oss-120b-1:0"


@pytest.mark.parametrize(
    ("model", "asked", "fields", "left_out"),
    [
        (NOVA_2, {"effort": "low"}, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}, []),
        (NOVA_2, {"thinking": True}, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}}, []),
        (NOVA_2, {"thinking": False}, None, []),
        (NOVA_2, {"effort": "high"}, None, ["effort"]),
        (GPT_OSS, {"effort": "high"}, {"reasoning_effort": "high"}, []),
        (GPT_OSS, {"thinking": False}, None, ["thinking"]),
        (GPT_OSS, {}, None, []),
    ],
)
def test_effort_goes_into_the_field_that_a_model_of_converse_has_for_it(
    model: str,
    asked: dict[str, Any],
    fields: dict[str, Any] | None,
    left_out: list[str],
    client: BedrockClient,
    server: BedrockServer,
) -> None:
    reply = client.complete("hola", model=model, **asked)
    (recorded,) = server.requests
    assert recorded.body.get("additionalModelRequestFields") == fields
    assert "outputConfig" not in recorded.body
    assert [notice.values["parameter"] for notice in reply.notices] == left_out
    assert recorded.asked.max_tokens == (8192 if fields or model == GPT_OSS else 1024)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 5},
        {"temperature": -0.1},
        {"temperature": "hot"},
        {"temperature": float("nan")},
        {"top_p": 1.5},
        {"max_tokens": 0},
        {"max_tokens": 1.5},
        {"max_tokens": 10_000_000},
        {"stop_sequences": [""]},
        {"effort": "enormous"},
        {"extra": {"temprature": 1}},
        {"extra": ["top_k"]},
        {"extra": {"top_k": "many"}},
    ],
    ids=str,
)
def test_a_value_out_of_range_is_refused_before_anything_is_sent(
    options: dict[str, Any], client: BedrockClient, server: BedrockServer
) -> None:
    with pytest.raises(InvalidRequestError):
        client.stream("hola", model=CLAUDE, **options)
    assert server.requests == []


@pytest.mark.parametrize("model", [CLAUDE, NOVA])
def test_halves_of_characters_are_not_sent(model: str, client: BedrockClient, server: BedrockServer) -> None:
    session = ChatSession(client, model=model, system="brief \ud83d")
    assert "half \ufffd of" in session.send("half \ud83d of it").text
    assert session.transcript[0].user == "half \ufffd of it"
    assert "brief \ufffd" in str(inferences(server)[0].body["system"])


def test_a_text_in_place_of_a_list_of_stop_sequences_is_a_type_error(client: BedrockClient) -> None:
    """Its letters would each be one, and the answer end at the first of them."""
    session = ChatSession(client)
    for call in (
        lambda: client.stream("hola", stop_sequences="END"),
        lambda: session.stream("hola", stop_sequences="END"),
        lambda: ChatSession(client, stop_sequences="END"),
    ):
        with pytest.raises(TypeError, match="stop_sequences"):
            call()
    assert session.transcript == []
    assert not session.busy


def test_a_misspelt_keyword_is_a_type_error(client: BedrockClient) -> None:
    with pytest.raises(TypeError):
        client.stream("hola", temprature=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        client.complete("hola", temprature=1)


def test_max_tokens_unset_means_more_where_the_model_thinks(client: BedrockClient, server: BedrockServer) -> None:
    sent = {}
    for model, thinking in ((CLAUDE, None), (CLAUDE, True), ("us.anthropic.claude-haiku-5-5", None), (NOVA, None)):
        client.complete("hola", model=model, thinking=thinking)
        sent[model, thinking] = server.requests[-1].asked.max_tokens
    assert list(sent.values()) == [1024, 8192, 8192, 1024]


# --- what comes back --------------------------------------------------------------------------------------------------


@both_wires
def test_thinking_is_an_event_of_its_own_and_never_text(
    model: str, client: BedrockClient, server: BedrockServer
) -> None:
    server.script(Reply("Hola", thinking="primero pienso"))
    session = session_of(client, model)
    reply = session.stream("hola")
    events = list(reply.events())
    assert [event.text for event in events if isinstance(event, ThinkingDelta)] == ["primero pienso"]
    assert (reply.text, session.transcript[0].reply) == ("Hola", "Hola")
    session.send("sigue")
    assert "pienso" not in str(server.requests[-1].body)


@both_wires
def test_usage_counts_the_cache_and_costs_by_the_models_price(
    model: str, client: BedrockClient, server: BedrockServer
) -> None:
    server.script(Reply("Hola", input_tokens=100, output_tokens=7, cache_read=50, cache_write=20))
    usage = client.complete("hola", model=model).usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens) == (
        100,
        7,
        50,
        20,
    )
    assert usage.cost == client.model_info(model).cost(Usage(100, 7, 50, 20))


@both_wires
def test_a_reply_tells_its_text_and_reason_while_it_streams(
    model: str, client: BedrockClient, server: BedrockServer
) -> None:
    server.script(Reply("uno dos tres", stop_reason="max_tokens"))
    reply = client.stream("hola", model=model)
    steps = iter(reply)
    next(steps)
    assert (reply.text, reply.stop_reason) == ("uno", None)
    assert "".join(steps) == " dos tres"
    assert (reply.stop_reason, reply.raw_stop_reason) == ("max_tokens", "max_tokens")


def test_prefill_goes_where_it_is_taken_and_is_refused_elsewhere(client: BedrockClient, server: BedrockServer) -> None:
    messages = [Message("user", "Cuenta"), Message("assistant", "Uno, dos, \n")]
    client.complete(messages, model=CLAUDE)
    assert server.requests[-1].asked.messages[-1] == ("assistant", ["Uno, dos,"])
    with pytest.raises(InvalidRequestError, match="beginning"):
        client.stream(messages, model=OPUS)
    assert len(server.requests) == 1


def test_the_exact_request_is_logged_at_debug_without_credentials(
    client: BedrockClient, server: BedrockServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="assistant"):
        client.complete("hola", model=NOVA)
    (record,) = [record for record in caplog.records if record.message == "bedrock.request"]
    assert record.body["modelId"] == NOVA
    assert server.env["AWS_SECRET_ACCESS_KEY"] not in str([vars(record) for record in caplog.records])


# --- counting, options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "exact"), [("claude-haiku-4-5", True), (OPUS, False), (NOVA, False)], ids=["4.5", "4.7", "nova"]
)
def test_tokens_are_counted_where_the_service_counts_and_estimated_elsewhere(
    model: str, exact: bool, client: BedrockClient, server: BedrockServer
) -> None:
    count = client.count_tokens("una frase que no es corta", model=model, system="Sé breve.")
    assert (count.exact, 3 < count.tokens < 40) == (exact, True)
    assert "." in server.requests[-1].model
    assert not server.requests[-1].model.startswith("us.")


@pytest.mark.parametrize(
    "options",
    [
        {"guardrail": ("only-one",)},
        {"guardrail": ("", "1")},
        {"service_tier": "golden"},
        {"request_metadata": {str(number): "x" for number in range(17)}},
        {"request_metadata": {"a": 1}},
    ],
    ids=str,
)
def test_options_of_the_client_are_checked(options: dict[str, Any]) -> None:
    assert isinstance(caught(lambda: BedrockClient(**options)), InvalidRequestError)


@both_wires
def test_an_action_that_is_not_allowed_names_what_to_allow(
    model: str, client: BedrockClient, server: BedrockServer
) -> None:
    server.deny.add("InvokeModelWithResponseStream")
    with pytest.raises(ModelAccessError) as error:
        client.complete("hola", model=model)
    assert "bedrock:InvokeModelWithResponseStream" in error.value.hint
    assert len(server.requests) == 1


@both_wires
def test_warm_builds_the_clients_without_a_request(model: str, server: BedrockServer) -> None:
    client = client_of()
    client.warm()
    assert server.requests == []
    client.complete("hola", model=model)


def test_construction_needs_nothing() -> None:
    assert BedrockClient().backend == "bedrock"
