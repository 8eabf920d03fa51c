"""Which models an account and region offer, joined from Bedrock's two listings."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from ..catalog import ModelInfo, geographies_of, known_models, model_info, split_model_id, successor
from ..errors import ModelNotFoundError
from ..messages import Notice

logger = logging.getLogger("assistant")

# What Converse cannot chat with, though it reads and writes text.
_NOT_CHAT = ("embed", "rerank", "sonic", "pegasus")


@dataclass(frozen=True, slots=True)
class Listing:
    """`notice` says why the list is not the account's own, where it is not."""

    models: list[ModelInfo]
    notice: Notice | None = None


def list_models(control: Any, region: str, *, now: Callable[[], float] = time.time) -> Listing:
    """Chat models by provider and name. `control` is a boto3 "bedrock" client; blocks for three or more requests.

    On-demand models appear by their base id, others by each inference profile that leads to them, application
    profiles with the rules of the model behind them. Without the IAM permissions models.toml answers, and `notice`
    says so.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        summaries = control.list_foundation_models(byOutputModality="TEXT")["modelSummaries"]
        profiles = [
            profile
            for kind in ("SYSTEM_DEFINED", "APPLICATION")
            for page in control.get_paginator("list_inference_profiles").paginate(typeEquals=kind)
            for profile in page["inferenceProfileSummaries"]
        ]
    except (ClientError, BotoCoreError) as error:
        logger.info("bedrock.listing_failed", extra={"error": str(error)})
        text = f"The account's models can't be listed ({error}); this is what the package knows."
        return Listing(fallback(region), Notice("listing_failed", text, {"error": str(error)}))
    return Listing(_sorted(join(summaries, profiles, now())))


def join(summaries: Iterable[dict[str, Any]], profiles: Iterable[dict[str, Any]], now: float) -> Iterable[ModelInfo]:
    """Yields a ModelInfo for each id that can be called."""
    by_model: dict[str, list[dict[str, Any]]] = {}
    for profile in profiles:
        if profile.get("status", "ACTIVE") == "ACTIVE":
            # The destinations in several regions are one model.
            for model in {entry["modelArn"].rsplit("/", 1)[-1] for entry in profile.get("models", ())}:
                by_model.setdefault(model, []).append(profile)
    for summary in summaries:
        if not _chats(summary, now):
            continue
        kinds = summary.get("inferenceTypesSupported", ())
        if "ON_DEMAND" in kinds:
            yield _info(summary["modelId"], summary)
        for profile in by_model.get(summary["modelId"], ()):
            application = profile.get("type") == "APPLICATION"
            if application or "INFERENCE_PROFILE" in kinds or "ON_DEMAND" not in kinds:
                yield _info(profile["inferenceProfileArn" if application else "inferenceProfileId"], summary)


def _chats(summary: dict[str, Any], now: float) -> bool:
    ends = summary.get("modelLifecycle", {}).get("endOfLifeTime")
    model = summary["modelId"]
    return (
        "TEXT" in summary.get("inputModalities", ())
        and "TEXT" in summary.get("outputModalities", ())
        and bool(summary.get("responseStreamingSupported"))
        and not any(word in model for word in _NOT_CHAT)
        and not (ends is not None and ends.timestamp() <= now)
        and successor(model) is None
    )


def _info(model: str, summary: dict[str, Any]) -> ModelInfo:
    # The rules are those of the model behind the id: an application profile's own id tells nothing.
    known = model_info(summary["modelId"])
    inputs = summary.get("inputModalities", ())
    geography = split_model_id(model).geography
    return replace(
        known,
        id=model,
        provider=summary.get("providerName") or known.provider,
        images=known.images or "IMAGE" in inputs,
        legacy=summary.get("modelLifecycle", {}).get("status") == "LEGACY",
        regional=geography not in (None, "global"),
    )


def fallback(region: str) -> list[ModelInfo]:
    """What models.toml knows, by the ids that a client in this region would call."""
    found = []
    for base in known_models():
        info = model_info(base)
        geography = nearest_profile(info, region)
        try:
            found.append(info if info.on_demand or geography is None else model_info(f"{geography}.{base}"))
        except ModelNotFoundError:
            continue
    return _sorted(found)


def nearest_profile(info: ModelInfo, region: str) -> str | None:
    """The prefix of the inference profile to call a model by: of the region's own geography, else global."""
    return next((geo for geo in geographies_of(region) if geo in info.geographies), None)


def _sorted(models: Iterable[ModelInfo]) -> list[ModelInfo]:
    return sorted(models, key=lambda info: (info.provider.lower(), info.legacy, info.name, info.id))
