"""diagnose(): each thing that can be wrong is said with its next step."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from assistant.cli import cli
from assistant.doctor import Record, diagnose, language, status_of
from tests.bedrock_server import BedrockServer, Fault

IDENTITY = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    "<Arn>arn:aws:iam::123456789012:user/ana</Arn><UserId>AIDA</UserId><Account>123456789012</Account>"
    "</GetCallerIdentityResult></GetCallerIdentityResponse>"
)


class _Sts(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", str(len(IDENTITY)))
        self.end_headers()
        self.wfile.write(IDENTITY.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockServer]:
    sts = HTTPServer(("127.0.0.1", 0), _Sts)
    threading.Thread(target=sts.serve_forever, daemon=True).start()
    with BedrockServer() as running:
        for name, value in running.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{sts.server_port}")
        yield running
    sts.shutdown()
    sts.server_close()


def found(records: list[Record], check: str) -> Record:
    return next(record for record in records if record.check == check)


def test_everything_is_well_with_aws_set_up(server: BedrockServer, tmp_path: Path) -> None:
    records = diagnose(data_dir=tmp_path, lang="en")
    assert [record.check for record in records if record.status == "fail"] == []
    assert status_of(records) == 0
    assert found(records, "identity").text == "account ********9012, user/ana"
    assert "123456789012" not in " ".join(record.text for record in records)
    assert "us.anthropic.claude-haiku-5-5 answered" in found(records, "call").text
    count = found(records, "count")
    assert (count.status, "does not count for" in count.text, count.next_step) == ("ok", True, "")
    call = next(request for request in server.requests if "max_tokens" in request.body)
    assert call.body["max_tokens"] == 1


def test_without_aws_the_embedded_model_is_enough(tmp_path: Path) -> None:
    records = diagnose(data_dir=tmp_path, lang="es")
    assert status_of(records) == 0
    credentials = found(records, "credentials")
    assert (credentials.status, credentials.title) == ("warn", "Credenciales de AWS")
    assert "aws configure" in credentials.next_step
    assert found(records, "local").status == "ok"


def test_bedrock_by_name_makes_missing_credentials_a_failure(tmp_path: Path) -> None:
    records = diagnose(backend="bedrock", data_dir=tmp_path)
    assert found(records, "credentials").status == "fail"
    assert status_of(records) == 1


def test_the_call_goes_through_the_guardrail_that_every_other_one_does(
    server: BedrockServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSISTANT_GUARDRAIL", "gr1:7")
    assert found(diagnose(data_dir=tmp_path, lang="en"), "call").status == "ok"
    assert any("x-amzn-bedrock-guardrailidentifier" in request.headers for request in server.requests)
    monkeypatch.setenv("ASSISTANT_GUARDRAIL", "gr1")
    assert "abc123:1" in found(diagnose(data_dir=tmp_path, lang="en"), "call").next_step


def test_denied_actions_name_the_statement_to_add(server: BedrockServer, tmp_path: Path) -> None:
    server.deny = {"ListFoundationModels", "ListInferenceProfiles", "InvokeModelWithResponseStream"}
    records = diagnose(data_dir=tmp_path, lang="en")
    assert '"Action": ["bedrock:ListFoundationModels"]' in found(records, "models").next_step
    assert '"Action": ["bedrock:ListInferenceProfiles"]' in found(records, "profiles").next_step
    call = found(records, "call")
    assert call.status == "fail"
    assert "bedrock:InvokeModelWithResponseStream" in call.next_step
    assert status_of(records) == 1


def test_expired_credentials_say_to_sign_in(server: BedrockServer, tmp_path: Path) -> None:
    server.script(Fault("ExpiredTokenException"))
    call = found(diagnose(data_dir=tmp_path, model="nova-lite"), "call")
    assert call.status == "fail"
    assert "aws sso login" in call.next_step


def test_tokens_are_counted_exactly_where_the_service_does(server: BedrockServer, tmp_path: Path) -> None:
    count = found(diagnose(data_dir=tmp_path, lang="en", model="claude-haiku-4-5"), "count")
    assert (count.status, "exact" in count.text) == ("ok", True)
    server.deny = {"CountTokens"}
    count = found(diagnose(data_dir=tmp_path, lang="en", model="claude-haiku-4-5"), "count")
    assert (count.status, "bedrock:CountTokens" in count.next_step) == ("warn", True)


@pytest.mark.parametrize(("lang", "words"), [("en", "AWS does not accept"), ("es", "AWS no acepta las credenciales")])
def test_a_wrong_key_is_no_missing_permission(
    lang: str, words: str, server: BedrockServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    records = diagnose(data_dir=tmp_path, lang=lang)
    for check in ("models", "profiles", "count", "call"):
        record = found(records, check)
        assert (record.status, words in record.text) == ("fail", True)
        assert "aws sso login" in record.next_step
        assert "IAM" not in record.next_step


@pytest.mark.parametrize(
    ("fault", "model", "meaning", "step"),
    [
        (Fault("AccessDeniedException"), "nova-lite", "AWS no lo permite", "política de IAM"),
        (Fault("ResourceNotFoundException"), "nova-lite", "no existe ese modelo aquí", "assistant models"),
        (None, "claude-v2", "no existe ese modelo aquí", 'Usa model="claude-sonnet-5-5"'),
        (Fault("ValidationException"), "nova-lite", "la petición no se aceptó", "Cambia o quita"),
        (Fault("ServiceQuotaExceededException"), "nova-lite", "demasiadas peticiones", "Service Quotas"),
        (Fault("ValidationException", message="Fill in the use case details."), "nova-lite", "permite", "formulario"),
    ],
    ids=["access", "model", "retired", "invalid", "quota", "form"],
)
def test_in_spanish_each_failure_has_its_meaning_and_its_step(
    fault: Fault | None, model: str, meaning: str, step: str, server: BedrockServer, tmp_path: Path
) -> None:
    if fault is not None:
        server.script(fault)
    records = diagnose(data_dir=tmp_path, lang="es", model=model)
    call = found(records, "call")
    assert call.status == "fail"
    assert meaning in call.text
    assert step in call.next_step


def test_a_region_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x" * 40)
    region = found(diagnose(data_dir=tmp_path, lang="en"), "region")
    assert (region.status, "AWS_REGION" in region.next_step) == ("warn", True)


@pytest.mark.parametrize(
    ("name", "value", "check", "says"),
    [
        ("AWS_CA_BUNDLE", "/nope.pem", "models", "/nope.pem"),
        ("AWS_ENDPOINT_URL_BEDROCK", "nonsense", "models", "nonsense"),
        ("HTTP_PROXY", "socks5://juan:secret@x", "models", "socks5"),
        ("AWS_REGION", "us east 1", "region", "us east 1"),
    ],
)
def test_a_set_up_that_can_not_be_used_is_a_line_and_no_traceback(
    name: str,
    value: str,
    check: str,
    says: str,
    server: BedrockServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(name, value)
    records = diagnose(data_dir=tmp_path, lang="en")
    failed = found(records, check)
    assert (failed.status, says in failed.text) == ("fail", True)
    assert failed.next_step
    assert found(records, "store").status == "ok"
    assert "secret" not in str(records)


def test_a_count_that_was_never_asked_for_is_not_said_to_be_refused(
    server: BedrockServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nope.pem")
    count = found(diagnose(data_dir=tmp_path, lang="en"), "count")
    assert (count.status, "/nope.pem" in count.text) == ("warn", True)


def test_a_profile_that_does_not_exist_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    credentials = found(diagnose(data_dir=tmp_path), "credentials")
    assert (credentials.status, "nobody" in credentials.text) == ("fail", True)


def test_a_folder_that_cannot_be_written_fails(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    store = found(diagnose(backend="local", data_dir=blocked, lang="en"), "store")
    assert (store.status, "--data-dir" in store.next_step) == ("fail", True)


@pytest.mark.parametrize(("locale", "expected"), [("es_MX.UTF-8", "es"), ("en_US.UTF-8", "en"), ("C.UTF-8", "en")])
def test_the_language_is_that_of_the_locale(monkeypatch: pytest.MonkeyPatch, locale: str, expected: str) -> None:
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", locale)
    assert language() == expected


def test_the_command_prints_a_line_a_check_and_leaves_with_the_status(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["doctor", "--backend", "bedrock", "--data-dir", str(tmp_path), "--lang", "en"])
    assert result.exit_code == 1
    assert "✗ AWS credentials: none were found" in result.output
    assert "    → Run `aws configure`" in result.output
