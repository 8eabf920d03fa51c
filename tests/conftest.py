"""What all tests share: an environment without AWS, and the fake Bedrock."""

from __future__ import annotations

import os

import pytest

from assistant import prices


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the credentials, profiles, proxies or settings of the machine it runs on."""
    for name in list(os.environ):
        ours = name.startswith(("AWS_", "ASSISTANT_", "ANTHROPIC_")) or name.upper().endswith("_PROXY")
        if ours and name not in ("ASSISTANT_REQUIRE_BROWSER", "ASSISTANT_NOTEBOOK_SIZE"):
            monkeypatch.delenv(name)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    empty = tmp_path_factory.getbasetemp() / "no-aws"
    empty.mkdir(exist_ok=True)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(empty / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(empty / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # Loaded in the background by whoever warms a client, and then for the whole process.
    monkeypatch.setattr(prices, "_calculate", None)
