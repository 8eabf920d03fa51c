"""The header: who answers and why, and the models there are."""

from __future__ import annotations

import asyncio

import pytest

from assistant.catalog import ModelInfo, Price
from assistant.messages import Notice
from assistant_app import header
from assistant_app.header import Header

from . import listeners
from .browser import ScriptedClient

client = listeners.client


def test_the_header_says_who_answers_and_why(client: ScriptedClient) -> None:
    client.backend = "local"
    client.description = "tiny, a very small model embedded in this program: only for trying things out"
    client.reason = Notice("no_credentials", "no AWS credentials were found")
    english, spanish = Header(client).html("", "en"), Header(client).html("<b>", "es")
    assert "Embedded model" in english
    assert "only for trying things out" in english
    assert "no AWS credentials" in english
    assert "scripted-1" in english
    assert "Modelo integrado" in spanish
    assert "&lt;b&gt;" in spanish


def test_a_listing_that_fails_leaves_the_default_model(client: ScriptedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "models", lambda: 1 / 0)
    assert asyncio.run(Header(client).choices("mine")) == [("scripted-1", "scripted-1"), ("mine", "mine")]


def test_models_are_labelled_with_provider_price_and_age() -> None:
    price = Price(3.0, 15.0, regional=1.1)
    assert header._label(ModelInfo("m", "m", "P", price=price)) == "P · m · $3 → $15 / M"
    assert header._label(ModelInfo("m", "m", "P", price=price, regional=True, legacy=True)).endswith(
        "$3.3 → $16.5 / M · LEGACY"
    )
    assert header._label(ModelInfo("m", "m", "P")) == "P · m"
