"""The catalogue, joined from the two listings; and the models behind application profiles."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from assistant import ModelNotFoundError
from assistant.catalog import ModelInfo, model_info
from assistant.clients import bedrock
from assistant.clients.aws import AwsSetup
from assistant.clients.listing import Listing, Profiles, fallback, info_of_profile, join, list_models, nearest_profile
from tests.bedrock_server import BedrockServer, Fault
from tests.wires import CLAUDE, NOVA, client_of, set_environment

TEAM = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockServer]:
    with BedrockServer() as server:
        set_environment(monkeypatch, server.env)
        yield server


@pytest.fixture
def control(server: BedrockServer) -> Any:
    return AwsSetup().boto3_client("bedrock")


def by_id(listing: Listing) -> dict[str, ModelInfo]:
    return {info.id: info for info in listing.models}


def test_on_demand_models_appear_by_their_base_id_and_others_by_each_profile(control: Any) -> None:
    models = by_id(list_models(lambda: control, "us-east-1"))
    assert {NOVA, CLAUDE, f"global.{CLAUDE[3:]}", TEAM} <= set(models)
    assert not {CLAUDE[3:], f"us.{NOVA}"} & set(models)


def test_what_cannot_chat_or_is_gone_is_left_out(control: Any) -> None:
    assert not [
        id
        for id in by_id(list_models(lambda: control, "us-east-1"))
        if any(x in id for x in ("embed", "sonic", "-3-haiku"))
    ]


def test_legacy_models_are_marked_and_come_last_of_their_provider(control: Any) -> None:
    models = list_models(lambda: control, "us-east-1").models
    claude = [info.legacy for info in models if info.provider == "Anthropic"]
    assert claude == sorted(claude)
    assert sum(claude) == 2
    providers = [info.provider for info in models]
    assert providers == sorted(providers, key=str.lower)


def test_an_application_profile_has_the_rules_and_the_price_of_the_model_behind_it(control: Any) -> None:
    team, behind = by_id(list_models(lambda: control, "us-east-1"))[TEAM], model_info(CLAUDE)
    assert (team.name, team.sampling, team.is_claude, team.price, team.regional) == (
        behind.name,
        behind.sampling,
        True,
        behind.price,
        True,
    )


def test_every_page_is_read(server: BedrockServer, control: Any) -> None:
    whole = by_id(list_models(lambda: control, "us-east-1"))
    server.page_size = 2
    server.requests.clear()
    assert by_id(list_models(lambda: control, "us-east-1")) == whole
    assert len(server.requests) > 5


def test_each_type_of_profile_is_asked_for(server: BedrockServer, control: Any) -> None:
    list_models(lambda: control, "us-east-1")
    types = [
        recorded.query.get("type") for recorded in server.requests if recorded.operation == "ListInferenceProfiles"
    ]
    assert types == ["SYSTEM_DEFINED", "APPLICATION"]


@pytest.mark.parametrize("operation", ["ListFoundationModels", "ListInferenceProfiles"])
def test_a_refused_listing_falls_back_and_says_which_permission_lacks(
    operation: str, server: BedrockServer, control: Any
) -> None:
    server.deny.add(operation)
    listing = list_models(lambda: control, "eu-west-1")
    assert listing.notice is not None
    assert operation in listing.notice.text
    assert "eu.anthropic.claude-opus-4-7" in by_id(listing)
    assert listing.models == fallback("eu-west-1")


def test_a_listing_that_cannot_be_reached_falls_back_too(server: BedrockServer, control: Any) -> None:
    server.faults["ListFoundationModels"] = Fault("rst")
    assert list_models(lambda: control, "us-east-1").notice is not None


class SignInPage:
    """A boto3 client behind a network that answers everything with a page of its own, and status 200."""

    def __getattr__(self, name: str) -> Any:
        return lambda **_: {"ResponseMetadata": {"HTTPStatusCode": 200}}


def test_a_web_page_in_place_of_a_listing_or_a_profile_is_said_to_be_one() -> None:
    listing = list_models(SignInPage, "us-east-1")
    assert listing.models == fallback("us-east-1")
    info, (notice,) = Profiles().look_up(SignInPage, TEAM)
    assert info.id == TEAM
    for said in (listing.notice, notice):
        assert said is not None
        assert "something in between" in said.text


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("AWS_CA_BUNDLE", "/nope.pem", "/nope.pem"),
        ("AWS_ENDPOINT_URL_BEDROCK", "nonsense", "nonsense"),
        ("HTTP_PROXY", "socks5://x", "socks5"),
    ],
)
def test_a_set_up_that_can_not_be_used_leaves_what_the_package_knows_and_says_why(
    name: str, value: str, says: str, server: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(region="us-east-1")
    monkeypatch.setenv(name, value)
    listing = client.listing()
    assert listing.models == fallback("us-east-1")
    assert listing.notice is not None
    assert says in listing.notice.text


def summary(model: str = "amazon.nova-lite-v1:0", **fields: Any) -> dict[str, Any]:
    return {
        "modelId": model,
        "inputModalities": ["TEXT"],
        "outputModalities": ["TEXT"],
        "responseStreamingSupported": True,
        "inferenceTypesSupported": ["ON_DEMAND"],
        **fields,
    }


NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "listed"),
    [
        ({}, True),
        ({"modelLifecycle": {"status": "LEGACY", "endOfLifeTime": NOW + timedelta(days=1)}}, True),
        ({"modelLifecycle": {"status": "LEGACY", "endOfLifeTime": NOW}}, False),
        ({"responseStreamingSupported": False}, False),
        ({"outputModalities": ["EMBEDDING"]}, False),
        ({"inputModalities": ["SPEECH"]}, False),
        ({"inferenceTypesSupported": []}, False),
        ({"outputModalities": ["TEXT", "HOLOGRAM"]}, True),
    ],
)
def test_what_is_listed(fields: dict[str, Any], listed: bool) -> None:
    assert bool(list(join([summary(**fields)], [], NOW.timestamp()))) is listed


def profile(*arns: str, **fields: Any) -> dict[str, Any]:
    return {
        "inferenceProfileId": "p",
        "inferenceProfileArn": TEAM,
        "type": "APPLICATION",
        "status": "ACTIVE",
        "models": [{"modelArn": arn} for arn in arns],
        **fields,
    }


@pytest.mark.parametrize(
    ("regions", "regional"),
    [(["us-east-1"], True), (["us-east-1", "us-west-2"], True), (["us-east-1", ""], False)],
    ids=["one region", "a geography", "global"],
)
def test_a_profile_costs_more_where_it_stays_within_a_geography(regions: list[str], regional: bool) -> None:
    arns = [f"arn:aws:bedrock:{region}::foundation-model/anthropic.claude-opus-4-7" for region in regions]
    info = info_of_profile(profile(*arns))
    assert (info.id, info.name, info.regional) == (TEAM, "claude-opus-4-7", regional)


def test_a_profile_of_a_retired_model_names_todays() -> None:
    with pytest.raises(ModelNotFoundError):
        info_of_profile(profile("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2"))


def test_an_inactive_profile_is_not_offered() -> None:
    arn = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"
    found = join([summary(inferenceTypesSupported=["INFERENCE_PROFILE"])], [profile(arn, status="DELETED")], 0)
    assert list(found) == []


@pytest.mark.parametrize(
    ("model", "region", "geography"),
    [
        ("claude-haiku-4-5", "us-east-1", "us"),
        ("claude-haiku-4-5", "ap-northeast-1", "jp"),
        ("claude-haiku-4-5", "sa-east-1", "global"),
        ("claude-opus-4-1", "eu-west-1", None),
    ],
)
def test_the_nearest_profile(model: str, region: str, geography: str | None) -> None:
    assert nearest_profile(model_info(model), region) == geography


# --- kept by the client -----------------------------------------------------------------------------------------------


def test_the_listing_is_kept_until_it_expires(server: BedrockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of()
    first = client.models()
    count = len(server.requests)
    assert client.models() == first
    assert len(server.requests) == count
    client.models(refresh=True)
    assert len(server.requests) == 2 * count
    monkeypatch.setattr(bedrock, "LISTING_SECONDS", 0.0)
    client.models(refresh=True)
    client.models()
    assert len(server.requests) == 4 * count


def test_a_denied_listing_is_what_the_package_knows_and_is_asked_for_again_soon(
    server: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bedrock, "DENIED_SECONDS", 0.0)
    client = client_of()
    server.deny.add("ListInferenceProfiles")
    listing = client.listing()
    assert listing.notice is not None
    assert "ListInferenceProfiles" in listing.notice.text
    assert CLAUDE in {info.id for info in listing.models}
    server.deny.clear()
    assert client.listing().notice is None
