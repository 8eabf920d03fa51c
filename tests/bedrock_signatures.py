"""Who signed a request: SigV4, checked as the service checks it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.message import Message
from urllib.parse import quote, urlsplit

from tests.bedrock_errors import ServiceError


def signed_region(method: str, target: str, headers: Message, body: bytes, secrets: Mapping[str, str]) -> str:
    """The region that a request was signed for. ServiceError where Signature Version 4 does not come out right.

    Written by hand and not with botocore's signer: two of the clients under test sign with that one.
    """
    fields = _authorization(headers["Authorization"])
    try:
        key, date, region, service, _ = fields["Credential"].split("/")
        names, given, timestamp = fields["SignedHeaders"].split(";"), fields["Signature"], headers["X-Amz-Date"]
        age = datetime.now(UTC) - datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except (KeyError, ValueError, TypeError) as error:
        raise ServiceError("IncompleteSignatureException") from error
    if key not in secrets:
        raise ServiceError("UnrecognizedClientException")
    if service != "bedrock":
        raise ServiceError("InvalidSignatureException", "Credential should be scoped to correct service: 'bedrock'. ")
    if abs(age) > timedelta(minutes=5) or not timestamp.startswith(date):
        raise ServiceError("InvalidSignatureException", f"Signature expired: {timestamp} is too far from now.")
    if "host" not in names:
        raise ServiceError("InvalidSignatureException", "'Host' must be a 'SignedHeader' in the Authorization.")
    canonical = _canonical_request(method, target, headers, names, body)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    scope = f"{date}/{region}/{service}/aws4_request"
    signature = _signature(secrets[key], scope, f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{digest}")
    if not hmac.compare_digest(signature, given):
        raise ServiceError("InvalidSignatureException")
    return region


def _authorization(value: str) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in value.removeprefix("AWS4-HMAC-SHA256 ").split(","))
    return {name: rest for name, _, rest in pairs}


def _canonical_request(method: str, target: str, headers: Message, names: Iterable[str], body: bytes) -> str:
    parts = urlsplit(target)
    lines = [method, quote(parts.path, safe="/~"), "&".join(sorted(parts.query.split("&")))]
    for name in names:
        values = (" ".join(value.split()) for value in headers.get_all(name) or [])
        lines.append(f"{name}:{','.join(values)}")
    return "\n".join([*lines, "", ";".join(names), hashlib.sha256(body).hexdigest()])


def _signature(secret: str, scope: str, to_sign: str) -> str:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
