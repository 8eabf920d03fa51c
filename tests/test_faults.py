"""From the service's words to an error that says what to do."""

from __future__ import annotations

import pytest

from assistant import (
    ContextTooLongError,
    CredentialsError,
    InvalidRequestError,
    ModelAccessError,
    ModelNotFoundError,
    ServiceError,
    StreamInterruptedError,
    ThrottledError,
)
from assistant.clients.faults import connection_error, incomplete, retry_after_of, service_error

NO, YES = False, True


@pytest.mark.parametrize(
    ("code", "status", "message", "kind", "transient"),
    [
        ("ThrottlingException", 429, "Too many requests, please wait before trying again.", ThrottledError, YES),
        ("ThrottlingException", 429, "Too many tokens, please wait before trying again.", ThrottledError, YES),
        ("throttlingException", 200, "Too many tokens per day", ThrottledError, NO),
        ("", 429, "", ThrottledError, YES),
        ("ModelNotReadyException", 429, "Model is not ready", ServiceError, YES),
        ("InternalServerException", 500, "internal", ServiceError, YES),
        ("internalServerException", 200, "internal", ServiceError, YES),
        ("ServiceUnavailableException", 503, "try later", ServiceError, YES),
        ("ModelTimeoutException", 408, "took too long", ServiceError, YES),
        ("ModelErrorException", 424, "model failed", ServiceError, YES),
        ("modelStreamErrorException", 200, "failed", ServiceError, YES),
        ("someNewException", 200, "", ServiceError, YES),
        ("", 200, "", ServiceError, YES),
        ("overloaded_error", 200, "Overloaded", ServiceError, YES),
        ("rate_limit_error", 200, "slow down", ThrottledError, YES),
        ("403", 403, "<html><body>Blocked by policy</body></html>", ServiceError, NO),
        ("", 404, "<!DOCTYPE html><p>nothing here</p>", ServiceError, NO),
        ("302", 302, "Found", ServiceError, NO),
        ("407", 407, "Proxy Authentication Required", ServiceError, NO),
        ("", 502, "<html>Bad gateway</html>", ServiceError, YES),
        ("504", 504, "Gateway Timeout", ServiceError, YES),
        ("511", 511, "Network Authentication Required", ServiceError, NO),
        ("ServiceQuotaExceededException", 400, "quota", ThrottledError, NO),
        ("ThrottlingException", 429, "Too many tokens per day, please wait before trying again.", ThrottledError, NO),
        ("ValidationException", 400, "Input is too long for requested model.", ContextTooLongError, NO),
        ("ValidationException", 400, "prompt is too long: 250000 tokens > 200000 maximum", ContextTooLongError, NO),
        ("ValidationException", 400, "This model's maximum context length is 8192 tokens", ContextTooLongError, NO),
        ("ValidationException", 400, "temperature: range: 0..1", InvalidRequestError, NO),
        ("ValidationException", 400, "The provided model identifier is invalid.", ModelNotFoundError, NO),
        (
            "ValidationException",
            400,
            "Invocation of model ID x with on-demand throughput isn't supported. Retry your request with the ID or ARN"
            " of an inference profile that contains this model.",
            ModelNotFoundError,
            NO,
        ),
        ("ResourceNotFoundException", 404, "Could not find the model", ModelNotFoundError, NO),
        (
            "ResourceNotFoundException",
            404,
            "Model use case details have not been submitted for this account.",
            ModelAccessError,
            NO,
        ),
        ("AccessDeniedException", 403, "You don't have access to the model.", ModelAccessError, NO),
        ("AccessDeniedException", 403, "User x is not authorized to perform: bedrock:Invoke", ModelAccessError, NO),
        ("AccessDeniedException", 403, "Bearer Token has expired", CredentialsError, NO),
        ("ExpiredTokenException", 403, "The security token included in the request is expired", CredentialsError, NO),
        ("UnrecognizedClientException", 403, "The security token is invalid.", CredentialsError, NO),
        ("InvalidSignatureException", 403, "The request signature we calculated does not match", CredentialsError, NO),
        ("MissingAuthenticationTokenException", 403, "Missing Authentication Token", CredentialsError, NO),
    ],
)  # fmt: skip
def test_each_answer_of_the_service_has_its_error(
    code: str, status: int, message: str, kind: type, transient: bool
) -> None:
    error = service_error(code, message, status=status, model="m", region="r")
    assert type(error) is kind
    assert error.transient is transient
    assert (error.model, error.region, error.code) == ("m", "r", code or None)
    assert error.hint


def test_a_passing_failure_after_text_is_an_interruption_and_never_retried() -> None:
    error = service_error("throttlingException", "slow", status=200, shown=True)
    assert type(error) is StreamInterruptedError
    assert not error.transient
    assert isinstance(error.__cause__, ThrottledError)
    wrong = service_error("validationException", "no", status=200, shown=True)
    assert type(wrong) is InvalidRequestError


def test_a_page_of_a_proxy_is_not_taken_for_the_services_word() -> None:
    error = service_error("", "<html>\n<p>Blocked <b>by</b>\n policy</p></html>", status=403, model="m", region="r")
    assert error.message.endswith("with HTTP status 403: Blocked by policy")
    assert "HTTPS_PROXY" in error.hint


@pytest.mark.parametrize(("status", "page"), [(502, False), (504, False), (503, True), (500, True)])
def test_what_only_a_proxy_answers_is_not_said_to_be_the_service(status: int, page: bool) -> None:
    assert service_error(str(status), "x", status=status, page=page).message.startswith("Not Amazon Bedrock")
    assert service_error("ServiceUnavailableException", "x", status=status, page=page).message.startswith("Amazon")


def test_a_broken_connection_keeps_its_cause() -> None:
    cause = OSError("reset by peer")
    before = connection_error(cause, model="m", region="r", shown=False, headers=False)
    assert (type(before), before.transient, before.__cause__) == (ServiceError, True, cause)
    after = connection_error(cause, model="m", region="r", shown=True, headers=True)
    assert (type(after), after.transient) == (StreamInterruptedError, False)
    assert type(incomplete("m", "r", shown=True)) is StreamInterruptedError
    assert incomplete("m", "r", shown=False).transient


def test_hints_name_a_profile_or_a_successor() -> None:
    needs = service_error(
        "ValidationException", "on-demand throughput isn't supported", status=400, model="anthropic.claude-opus-4-7"
    )
    assert "us.anthropic.claude-opus-4-7" in needs.hint
    gone = service_error("ResourceNotFoundException", "gone", status=404, model="anthropic.claude-v2")
    assert "claude-sonnet-5-5" in gone.hint


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"x-amz-retry-after": "250"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT", "date": "Wed, 21 Oct 2026 07:27:48 GMT"}, 12.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 -0000", "date": "Wed, 21 Oct 2026 07:27:48 GMT"}, 12.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "in a while"}, None),
        ({"retry-after": "-5"}, 0.0),
    ],
)
def test_retry_after_is_read_in_each_of_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_of(headers) == seconds
