"""What the loopback Bedrock says when it refuses or fails, in the service's own words as far as they are known:
clients read them to tell errors apart."""

from __future__ import annotations

from typing import Any

_UNEXPECTED = "The system encountered an unexpected error during processing. Try your request again."

# Error code -> HTTP status before the stream, and what the service says unless a test says something else.
ERRORS: dict[str, tuple[int, str]] = {
    "ThrottlingException": (429, "Too many requests, please wait before trying again."),
    "ModelNotReadyException": (429, "Model is not ready for inference. Please retry your request later."),
    "InternalServerException": (500, _UNEXPECTED),
    "ServiceUnavailableException": (503, "Bedrock is unable to process your request."),
    "ModelTimeoutException": (408, "Model has timed out in processing the request. Try your request again."),
    "ModelErrorException": (424, _UNEXPECTED),
    "ModelStreamErrorException": (424, _UNEXPECTED),
    "ValidationException": (400, "Malformed input request, please reformat your input and try again."),
    "AccessDeniedException": (403, "You don't have access to the model with the specified model ID."),
    "ResourceNotFoundException": (404, "Could not resolve the foundation model from the model identifier."),
    "ServiceQuotaExceededException": (400, "Your request exceeds the service quota for your account."),
    "ExpiredTokenException": (403, "The security token included in the request is expired"),
    "UnrecognizedClientException": (403, "The security token included in the request is invalid."),
    "MissingAuthenticationTokenException": (403, "Missing Authentication Token"),
    "IncompleteSignatureException": (403, "The request signature does not conform to AWS standards."),
    "InvalidSignatureException": (
        403,
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
        "Access Key and signing method. Consult the service documentation for details.",
    ),
    "UnknownOperationException": (404, "The requested operation is not recognized by the service."),
}

INPUT_TOO_LONG = "Input is too long for requested model."
PROMPT_TOO_LONG = "prompt is too long: 250000 tokens > 200000 maximum"
BOTH_SAMPLING = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
NO_TEMPERATURE = "`temperature` is deprecated for this model."
NO_PREFILL = "This model does not support assistant message prefill. The conversation must end with a user message."
NOT_ON_DEMAND = (
    "Invocation of model ID {model} with on-demand throughput isn\N{RIGHT SINGLE QUOTATION MARK}t supported. Retry "
    "your request with the ID or ARN of an inference profile that contains this model."
)
NO_SUCH_MODEL = "The provided model identifier is invalid."
END_OF_LIFE = (
    "This model version has reached the end of its life. Please refer to the AWS documentation for more details."
)
NO_COUNTING = "The provided model doesn't support counting tokens."
NO_CHAT = "This action doesn't support the model that you provided. Try again with a supported text or chat model."
INVALID_VERSION = "Invalid API version"
BAD_BEARER = "Authentication failed: Please make sure your API Key is valid."
MISSING_ACTION = (
    "User: arn:aws:iam::123456789012:user/demo is not authorized to perform: bedrock:{action}{on} because no "
    "identity-based policy allows the bedrock:{action} action"
)


class ServiceError(Exception):
    """An answer that is an error: code, status and message as the service gives them before a stream."""

    def __init__(self, code: str, message: str | None = None, *, status: int | None = None, key: str = "message"):
        known_status, known_message = ERRORS.get(code, (400, code))
        self.code = code
        self.status = status or known_status
        self.message = known_message if message is None else message
        self.headers: dict[str, str] = {}
        self._key = key
        super().__init__(f"{code}: {self.message}")

    @property
    def body(self) -> dict[str, Any]:
        more = {"originalStatusCode": 500, "resourceName": "model"} if self.code == "ModelErrorException" else {}
        return {self._key: self.message, **more}


def invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


def not_authorized(action: str, model: str, region: str) -> ServiceError:
    """IAM's own refusal; its body says "Message", with a capital."""
    on = f" on resource: arn:aws:bedrock:{region}::foundation-model/{model}" if model else ""
    return ServiceError("AccessDeniedException", MISSING_ACTION.format(action=action, on=on), key="Message")
