"""The models and inference profiles that the loopback Bedrock offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

GEOGRAPHIES = {
    "us-gov": ("us-gov-",),
    "us": ("us-east-", "us-west-"),
    "eu": ("eu-",),
    "jp": ("ap-northeast-1", "ap-northeast-3"),
    "au": ("ap-southeast-2", "ap-southeast-4"),
    "in": ("ap-south-",),
    "ca": ("ca-",),
    "apac": ("ap-",),
    "global": ("",),
}

_CHAT = (["TEXT"], ["TEXT"])
_SEES = (["TEXT", "IMAGE"], ["TEXT"])
_ACCOUNT = "123456789012"
# id, name, provider, modalities, ON_DEMAND or the geographies of its profiles
_OFFER: tuple[tuple[str, str, str, tuple[list[str], list[str]], str], ...] = (
    ("anthropic.claude-opus-5-5", "Claude Opus 5.5", "Anthropic", _SEES, "us eu global"),
    ("anthropic.claude-sonnet-5-5", "Claude Sonnet 5.5", "Anthropic", _SEES, "us eu global"),
    ("anthropic.claude-haiku-5-5", "Claude Haiku 5.5", "Anthropic", _SEES, "us eu global"),
    ("anthropic.claude-opus-4-7", "Claude Opus 4.7", "Anthropic", _SEES, "us eu global"),
    ("anthropic.claude-sonnet-4-6", "Claude Sonnet 4.6", "Anthropic", _SEES, "us eu global"),
    ("anthropic.claude-haiku-4-5-20251001-v1:0", "Claude Haiku 4.5", "Anthropic", _SEES, "us eu global"),
    ("anthropic.claude-sonnet-4-5-20250929-v1:0", "Claude Sonnet 4.5", "Anthropic", _SEES, "us eu global"),
    ("anthropic.claude-3-haiku-20240307-v1:0", "Claude 3 Haiku", "Anthropic", _SEES, "ON_DEMAND"),
    ("amazon.nova-lite-v1:0", "Nova Lite", "Amazon", (["TEXT", "IMAGE", "VIDEO"], ["TEXT"]), "ON_DEMAND us eu"),
    ("amazon.nova-micro-v1:0", "Nova Micro", "Amazon", _CHAT, "ON_DEMAND us eu"),
    ("amazon.nova-2-lite-v1:0", "Nova 2 Lite", "Amazon", (["TEXT", "IMAGE", "VIDEO"], ["TEXT"]), "us eu global"),
    ("amazon.nova-2-sonic-v1:0", "Nova 2 Sonic", "Amazon", (["SPEECH"], ["SPEECH", "TEXT"]), "ON_DEMAND"),
    ("meta.llama3-3-70b-instruct-v1:0", "Llama 3.3 70B Instruct", "Meta", _CHAT, "us"),
    ("mistral.mistral-large-3-675b-instruct", "Mistral Large 3", "Mistral AI", _SEES, "ON_DEMAND"),
    ("openai.gpt-oss-120b-1:0", "gpt-oss-120b", "OpenAI", _CHAT, "ON_DEMAND"),
    ("deepseek.r1-v1:0", "DeepSeek-R1", "DeepSeek", _CHAT, "us"),
    ("qwen.qwen3-32b-v1:0", "Qwen3 32B (dense)", "Qwen", _CHAT, "ON_DEMAND"),
    ("moonshotai.kimi-k2.5", "Kimi K2.5", "Moonshot AI", _SEES, "ON_DEMAND"),
    ("cohere.embed-v4:0", "Embed v4", "Cohere", (["TEXT", "IMAGE"], ["EMBEDDING"]), "ON_DEMAND us global"),
)
_DESTINATIONS = {
    "us": ("us-east-1", "us-east-2", "us-west-2"),
    "eu": ("eu-central-1", "eu-west-1", "eu-west-3"),
    "global": ("us-east-1", ""),
}


def default_models() -> list[dict[str, Any]]:
    """ListFoundationModels as us-east-1 would have it: one model is LEGACY, one is past its end."""
    now = datetime.now(UTC).replace(microsecond=0)
    lifecycles = {
        "anthropic.claude-sonnet-4-5-20250929-v1:0": {
            "status": "LEGACY",
            "legacyTime": (now - timedelta(days=40)).isoformat(),
            "endOfLifeTime": (now + timedelta(days=135)).isoformat(),
        },
        "anthropic.claude-3-haiku-20240307-v1:0": {"status": "LEGACY", "endOfLifeTime": "2026-09-10T00:00:00+00:00"},
    }
    return [
        {
            "modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{model}",
            "modelId": model,
            "modelName": name,
            "providerName": provider,
            "inputModalities": list(modalities[0]),
            "outputModalities": list(modalities[1]),
            "responseStreamingSupported": "EMBEDDING" not in modalities[1],
            "customizationsSupported": [],
            "inferenceTypesSupported": ["ON_DEMAND"] if "ON_DEMAND" in where else ["INFERENCE_PROFILE"],
            "modelLifecycle": lifecycles.get(model, {"status": "ACTIVE"}),
        }
        for model, name, provider, modalities, where in _OFFER
    ]


def default_profiles() -> list[dict[str, Any]]:
    """ListInferenceProfiles of every geography; the server shows each region its own. One is an APPLICATION."""
    profiles = [
        _profile(geography, model, name)
        for model, name, *_, where in _OFFER
        for geography in where.split()
        if geography in _DESTINATIONS
    ]
    team = _profile("us", "anthropic.claude-haiku-4-5-20251001-v1:0", "")
    team |= {
        "inferenceProfileId": "a1b2c3d4e5f6",
        "inferenceProfileName": "team-chat",
        "inferenceProfileArn": f"arn:aws:bedrock:us-east-1:{_ACCOUNT}:application-inference-profile/a1b2c3d4e5f6",
        "type": "APPLICATION",
    }
    return [*profiles, team]


def _profile(geography: str, model: str, name: str) -> dict[str, Any]:
    profile = f"{geography}.{model}"
    label = {"global": "Global"}.get(geography, geography.upper())
    return {
        "inferenceProfileName": f"{label} {name}",
        "description": f"Routes requests to {name} in {label}.",
        "createdAt": "2026-01-15T00:00:00+00:00",
        "updatedAt": "2026-01-15T00:00:00+00:00",
        "inferenceProfileArn": f"arn:aws:bedrock:us-east-1:{_ACCOUNT}:inference-profile/{profile}",
        "inferenceProfileId": profile,
        "models": [
            {"modelArn": f"arn:aws:bedrock:{region}::foundation-model/{model}"} for region in _DESTINATIONS[geography]
        ],
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    }


def served(profile_id: str, region: str) -> bool:
    """Whether a profile's geography takes calls from a region. Profiles without one are served everywhere."""
    geography = profile_id.partition(".")[0]
    return region.startswith(GEOGRAPHIES.get(geography, ("",)))


def find_profile(model: str, profiles: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """By id or ARN. A system-defined profile's ARN may name any region: the service has it in each."""
    wanted = model.rsplit(":inference-profile/", 1)[-1]
    return next((p for p in profiles if wanted in (p["inferenceProfileId"], p["inferenceProfileArn"])), None)


def has_ended(entry: Mapping[str, Any]) -> bool:
    end = entry.get("modelLifecycle", {}).get("endOfLifeTime")
    return end is not None and datetime.fromisoformat(end) <= datetime.now(UTC)
