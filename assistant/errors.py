"""What can go wrong, as a tree to catch from.

AssistantError
├── CredentialsError          no AWS credentials, or expired, or not accepted
├── ModelAccessError          the account may not use this model or this action
├── ModelNotFoundError        no such model here: misspelt, retired, or in another region
├── InvalidRequestError       a value that the model or the service does not take
│   └── ContextTooLongError   the conversation is longer than the model can read
├── ThrottledError            too many requests or tokens; it was tried again in vain
├── ServiceError              the service failed, or could not be reached
├── StreamInterruptedError    the answer began and was cut off; `.partial` holds what came
├── SessionBusyError          a second turn while one is running
├── BudgetExceededError       a limit of messages, tokens or money is reached
├── PromptError               a template and its values do not fit
├── StoreError                a conversation could not be read or written
└── LocalModelError           the embedded model could not be loaded or run
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class AssistantError(Exception):
    """Base of every error that this library raises on purpose.

    `hint` says what to try next. `code` is the service's own name of the error where there is one, else ours, and
    `values` what the message names, to say it in another language. `partial` is the text that arrived before the
    failure. `transient` tells that the same request may succeed later; `retry_after` is how many seconds the service
    wants to be left alone, where it said so. The cause is chained (`__cause__`); credentials are in none of it.
    """

    default_hint = ""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        model: str | None = None,
        region: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        partial: str = "",
        transient: bool = False,
        values: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint
        self.model = model
        self.region = region
        self.code = code
        self.retry_after = retry_after
        self.partial = partial
        self.transient = transient
        self.values = dict(values or {})

    def __str__(self) -> str:
        where = ", ".join(
            f"{name} {value}" for name, value in (("model", self.model), ("region", self.region)) if value
        )
        text = f"{self.message} ({where})" if where else self.message
        return f"{text}\n  {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process borders in notebooks and test runners; keyword-only fields would be lost.
        return (_rebuild, (type(self), dict(self.__dict__)))


def _rebuild(kind: type[AssistantError], fields: dict[str, Any]) -> AssistantError:
    error = kind(fields["message"])
    error.__dict__.update(fields)
    return error


class CredentialsError(AssistantError):
    """AWS credentials are missing, expired or not accepted. Never retried; the next turn looks for them anew."""

    default_hint = (
        "Sign in (`aws sso login`, `aws configure`) or set AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
        "or AWS_BEARER_TOKEN_BEDROCK; then send the message again."
    )


class ModelAccessError(AssistantError):
    """The account may not use the model, or the identity lacks an IAM action."""

    default_hint = (
        "Allow bedrock:InvokeModel and bedrock:InvokeModelWithResponseStream for the model and its inference profile, "
        "and check the model's access in the Amazon Bedrock console."
    )


class ModelNotFoundError(AssistantError):
    """No such model in this region: misspelt, retired, or offered elsewhere."""

    default_hint = "See `assistant models` for what this account and region offer."


class InvalidRequestError(AssistantError):
    """A value that the model or the service does not take."""


class ContextTooLongError(InvalidRequestError):
    """The request is longer than the model's context window."""

    default_hint = "Shorten the message, remove a document, or choose a model with a larger context window."


class ThrottledError(AssistantError):
    """Too many requests or tokens in a minute. It was retried within the policy first."""

    default_hint = "Wait a minute and try again, or ask for a higher quota in the Service Quotas console."


class ServiceError(AssistantError):
    """The service failed or could not be reached. It was retried within the policy first."""

    default_hint = "Try again in a moment; if it lasts, look at the AWS Health Dashboard and your network."


class StreamInterruptedError(AssistantError):
    """The answer began and then broke off. `.partial` holds the text that came."""

    default_hint = "What arrived is kept. Use continue_() to go on from there, or retry() to start the answer again."


class SessionBusyError(AssistantError):
    """A turn was asked for while another one is running in the same session."""

    default_hint = "Read the running reply to its end, or close() it, first; or use one ChatSession per conversation."


class BudgetExceededError(AssistantError):
    """A limit of messages, tokens or money is reached."""


class PromptError(AssistantError):
    """A prompt template and its values do not fit."""


class StoreError(AssistantError):
    """A conversation could not be read or written."""


class LocalModelError(AssistantError):
    """The embedded model could not be loaded or run."""
