"""BedrockClient: picks the wire, keeps the model's rules, retries, and adds up what it cost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..catalog import ModelInfo, base_id, full_id, model_info, split_model_id
from ..errors import AssistantError, CredentialsError, InvalidRequestError
from ..messages import Message, Notice, TokenCount
from ..prices import load as load_prices
from ..reply import CancelToken, Reply, SourceItem
from ..texts import listed, repaired
from ..tokens import estimate_tokens
from .attempts import Attempts, profile_chosen
from .aws import AwsSetup
from .base import Effort, Messages, as_messages, environment
from .claude import ClaudeWire
from .converse import ConverseWire, translate
from .helpers import wait_for
from .listing import (
    DENIED_SECONDS,
    Listing,
    Profiles,
    is_application_profile,
    list_models,
    nearest_profile,
    offered_as,
)
from .retry import RetryPolicy
from .rules import Wishes, check, default_max_tokens, fit_messages, worth_caching
from .telemetry import observe
from .wire import Request, open_and_read

logger = logging.getLogger("assistant")

# The newest small Claude: ten times cheaper than the one before it, and offered in every geography (models.toml).
DEFAULT_MODEL = "claude-haiku-5-5"

# A listing is three requests; models come by the month.
LISTING_SECONDS = 3600.0


class BedrockClient:
    """Amazon Bedrock, every chat model of every provider. Thread-safe; share one.

    `region`, `profile`: the ordinary AWS chain where None. `endpoint_url`: for the runtime alone, AWS_ENDPOINT_URL_*
    hold too. `guardrail`: (id, version). `service_tier`: "priority", "default", "flex" or "reserved".
    `request_metadata`: up to 16 strings that go into the invocation logs. `connect_timeout` and `read_timeout` are in
    seconds; the second is between two pieces of an answer, not for the whole of it. `retry`: see RetryPolicy.

    Construction makes no request. A model is named by its id, its inference profile, an ARN, or short:
    "claude-haiku-4-5".
    """

    backend = "bedrock"

    def __init__(
        self,
        region: str | None = None,
        profile: str | None = None,
        endpoint_url: str | None = None,
        guardrail: tuple[str, str] | None = None,
        service_tier: str | None = None,
        request_metadata: Mapping[str, str] | None = None,
        connect_timeout: float = 5.0,
        read_timeout: float = 60.0,
        retry: RetryPolicy | None = None,
        *,
        connections: int = 100,
        reason: Notice | None = None,
        setup: AwsSetup | None = None,
    ) -> None:
        _check_options(guardrail, service_tier, request_metadata)
        self.reason = reason or Notice("asked_for", "asked for by name")
        self.retry = retry or RetryPolicy()
        self._setup = setup or AwsSetup(region, profile, endpoint_url)
        self._options: dict[str, Any] = {
            "guardrail": guardrail,
            "service_tier": service_tier,
            "metadata": dict(request_metadata or {}),
        }
        transport: dict[str, Any] = {
            "connect_timeout": connect_timeout,
            "read_timeout": read_timeout,
            "connections": connections,
        }
        self._claude = ClaudeWire(self._setup, **transport)
        self._converse = ConverseWire(self._setup, **transport)
        self._lock = threading.Lock()
        self._listing: tuple[float, Listing] | None = None
        self._profiles = Profiles()
        self._found: dict[str, str] = {}
        self._control: Any = None

    @property
    def region(self) -> str:
        """Raises InvalidRequestError where no region is named anywhere."""
        return self._setup.region

    @property
    def default_model(self) -> str:
        """ASSISTANT_MODEL, or a small Claude, by the id that is called in this region."""
        return self.resolve(environment("MODEL") or DEFAULT_MODEL)[0].id

    @property
    def description(self) -> str:
        return f"Amazon Bedrock, {self.region}"

    def resolve(self, model: str | None) -> tuple[ModelInfo, list[Notice]]:
        """The model that is called for a name, and what there is to say about the choice. Makes no request.

        A short name is completed, and a base id that is offered through inference profiles alone gets the profile of
        the region's own geography, global next. It is never another model. Raises ModelNotFoundError for retired
        ones.
        """
        if model is None:
            model = environment("MODEL") or DEFAULT_MODEL
        info = model_info(model)
        parts = split_model_id(model)
        if parts.opaque or model.startswith("arn:"):
            return self._profiles.known(model) or info if is_application_profile(model) else info, []
        with self._lock:
            whole = self._found.get(model) or full_id(model)
        if split_model_id(whole).geography is None:
            geography = None if info.on_demand else nearest_profile(info, self.region)
            whole = f"{geography}.{whole}" if geography else whole
        chosen = parts.provider and not parts.geography and split_model_id(whole).geography
        # Whoever uses a short name leaves the rest to us.
        return model_info(whole), [profile_chosen(model, whole)] if chosen else []

    def model_info(self, model: str | None = None) -> ModelInfo:
        """What is known of a model (None: the default one), by the id that would be called. Makes no request."""
        return self.resolve(model)[0]

    def stream(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        system: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        stop_sequences: Sequence[str] = (),
        effort: Effort | None = None,
        thinking: bool | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Reply:
        """The answer to `messages`, not begun yet: the request goes out at the reply's first step.

        `temperature` and `top_p`: 0 to 1. `max_tokens`: from 1 to the model's maximum; None means 1,024, or 8,192 where
        the model thinks. `thinking`: on, off, or the model's own way. `extra`: further fields of the wire.
        What the model does not take is left out, and `reply.notices` says so. Raises InvalidRequestError for values out
        of range and ModelNotFoundError for retired models, before anything is sent: here, but at the first step for an
        application inference profile that has not been looked up yet.
        """
        model = model or environment("MODEL") or DEFAULT_MODEL
        info, notices = self.resolve(model)
        given = as_messages(messages)
        system = repaired(system) if system else None
        wishes = Wishes(max_tokens, temperature, top_p, listed(stop_sequences), effort, thinking, extra)
        unknown = is_application_profile(info.id) and self._profiles.known(info.id) is None
        if unknown:
            # Nothing is known of the model yet that could be checked.
            request = Request(info, self.region, tuple(given), max_tokens or info.default_max_tokens, system)
        else:
            request = self._request(info, given, system, wishes)
        attempts = Attempts(self, model, request, wishes)

        def source(token: CancelToken) -> Iterator[SourceItem]:
            yield from notices
            if unknown:
                found = wait_for(lambda: self._profiles.look_up(self._control_client, info.id), token)
                if found is None:
                    return
                yield from found[1]
                attempts.request = self._request(found[0], given, system, wishes)
            yield from self.retry.run(token, lambda: attempts.attempt(token))

        reply = Reply(source, model=info.id)
        observe(reply, lambda: attempts.sent)
        return reply

    def _request(self, info: ModelInfo, messages: list[Message], system: str | None, wishes: Wishes) -> Request:
        """The request for a model that is known. Raises InvalidRequestError."""
        check(wishes, info)
        return Request(
            info=info,
            region=self.region,
            messages=fit_messages(messages, info, system),
            max_tokens=wishes.max_tokens or default_max_tokens(info, wishes),
            system=system,
            cache_system=bool(system) and worth_caching((), info, system),
            **self._options,
        )

    def complete(self, messages: Messages, **options: Any) -> Reply:
        """The same as `stream`, read to its end; blocks. Raises what the answer failed with."""
        return self.stream(messages, **options).drain()

    def models(self, *, refresh: bool = False) -> list[ModelInfo]:
        """What this account and region offer, by provider; kept for an hour. Blocks for a few requests.

        Without the permissions to list, it is what models.toml knows, for a minute: `listing().notice` says so.
        """
        return self.listing(refresh=refresh).models

    def listing(self, *, refresh: bool = False) -> Listing:
        with self._lock:
            kept = self._listing
        if kept and not refresh and time.monotonic() < kept[0]:
            return kept[1]
        logins = self.logins
        listing = list_models(self._control_client, self.region)
        if isinstance(listing.error, CredentialsError) and self.renew(listing.error, logins):
            listing = list_models(self._control_client, self.region)
        lasts = LISTING_SECONDS if listing.notice is None else DENIED_SECONDS
        with self._lock:
            self._listing = (time.monotonic() + lasts, listing)
        self._profiles.learn(listing.models)
        return listing

    def find(self, model: str, token: CancelToken) -> ModelInfo | None:
        """What the account's own list has for a base id or a short name that models.toml knows too little of.

        Remembered for this process. Blocks for the list's requests. None where it has none of that name.
        """
        parts = split_model_id(model)
        if parts.opaque or parts.geography or model.startswith("arn:"):
            return None
        listing = wait_for(self.listing, token)
        found = offered_as(model, listing.models, self.region) if listing and listing.notice is None else None
        if found is not None:
            with self._lock:
                self._found[model] = found.id
        return found

    def _control_client(self) -> Any:
        """The client of the listings."""
        with self._lock:
            if self._control is None:
                self._control = self._setup.boto3_client("bedrock", connect_timeout=5, read_timeout=20)
            return self._control

    @property
    def logins(self) -> int:
        """How often another login took the place of one before it; see `renew`."""
        return self._setup.logins

    def renew(self, error: CredentialsError, logins: int) -> bool:
        """After a refused login: what follows looks for a new one, without a restart. Whether there is one already,
        renewed outside since `logins` was read, so that the same call may succeed now. May block as a login does."""
        if error.code is None:
            # No service said so: what was looked for was not found a moment ago.
            self._setup.forget()
        renewed = error.code is not None and self._setup.renew(logins)
        self._claude.forget()
        self._converse.forget()
        with self._lock:
            self._control = None
            if self._listing is not None and self._listing[1].notice is not None:
                self._listing = None
        return renewed

    def count_tokens(self, messages: Messages, *, model: str | None = None, system: str | None = None) -> TokenCount:
        """Input tokens of a request: exact where CountTokens serves the model, else estimated. Blocks for a request."""
        request = self._countable(messages, model, system)
        try:
            return TokenCount(self._ask_for_count(request), exact=True)
        except AssistantError as error:
            logger.debug("bedrock.count_tokens_estimated", extra={"model": request.model, "error": error.message})
        text = "\n".join([system or "", *(message.text for message in request.messages)])
        return TokenCount(estimate_tokens(text), exact=False)

    def exact_tokens(self, messages: Messages, *, model: str | None = None, system: str | None = None) -> int:
        """Input tokens by CountTokens alone. Blocks for a request. Raises InvalidRequestError or ModelNotFoundError
        where the service does not count for the model, and what else AWS refuses."""
        return self._ask_for_count(self._countable(messages, model, system))

    def _countable(self, messages: Messages, model: str | None, system: str | None) -> Request:
        info, _ = self.resolve(model)
        if is_application_profile(info.id):
            info, _ = self._profiles.look_up(self._control_client, info.id)
        checked = fit_messages(as_messages(messages), replace(info, prefill=True))
        return Request(info, self.region, checked, max_tokens=1, system=repaired(system) if system else None)

    def _ask_for_count(self, request: Request) -> int:
        body = self._converse.body(request)
        counted = {name: body[name] for name in ("messages", "system") if name in body}
        # The operation takes base ids only.
        base = base_id(request.info.name) or request.model

        def ask() -> int:
            try:
                answer = self._converse.client().count_tokens(modelId=base, input={"converse": counted})
            except Exception as error:
                raise translate(error, base, self.region) from error
            return int(answer["inputTokens"])

        logins = self.logins
        try:
            return ask()
        except CredentialsError as error:
            if not self.renew(error, logins):
                raise
            return ask()

    def warm(self) -> None:
        """Builds the clients, without a request, so that the first reply does not wait for that."""
        load_prices()
        self._claude.client()
        self._converse.client()

    def read(self, request: Request, token: CancelToken) -> Iterator[SourceItem]:
        """One request, once, on the wire of its model."""
        wire = self._claude if request.info.is_claude else self._converse
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("bedrock.request", extra={"model": request.model, "body": wire.body(request)})
        yield from open_and_read(lambda: wire.open(request), token)


def _check_options(
    guardrail: tuple[str, str] | None, service_tier: str | None, metadata: Mapping[str, str] | None
) -> None:
    if guardrail is not None and (len(guardrail) != 2 or not all(isinstance(part, str) and part for part in guardrail)):
        raise InvalidRequestError("guardrail is a pair: (identifier, version).", hint='For example ("abc123", "1").')
    tiers = ("priority", "default", "flex", "reserved")
    if service_tier is not None and service_tier not in tiers:
        raise InvalidRequestError(f"service_tier is {service_tier!r}.", hint="It is one of " + ", ".join(tiers) + ".")
    if metadata and (len(metadata) > 16 or not all(isinstance(value, str) for value in metadata.values())):
        raise InvalidRequestError("request_metadata holds at most 16 entries, all of them strings.")
