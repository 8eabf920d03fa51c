"""ModelInfo: what a model takes and costs. Read from models.toml; a client's listing tells which ones there are."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Literal

from .errors import ModelNotFoundError
from .messages import Usage
from .prices import library_cost

Sampling = Literal["both", "one", "none"]
Thinking = Literal["no", "optional", "default", "always"]
Reasoning = Literal["output_config", "reasoning_effort", "reasoning_config"]

# Inference-profile prefixes in use; the model's own name can hold dots, so dots are not counted.
GEOGRAPHIES = ("us-gov", "us", "eu", "apac", "global", "jp", "au", "ca", "in")

# Providers whose Bedrock models begin with their name and a dot.
_PROVIDER_NAMES = {
    "ai21": "AI21 Labs",
    "amazon": "Amazon",
    "anthropic": "Anthropic",
    "cohere": "Cohere",
    "deepseek": "DeepSeek",
    "google": "Google",
    "meta": "Meta",
    "minimax": "MiniMax",
    "mistral": "Mistral AI",
    "moonshot": "Moonshot AI",
    "moonshotai": "Moonshot AI",
    "nvidia": "NVIDIA",
    "openai": "OpenAI",
    "qwen": "Qwen",
    "writer": "Writer",
    "xai": "xAI",
    "zai": "Z.AI",
}


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens. Above `above` input tokens the `_above` prices hold for the whole request.

    `cache_read` None: tokens from the cache cost what others cost. `cache_write` is how many times the input price a
    token costs that goes into the cache (for 5 minutes, the only lifetime we ask for); `regional` how many times as
    much everything costs outside a global profile.
    """

    input: float
    output: float
    cache_read: float | None = None
    cache_write: float = 1.0
    regional: float = 1.0
    above: int | None = None
    input_above: float | None = None
    output_above: float | None = None
    cache_read_above: float | None = None

    def cost(self, usage: Usage, *, regional: bool) -> float:
        """USD for one reply."""
        long = self.above is not None and usage.total_input_tokens > self.above
        per_input = self.input_above if long and self.input_above is not None else self.input
        per_output = self.output_above if long and self.output_above is not None else self.output
        per_read = self.cache_read_above if long and self.cache_read_above is not None else self.cache_read
        dollars = (
            usage.input_tokens * per_input
            + usage.output_tokens * per_output
            + usage.cache_read_tokens * (per_input if per_read is None else per_read)
            + usage.cache_write_tokens * per_input * self.cache_write
        )
        return dollars * (self.regional if regional else 1.0) / 1_000_000


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of one model. None means not known: such a value is not checked.

    `id` is what is sent. `sampling` tells whether temperature and top_p are taken ("both", only "one" of them, "none").
    `max_temperature` is inclusive. `efforts` are the levels that `effort` may have, `reasoning` the field that carries
    them. `cache_minimum` is in tokens: a
    shorter prefix is not cached. `legacy` models still answer and will go.
    """

    id: str
    name: str
    provider: str
    context_window: int | None = None
    max_output: int | None = None
    sampling: Sampling = "both"
    max_temperature: float = 1.0
    efforts: tuple[str, ...] = ()
    thinking: Thinking = "no"
    thinking_on: str | None = None
    thinking_off: str | None = None
    reasoning: Reasoning = "output_config"
    images: bool = False
    documents: bool = False
    prefill: bool = False
    cache_minimum: int | None = None
    legacy: bool = False
    on_demand: bool = False
    geographies: tuple[str, ...] = ()
    price: Price | None = None
    regional: bool = False

    @property
    def is_claude(self) -> bool:
        return "claude" in self.name

    @property
    def thinks_by_default(self) -> bool:
        return self.thinking in ("default", "always")

    @property
    def default_max_tokens(self) -> int:
        """1,024, or 8,192 where the model thinks unasked: thinking counts against the same allowance."""
        wanted = 8192 if self.thinks_by_default else 1024
        return min(wanted, self.max_output) if self.max_output else wanted

    def cost(self, usage: Usage) -> float | None:
        """USD for one reply; None where the price is not known."""
        if self.provider == "local":
            return 0.0
        id = self.id
        if id.startswith("arn:"):
            # An ARN may tell nothing of its model.
            id = f"{'' if self.regional else 'global.'}{base_id(self.name) or self.name}"
        current = library_cost(id, usage)
        if current is not None:
            return current
        return self.price.cost(usage, regional=self.regional) if self.price else None


@dataclass(frozen=True, slots=True)
class ModelId:
    """A model id taken apart. `name` is bare: "claude-haiku-4-5"; `opaque` ids tell nothing of their model."""

    given: str
    geography: str | None
    provider: str | None
    name: str
    opaque: bool = False


@lru_cache(maxsize=512)
def split_model_id(model: str) -> ModelId:
    """Takes apart what people pass as a model: an ARN, a profile id, a base id or a short name.

    The resource of an application profile's ARN is a random word, so such an id is `opaque`.
    """
    rest = model.strip()
    if rest.startswith("arn:"):
        kind, _, rest = rest.split(":", 5)[-1].partition("/")
        rest = rest.rsplit("/", 1)[-1]
        if kind in ("application-inference-profile", "provisioned-model", "custom-model-deployment", "imported-model"):
            return ModelId(model, None, None, rest, opaque=True)
    geography = next((geo for geo in GEOGRAPHIES if rest.startswith(f"{geo}.")), None)
    if geography:
        rest = rest[len(geography) + 1 :]
    provider, dot, name = rest.partition(".")
    if not dot or provider not in _PROVIDER_NAMES:
        provider, name = "", rest
    if not _is_retired(name):
        name = re.sub(r"(-v\d+|-v?\d+(:\d+)+k?)$", "", name)
        name = re.sub(r"-\d{8}$", "", name)
    return ModelId(model, geography, provider or None, name)


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    text = resources.files("assistant").joinpath("models.toml").read_text("utf-8")
    return tomllib.loads(text)


def _longest_match(name: str, matches: list[str]) -> str | None:
    fitting = [match for match in matches if name.startswith(match)]
    return max(fitting, key=len, default=None)


def _is_retired(name: str) -> bool:
    return _longest_match(name, list(_data()["retired"])) is not None


def successor(model: str) -> str | None:
    """Today's short name for a retired model; None for a model that is not known to be retired."""
    match = _longest_match(split_model_id(model).name, list(_data()["retired"]))
    return None if match is None else str(_data()["retired"][match])


