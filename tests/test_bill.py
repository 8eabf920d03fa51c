"""What a run would take, said before its first request and held against the bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistant.clients.bedrock import BedrockClient
from assistant.errors import BudgetExceededError

from .grids import FREE, Answering, grid


def test_a_dry_run_sends_nothing_and_says_what_a_run_would_take() -> None:
    client = BedrockClient(region="us-east-1")
    experiment = grid(client, models=["claude-haiku-4-5"], params=[{"max_tokens": 100}])
    estimate = experiment.dry_run()
    assert (estimate.cells, estimate.calls, estimate.output_tokens) == (4, 4, 400)
    assert 20 < estimate.input_tokens < 100
    assert estimate.cost is not None
    assert 0.0015 < estimate.cost < 0.004
    assert "4 requests for 4 cells" in str(estimate)


def test_bounds_are_asked_before_the_first_request_and_name_what_raises_them() -> None:
    client = Answering()
    for bound, allowed in (("max_cells", 3), ("max_tokens", 4000), ("max_usd", 1.0)):
        with pytest.raises(BudgetExceededError, match=bound) as caught:
            grid(client).run(**{**FREE, bound: allowed})
        assert bound in caught.value.hint
    bedrock = BedrockClient(region="us-east-1")
    with pytest.raises(BudgetExceededError, match="max_usd"):
        grid(bedrock, models=["claude-haiku-4-5"]).run(max_usd=0.001, progress=False)
    assert client.sent == []


def test_what_is_finished_does_not_count_against_the_bounds(tmp_path: Path) -> None:
    kept = tmp_path / "results.jsonl"
    client = Answering()
    grid(client).run(resume=kept, **FREE)
    assert grid(client).dry_run(resume=kept).calls == 0
    assert len(grid(client).run(resume=kept, max_cells=0, **FREE)) == 4
    assert len(client.sent) == 4
