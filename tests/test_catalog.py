"""ModelInfo: ids taken apart, rules and prices."""

from __future__ import annotations

import pytest

from assistant import ModelNotFoundError, Usage
from assistant.catalog import base_id, geographies_of, known_models, model_info, split_model_id, successor


@pytest.mark.parametrize(
    ("model", "geography", "provider", "name"),
    [
        ("claude-haiku-4-5", None, None, "claude-haiku-4-5"),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "us", "anthropic", "claude-haiku-4-5"),
        ("anthropic.claude-opus-4-6-v1", None, "anthropic", "claude-opus-4-6"),
        ("global.anthropic.claude-sonnet-5-5", "global", "anthropic", "claude-sonnet-5-5"),
        ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "us-gov", "anthropic", "claude-sonnet-4-5"),
        ("amazon.nova-lite-v1:0:24k", None, "amazon", "nova-lite"),
        ("moonshotai.kimi-k2.5", None, "moonshotai", "kimi-k2.5"),
        (
            "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-pro-v1:0",
            "eu",
            "amazon",
            "nova-pro",
        ),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-7", None, "anthropic", "claude-opus-4-7"),
    ],
)
def test_ids_are_taken_apart(model: str, geography: str | None, provider: str | None, name: str) -> None:
    parts = split_model_id(model)
    assert (parts.geography, parts.provider, parts.name, parts.opaque) == (geography, provider, name, False)


def test_an_application_profile_tells_nothing_of_its_model() -> None:
    assert split_model_id("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123").opaque


@pytest.mark.parametrize(
    ("name", "sampling", "prefill", "thinks"),
    [
        ("claude-opus-4-5", "one", True, False),
        ("claude-sonnet-4-5", "one", True, False),
        ("claude-haiku-4-5", "one", True, False),
        ("claude-sonnet-4-6", "one", False, False),
        ("claude-opus-4-6", "one", False, False),
        ("claude-opus-4-7", "none", False, False),
        ("claude-opus-4-8", "none", False, False),
        ("claude-opus-5", "none", False, True),
        ("claude-sonnet-5", "none", False, True),
        ("claude-opus-5-5", "none", False, True),
        ("claude-haiku-5-5", "none", False, True),
        ("claude-fable-5-1", "none", False, True),
        ("claude-mythos-5", "none", False, True),
        ("claude-opus-5-9", "none", False, True),
        ("claude-something-new-7", "none", False, True),
    ],
)
def test_claude_rules_and_the_newest_ones_for_names_nobody_knows_yet(
    name: str, sampling: str, prefill: bool, thinks: bool
) -> None:
    info = model_info(f"us.anthropic.{name}")
    assert (info.sampling, info.prefill, info.thinks_by_default) == (sampling, prefill, thinks)
    assert info.default_max_tokens == (8192 if thinks else 1024)


def test_every_row_is_reachable_by_its_own_id_and_its_short_name() -> None:
    for model in known_models():
        info = model_info(model)
        assert base_id(info.name) == model
        assert info.id == model


@pytest.mark.parametrize(
    ("model", "today"),
    [
        ("anthropic.claude-instant-v1", "claude-haiku-5-5"),
        ("anthropic.claude-v2:1", "claude-sonnet-5-5"),
        ("us.anthropic.claude-3-haiku-20240307-v1:0", "claude-haiku-5-5"),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", "claude-sonnet-5-5"),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "claude-sonnet-5-5"),
    ],
)
def test_retired_models_name_their_successor(model: str, today: str) -> None:
    with pytest.raises(ModelNotFoundError, match="no longer offered") as caught:
        model_info(model)
    assert today in caught.value.hint
    assert successor(today) is None


def test_costs_follow_geography_cache_and_length() -> None:
    usage = Usage(1_000_000, 100_000, 1_000_000, 100_000)
    everywhere = model_info("global.anthropic.claude-opus-4-7").cost(usage)
    assert everywhere == pytest.approx(5 + 2.5 + 0.5 + 0.625)
    assert model_info("eu.anthropic.claude-opus-4-7").cost(usage) == pytest.approx(everywhere * 1.1)
    short, long = Usage(100_000, 0), Usage(100_001, 0)
    nova = Usage(1_000_000, 0, cache_read_tokens=1_000_000, cache_write_tokens=1_000_000)
    assert model_info("amazon.nova-lite-v1:0").cost(nova) == pytest.approx(0.06 + 0.015 + 0.06)
    haiku = model_info("global.anthropic.claude-haiku-5-5")
    assert haiku.cost(short) == pytest.approx(0.01)
    assert haiku.cost(long) == pytest.approx(0.0500005)


def test_an_unknown_price_is_none_and_never_zero() -> None:
    assert model_info("moonshotai.kimi-k9").cost(Usage(10, 10)) is None
    assert (Usage(1, 1, cost=None) + Usage(1, 1, cost=0.5)).cost is None


@pytest.mark.parametrize(
    ("region", "first"),
    [
        ("us-east-1", "us"),
        ("eu-west-3", "eu"),
        ("ap-northeast-1", "jp"),
        ("ap-southeast-2", "au"),
        ("ap-south-1", "in"),
        ("sa-east-1", "global"),
        ("us-gov-west-1", "us-gov"),
        ("ca-central-1", "ca"),
        ("ap-east-1", "apac"),
    ],
)
def test_a_region_knows_its_geography(region: str, first: str) -> None:
    assert geographies_of(region)[0] == first
