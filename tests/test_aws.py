"""Region, credentials, endpoint, certificates and proxy: the same on both wires, and a clear error where they lack."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from assistant import AssistantError, BedrockClient, CredentialsError, InvalidRequestError, ServiceError
from assistant.clients.aws import AwsSetup
from assistant.messages import Retrying
from tests.bedrock_server import ACCESS_KEY, SECRET_KEY, BedrockServer, Fault, Reply
from tests.wires import CLAUDE, LONG, NOVA, both_wires, client_of, inferences, session_of, set_environment


@pytest.fixture
def server() -> Iterator[BedrockServer]:
    with BedrockServer() as server:
        yield server


@pytest.fixture(scope="module")
def secure() -> Iterator[BedrockServer]:
    with BedrockServer(tls=True) as server:
        yield server


@pytest.fixture
def tls(secure: BedrockServer) -> BedrockServer:
    secure.requests.clear()
    return secure


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a credentials file of its own; the environment names no keys."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path


def keys(profile: str, secret: str = SECRET_KEY) -> str:
    return f"[{profile}]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {secret}\n"


def without_keys(server: BedrockServer) -> dict[str, str]:
    return {name: value for name, value in server.env.items() if "KEY" not in name}


def signed_region(server: BedrockServer) -> str:
    return re.search(r"Credential=[^/]+/\d+/([^/]+)/", server.requests[-1].headers["authorization"])[1]


# --- region -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "environment", "profile", "expected"),
    [
        ("eu-west-1", {"AWS_REGION": "us-east-2"}, "", "eu-west-1"),
        (None, {"AWS_REGION": "us-east-2", "AWS_DEFAULT_REGION": "us-west-2"}, "", "us-east-2"),
        (None, {"AWS_DEFAULT_REGION": "us-west-2"}, "region = eu-west-3", "us-west-2"),
        (None, {}, "region = eu-west-3", "eu-west-3"),
    ],
)
def test_the_region_is_the_argument_then_the_environment_then_the_profile(
    argument: str | None,
    environment: dict[str, str],
    profile: str,
    expected: str,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (files / "config").write_text(f"[default]\n{profile}\n")
    set_environment(monkeypatch, environment)
    assert AwsSetup(argument).region == expected


@both_wires
def test_aws_region_alone_works_on_both_wires(
    model: str, server: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, {**server.env, "AWS_REGION": "us-west-2"})
    client_of().complete("hola", model=model)
    assert signed_region(server) == "us-west-2"


@both_wires
def test_without_a_region_nothing_is_sent_and_the_error_says_what_to_set(
    model: str, server: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, server.env)
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(InvalidRequestError, match="AWS_REGION"):
        client_of().stream("hola", model=model)
    assert server.requests == []


# --- credentials ------------------------------------------------------------------------------------------------------


@both_wires
def test_a_bearer_token_goes_over_tls(model: str, tls: BedrockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, {**without_keys(tls), "AWS_BEARER_TOKEN_BEDROCK": tls.bearer_token})
    client_of().complete("hola", model=model)
    assert tls.requests[-1].headers["authorization"] == f"Bearer {tls.bearer_token}"


@both_wires
def test_a_bearer_token_wins_over_keys_as_in_boto3(
    model: str, tls: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, {**tls.env, "AWS_BEARER_TOKEN_BEDROCK": tls.bearer_token})
    client_of().complete("hola", model=model)
    assert tls.requests[-1].headers["authorization"].startswith("Bearer ")


@both_wires
def test_a_bearer_token_never_goes_over_plain_http(
    model: str, server: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, {**server.env, "AWS_BEARER_TOKEN_BEDROCK": server.bearer_token})
    with pytest.raises(InvalidRequestError, match=r"(?i)https"):
        client_of().complete("hola", model=model)
    assert server.requests == []


@both_wires
def test_a_profile_that_is_asked_for_wins_over_the_token_of_the_environment(
    model: str, tls: BedrockServer, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files / "credentials").write_text(keys("work"))
    set_environment(monkeypatch, {**without_keys(tls), "AWS_BEARER_TOKEN_BEDROCK": "someone-else"})
    client_of(profile="work").complete("hola", model=model)
    assert ACCESS_KEY in tls.requests[-1].headers["authorization"]


@both_wires
@pytest.mark.parametrize("by_argument", [False, True])
def test_a_profile_gives_keys_region_and_endpoint(
    by_argument: bool, model: str, server: BedrockServer, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files / "credentials").write_text(keys("work"))
    (files / "config").write_text(
        "[profile work]\nregion = us-west-2\nservices = here\n"
        f"[services here]\nbedrock_runtime =\n  endpoint_url = {server.url}\n"
    )
    if not by_argument:
        monkeypatch.setenv("AWS_PROFILE", "work")
    client_of(profile="work" if by_argument else None).complete("hola", model=model)
    assert signed_region(server) == "us-west-2"


def test_a_profile_that_does_not_exist_is_named_and_nothing_else_is_tried(
    server: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, {**server.env, "AWS_PROFILE": "nope"})
    with pytest.raises(CredentialsError, match="nope") as caught:
        client_of().complete("hola", model=CLAUDE)
    assert "AWS_PROFILE" in caught.value.hint
    assert server.requests == []


@both_wires
@pytest.mark.parametrize(
    "left", [(), ("AWS_ACCESS_KEY_ID",), ("AWS_SECRET_ACCESS_KEY",)], ids=["none", "key", "secret"]
)
def test_missing_and_partial_keys_are_credentials_errors_before_any_request(
    left: tuple[str, ...], model: str, server: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, {**without_keys(server), **{name: server.env[name] for name in left}})
    with pytest.raises(CredentialsError) as caught:
        client_of().complete("hola", model=model)
    assert (server.requests, caught.value.transient) == ([], False)
    assert SECRET_KEY not in str(caught.value)


@both_wires
def test_a_wrong_secret_is_a_credentials_error_that_is_never_retried_and_never_told(
    model: str, server: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, {**server.env, "AWS_SECRET_ACCESS_KEY": "not-the-secret"})
    with pytest.raises(CredentialsError) as caught:
        client_of().complete("hola", model=model)
    assert len(server.requests) == 1
    cause: BaseException | None = caught.value
    while cause is not None:
        assert "not-the-secret" not in f"{cause} {cause!r} {getattr(cause, 'response', '')}"
        cause = cause.__cause__


@both_wires
def test_a_login_that_is_renewed_in_the_credentials_file_works_at_the_next_turn(
    model: str, server: BedrockServer, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, without_keys(server))
    (files / "credentials").write_text(keys("default", secret="expired"))
    session = session_of(client_of(), model)
    with pytest.raises(CredentialsError):
        session.send("hola")
    (files / "credentials").write_text(keys("default"))
    assert session.retry().drain().stop_reason == "end_turn"
    assert [turn.stop_reason for turn in session.transcript] == ["end_turn"]


@both_wires
def test_a_login_that_is_renewed_in_the_environment_works_at_the_next_turn(
    model: str, server: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, server.env)
    client = client_of()
    client.complete("hola", model=model)
    server.script(Fault("ExpiredTokenException"))
    with pytest.raises(CredentialsError):
        client.complete("hola", model=model)
    server.secrets = {"AKIANEW": "new-secret"}
    set_environment(monkeypatch, {"AWS_ACCESS_KEY_ID": "AKIANEW", "AWS_SECRET_ACCESS_KEY": "new-secret"})
    client.complete("hola", model=model)
    assert "AKIANEW" in server.requests[-1].headers["authorization"]


@both_wires
@pytest.mark.parametrize("before", ["a turn", "a list of models", "a count of tokens", "nothing but a warm start"])
def test_a_login_that_was_renewed_since_it_was_last_looked_up_works_at_once(
    before: str, model: str, server: BedrockServer, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, without_keys(server))
    (files / "credentials").write_text(keys("default"))
    client = client_of()
    if before == "a turn":
        client.complete("hola", model=model)
    server.secrets = {"AKIANEW": "new-secret"}
    if before == "a list of models":
        assert client.listing().notice is not None
    elif before == "a count of tokens":
        client.count_tokens("hola", model=model)
    else:
        client.warm()
    (files / "credentials").write_text(keys("default", "new-secret").replace(ACCESS_KEY, "AKIANEW"))
    sent = len(inferences(server))
    reply = client.complete("hola", model=model)
    assert [event for event in reply.events() if isinstance(event, Retrying)] == []
    assert len(inferences(server)) - sent <= 2
    assert client.listing().notice is None


@both_wires
def test_a_refused_login_is_not_replaced_once_the_reader_has_seen_text(
    model: str, server: BedrockServer, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, without_keys(server))
    (files / "credentials").write_text(keys("default"))
    server.script(Fault("expiredTokenException", after=1, reply=Reply("uno dos")))
    steps = iter(client_of().stream("hola", model=model))
    assert next(steps) == "uno"
    server.secrets["AKIANEW"] = "new-secret"
    (files / "credentials").write_text(keys("default", "new-secret").replace(ACCESS_KEY, "AKIANEW"))
    with pytest.raises(CredentialsError):
        next(steps)
    assert len(server.requests) == 1


def test_a_renewed_login_serves_the_other_wire_too(server: BedrockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of()
    set_environment(monkeypatch, without_keys(server))
    with pytest.raises(CredentialsError):
        client.complete("hola", model=CLAUDE)
    set_environment(monkeypatch, server.env)
    for model in (NOVA, CLAUDE):
        client.complete("hola", model=model)


def test_twenty_threads_may_be_the_first_ones_at_once(server: BedrockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore's session is not made for that: the setup serialises what only it may do once."""
    set_environment(monkeypatch, server.env)
    for _ in range(2):
        client, ready = client_of(), threading.Barrier(20)

        def one(number: int, client: BedrockClient = client, ready: threading.Barrier = ready) -> object:
            ready.wait(LONG)
            return client.models() if number % 5 == 0 else client.complete("hola", model=(CLAUDE, NOVA)[number % 2])

        with ThreadPoolExecutor(20) as pool:
            assert len(list(pool.map(one, range(20)))) == 20


