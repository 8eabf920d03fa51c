"""Prices: the library where it is loaded, the dated table elsewhere."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from assistant import prices
from assistant.catalog import known_models, model_info
from assistant.messages import Usage

USAGE = Usage(1000, 1000, 100, 50)


@pytest.fixture
def library() -> None:
    assert prices.load()


def test_nothing_is_loaded_until_it_is_asked_for() -> None:
    program = (
        "import sys; from assistant.catalog import model_info; from assistant.messages import Usage\n"
        "print(model_info('amazon.nova-lite-v1:0').cost(Usage(10, 10)), 'genai_prices' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split()[1] == "False"


def test_the_first_price_waits_for_nothing_once_it_is_loaded() -> None:
    program = (
        "import sys; from assistant import prices; from assistant.messages import Usage\n"
        "prices.load(); before = set(sys.modules)\n"
        "prices.library_cost('amazon.nova-lite-v1:0', Usage(10, 10)); print(sorted(set(sys.modules) - before))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_library_answers_where_it_is_loaded(library: None, mocker) -> None:
    model = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    assert model_info(model).cost(USAGE) == pytest.approx(1.1e-6 * (1000 + 10 + 62.5) + 5.5e-6 * 1000)
    mocker.patch.object(prices, "_calculate", return_value=mocker.Mock(total_price="7.5"))
    assert model_info(model).cost(USAGE) == 7.5


def test_a_model_it_does_not_know_falls_back_and_an_unknown_one_stays_unknown(library: None) -> None:
    assert prices.library_cost("moonshotai.kimi-k9", USAGE) is None
    assert model_info("moonshotai.kimi-k9").cost(USAGE) is None
    arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-4-7"
    assert model_info(arn).cost(Usage(1_000_000)) == pytest.approx(5.5)


PLAIN = Usage(1000, 1000)
CACHED = Usage(1000, 1000, 5000, 7000)
LONG = Usage(1000, 1000, 300_000, 70_000)


def test_the_table_agrees_with_the_library_on_what_both_know() -> None:
    """A price that changed shows here first: update models.toml and its date."""
    ids = [*known_models()]
    ids += [f"{geography}.{base}" for base in ids for geography in model_info(base).geographies]
    used = [(model, usage) for model in ids for usage in (PLAIN, CACHED, LONG)]
    table = [model_info(model).price.cost(usage, regional=model_info(model).regional) for model, usage in used]
    assert prices.load()
    known = [prices.library_cost(model, usage) for model, usage in used]
    differing = [
        (model, usage, ours, theirs)
        for (model, usage), ours, theirs in zip(used, table, known, strict=True)
        if theirs is not None and ours != pytest.approx(theirs)
    ]
    assert differing == []
    assert sum(cost is not None for cost in known) > 300


def test_the_library_is_asked_for_the_model_behind_an_arn(library: None, mocker) -> None:
    asked = mocker.patch.object(prices, "_calculate", return_value=mocker.Mock(total_price="7.5"))
    profile = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/x1y2z3"
    behind = replace(model_info("global.anthropic.claude-opus-4-7"), id=profile)
    assert behind.cost(USAGE) == replace(behind, regional=True).cost(USAGE) == 7.5
    models = [call.args[0] for call in asked.call_args_list]
    assert models == ["global.anthropic.claude-opus-4-7", "anthropic.claude-opus-4-7"]
