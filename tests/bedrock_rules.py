"""Whether a model takes what was asked: names, versions, parameters, conversations."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from tests.bedrock_errors import (
    BOTH_SAMPLING,
    END_OF_LIFE,
    INVALID_VERSION,
    NO_CHAT,
    NO_COUNTING,
    NO_PREFILL,
    NO_SUCH_MODEL,
    NO_TEMPERATURE,
    NOT_ON_DEMAND,
    ServiceError,
    invalid,
)
from tests.bedrock_listings import GEOGRAPHIES, find_profile, has_ended, served
from tests.bedrock_wire import CLAUDE_KEYS, Asked, asked_of_claude, asked_of_converse

NO_SAMPLING = (
    *("claude-fable-5", "claude-mythos-5", "claude-opus-4-7", "claude-opus-4-8"),
    *("claude-opus-5", "claude-sonnet-5", "claude-haiku-5-5"),
)
_ALWAYS_THINKS = ("claude-opus-5-5", "claude-fable", "claude-mythos")


def bare_name(base_id: str) -> str:
    """ "claude-opus-4-7" of "anthropic.claude-opus-4-7"."""
    return base_id.partition(".")[2]


def is_claude(base_id: str) -> bool:
    return base_id.startswith("anthropic.")


def starts_with(base_id: str, names: Iterable[str]) -> bool:
    return bare_name(base_id).startswith(tuple(names))


def resolve(model: str, region: str, models: list[dict[str, Any]], profiles: list[dict[str, Any]]) -> str:
    """The base id behind what stands in the path of an inference call. ServiceError where the service has one."""
    by_id = {entry["modelId"]: entry for entry in models}
    profile = find_profile(model, profiles)
    name = model.rsplit("foundation-model/", 1)[-1]
    if profile is not None:
        if not served(profile["inferenceProfileId"], region):
            raise ServiceError("ResourceNotFoundException")
        name = profile["models"][0]["modelArn"].rsplit("/", 1)[-1]
    elif name not in by_id:
        geography, _, rest = name.partition(".")
        if geography in GEOGRAPHIES and rest in by_id:
            raise ServiceError("ResourceNotFoundException")
        raise invalid(NO_SUCH_MODEL)
    entry = by_id.get(name, {})
    if has_ended(entry):
        raise ServiceError("ResourceNotFoundException", END_OF_LIFE)
    if profile is None and "ON_DEMAND" not in entry["inferenceTypesSupported"]:
        raise invalid(NOT_ON_DEMAND.format(model=name))
    if entry and not {"TEXT"} <= {*entry["inputModalities"]} & {*entry["outputModalities"]}:
        raise invalid(NO_CHAT)
    return name


def check_version(base_id: str, body: Mapping[str, Any]) -> None:
    """Models up to 4.6 take only the version that Bedrock documents, newer ones the SDK's too."""
    version = body.get("anthropic_version")
    if version is None:
        raise invalid(
            "Malformed input request: #: required key [anthropic_version] not found, please reformat your input and "
            "try again."
        )
    taken = {"bedrock-2023-05-31"} | ({"2026-10-21"} if starts_with(base_id, NO_SAMPLING) else set())
    if version not in taken:
        raise invalid(INVALID_VERSION)
    if "cache_control" in body and not starts_with(base_id, NO_SAMPLING):
        raise invalid("cache_control: Extra inputs are not permitted")


def check_request(base_id: str, asked: Asked) -> None:
    """The rules that a model has for its parameters and conversations; ServiceError for what it rejects."""
    try:
        if asked.wire == "converse":
            _check_converse(base_id, asked)
        else:
            _check_messages(asked)
        if is_claude(base_id):
            _check_sampling(base_id, asked)
            _check_thinking(base_id, asked)
            _check_effort(base_id, asked)
            _check_prefill(base_id, asked)
    except _ModelSays as error:
        prefix = "The model returned the following errors: " if asked.wire == "converse" else ""
        raise invalid(prefix + str(error)) from None


class _ModelSays(Exception):
    """A refusal by the model and not by the API in front of it: Converse says so."""


def _check_messages(asked: Asked) -> None:
    if asked.max_tokens is None:
        raise _ModelSays("max_tokens: Field required")
    if asked.other:
        raise _ModelSays(f"{sorted(asked.other)[0]}: Extra inputs are not permitted")
    if not asked.messages:
        raise _ModelSays("messages: at least one message is required")
    if any(role not in ("user", "assistant") for role, _ in asked.messages):
        raise _ModelSays('messages: Unexpected role. The allowed roles are "user" or "assistant".')
    for where, texts in [("system", asked.system), *(("messages", texts) for _, texts in asked.messages)]:
        if any(not text.strip() for text in texts):
            raise _ModelSays(f"{where}: text content blocks must contain non-whitespace text")


