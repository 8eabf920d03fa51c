"""The fake Bedrock is worth what the real clients say of it: boto3 and AnthropicBedrock run against it here."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import anthropic
import boto3
import botocore.session
import httpx2
import pytest
import urllib3
from botocore.config import Config
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import ClientError, ConnectionClosedError, EventStreamError, ReadTimeoutError
from botocore.loaders import create_loader

from tests.bedrock_errors import ERRORS
from tests.bedrock_server import ACCESS_KEY, SECRET_KEY, BedrockServer, Fault, Reply

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
OPUS = "us.anthropic.claude-opus-5-5"
NOVA = "amazon.nova-lite-v1:0"
BOTH_WIRES = pytest.mark.parametrize("wire_name", ["claude", "converse"])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockServer]:
    with BedrockServer() as running:
        set_environment(monkeypatch, running)
        yield running
    assert running.errors == []


@pytest.fixture
def tls_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockServer]:
    with BedrockServer(tls=True) as running:
        set_environment(monkeypatch, running)
        yield running
    assert running.errors == []


def set_environment(monkeypatch: pytest.MonkeyPatch, server: BedrockServer) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)


# Reading the service models takes most of the time that a boto3 client costs.
LOADER = create_loader()


def boto(
    service: str = "bedrock-runtime", *, secret: str | None = None, region: str = "us-east-1", **config: Any
) -> Any:
    keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": secret} if secret else {}
    settings = Config(retries={"total_max_attempts": 1}, **{"read_timeout": 10, **config})
    session = botocore.session.Session()
    session.register_component("data_loader", LOADER)
    return boto3.session.Session(region_name=region, botocore_session=session).client(service, config=settings, **keys)


def claude(server: BedrockServer, **more: Any) -> anthropic.AnthropicBedrock:
    if server.ca_file is None and "http_client" not in more:
        # Reading the world's certificates takes most of the time that this client costs.
        more["http_client"] = anthropic.DefaultHttpxClient(verify=False)
    return anthropic.AnthropicBedrock(base_url=server.url, aws_region="us-east-1", max_retries=0, **more)


def ask_claude(client: anthropic.AnthropicBedrock, model: str = HAIKU, **more: Any) -> Any:
    extra = {"anthropic_version": "bedrock-2023-05-31", **more.pop("extra_body", {})}
    request = {"max_tokens": 100, "messages": [{"role": "user", "content": "¿Qué hay?"}], **more}
    return client.messages.create(model=model, stream=True, extra_body=extra, **request)


def ask_converse(client: Any, model: str = NOVA, **more: Any) -> Any:
    request = {"messages": [{"role": "user", "content": [{"text": "¿Qué hay?"}]}], **more}
    return client.converse_stream(modelId=model, inferenceConfig=request.pop("config", {}), **request)["stream"]


def texts(events: Any) -> Iterator[str]:
    """The text deltas of either client's stream."""
    for event in events:
        if isinstance(event, dict):
            text = event.get("contentBlockDelta", {}).get("delta", {}).get("text")
        else:
            text = getattr(getattr(event, "delta", None), "text", None)
        if text:
            yield text


def start(server: BedrockServer, wire_name: str, model: str = HAIKU) -> Any:
    if wire_name == "claude":
        return ask_claude(claude(server), model)
    return ask_converse(boto(), model)


def until_it_ends(events: Any) -> tuple[list[str], BaseException | None]:
    """The text that came, and the exception that ended it."""
    seen: list[str] = []
    try:
        for text in texts(events):
            seen.append(text)
    except Exception as error:
        return seen, error
    return seen, None


# --- replies ---


@BOTH_WIRES
def test_a_real_client_streams_what_was_asked(server: BedrockServer, wire_name: str) -> None:
    assert "".join(texts(start(server, wire_name))) == f"model={HAIKU} text=¿Qué hay?"
    (recorded,) = server.requests
    assert recorded.model == HAIKU
    assert recorded.operation == {"claude": "InvokeModelWithResponseStream", "converse": "ConverseStream"}[wire_name]
    assert server.wait_until(lambda: recorded.outcome == "complete")


