"""From what the service or the network says to an AssistantError: one table for both wires."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ..catalog import base_id, similar_names, split_model_id, successor
from ..errors import (
    AssistantError,
    ContextTooLongError,
    CredentialsError,
    InvalidRequestError,
    ModelAccessError,
    ModelNotFoundError,
    ServiceError,
    StreamInterruptedError,
    ThrottledError,
)

# Error codes of the service, lower-cased and without "Exception": in a stream they begin with a small letter.
_CREDENTIALS = {
    "expiredtoken",
    "unrecognizedclient",
    "invalidclienttokenid",
    "invalidsignature",
    "signaturedoesnotmatch",
    "missingauthenticationtoken",
    "incompletesignature",
    "requestexpired",
    "authentication_error",
}
_THROTTLED = {"throttling", "throttled", "toomanyrequests", "requestlimitexceeded", "rate_limit_error"}
_QUOTA = {"servicequotaexceeded"}
# "Too many tokens per day, please wait before trying again": a throttling that no back-off outlasts.
_A_DAY = re.compile(r"\b(per|a) day\b|\bdaily\b", re.IGNORECASE)
_NOT_FOUND = {"resourcenotfound", "not_found_error"}
_ACCESS = {"accessdenied", "permission_error", "optinrequired"}
_INVALID = {"validation", "invalid_request_error", "modelinvalid"}

# Longer than the model can read, in the words of the providers behind Bedrock. A throttled "too many tokens" is told
# apart by its code, which is looked at first.
_TOO_LONG = re.compile(
    r"input is too long|prompt is too long|too many (input )?tokens|maximum context|context (length|window|limit)"
    r"|input length and `?max_tokens`? exceed|exceeds? the (maximum|model).{0,40}(tokens|length)",
    re.IGNORECASE,
)
_NO_SUCH_MODEL = re.compile(
    r"model identifier is invalid|model id.{0,20}(invalid|not found)|end of its life|legacy"
    r"|isn.t supported in this region",
    re.I,
)
_NEEDS_PROFILE = re.compile(r"on-demand throughput isn.t supported", re.I)
# The service answers with none of these: a proxy or a gateway before it does.
_GATEWAY = {407, 502, 504, 511}
# Of a proxy's answer to CONNECT, as httpx2 has it, and http.client within botocore's error.
_PROXY_REFUSED = re.compile(r"\b([45])\d\d [A-Z][A-Za-z ]*")
_BAD_KEY = re.compile(r"api key|bearer|security token|authentication failed|signature", re.I)


def service_error(
    code: str,
    message: str,
    *,
    status: int = 0,
    model: str | None = None,
    region: str | None = None,
    retry_after: float | None = None,
    page: bool = False,
    shown: bool = False,
) -> AssistantError:
    """The error for what the service answered: `page` with a web page, `shown` when the reader has seen a part of the
    reply already."""
    name = re.sub(r"(exception|error)?$", "", code.strip().lower()) if "_" not in code else code.lower()
    where: dict[str, Any] = {"model": model, "region": region, "code": code or None}
    page = page or status in _GATEWAY or 300 <= status < 400 or message.lstrip().startswith("<")
    if page and (not code or code.isdigit()):
        return in_between(status, message, **where)
    error = _permanent_error(name, message, status, where) or _passing_error(name, message, status, retry_after, where)
    return interrupted(error) if shown and error.transient else error


def _permanent_error(name: str, message: str, status: int, where: dict[str, Any]) -> AssistantError | None:
    if name in _CREDENTIALS or (status in (401, 403) and _BAD_KEY.search(message)):
        return CredentialsError(f"AWS does not accept the credentials: {message}", **where)
    if name in _QUOTA or ((name in _THROTTLED or status == 429) and _A_DAY.search(message)):
        return ThrottledError(
            f"A quota of this account is used up: {message}",
            hint="Ask for more in the Service Quotas console, or take another model. A daily one needs another day.",
            **where,
        )
    if name in _THROTTLED or status == 429 or name == "modelnotready":
        return None
    if "use case details" in message.lower() or "formnotfilled" in name:
        return ModelAccessError(
            message,
            hint="Fill in Anthropic's use case form once: Amazon Bedrock console, Model catalog, the model's page.",
            **where,
        )
    if name in _ACCESS or status in (401, 403):
        return ModelAccessError(f"AWS refused: {message}", **where)
    if _NEEDS_PROFILE.search(message):
        return ModelNotFoundError(message, hint=_profile_hint(where), **where)
    if name in _NOT_FOUND or status == 404 or _NO_SUCH_MODEL.search(message):
        return ModelNotFoundError(message, hint=_model_hint(where), **where)
    if _TOO_LONG.search(message) and (name in _INVALID or status in (400, 413)):
        return ContextTooLongError(f"The conversation is longer than the model can read: {message}", **where)
    if name in _INVALID or status in (400, 413, 422):
        hint = "Change or leave out what the message names; verbose=True shows the exact request."
        return InvalidRequestError(f"The request was not accepted: {message}", hint=hint, **where)
    return None


def _passing_error(
    name: str, message: str, status: int, retry_after: float | None, where: dict[str, Any]
) -> AssistantError:
    if name == "modelnotready":
        return ServiceError(f"The model is not ready yet: {message}", transient=True, retry_after=retry_after, **where)
    if name in _THROTTLED or status == 429:
        return ThrottledError(
            f"Too many requests or tokens at once: {message}", transient=True, retry_after=retry_after, **where
        )
    what = message or (f"HTTP status {status}" if status != 200 else where["code"] or "an error without a name")
    return ServiceError(f"Amazon Bedrock failed: {what}", transient=True, retry_after=retry_after, **where)


def in_between(status: int, page: str, **where: Any) -> AssistantError:
    """The error for a web page in place of an answer: the service has its own words and never sends one."""
    words = " ".join(re.sub(r"<[^>]*>", " ", page).split())[:200]
    what = f"HTTP status {status}: {words}" if words else f"HTTP status {status}"
    return ServiceError(
        f"Not Amazon Bedrock answered but something in between, with {what}",
        hint="Look at HTTPS_PROXY and NO_PROXY, at the endpoint, and whether this network has a page to sign in.",
        transient=status == 429 or (status >= 500 and status != 511),
        **where,
    )


def _model_hint(where: Mapping[str, Any]) -> str | None:
    model = where["model"] or ""
    today = successor(model)
    if today:
        return f'Use model="{today}" instead.'
    name = split_model_id(model).name
    if base_id(name):
        return None
    meant = " or ".join(f'"{similar}"' for similar in similar_names(name))
    return f"Did you mean {meant}? {ModelNotFoundError.default_hint}" if meant else None


def _profile_hint(where: Mapping[str, Any]) -> str:
    known = base_id(split_model_id(where["model"] or "").name) or where["model"]
    return f'Name an inference profile, such as model="us.{known}" or "global.{known}"; `assistant models` lists them.'


def interrupted(error: AssistantError) -> StreamInterruptedError:
    """A passing failure after the reader saw text: it is never retried, for that would say things twice."""
    cut = StreamInterruptedError(
        f"The answer was cut off: {error.message}", model=error.model, region=error.region, code=error.code
    )
    cut.__cause__ = error
    return cut


def connection_error(
    cause: BaseException, *, model: str | None, region: str | None, shown: bool, headers: bool
) -> AssistantError:
    """The error for a connection that failed: before the response's `headers`, or in the middle of the stream."""
    what = "broke off" if headers else "could not be made, or was closed"
    detail = str(cause) or type(cause).__name__
    hint = "Check the network, the region's name, and HTTPS_PROXY and AWS_CA_BUNDLE where you need them."
    transient = True
    refused = _PROXY_REFUSED.search(f"{detail} {getattr(cause, 'kwargs', '')}")
    if "CERTIFICATE_VERIFY_FAILED" in detail or "[X509]" in detail:
        hint = "Set AWS_CA_BUNDLE to a file with the certificates of your company's proxy, and start again."
        # An authority that is not trusted now, or that can't be read, will not be in a second.
        transient = False
    elif refused and "Proxy" in type(cause).__name__:
        what, detail = "was refused by the proxy", refused[0].strip()
        hint = "Check HTTPS_PROXY: http://user:password@host:port. NO_PROXY names what goes without it."
        transient = refused[1] == "5"
    error = ServiceError(
        f"The connection to Amazon Bedrock {what}: {detail}",
        hint=hint,
        model=model,
        region=region,
        transient=transient,
    )
    error.__cause__ = cause
    return interrupted(error) if shown else error


def incomplete(model: str | None, region: str | None, *, shown: bool) -> AssistantError:
    """A stream that ended in good order without its last event. No client tells; a proxy's time limit does this."""
    error = ServiceError("The stream ended without its last event.", model=model, region=region, transient=True)
    return interrupted(error) if shown else error


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Seconds the service wants to be left alone; None where it does not say."""
    for name, scale in (("x-amz-retry-after", 1e-3), ("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * scale)
        except (KeyError, ValueError):
            continue
    until = _date(headers.get("retry-after"))
    # By the service's own clock where it tells it: this machine's may be wrong.
    now = _date(headers.get("date")) or datetime.now(UTC)
    return None if until is None else max(0.0, (until - now).total_seconds())


def _date(value: str | None) -> datetime | None:
    """An HTTP date; None for anything else."""
    try:
        found = parsedate_to_datetime(value or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