def _row(name: str) -> dict[str, Any] | None:
    rows: dict[str, dict[str, Any]] = {row["match"]: row for row in _data()["model"]}
    match = _longest_match(name, list(rows))
    if match is None:
        provider, _, rest = name.partition("-")
        # "deepseek-r1", as people call it; on Bedrock it is "r1" of "deepseek".
        row = _row(rest) if provider in _PROVIDER_NAMES and rest else None
        return row if row and row.get("id", "").startswith(f"{provider}.") else None
    # "claude-opus-5" must not lend its rules to a future "claude-opus-50" or "claude-opus-5-9".
    return None if _is_other_version(name, match) else rows[match]


def _is_other_version(name: str, match: str) -> bool:
    return match[-1].isdigit() and re.match(r"[-.]?\d", name[len(match) :]) is not None


@lru_cache(maxsize=512)
def model_info(model: str) -> ModelInfo:
    """What models.toml knows of a model, by whatever id; a name it does not know gets careful defaults.

    Unknown Claude names take the newest rules. Raises ModelNotFoundError for a retired model, naming today's.
    """
    now = successor(model)
    if now is not None:
        raise ModelNotFoundError(
            f"The model {model} is no longer offered on Amazon Bedrock.", hint=f'Use model="{now}" instead.'
        )
    parts = split_model_id(model)
    row = _row(parts.name) or {}
    known = {key: value for key, value in row.items() if key not in ("match", "id", "price")}
    if parts.name.startswith("claude") or parts.provider == "anthropic":
        known = {**_data()["claude_default"], **known}
    for key in ("efforts", "geographies"):
        known[key] = tuple(known.get(key, ()))
    known.setdefault("provider", _PROVIDER_NAMES.get(parts.provider or "", "Amazon Bedrock"))
    price = Price(**row["price"]) if "price" in row else None
    return ModelInfo(
        id=model,
        name=parts.name,
        price=price,
        # Within a geography a token costs more; a base id is served in its own region, at the same surcharge.
        regional=parts.geography != "global",
        **known,
    )


def base_id(name: str) -> str | None:
    """The base id behind a short name ("claude-haiku-4-5", "nova-lite"); None where it is not in models.toml."""
    row = _row(name)
    return row.get("id") if row else None


def full_id(model: str) -> str:
    """The id on Bedrock for a name that leaves out provider, date or version; anything else as it is."""
    parts = split_model_id(model)
    base = base_id(parts.name)
    if base is None or model.startswith("arn:"):
        return model
    prefix = f"{parts.geography}." if parts.geography else ""
    short = parts.provider is None or model == f"{prefix}{parts.provider}.{parts.name}"
    return f"{prefix}{base}" if short else model


def similar_names(name: str) -> list[str]:
    """Short names of models.toml that look like a misspelt one, the likeliest first."""
    import difflib

    return difflib.get_close_matches(name.lower(), [model_info(model).name for model in known_models()], cutoff=0.7)


def known_models() -> list[str]:
    """The base ids that models.toml knows, for where the account may not list them."""
    return [row["id"] for row in _data()["model"] if "id" in row]


def geographies_of(region: str) -> tuple[str, ...]:
    """The inference-profile prefixes to try for a region, nearest first."""
    if region.startswith("us-gov-"):
        return ("us-gov",)
    nearest = {
        "us": ("us",),
        "eu": ("eu",),
        "ca": ("ca", "us"),
        "ap-northeast-1": ("jp", "apac"),
        "ap-northeast-3": ("jp", "apac"),
        "ap-southeast-2": ("au", "apac"),
        "ap-southeast-4": ("au", "apac"),
        "ap-south-1": ("in", "apac"),
        "ap-south-2": ("in", "apac"),
        "ap": ("apac",),
    }
    return (*nearest.get(region, nearest.get(region.split("-", 1)[0], ())), "global")