def test_the_claude_stream_has_all_events_and_the_counts(server: BedrockServer) -> None:
    server.script(Reply("uno dos", input_tokens=11, output_tokens=7, cache_read=5, thinking="hm"))
    events = list(ask_claude(claude(server)))
    assert [event.type for event in events] == [
        "message_start",
        *("content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"),
        *("message_delta", "message_stop"),
    ]
    assert events[0].message.usage.input_tokens == 11
    assert events[0].message.usage.cache_read_input_tokens == 5
    assert (events[-2].usage.output_tokens, events[-2].delta.stop_reason) == (7, "end_turn")


def test_the_converse_stream_has_all_events_and_the_counts(server: BedrockServer) -> None:
    server.script(Reply("uno dos", input_tokens=11, output_tokens=7, cache_read=5, thinking="hm", chunk_size=7))
    events = list(ask_converse(boto()))
    assert [next(iter(event)) for event in events] == [
        "messageStart",
        *("contentBlockDelta", "contentBlockDelta", "contentBlockStop"),
        *("contentBlockDelta", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"),
    ]
    usage = events[-1]["metadata"]["usage"]
    assert (usage["inputTokens"], usage["outputTokens"], usage["totalTokens"]) == (11, 7, 23)
    assert (usage["cacheReadInputTokens"], usage["cacheWriteInputTokens"]) == (5, 0)


def test_whole_answers(server: BedrockServer) -> None:
    server.default = Reply("uno dos")
    message = {"role": "user", "content": [{"text": "Hola"}]}
    answer = boto().converse(modelId=NOVA, messages=[message])
    assert answer["output"]["message"]["content"] == [{"text": "uno dos"}]
    reply = claude(server).messages.create(
        model=HAIKU,
        max_tokens=10,
        messages=[{"role": "user", "content": "Hola"}],
        extra_body={"anthropic_version": "bedrock-2023-05-31"},
    )
    assert reply.content[0].text == "uno dos"


@BOTH_WIRES
def test_a_stop_sequence_ends_the_text(server: BedrockServer, wire_name: str) -> None:
    server.script(Reply("uno dos\nH: tres"))
    if wire_name == "claude":
        events = list(ask_claude(claude(server), stop_sequences=["\nH:"]))
        assert events[-2].delta.stop_reason == "stop_sequence"
    else:
        events = list(ask_converse(boto(), config={"stopSequences": ["\nH:"]}))
        assert events[-2]["messageStop"]["stopReason"] == "stop_sequence"
    assert "".join(texts(events)) == "uno dos"


@BOTH_WIRES
def test_a_gate_holds_the_stream_and_a_leaving_client_is_noticed(server: BedrockServer, wire_name: str) -> None:
    server.script(Reply("uno dos tres", gate=threading.Event()))
    stream = start(server, wire_name)
    assert next(texts(stream)) == "uno"
    assert server.requests[0].outcome is None
    assert server.open_connections == 1
    stream.close()
    assert server.wait_until(lambda: server.dropped == server.requests and server.open_connections == 0)
    assert server.requests[0].sent == 1


def test_connections_are_kept_alive_and_counted(server: BedrockServer) -> None:
    client = boto()
    for _ in range(3):
        list(ask_converse(client))
    assert {recorded.connection_id for recorded in server.requests} == {1}
    client.close()
    assert server.wait_until(lambda: server.open_connections == 0)


# --- who may ---


def test_a_wrong_secret_is_refused_on_both_wires(server: BedrockServer) -> None:
    with pytest.raises(ClientError, match="signature we calculated does not match") as refused:
        ask_converse(boto(secret="wrong"))
    assert refused.value.response["Error"]["Code"] == "InvalidSignatureException"
    with pytest.raises(anthropic.PermissionDeniedError, match="signature we calculated does not match") as denied:
        ask_claude(claude(server, aws_access_key=ACCESS_KEY, aws_secret_key="wrong"))
    assert denied.value.response.headers["x-amzn-errortype"].startswith("InvalidSignatureException:")


def test_an_unknown_key_and_a_stray_session_token_are_refused(server: BedrockServer) -> None:
    for keys in ({"aws_access_key": "AKIAUNKNOWN"}, {"aws_access_key": ACCESS_KEY, "aws_session_token": "stray"}):
        with pytest.raises(anthropic.PermissionDeniedError, match="security token included in the request is invalid"):
            ask_claude(claude(server, aws_secret_key=SECRET_KEY, **keys))


def test_a_body_changed_after_signing_is_refused(server: BedrockServer) -> None:
    class Meddler(httpx2.BaseTransport):
        """A proxy between the signer and the service."""

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            content = request.read().replace(b"hay", b"HAY")
            changed = httpx2.Request(request.method, request.url, headers=request.headers, content=content)
            with httpx2.HTTPTransport() as transport:
                sent = transport.handle_request(changed)
                sent.read()
                return sent

    with pytest.raises(anthropic.PermissionDeniedError, match="signature we calculated"):
        ask_claude(claude(server, http_client=httpx2.Client(transport=Meddler())))


def test_a_request_without_authentication_is_refused(server: BedrockServer) -> None:
    answer = httpx2.get(f"{server.url}/foundation-models", trust_env=False)
    assert (answer.status_code, answer.json()) == (403, {"message": "Missing Authentication Token"})


@BOTH_WIRES
@pytest.mark.parametrize("right", [True, False])
def test_a_bearer_token_over_tls(
    tls_server: BedrockServer, monkeypatch: pytest.MonkeyPatch, wire_name: str, right: bool
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", tls_server.bearer_token if right else "wrong")
    if right:
        assert "".join(texts(start(tls_server, wire_name))).startswith("model=")
    else:
        with pytest.raises((ClientError, anthropic.PermissionDeniedError), match="API Key is valid"):
            start(tls_server, wire_name)
    assert tls_server.requests[0].headers["authorization"].startswith("Bearer ")


@BOTH_WIRES
def test_signatures_and_leaving_clients_over_tls(tls_server: BedrockServer, wire_name: str) -> None:
    tls_server.script(Reply("uno dos tres", gate=threading.Event()))
    stream = start(tls_server, wire_name)
    assert next(texts(stream)) == "uno"
    stream.close()
    assert tls_server.wait_until(lambda: tls_server.dropped and tls_server.open_connections == 0)


def test_a_denied_action_is_told_in_the_services_words(server: BedrockServer) -> None:
    server.deny = {"ListFoundationModels", "InvokeModelWithResponseStream"}
    with pytest.raises(ClientError, match="is not authorized to perform: bedrock:ListFoundationModels") as denied:
        boto("bedrock").list_foundation_models()
    assert denied.value.response["Error"]["Code"] == "AccessDeniedException"
    with pytest.raises(ClientError, match="perform: bedrock:InvokeModelWithResponseStream on resource"):
        ask_converse(boto())


# --- the listings and counting ---


def test_profiles_come_in_pages(server: BedrockServer) -> None:
    bedrock = boto("bedrock")
    pages = list(bedrock.get_paginator("list_inference_profiles").paginate(typeEquals="SYSTEM_DEFINED", maxResults=5))
    ids = [profile["inferenceProfileId"] for page in pages for profile in page["inferenceProfileSummaries"]]
    assert len(pages) > 2
    assert len(ids) == len(set(ids))
    assert {name.partition(".")[0] for name in ids} == {"us", "global"}
    (team,) = bedrock.list_inference_profiles(typeEquals="APPLICATION")["inferenceProfileSummaries"]
    assert bedrock.get_inference_profile(inferenceProfileIdentifier=team["inferenceProfileArn"])["models"]
    assert "".join(texts(ask_converse(boto(), team["inferenceProfileArn"]))).startswith("model=arn:")


def test_another_region_lists_its_own_geography(server: BedrockServer) -> None:
    bedrock = boto("bedrock", region="eu-west-1")
    profiles = bedrock.list_inference_profiles()["inferenceProfileSummaries"]
    assert {profile["inferenceProfileId"].partition(".")[0] for profile in profiles} == {"eu", "global"}
    assert all(":eu-west-1:" in profile["inferenceProfileArn"] for profile in profiles)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        ask_converse(boto(region="eu-west-1"), HAIKU)


def test_models_are_listed_by_what_comes_out_of_them(server: BedrockServer) -> None:
    bedrock = boto("bedrock")
    summaries = bedrock.list_foundation_models(byOutputModality="TEXT")["modelSummaries"]
    models = {model["modelId"]: model for model in summaries}
    assert "cohere.embed-v4:0" not in models
    assert models["anthropic.claude-3-haiku-20240307-v1:0"]["modelLifecycle"]["endOfLifeTime"].year == 2026
    assert bedrock.get_foundation_model(modelIdentifier=NOVA)["modelDetails"]["modelName"] == "Nova Lite"
    assert bedrock.get_foundation_model_availability(modelId=NOVA)["authorizationStatus"] == "AUTHORIZED"


def test_tokens_are_counted_for_base_ids_of_claude_only(server: BedrockServer) -> None:
    messages = [{"role": "user", "content": [{"text": "cuatro letras"}]}]
    body = {"messages": [{"role": "user", "content": "cuatro letras"}]}
    for what in ({"converse": {"messages": messages}}, {"invokeModel": {"body": json.dumps(body).encode()}}):
        answer = boto().count_tokens(modelId="anthropic.claude-haiku-4-5-20251001-v1:0", input=what)
        assert answer["inputTokens"] == 5 + 3 + 4
    for model in (HAIKU, NOVA, "anthropic.claude-opus-4-7"):
        with pytest.raises(ClientError, match="doesn't support counting tokens"):
            boto().count_tokens(modelId=model, input={"converse": {"messages": messages}})


# --- the rules ---

USER = {"role": "user", "content": "Hola"}
ASSISTANT = {"role": "assistant", "content": "Hola, soy"}


@pytest.mark.parametrize(
    ("model", "more", "message"),
    [
        (OPUS, {"extra_body": {"temperature": 0.5}}, "`temperature` is deprecated"),
        (HAIKU, {"extra_body": {"temperature": 0.5, "top_p": 0.9}}, "cannot both be specified"),
        (HAIKU, {"extra_body": {"temperature": 1.5}}, "less than or equal to 1"),
        (HAIKU, {"extra_body": {"temprature": 1}}, "temprature: Extra inputs"),
        (HAIKU, {"extra_body": {"anthropic_version": "2026-10-21"}}, "Invalid API version"),
        (HAIKU, {"messages": [{"role": "user", "content": " "}]}, "non-whitespace"),
        (HAIKU, {"output_config": {"effort": "low"}}, "effort"),
        (HAIKU, {"thinking": {"type": "adaptive"}}, "adaptive"),
        (OPUS, {"messages": [USER, ASSISTANT]}, "does not support assistant message prefill"),
        (OPUS, {"thinking": {"type": "disabled"}}, "disabled"),
        ("us.anthropic.claude-sonnet-5-5", {"thinking": {"type": "disabled"}}, "disabled"),
        ("us.anthropic.claude-opus-4-7", {"thinking": {"type": "enabled", "budget_tokens": 2000}}, "enabled"),
        ("us.anthropic.claude-sonnet-4-6", {"output_config": {"effort": "xhigh"}}, "effort"),
        ("anthropic.claude-opus-5-5", {}, "on-demand throughput isn"),
        ("us.anthropic.claude-nonsense", {}, "model identifier is invalid"),
    ],
)
def test_what_the_service_rejects_of_a_messages_request(
    server: BedrockServer, model: str, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(anthropic.BadRequestError, match=message) as refused:
        ask_claude(claude(server), model, **more)
    assert refused.value.response.headers["x-amzn-errortype"].startswith("ValidationException:")
    server.check_rules = False
    assert list(texts(ask_claude(claude(server), model, **more)))


@pytest.mark.parametrize(
    ("model", "more"),
    [
        (HAIKU, {"extra_body": {"temperature": 1.0}, "messages": [USER, ASSISTANT]}),
        (HAIKU, {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}),
        (OPUS, {"extra_body": {"anthropic_version": "2026-10-21"}, "output_config": {"effort": "xhigh"}}),
        ("us.anthropic.claude-sonnet-5-5", {"thinking": {"type": "between_tools"}}),
        ("us.anthropic.claude-opus-4-7", {"thinking": {"type": "disabled"}}),
        ("us.anthropic.claude-sonnet-4-6", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}),
    ],
)
def test_what_the_service_takes_of_a_messages_request(server: BedrockServer, model: str, more: dict[str, Any]) -> None:
    assert list(texts(ask_claude(claude(server), model, **more)))


def turns(*roles: str) -> list[dict[str, Any]]:
    return [{"role": role, "content": [{"text": "Hola"}]} for role in roles]


@pytest.mark.parametrize(
    ("model", "more", "message"),
    [
        (NOVA, {"messages": turns("assistant", "user")}, "must start with a user message"),
        (NOVA, {"messages": turns("user", "user")}, "must alternate"),
        (NOVA, {"messages": [{"role": "user", "content": [{"text": " "}]}]}, "is blank"),
        (NOVA, {"additionalModelRequestFields": {"top_k": 5}}, "extraneous key"),
        (NOVA, {"config": {"temperature": 3.0}}, "not less or equal to 1"),
        ("us.meta.llama3-3-70b-instruct-v1:0", {"messages": turns("user", "assistant")}, "last turn"),
        ("cohere.embed-v4:0", {}, "supported text or chat model"),
        ("amazon.nova-2-sonic-v1:0", {}, "supported text or chat model"),
        (OPUS, {"config": {"topP": 0.5}}, "returned the following errors: `top_p` is deprecated"),
        (OPUS, {"additionalModelRequestFields": {"top_k": 5}}, "`top_k` is deprecated"),
    ],
)
def test_what_the_service_rejects_of_a_converse_request(
    server: BedrockServer, model: str, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError, match=message) as refused:
        ask_converse(boto(), model, **more)
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_a_model_past_its_end_is_not_found(server: BedrockServer) -> None:
    with pytest.raises(anthropic.NotFoundError, match="end of its life"):
        ask_claude(claude(server), "anthropic.claude-3-haiku-20240307-v1:0")


# --- faults: what the callers see is the table in the facts ---


@pytest.mark.parametrize("kind", [kind for kind in ERRORS if kind != "ModelStreamErrorException"])
def test_an_error_before_the_stream_has_its_status_and_name(server: BedrockServer, kind: str) -> None:
    server.script(Fault(kind, message="words", retry_after=3), Fault(kind))
    with pytest.raises(ClientError, match="words") as first:
        ask_converse(boto())
    with pytest.raises(anthropic.APIStatusError) as second:
        ask_claude(claude(server))
    status, message = ERRORS[kind]
    assert first.value.response["Error"]["Code"] == kind
    assert first.value.response["ResponseMetadata"]["HTTPStatusCode"] == second.value.status_code == status
    assert first.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "3"
    assert first.value.response["ResponseMetadata"]["RequestId"]
    assert second.value.body["message"] == message


@pytest.mark.parametrize("after", [None, 2, "last"])
@pytest.mark.parametrize("kind", ["throttlingException", "modelStreamErrorException", "validationException"])
def test_an_exception_frame(server: BedrockServer, kind: str, after: Any) -> None:
    server.default = Reply("uno dos tres")
    for name in ("claude", "converse"):
        server.script(Fault(kind, after=after, message="words"))
        seen, error = until_it_ends(start(server, name))
        assert seen == ["uno", " dos", " tres"][: {None: 0, 2: 2, "last": 3}[after]]
        if name == "claude":
            assert isinstance(error, anthropic.APIStatusError)
            assert (error.status_code, error.type) == (200, kind)
        else:
            assert isinstance(error, EventStreamError)
            assert error.response["Error"] == {"Code": kind, "Message": "words"}
    assert server.wait_until(lambda: [recorded.outcome for recorded in server.requests] == ["fault"] * 2)


def test_an_exception_frame_of_an_unknown_name(server: BedrockServer) -> None:
    server.script(*[Fault("brandNewException", after=1)] * 2)
    assert isinstance(until_it_ends(start(server, "claude"))[1], anthropic.APIStatusError)
    error = until_it_ends(start(server, "converse"))[1]
    assert isinstance(error, EventStreamError)
    assert error.response["Error"]["Code"] == ""


BROKEN = {
    "fin": (httpx2.RemoteProtocolError, urllib3.exceptions.ProtocolError),
    "rst": (httpx2.ReadError, urllib3.exceptions.ProtocolError),
    "short_content_length": (httpx2.RemoteProtocolError, None),
    "clean_end": (None, None),
    "cut_in_frame": (None, None),
    "bad_crc": (ChecksumMismatch, ChecksumMismatch),
}


@BOTH_WIRES
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_stream(server: BedrockServer, kind: str, wire_name: str) -> None:
    server.default = Reply("uno dos tres")
    server.script(Fault(kind, after=2))
    seen, error = until_it_ends(start(server, wire_name))
    assert seen == ["uno", " dos"]
    expected = BROKEN[kind][("claude", "converse").index(wire_name)]
    assert error is None if expected is None else isinstance(error, expected)


@BOTH_WIRES
@pytest.mark.parametrize("kind", ["clean_end", "cut_in_frame", "bad_crc"])
def test_a_stream_without_its_last_event(server: BedrockServer, kind: str, wire_name: str) -> None:
    server.default = Reply("uno dos tres")
    server.script(Fault(kind, after="last"))
    events = []
    with suppress(ChecksumMismatch):
        for event in start(server, wire_name):
            events.append(event)
    assert "".join(texts(events)) == "uno dos tres"
    names = [next(iter(event)) if isinstance(event, dict) else event.type for event in events]
    assert not {"message_stop", "messageStop"} & set(names)


@BOTH_WIRES
def test_other_endings(server: BedrockServer, wire_name: str) -> None:
    server.default = Reply("uno dos")
    expected = {"unknown_event": "uno dos", "empty_body": "", "empty": "", "blank": " \n", "refusal": "uno"}
    for kind, text in expected.items():
        server.script(Fault(kind, after=1))
        seen, error = until_it_ends(start(server, wire_name))
        assert ("".join(seen), error) == (text, None), kind
    # Both clients pass over a frame they cannot read: its text is lost, and the stream ends as if it were whole.
    server.script(Fault("not_json", after=1))
    assert until_it_ends(start(server, wire_name)) == (["uno"], None)


def test_a_guardrail_is_told_in_two_ways(server: BedrockServer) -> None:
    server.script(Fault("guardrail"), Fault("guardrail"))
    events = list(ask_claude(claude(server)))
    assert events[-1].model_extra["amazon-bedrock-guardrailAction"] == "INTERVENED"
    events = list(ask_converse(boto()))
    assert events[-2]["messageStop"]["stopReason"] == "guardrail_intervened"


@BOTH_WIRES
@pytest.mark.parametrize("kind", ["fin", "rst"])
def test_a_connection_that_ends_before_the_headers(server: BedrockServer, kind: str, wire_name: str) -> None:
    server.script(Fault(kind))
    with pytest.raises((anthropic.APIConnectionError, ConnectionClosedError)):
        start(server, wire_name)


def test_a_stall_before_the_headers_and_in_the_stream(server: BedrockServer) -> None:
    server.script(Fault("hang"), Fault("hang", after=1), Fault("hang", after=1))
    with pytest.raises(ReadTimeoutError):
        ask_converse(boto(read_timeout=0.1))
    seen, error = until_it_ends(ask_converse(boto(read_timeout=0.1)))
    assert len(seen) == 1
    assert isinstance(error, urllib3.exceptions.ReadTimeoutError)
    seen, error = until_it_ends(ask_claude(claude(server, timeout=0.1)))
    assert len(seen) == 1
    assert isinstance(error, httpx2.ReadTimeout)
    assert server.wait_until(lambda: len(server.dropped) == 3)


def test_closing_the_server_ends_a_stream_that_hangs() -> None:
    with BedrockServer(verify_signatures=False) as server:
        server.script(Fault("hang"))
        connection = socket.create_connection(server.url.removeprefix("http://").split(":"))
        body = json.dumps({"messages": [{"role": "user", "content": [{"text": "Hola"}]}]}).encode()
        head = f"POST /model/{NOVA}/converse-stream HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        assert server.wait_until(lambda: server.requests)
    with connection:
        assert connection.recv(1) == b""


def test_any_operation_can_be_made_to_fail(server: BedrockServer) -> None:
    server.faults["ListInferenceProfiles"] = Fault("ThrottlingException")
    with pytest.raises(ClientError, match="ThrottlingException"):
        boto("bedrock").list_inference_profiles()
    server.faults.clear()
    assert boto("bedrock").list_inference_profiles()["inferenceProfileSummaries"]


def test_a_misspelt_fault_is_an_error() -> None:
    with pytest.raises(ValueError, match="resett"):
        Fault("resett")


def test_many_streams_at_once(server: BedrockServer) -> None:
    gate = threading.Event()
    server.default = Reply("uno dos tres", gate=gate)
    client = boto(max_pool_connections=40)
    seen: list[str] = []
    threads = [
        threading.Thread(target=lambda: seen.append("".join(texts(ask_converse(client)))), daemon=True)
        for _ in range(40)
    ]
    for thread in threads:
        thread.start()
    assert server.wait_until(lambda: sum(recorded.sent for recorded in server.requests) == 40)
    assert server.open_connections == 40
    gate.set()
    for thread in threads:
        thread.join(10)
    assert seen == ["uno dos tres"] * 40
