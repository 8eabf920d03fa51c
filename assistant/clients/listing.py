"""Which models an account and region offer, joined from Bedrock's two listings."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..catalog import ModelInfo, geographies_of, known_models, model_info, split_model_id, successor
from ..errors import AssistantError, ModelAccessError, ModelNotFoundError
from ..messages import Notice
from .converse import translate
from .faults import in_between

# For so long a refused permission is not asked for again: somebody may be granting it at this moment.
DENIED_SECONDS = 60.0

logger = logging.getLogger("assistant")

# What Converse cannot chat with, though it reads and writes text.
_NOT_CHAT = ("embed", "rerank", "sonic", "pegasus")


@dataclass(frozen=True, slots=True)
class Listing:
    """`notice` says why the list is not the account's own, where it is not; `error` is what went wrong then."""

    models: list[ModelInfo]
    notice: Notice | None = None
    error: AssistantError | None = None


def list_models(make: Callable[[], Any], region: str, *, now: Callable[[], float] = time.time) -> Listing:
    """Chat models by provider and name. `make` gives a boto3 "bedrock" client; blocks for three or more requests.

    On-demand models appear by their base id, others by each inference profile that leads to them, application
    profiles with the rules of the model behind them. Without the IAM permissions, or where AWS can't be asked,
    models.toml answers, and `notice` says why.
    """
    try:
        control = make()
        summaries = _part(control.list_foundation_models(byOutputModality="TEXT"), "modelSummaries")
        profiles = [
            profile
            for kind in ("SYSTEM_DEFINED", "APPLICATION")
            for page in control.get_paginator("list_inference_profiles").paginate(typeEquals=kind)
            for profile in _part(page, "inferenceProfileSummaries")
        ]
    except Exception as cause:
        error = translate(cause, None, region)
        logger.info("bedrock.listing_failed", extra={"error": error.message})
        text = f"The account's models can't be listed ({error.message}); this is what the package knows."
        return Listing(fallback(region), Notice("listing_failed", text, {"error": error.message}), error)
    return Listing(_sorted(join(summaries, profiles, now())))


def _part(answer: Mapping[str, Any], name: str) -> Any:
    """A part that every answer of the service has. Raises ServiceError where it is missing: botocore takes a web page
    with status 200 for an empty answer."""
    if name not in answer:
        raise in_between(answer["ResponseMetadata"]["HTTPStatusCode"], "")
    return answer[name]


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
            if profile.get("type") == "APPLICATION":
                yield replace(_info(profile["inferenceProfileArn"], summary), regional=_is_regional(profile))
            elif "INFERENCE_PROFILE" in kinds or "ON_DEMAND" not in kinds:
                yield _info(profile["inferenceProfileId"], summary)


def info_of_profile(profile: Mapping[str, Any]) -> ModelInfo:
    """The rules and prices of the model behind an application profile, as GetInferenceProfile tells of it.

    Raises ModelNotFoundError where that model is retired.
    """
    behind = model_info(profile["models"][0]["modelArn"].rsplit("/", 1)[-1])
    return replace(behind, id=profile["inferenceProfileArn"], regional=_is_regional(profile))


def offered_as(model: str, models: Iterable[ModelInfo], region: str) -> ModelInfo | None:
    """The one of a listing that a base id or short name stands for: on demand, else by the profile of the region's
    own geography, global next. None where there is none; never another model."""
    asked = split_model_id(model)
    order = [None, *geographies_of(region)]
    found = []
    for info in models:
        parts = split_model_id(info.id)
        same = parts.name == asked.name and asked.provider in (None, parts.provider)
        if same and not info.id.startswith("arn:") and parts.geography in order:
            found.append((order.index(parts.geography), info.id, info))
    return min(found)[2] if found else None


class Profiles:
    """The models behind application inference profiles, whose ids tell nothing. Each is asked for once a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, ModelInfo] = {}
        self._denied: dict[str, float] = {}

    def known(self, model: str) -> ModelInfo | None:
        """What stands for a profile without a request; None where it has to be looked up."""
        with self._lock:
            if model in self._known:
                return self._known[model]
            return model_info(model) if time.monotonic() < self._denied.get(model, 0.0) else None

    def learn(self, models: Iterable[ModelInfo]) -> None:
        """Takes over what a listing told."""
        with self._lock:
            self._known |= {info.id: info for info in models if is_application_profile(info.id)}

    def look_up(self, control: Callable[[], Any], model: str) -> tuple[ModelInfo, list[Notice]]:
        """The model behind a profile; blocks for a request. `control` gives a boto3 "bedrock" client.

        Where that is not permitted, careful defaults stand for it on the Converse wire, which every model speaks, and
        a notice says so. Raises ModelNotFoundError where the model behind it is retired.
        """
        known = self.known(model)
        if known is not None:
            return known, []
        try:
            profile = control().get_inference_profile(inferenceProfileIdentifier=model)
            _part(profile, "models")
        except Exception as cause:
            error = translate(cause, None, None)
            logger.info("bedrock.profile_unknown", extra={"model": model, "error": error.message})
            if isinstance(error, ModelAccessError):
                with self._lock:
                    self._denied[model] = time.monotonic() + DENIED_SECONDS
            text = f"The model behind {model} can't be looked up ({error.message}): careful defaults are used."
            return model_info(model), [Notice("profile_unknown", text, {"model": model, "error": error.message})]
        info = replace(info_of_profile(profile), id=model)
        self.learn([info])
        return info, []


def is_application_profile(model: str) -> bool:
    return ":application-inference-profile/" in model


def _is_regional(profile: Mapping[str, Any]) -> bool:
    """Whether a profile stays within a geography: the destinations of a global one hold an ARN without a region."""
    return all(entry["modelArn"].split(":")[3] for entry in profile["models"])


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
    return replace(
        known,
        id=model,
        provider=summary.get("providerName") or known.provider,
        images=known.images or "IMAGE" in inputs,
        legacy=summary.get("modelLifecycle", {}).get("status") == "LEGACY",
        regional=split_model_id(model).geography != "global",
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
