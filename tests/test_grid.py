"""The threads that work on the cells: how many, what they keep when something fails, and how they are stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assistant.clients.bedrock import BedrockClient
from assistant.errors import InvalidRequestError, ThrottledError
from assistant.messages import Retrying
from assistant.resume import ResumeFile
from assistant.scorers import Judge, contains

from .grids import FREE, ROWS, Answering, grid
from .scripted import ends


def test_errors_are_recorded_in_their_cell_and_never_fatal(tmp_path: Path) -> None:
    kept = tmp_path / "results.jsonl"
    client = Answering(lambda text: ThrottledError("Too many.") if "Chile" in text else "Lima")
    results = grid(client).run(resume=kept, **FREE)
    assert sorted(cell.row["country"] for cell, _ in results.errors) == ["Chile", "Chile"]
    assert all("ThrottledError: Too many." in error for _, error in results.errors)
    assert results.frame()["score"].tolist().count(1.0) == 2
    # They are not finished: they run again, and nothing else does.
    client.answer = lambda text: "Santiago"
    again = grid(client).run(resume=kept, **FREE)
    assert again.errors == []
    assert len(client.sent) == 6


def test_a_model_that_there_is_not_is_an_error_of_its_cells() -> None:
    client = BedrockClient(region="us-east-1")
    results = grid(client, models=["anthropic.claude-v2"]).run(progress=False)
    assert len(results.errors) == 4
    assert "ModelNotFoundError" in results.errors[0][1]


def test_as_many_requests_run_at_once_as_there_are_workers() -> None:
    client = Answering(seconds=0.05)
    grid(client, repeats=4).run(4, **FREE)
    assert client.most == 4
    with pytest.raises(InvalidRequestError, match="workers"):
        grid(client).run(0)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell starts what it runs in the background with Ctrl-C ignored, and so the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_keeps_what_is_done_and_stops_what_runs(tmp_path: Path) -> None:
    kept = tmp_path / "results.jsonl"
    client = Answering(seconds=0.02)
    slow = threading.Event()

    def answer(text: str) -> str:
        if len(client.sent) > 6 and not slow.is_set():
            slow.set()
            client.seconds = 60
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        return "Lima"

    client.answer = answer
    began = time.monotonic()
    results = grid(client, repeats=10).run(3, resume=kept, **FREE)
    assert time.monotonic() - began < 10
    assert results.interrupted
    assert 4 <= len(results) == 40 - results.missing < 40
    assert len(kept.read_text().splitlines()) == len(results)
    assert "Interrupted" in results.to_markdown()
    assert client.running == 0
    client.answer, client.seconds, before = (lambda text: "Lima"), 0.0, len(results)
    client.sent.clear()
    assert len(grid(client, repeats=10).run(resume=kept, **FREE)) == 40
    assert len(client.sent) == 40 - before


def test_a_full_disk_is_said_and_not_taken_for_a_finished_run(tmp_path: Path, mocker: Any) -> None:
    mocker.patch.object(ResumeFile, "append", side_effect=OSError("No space left"))
    with pytest.raises(OSError, match="No space"):
        grid(Answering()).run(resume=tmp_path / "results.jsonl", **FREE)


def test_it_works_inside_a_running_event_loop() -> None:
    async def cell_of_a_notebook() -> int:
        return len(grid(Answering()).run(**FREE))

    assert asyncio.run(cell_of_a_notebook()) == 4


def test_times_are_those_of_the_attempt_that_answered() -> None:
    def answer(text: str) -> list[Any]:
        return [Retrying(2, 0.5, ThrottledError("Too many.")), *ends("Lima")]

    outcome = next(iter(grid(Answering(answer), inputs=ROWS[:1]).run(**FREE).outcomes.values()))
    assert (outcome.retries, outcome.waited) == (1, 0.5)
    assert outcome.latency is not None
    assert outcome.latency < 0.4


def test_a_client_is_warmed_before_times_are_taken(mocker: Any) -> None:
    client = Answering()
    client.warm = mocker.Mock(side_effect=lambda: client.sent == [] or pytest.fail("too late"))  # type: ignore[attr-defined]
    grid(client).run(**FREE)
    client.warm.assert_called_once_with()  # type: ignore[attr-defined]


def test_a_progress_bar_counts_the_cells_and_those_that_failed(capsys: pytest.CaptureFixture[str]) -> None:
    grid(Answering(lambda text: ThrottledError("no") if "Chile" in text else "Lima")).run(max_usd=None)
    said = capsys.readouterr().err
    assert "4/4" in said
    assert "errors=2" in said


# --- a judge ---


def judging(text: str) -> str:
    return '{"reason": "fine", "score": 3}' if text.startswith("<request>") else "Lima"


def test_verdicts_are_kept_and_paid_for_once(tmp_path: Path) -> None:
    kept = tmp_path / "results.jsonl"
    client = Answering(judging)
    judged = {"right": contains(), "judge": Judge(rubric="Is it friendly?")}
    assert grid(client, score=judged).dry_run().judge_calls == 4
    results = grid(client, score=judged).run(resume=kept, **FREE)
    assert results.frame()["judge"].tolist() == [0.5] * 4
    assert results.frame()["judge_reason"].tolist() == ["fine"] * 4
    assert len(client.sent) == 8
    assert grid(client, score=judged).run(resume=kept, **FREE).frame()["judge"].tolist() == [0.5] * 4
    assert len(client.sent) == 8
    assert "Is it friendly?" in results.to_markdown()
    assert "Is it friendly?" in results._repr_html_()


def test_a_judge_that_comes_later_judges_answers_that_are_there(tmp_path: Path) -> None:
    kept = tmp_path / "results.jsonl"
    client = Answering(judging)
    grid(client).run(resume=kept, **FREE)
    client.sent.clear()
    results = grid(client, score=Judge(rubric="A new rubric.")).run(resume=kept, **FREE)
    assert [text.startswith("<request>") for text, _ in client.sent] == [True] * 4
    assert results.summary()["score"].tolist() == [0.5, 0.5]
    assert results.judge_cost == pytest.approx(0.004)


def test_a_judge_that_fails_leaves_its_cell_without_a_score() -> None:
    client = Answering(lambda text: ThrottledError("no") if text.startswith("<request>") else "Lima")
    results = grid(client, score={"judge": Judge(), "right": contains()}).run(**FREE)
    frame = results.frame()
    assert frame["judge"].isna().all()
    assert all(said.startswith("judge: ThrottledError: no") for said in frame["score_error"])
    assert frame["right"].sum() == 2
    assert frame["error"].isna().all()