def _check_converse(base_id: str, asked: Asked) -> None:
    roles = [role for role, _ in asked.messages]
    if not roles or (roles[0] != "user" and not is_claude(base_id) and not base_id.startswith("qwen.")):
        raise invalid(
            "A conversation must start with a user message. Try again with a conversation that starts with a user "
            "message."
        )
    if any(role not in ("user", "assistant") for role in roles):
        raise invalid("Role 'system' isn't supported in messages by this model. Use the system field.")
    if not is_claude(base_id) and any(a == b for a, b in pairwise(roles)):
        raise invalid(
            "A conversation must alternate between user and assistant roles. Make sure the conversation alternates "
            "between user and assistant roles and try again."
        )
    for index, (_, texts) in enumerate(asked.messages):
        if any(not text.strip() for text in texts):
            raise invalid(
                f"The text field in the ContentBlock object at messages.{index}.content.0 is blank. Add text to the "
                "text field, and try again."
            )
    if base_id.startswith(("meta.", "mistral.")) and roles[-1] == "assistant":
        raise invalid(
            "The model that you are using requires the last turn in the conversation to be a user message. Add a user "
            "message to the conversation and try again."
        )
    if asked.sampling.get("temperature", 0) > 1 and not is_claude(base_id):
        given = asked.sampling["temperature"]
        raise _ModelSays(f"Malformed input request: #/temperature: {given} is not less or equal to 1")
    known = CLAUDE_KEYS if is_claude(base_id) else {"inferenceConfig", "reasoningConfig"}
    if (is_claude(base_id) or "nova" in base_id) and (strange := sorted(asked.other - known)):
        raise _ModelSays(
            f"Malformed input request: #: extraneous key [{strange[0]}] is not permitted, please reformat your input "
            "and try again."
        )


def _check_sampling(base_id: str, asked: Asked) -> None:
    sampling = asked.sampling
    if sampling and starts_with(base_id, NO_SAMPLING):
        raise _ModelSays(NO_TEMPERATURE.replace("temperature", next(iter(sampling))))
    if {"temperature", "top_p"} <= set(sampling) and re.match(r"claude-[a-z]+-4", bare_name(base_id)):
        raise _ModelSays(BOTH_SAMPLING)
    for name in ("temperature", "top_p"):
        if not 0 <= sampling.get(name, 0) <= 1:
            side = "less than or equal to 1" if sampling[name] > 1 else "greater than or equal to 0"
            raise _ModelSays(f"{name}: Input should be {side}")


def _check_thinking(base_id: str, asked: Asked) -> None:
    kind = asked.thinking.get("type")
    budget = asked.thinking.get("budget_tokens", 0)
    newer = starts_with(base_id, NO_SAMPLING)
    adaptive = newer or starts_with(base_id, ("claude-opus-4-6", "claude-sonnet-4-6"))
    sonnet_55 = starts_with(base_id, ("claude-sonnet-5-5",))
    refused = {
        "enabled": newer,
        "adaptive": not adaptive,
        "disabled": starts_with(base_id, _ALWAYS_THINKS) or sonnet_55,
        "between_tools": not sonnet_55,
    }
    if kind and refused.get(kind, True):
        raise _ModelSays(f'"thinking.type.{kind}" is not supported for this model.')
    if kind == "disabled" and starts_with(base_id, ("claude-opus-5",)) and asked.effort in ("xhigh", "max"):
        raise _ModelSays(f'"thinking.type.disabled" is not supported with effort "{asked.effort}".')
    if kind == "enabled" and budget < 1024:
        raise _ModelSays("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if kind == "enabled" and asked.max_tokens is not None and asked.max_tokens <= budget:
        raise _ModelSays("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if kind in ("enabled", "adaptive") and asked.sampling.get("temperature", 1) != 1:
        raise _ModelSays("`temperature` may only be set to 1 when thinking is enabled.")


def _check_effort(base_id: str, asked: Asked) -> None:
    if asked.effort is None:
        return
    taken: tuple[str, ...] = ()
    if starts_with(base_id, NO_SAMPLING):
        taken = ("low", "medium", "high", "xhigh", "max")
    elif starts_with(base_id, ("claude-opus-4-6", "claude-sonnet-4-6")):
        taken = ("low", "medium", "high", "max")
    elif starts_with(base_id, ("claude-opus-4-5",)):
        taken = ("low", "medium", "high")
    if not taken:
        raise _ModelSays("This model does not support the effort parameter.")
    if asked.effort not in taken:
        raise _ModelSays(f"output_config.effort: Input should be one of {', '.join(taken)}")


def _check_prefill(base_id: str, asked: Asked) -> None:
    none = (*NO_SAMPLING, "claude-opus-4-6", "claude-sonnet-4-6")
    if asked.messages[-1][0] == "assistant" and starts_with(base_id, none):
        raise _ModelSays(NO_PREFILL)


def count_tokens(model: str, body: Mapping[str, Any], models: list[dict[str, Any]]) -> int:
    """CountTokens takes base ids, of Claude models before Opus 4.7."""
    entry = next((entry for entry in models if entry["modelId"] == model), None)
    if entry is not None and has_ended(entry):
        raise ServiceError("ResourceNotFoundException", END_OF_LIFE)
    if entry is None or not is_claude(model) or starts_with(model, NO_SAMPLING):
        raise invalid(NO_COUNTING)
    what = body.get("input") or {}
    if "invokeModel" in what:
        return asked_of_claude(json.loads(base64.b64decode(what["invokeModel"]["body"]))).tokens
    return asked_of_converse(what.get("converse") or {}).tokens
