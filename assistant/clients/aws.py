"""AwsSetup: region, credentials, endpoint and certificates, looked up once and shared by both wires."""

from __future__ import annotations

import os
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import AssistantError, CredentialsError, InvalidRequestError
from ..messages import Notice

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from botocore.session import Session

# The first one of a file. OpenSSL knows other kinds beside CERTIFICATE, TRUSTED CERTIFICATE for one.
_CERTIFICATE = re.compile(r"-----BEGIN ([A-Z0-9 ]*CERTIFICATE)-----.*?-----END \1-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search for AWS came to. `error` is what to raise where Bedrock was asked for by name."""

    reason: Notice
    error: AssistantError | None = None

    @property
    def usable(self) -> bool:
        return self.error is None

    def check(self) -> None:
        if self.error is not None:
            raise self.error


class AwsSetup:
    """The ordinary AWS chain, resolved when first needed.

    Region: argument, AWS_REGION, AWS_DEFAULT_REGION, the profile's. (boto3 alone does not read AWS_REGION.)
    Credentials: AWS_BEARER_TOKEN_BEDROCK where no profile is given, else boto3's chain, which refreshes by itself.
    `forget()` makes the next call look again, so that a new login needs no restart.
    """

    def __init__(self, region: str | None = None, profile: str | None = None, endpoint_url: str | None = None) -> None:
        self._region = region
        self.profile = profile
        self._endpoint_url = endpoint_url
        self._lock = threading.Lock()
        # Making clients and looking for credentials are what botocore's session is not thread-safe in.
        self._making = threading.RLock()
        self._session: Session | None = None
        # How often another login took the place of one before it.
        self.logins = 0

    def session(self) -> Session:
        """The botocore session. Raises CredentialsError for a profile that does not exist."""
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session

        with self._lock:
            if self._session is None:
                session = Session(profile=self.profile)
                session.set_config_variable("metadata_service_timeout", 1)
                session.set_config_variable("metadata_service_num_attempts", 1)
                try:
                    session.get_scoped_config()
                except BotoCoreError as error:
                    raise CredentialsError(
                        f"The AWS configuration can't be read: {error}",
                        hint="Check AWS_PROFILE and the files ~/.aws/config and ~/.aws/credentials.",
                    ) from error
                if self.region_of(session) is None:
                    # Whoever is on an AWS machine names the region; a laptop must not wait for a metadata service.
                    session.get_component("credential_provider").remove("iam-role")
                self._session = session
            return self._session

    def region_of(self, session: Session) -> str | None:
        return self._region or os.environ.get("AWS_REGION") or session.get_config_variable("region") or None

    @property
    def region(self) -> str:
        """Raises InvalidRequestError where no region is named anywhere, or one that can't be."""
        from botocore.exceptions import InvalidRegionError
        from botocore.utils import validate_region_name

        region = self.region_of(self.session())
        if region is None:
            raise InvalidRequestError(
                "No AWS region is set.", hint="Set AWS_REGION (for example us-east-1), or pass region=.", code="setup"
            )
        try:
            validate_region_name(region)
        except InvalidRegionError as error:
            raise InvalidRequestError(
                f"There is no AWS region {region!r}.", hint="Check AWS_REGION; it looks like us-east-1.", code="setup"
            ) from error
        return region

    @property
    def bearer_token(self) -> str | None:
        # A profile that is asked for by name is meant; the token in the environment would silently win over it.
        return None if self.profile else os.environ.get("AWS_BEARER_TOKEN_BEDROCK") or None

    def credentials(self) -> Credentials:
        """Credentials to sign with; may read files and ask the network. Raises CredentialsError."""
        from botocore.exceptions import BotoCoreError

        try:
            with self._making:
                found = self.session().get_credentials()
        except BotoCoreError as error:
            raise CredentialsError(f"The AWS credentials can't be used: {error}") from error
        if found is None:
            raise CredentialsError("No AWS credentials were found.")
        return found

    def find(self) -> Found:
        """Whether Bedrock can be tried at all, and why or why not. Makes no request to Bedrock."""
        region = self.region_of(self.session())
        if self.bearer_token:
            source = "AWS_BEARER_TOKEN_BEDROCK"
        else:
            try:
                source = f"the AWS chain ({self.credentials().method})"
            except CredentialsError as error:
                if error.__cause__ is not None:
                    # Something is set up and broken: going on without it would hide that.
                    raise
                return Found(Notice("no_credentials", "no AWS credentials were found"), error)
        if region is None:
            missing = InvalidRequestError(
                "AWS credentials were found, but no region.",
                hint="Set AWS_REGION, for example us-east-1.",
                code="setup",
            )
            return Found(Notice("no_region", f"credentials from {source}, but no AWS region is set"), missing)
        values = {"source": source, "region": region}
        return Found(Notice("aws_found", f"credentials from {source}, region {region}", values))

    def runtime_url(self) -> str:
        """Where the Claude wire sends to, by boto3's rules: argument, AWS_ENDPOINT_URL_*, profile, the region's own.

        Raises InvalidRequestError for what is no URL, and for a bearer token over plain http.
        """
        url = self._runtime_url()
        if not url.startswith(("https://", "http://")):
            raise InvalidRequestError(
                f"The endpoint {url} is no URL.",
                hint="It begins with https://; see AWS_ENDPOINT_URL_BEDROCK_RUNTIME.",
                code="setup",
            )
        if self.bearer_token and not url.startswith("https://"):
            raise InvalidRequestError(
                "A bearer token goes over HTTPS only.",
                hint="Change the endpoint, or unset AWS_BEARER_TOKEN_BEDROCK.",
                code="setup",
            )
        return url

    def _runtime_url(self) -> str:
        if self._endpoint_url:
            return self._endpoint_url
        for name in ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL"):
            if os.environ.get(name) and not _ignores_endpoints():
                return os.environ[name]
        configured = self._endpoint_of_profile()
        if configured:
            return configured
        suffix = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        fips = "-fips" if self.session().get_config_variable("use_fips_endpoint") else ""
        return f"https://bedrock-runtime{fips}.{self.region}.{suffix}"

    def _endpoint_of_profile(self) -> str | None:
        session = self.session()
        if _ignores_endpoints():
            return None
        profile = session.get_scoped_config()
        services = session.full_config.get("services", {}).get(profile.get("services"), {})
        found = services.get("bedrock_runtime", {}).get("endpoint_url") or profile.get("endpoint_url")
        return str(found) if found else None

    def ca_bundle(self) -> str | None:
        """A file of certificates to trust, or None for the defaults. Both wires take the same.

        Raises InvalidRequestError for a file that can't be read.
        """
        names = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
        configured = self.session().get_config_variable("ca_bundle")
        found = configured or next((os.environ[name] for name in names if os.environ.get(name)), None)
        if found:
            with _readable(found):
                # The first one alone: all of a usual file take OpenSSL a tenth of the way to the first word, and boto3
                # reads them again.
                first = _CERTIFICATE.search(Path(found).read_text("ascii", "backslashreplace"))
                if first is None:
                    raise OSError("there are none in it")
                if first[1] == "CERTIFICATE":
                    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=first[0])
        return found

    def tls(self) -> ssl.SSLContext | bool:
        """The same for httpx. Raises as `ca_bundle` does."""
        found = self.ca_bundle()
        if not found:
            return True
        with _readable(found):
            return ssl.create_default_context(cafile=found)

    def proxy(self, url: str) -> str | None:
        """The proxy on the way to `url`, or None: HTTPS_PROXY, HTTP_PROXY and NO_PROXY by boto3's rules.

        Raises InvalidRequestError for a kind of proxy that the wires do not speak, SOCKS for instance.
        """
        from botocore.utils import get_environ_proxies

        scheme = url.partition("://")[0]
        found = get_environ_proxies(url).get(scheme)
        if not found:
            return None
        kind, named, _ = found.partition("://")
        if named and kind.lower() not in ("http", "https"):
            # The address may hold a password.
            raise InvalidRequestError(
                f"{scheme.upper()}_PROXY names a proxy of the kind {kind}, which is not taken.",
                hint="Set it to an http:// proxy, or leave the endpoint out with NO_PROXY.",
                code="setup",
            )
        return found if named else f"http://{found}"

    def boto3_client(self, service: str, **config: Any) -> Any:
        """A boto3 client with retries off: tenacity is the only owner of retries."""
        import boto3
        from botocore.config import Config

        runtime = service == "bedrock-runtime"
        if runtime:
            # Only so that what is wrong with it is said in the same words on both wires.
            self.runtime_url()
        settings = Config(
            retries={"mode": "standard", "total_max_attempts": 1},
            tcp_keepalive=True,
            # With a profile named, botocore too must not take the token from the environment.
            **({"signature_version": "v4"} if self.profile else {}),
            **config,
        )
        endpoint = self._endpoint_url if runtime else None
        with self._making:
            session = boto3.Session(botocore_session=self.session(), region_name=self.region)
            try:
                client = session.client(service, endpoint_url=endpoint, verify=self.ca_bundle(), config=settings)
            except ValueError as error:
                raise InvalidRequestError(
                    f"The set-up for AWS can't be used: {error}",
                    hint="An endpoint begins with https://; see AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_BEDROCK.",
                    code="setup",
                ) from error
        self.proxy(client.meta.endpoint_url)
        return client

    def forget(self) -> None:
        """Looks for everything anew at the next use."""
        with self._lock:
            self._session = None

    def renew(self, logins: int) -> bool:
        """Looks for everything anew; whether there is another login now than when `logins` was read.

        May read files and ask the network, as `credentials` does.
        """
        with self._making:
            if self.logins == logins:
                before = self._login()
                self.forget()
                if self._login() not in (None, before):
                    self.logins += 1
            return self.logins != logins

    def _login(self) -> tuple[str | None, ...] | None:
        """What requests are signed with; None where there is nothing."""
        from botocore.exceptions import BotoCoreError

        try:
            token = self.bearer_token
            return (token,) if token else tuple(self.credentials().get_frozen_credentials())
        except (AssistantError, BotoCoreError):
            return None


@contextmanager
def _readable(certificates: str) -> Iterator[None]:
    """What goes wrong with a file of certificates, in words."""
    try:
        yield
    except OSError as error:
        raise InvalidRequestError(
            f"The certificates in {certificates} can't be read: {error}",
            hint="Check AWS_CA_BUNDLE and SSL_CERT_FILE.",
            code="setup",
        ) from error


def _ignores_endpoints() -> bool:
    return os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true"