# --- endpoint, certificates, proxy ------------------------------------------------------------------------------------


@both_wires
def test_the_endpoint_of_the_argument_wins(model: str, server: BedrockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, {**server.env, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://127.0.0.1:9"})
    client_of(endpoint_url=server.url).complete("hola", model=model)
    assert len(server.requests) == 1


@both_wires
@pytest.mark.parametrize("slash", ["", "/"])
def test_one_endpoint_for_all_of_aws_is_honoured(
    slash: str, model: str, server: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, server.env[name])
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url + slash)
    client = client_of()
    client.complete("hola", model=model)
    assert client.models()
    assert {recorded.operation for recorded in server.requests} >= {"ListFoundationModels", "ListInferenceProfiles"}


@pytest.mark.parametrize(
    ("region", "url"),
    [
        ("us-east-1", "https://bedrock-runtime.us-east-1.amazonaws.com"),
        ("us-gov-west-1", "https://bedrock-runtime.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_without_an_endpoint_both_wires_go_to_the_regions_own(region: str, url: str) -> None:
    setup = AwsSetup(region)
    assert setup.runtime_url() == url
    assert setup.boto3_client("bedrock-runtime").meta.endpoint_url == url


def test_the_fips_endpoint_is_the_same_on_both_wires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    setup = AwsSetup("us-east-1")
    assert setup.runtime_url() == setup.boto3_client("bedrock-runtime").meta.endpoint_url


def test_configured_endpoints_can_be_ignored_as_in_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    setup = AwsSetup("us-east-1")
    assert setup.runtime_url() == setup.boto3_client("bedrock-runtime").meta.endpoint_url


@both_wires
def test_an_endpoint_that_is_no_url_is_said_so_at_once(
    model: str, server: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, server.env)
    with pytest.raises(InvalidRequestError, match="localhost:1234"):
        client_of(endpoint_url="localhost:1234").complete("hola", model=model)


@both_wires
@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_either_name_of_a_ca_file_serves_both_wires(
    name: str, model: str, tls: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {key: value for key, value in tls.env.items() if key not in ("AWS_CA_BUNDLE", "SSL_CERT_FILE")}
    set_environment(monkeypatch, {**others, name: str(tls.ca_file)})
    client_of().complete("hola", model=model)


@both_wires
def test_an_unknown_authority_is_an_error_that_names_the_variable_and_is_not_retried(
    model: str, tls: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, tls.env)
    for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name)
    with pytest.raises(ServiceError) as caught:
        client_of().complete("hola", model=model)
    assert "AWS_CA_BUNDLE" in caught.value.hint
    assert not caught.value.transient


@both_wires
@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nbm9ñZQ==\n-----END CERTIFICATE-----\n",
    ],
)
def test_a_ca_file_that_is_none_is_named(
    content: str | None, model: str, tls: BedrockServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "authorities.pem"
    if content is not None:
        file.write_text(content)
    set_environment(monkeypatch, {**tls.env, "AWS_CA_BUNDLE": str(file)})
    with pytest.raises(AssistantError, match=re.escape(str(file))) as caught:
        client_of().complete("hola", model=model)
    assert not caught.value.transient


@both_wires
def test_a_damaged_certificate_behind_a_good_one_is_not_tried_again(
    model: str, tls: BedrockServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "authorities.pem"
    bad = "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n"
    file.write_text(Path(str(tls.ca_file)).read_text() + bad)
    set_environment(monkeypatch, {**tls.env, "AWS_CA_BUNDLE": str(file)})
    with pytest.raises(AssistantError, match=r"X509|can't be read") as caught:
        client_of().complete("hola", model=model)
    assert "AWS_CA_BUNDLE" in caught.value.hint
    assert not caught.value.transient


class ConnectProxy:
    """A proxy that knows CONNECT alone, as company proxies do for HTTPS. `asked` is what it was asked for, `refusal`
    what it answers to everything, where that is not to pass on."""

    def __init__(self, refusal: str = "") -> None:
        self.asked: list[str] = []
        self._refusal = refusal
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        target = head.split()[1].decode()
        self.asked.append(target)
        if self._refusal:
            client.sendall(f"HTTP/1.1 {self._refusal}\r\nContent-Length: 0\r\n\r\n".encode())
            client.close()
            return
        host, _, port = target.partition(":")
        upstream = socket.create_connection((host, int(port)))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=self._pump, args=(upstream, client), daemon=True).start()
        self._pump(client, upstream)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()


@both_wires
def test_a_proxy_is_honoured_on_both_wires(model: str, tls: BedrockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = ConnectProxy()
    try:
        set_environment(monkeypatch, {**tls.env, "HTTPS_PROXY": proxy.url})
        assert client_of().complete("hola", model=model).stop_reason == "end_turn"
        assert proxy.asked == [tls.url.removeprefix("https://")]
    finally:
        proxy.close()


@both_wires
@pytest.mark.parametrize(
    ("refusal", "requests"), [("407 Proxy Authentication Required", 1), ("403 Forbidden", 1), ("502 Bad Gateway", 3)]
)
def test_a_proxy_that_refuses_is_said_in_its_words_and_asked_again_only_where_that_may_help(
    refusal: str, requests: int, model: str, tls: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = ConnectProxy(refusal)
    try:
        set_environment(monkeypatch, {**tls.env, "HTTPS_PROXY": proxy.url})
        with pytest.raises(ServiceError, match=rf"refused by the proxy: {refusal} \(model") as caught:
            client_of().complete("hola", model=model)
        assert "HTTPS_PROXY" in caught.value.hint
        assert len(proxy.asked) == requests
    finally:
        proxy.close()


@both_wires
@pytest.mark.parametrize(("no_proxy", "asked"), [("localhost", 0), ("*", 0), (".amazonaws.com", 1)])
def test_what_goes_without_a_proxy_is_the_same_on_both_wires(
    no_proxy: str, asked: int, model: str, tls: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = ConnectProxy()
    try:
        # What boto3 does not know is not taken by one of the wires alone.
        set_environment(
            monkeypatch, {**tls.env, "HTTPS_PROXY": proxy.url, "NO_PROXY": no_proxy, "ALL_PROXY": "socks5://x"}
        )
        client_of().complete("hola", model=model)
        assert len(proxy.asked) == asked
    finally:
        proxy.close()


@both_wires
def test_a_kind_of_proxy_that_is_not_spoken_is_said_without_its_password(
    model: str, tls: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, {**tls.env, "HTTPS_PROXY": "socks5h://juan:secret@127.0.0.1:9"})
    with pytest.raises(InvalidRequestError, match="socks5h") as caught:
        client_of().complete("hola", model=model)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is not caught.value
