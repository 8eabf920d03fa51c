"""Experiment and Results: a grid is run once, whatever happens, and read right. The full size is marked soak."""

from __future__ import annotations

import asyncio
import csv
import itertools
import json
import math
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from assistant.clients.base import Messages, as_messages
from assistant.clients.bedrock import BedrockClient
from assistant.clients.retry import RetryPolicy
from assistant.errors import BudgetExceededError, InvalidRequestError, PromptError, ThrottledError
from assistant.experiments import Experiment
from assistant.messages import Completed, Retrying, Usage
from assistant.prompts import FewShotPrompt
from assistant.reply import CancelToken, Reply, SourceItem
from assistant.results import Results, bootstrap, sign_test
from assistant.resume import ResumeFile
from assistant.scorers import Judge, contains, length

from .bedrock_server import BedrockServer, Fault, Recorded
from .bedrock_server import Reply as ServerReply
from .scripted import ScriptedClient, ends
from .wires import CLAUDE, NOVA

ROWS = [{"country": "Chile", "expected": "Santiago"}, {"country": "Peru", "expected": "Lima"}]
PROMPTS = {"plain": "Capital of {country}?", "polite": "Please, the capital of {country}?"}
FREE: dict[str, Any] = {"max_usd": None, "progress": False}


class Answering(ScriptedClient):
    """Answers each request by a function of its text; counts how many run at once."""

    def __init__(self, answer: Callable[[str], Any] = lambda text: "Lima", seconds: float = 0.0) -> None:
        super().__init__()
        self.answer = answer
        self.seconds = seconds
        self.running = 0
        self.most = 0
        self.lock = threading.Lock()

    def stream(self, messages: Messages, **options: Any) -> Reply:
        text = as_messages(messages)[-1].text

        def source(token: CancelToken) -> Iterator[SourceItem]:
            with self.lock:
                self.sent.append((text, options))  # type: ignore[arg-type]
                self.running += 1
                self.most = max(self.most, self.running)
            try:
                if token.wait(self.seconds):
                    return
                said = self.answer(text)
                if isinstance(said, BaseException):
                    raise said
                yield from said if isinstance(said, list) else ends(said)
            finally:
                with self.lock:
                    self.running -= 1

        return Reply(source, model=options.get("model") or self.default_model)


def grid(client: Any, **changes: Any) -> Experiment:
    return Experiment(**{"prompts": PROMPTS, "inputs": ROWS, "client": client, "score": contains(), **changes})


def test_every_cell_of_the_grid_is_one_request_with_the_exact_text() -> None:
    client = Answering()
    params = [{"temperature": 0.0}, {"temperature": 1.0, "max_tokens": 9}]
    experiment = grid(client, models=["a", "b"], params=params, repeats=3, system="Short.")
    results = experiment.run(**FREE)
    assert len(experiment) == len(results) == len(client.sent) == 2 * 2 * 2 * 2 * 3
    assert Counter(text for text, _ in client.sent) == dict.fromkeys(
        [f"{start} of {row['country']}?" for start in ("Capital", "Please, the capital") for row in ROWS], 12
    )
    assert Counter(options["model"] for _, options in client.sent) == {"a": 24, "b": 24}
    assert all(options["system"] == "Short." for _, options in client.sent)
    assert sum(options.get("max_tokens") == 9 for _, options in client.sent) == 24


def test_a_prompt_may_have_a_system_prompt_of_its_own() -> None:
    client = Answering()
    grid(client, system={"polite": "Be polite."}).run(**FREE)
    assert Counter((text.split()[0], options["system"]) for text, options in client.sent) == {
        ("Capital", None): 2,
        ("Please,", "Be polite."): 2,
    }


def test_few_shot_prompts_take_their_place_in_the_grid() -> None:
    client = Answering()
    prompt = FewShotPrompt("Capitals.", [{"input": "France", "output": "Paris"}], case="{country}")  # type: ignore[arg-type]
    Experiment(prompts={f"{n}-shot": prompt.shots(n) for n in (0, 1)}, inputs=ROWS, client=client).run(**FREE)
    assert sorted({text for text, _ in client.sent})[1].startswith("Capitals.\n\n<example>")


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"prompts": {}}, InvalidRequestError, "prompts"),
        ({"inputs": []}, InvalidRequestError, "inputs"),
        ({"repeats": 0}, InvalidRequestError, "repeats"),
        ({"prompts": ["Capital of {country}?"]}, InvalidRequestError, "no mapping"),
        ({"inputs": ["Chile"]}, InvalidRequestError, "no mapping"),
        ({"score": 5}, InvalidRequestError, "no function"),
        ({"score": contains("capital")}, PromptError, "capital"),
        ({"score": {"judge": Judge(reference="capital")}}, PromptError, "capital"),
        ({"params": [{"temprature": 1}]}, InvalidRequestError, "temprature"),
        ({"params": [{}, {}]}, InvalidRequestError, "the same"),
        ({"inputs": [{"land": "Chile"}]}, PromptError, "country"),
        ({"system": {"rude": "x"}}, PromptError, "rude"),
    ],
)
def test_a_grid_that_does_not_fit_is_refused_when_it_is_made(changes: Any, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        grid(Answering(), **changes)


def test_one_of_a_kind_needs_no_list() -> None:
    one = grid(Answering(), models="a", params={"temperature": 0.5}, inputs=ROWS[0])
    assert [(cell.model, cell.params, cell.row) for cell in one.cells()] == [("a", {"temperature": 0.5}, ROWS[0])] * 2


def test_params_that_differ_within_only_are_told_apart() -> None:
    schemas = [{"json_schema": {"type": "object", "required": [name], "title": "x" * 40}} for name in ("a", "b")]
    extras = [{"top_k": 5}, {"top_k": 40}, *schemas]
    labels = [
        cell.params_label for cell in grid(Answering(), params=[{"extra": extra} for extra in extras]).cells()[:4]
    ]
    assert labels[:2] == ["extra={top_k=5}", "extra={top_k=40}"]
    assert len(set(labels)) == 4
    assert max(map(len, labels)) < 60


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


def test_an_edited_prompt_runs_again_and_the_others_do_not(tmp_path: Path) -> None:
    kept = tmp_path / "results.jsonl"
    client = Answering()
    grid(client).run(resume=kept, **FREE)
    client.sent.clear()
    results = grid(client, prompts={**PROMPTS, "polite": "Kindly, the capital of {country}?"}).run(resume=kept, **FREE)
    assert sorted(text for text, _ in client.sent) == [f"Kindly, the capital of {land}?" for land in ("Chile", "Peru")]
    assert len(results) == 4


def test_the_key_is_the_whole_request(tmp_path: Path) -> None:
    client = Answering()
    keys = {cell.key for cell in grid(client).cells()}
    for change in (
        {"models": ["other"]},
        {"params": [{"temperature": 0.1}]},
        {"system": "Short."},
    ):
        assert not keys & {cell.key for cell in grid(client, **change).cells()}
    assert keys < {cell.key for cell in grid(client, repeats=2).cells()}
    # A name, an order and a scorer are no part of it.
    renamed = {"b": PROMPTS["polite"], "a": PROMPTS["plain"]}
    assert keys == {cell.key for cell in grid(client, prompts=renamed, inputs=ROWS[::-1], score=length()).cells()}


def test_the_same_request_twice_is_two_answers(tmp_path: Path) -> None:
    client = Answering()
    results = grid(client, prompts={"a": "Capital of {country}?", "b": "Capital of {country}?"}).run(**FREE)
    assert len(client.sent) == len(results) == 4


def test_functions_score_anew_when_results_are_loaded(tmp_path: Path) -> None:
    kept = tmp_path / "results.jsonl"
    client = Answering(lambda text: "Lima")
    assert grid(client).run(resume=kept, **FREE).frame()["score"].sum() == 2
    loaded = grid(client, score={"short": length(high=1), "broken": lambda text, row: row["nowhere"]}).results(kept)
    assert loaded.frame()["short"].sum() == 4
    assert loaded.frame()["broken"].isna().all()
    assert "KeyError" in loaded.frame()["score_error"].iloc[0]
    assert "4 cells were not scored, the first because of broken: KeyError" in loaded.to_markdown()
    assert len(client.sent) == 4


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_torn_last_line_is_ignored_and_cut_off(tmp_path: Path, cut: int) -> None:
    kept = tmp_path / "results.jsonl"
    client = Answering()
    grid(client).run(1, resume=kept, **FREE)
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-cut])
    assert len(grid(client).results(kept)) == 3
    assert len(grid(client).run(resume=kept, **FREE)) == 4
    assert len(client.sent) == 5
    assert len([json.loads(line) for line in kept.read_text().splitlines()]) == 4


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "no line end", '{"other": 1}\n', "[]\n"])
def test_another_kind_of_file_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    file = tmp_path / "data.csv"
    file.write_text(text)
    with pytest.raises(InvalidRequestError, match="not a cell"):
        grid(Answering()).run(resume=file, **FREE)
    assert file.read_text() == text


def test_two_runs_do_not_share_a_file(tmp_path: Path) -> None:
    kept = tmp_path / "results.jsonl"
    with ResumeFile.open(kept), pytest.raises(InvalidRequestError, match="Another run"):
        grid(Answering()).run(resume=kept, **FREE)


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


def test_importing_experiments_loads_neither_pandas_nor_matplotlib_nor_tqdm() -> None:
    heavy = ("pandas", "matplotlib", "tqdm", "numpy", "boto3")
    code = f"import sys, assistant.experiments; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


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


# --- results ---


def made_results() -> Results:
    """ "good" is right for every country but one, "bad" for one only; two repeats each."""
    lands = [f"land{number}" for number in range(8)]
    prompts = {"good": "good {country}", "bad": "bad {country}"}

    def answer(text: str) -> Any:
        if text == "bad land1":
            return ThrottledError("no")
        right = ("good" in text) != ("land0" in text)
        return [("yes" if right else "no"), Completed("end_turn", Usage(100, 10, cost=0.01), "end_turn")]

    experiment = Experiment(
        prompts=prompts,
        inputs=[{"country": land, "expected": "yes"} for land in lands],
        params=[{"temperature": 0.0}],
        repeats=2,
        score=contains(),
        client=Answering(answer),
    )
    return experiment.run(**FREE)


def test_the_summary_has_scores_with_intervals_times_tokens_and_cost() -> None:
    summary = made_results().summary().set_index("prompt")
    assert summary.loc["good", ["n", "errors", "score", "input_tokens", "output_tokens"]].tolist() == [
        16, 0, 7 / 8, 100, 10,
    ]  # fmt: skip
    assert summary.loc["bad", ["n", "errors", "score"]].tolist() == [16, 2, 1 / 7]
    assert summary.loc["good", "cost"] == pytest.approx(0.16)
    assert 0.5 <= summary.loc["good", "score_low"] < 7 / 8 < summary.loc["good", "score_high"] <= 1
    assert summary.loc["good", "latency"] >= summary.loc["good", "ttft"] >= 0
    assert summary.loc["good", "params"] == "temperature=0.0"


def test_columns_of_the_inputs_stand_in_the_frame_and_can_be_grouped_by() -> None:
    rows = [{**row, "language": language, "score": "taken"} for row, language in zip(ROWS, ("es", "en"), strict=True)]
    results = grid(Answering(), inputs=rows).run(**FREE)
    assert results.frame()["country"].tolist() == ["Chile", "Chile", "Peru", "Peru"]
    assert results.frame()["score"].tolist() == [0, 0, 1, 1]
    assert results.summary("language")[["language", "n", "score"]].values.tolist() == [["es", 2, 0], ["en", 2, 1]]
    with pytest.raises(InvalidRequestError, match="no column colour") as caught:
        results.summary(["prompt", "colour"])
    assert "language" in caught.value.hint


def test_a_comparison_pairs_the_inputs() -> None:
    comparison = made_results().compare("bad", "good")
    assert (comparison.inputs, comparison.wins, comparison.losses, comparison.ties) == (7, 6, 1, 0)
    assert comparison.difference == pytest.approx(5 / 7)
    assert comparison.low < 5 / 7 < comparison.high
    assert comparison.p_value == pytest.approx(2 * (1 + 7) / 2**7)
    assert "6 better, 1 worse" in str(comparison)


def test_a_comparison_of_one_input_has_no_interval_and_says_none() -> None:
    said = str(grid(Answering(), inputs=ROWS[1]).run(**FREE).compare("plain", "polite"))
    assert said == "polite against plain (score, 1 input): 1.000 - 1.000 = +0.000, 0 better, 0 worse, 1 the same, p = 1"


def test_a_comparison_of_what_is_not_there_says_what_is() -> None:
    results = made_results()
    with pytest.raises(InvalidRequestError) as caught:
        results.compare("bad", "ugly")
    assert "good" in caught.value.hint
    with pytest.raises(InvalidRequestError, match="no model"):
        results.compare({"model": "x"}, "good")
    with pytest.raises(InvalidRequestError, match="no score"):
        results.compare("bad", "good", score="elegance")


def test_what_a_comparison_does_not_name_is_paired_with_itself() -> None:
    client = Answering(lambda text: "Santiago Lima" if "polite" in text else "no")
    client.answer = lambda text: "Santiago Lima" if "Please" in text else "no"
    results = grid(client, models=["a", "b"]).run(**FREE)
    assert results.compare("plain", "polite").difference == 1
    assert results.compare("a", "b").difference == 0
    assert results.compare({"prompt": "plain", "model": "a"}, {"prompt": "polite", "model": "b"}).wins == 2


def test_bootstrap_intervals_cover_the_mean_about_as_often_as_they_say() -> None:
    draw = random.Random(1)
    covered = 0
    for trial in range(200):
        low, high = bootstrap([float(draw.random() < 0.6) for _ in range(40)], resamples=500, seed=trial)
        covered += low <= 0.6 <= high
    assert 180 <= covered <= 200
    assert bootstrap([1, 0, 1], seed=3) == bootstrap([1, 0, 1], seed=3)
    assert all(math.isnan(end) for end in bootstrap([1.0]))


@pytest.mark.parametrize(("wins", "losses", "p"), [(0, 0, 1), (5, 0, 1 / 16), (3, 3, 1), (8, 2, 0.109375)])
def test_the_sign_test_is_the_exact_one(wins: int, losses: int, p: float) -> None:
    assert sign_test(wins, losses) == pytest.approx(p)


def test_results_go_out_as_csv_markdown_and_html(tmp_path: Path) -> None:
    results = made_results()
    text = results.to_csv(tmp_path / "cells.csv")
    assert (tmp_path / "cells.csv").read_text(encoding="utf-8") == text
    assert len(list(csv.reader(text.splitlines(keepends=True)))) == 33
    markdown = results.to_markdown()
    assert markdown.startswith("| prompt | model | params | n | errors | score |")
    assert "2 cells failed" in markdown
    assert "<table" in results._repr_html_()
    assert results._repr_markdown_() == markdown


def test_results_are_drawn_with_their_intervals() -> None:
    import matplotlib as mpl

    mpl.use("agg")
    results = made_results()
    bars = results.plot()
    assert [label.get_text() for label in bars.get_yticklabels()] == ["good", "bad"]
    assert [bar.get_width() for bar in bars.patches] == pytest.approx([7 / 8, 1 / 7])
    points = results.plot(kind="scatter", x="cost")
    assert "USD" in points.get_xlabel()
    # A run that was stopped before its first answer.
    with pytest.raises(InvalidRequestError, match="No cell is finished"):
        Results([], {}, {"score": contains()}).plot()
    with pytest.raises(InvalidRequestError, match="no scorer"):
        Results([], {}, {}).plot()


def test_labels_of_a_large_grid_do_not_run_into_each_other_and_its_points_can_be_told_apart() -> None:
    import matplotlib as mpl

    mpl.use("agg")
    params = [{"temperature": temperature, "max_tokens": 50} for temperature in (0.0, 0.7)]
    models = ["anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-lite-v1:0"]
    results = grid(Answering(), models=models, params=params, prompts={**PROMPTS, "third": "{country}"}).run(**FREE)
    bars = results.plot()
    bars.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in bars.get_yticklabels()]
    assert len(boxes) == 12
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert min(box.x0 for box in boxes) >= 0
    # What is the same everywhere is not said.
    assert bars.get_yticklabels()[0].get_text() == f"plain · {models[0]} · temperature=0.0"
    scatter = results.plot(kind="scatter")
    points = scatter.lines
    assert len({(line.get_marker(), line.get_color()) for line in points if line.get_marker() in "os"}) == 12
    # The room is shared out when it is drawn, and is right at the second time.
    scatter.figure.canvas.draw()
    scatter.figure.canvas.draw()
    legend = scatter.get_legend().get_window_extent()
    assert 0 <= legend.x0 < legend.x1 <= scatter.figure.bbox.width
    assert legend.y0 >= 0


def test_no_cells_are_an_empty_table() -> None:
    assert Results([], {}, {}).summary().empty
    assert len(Results([], {}, {}).frame()) == 0


# --- the bar: against the fake Bedrock ---

PROMPT_NAMES = ("zero", "one", "few")
MODELS = [CLAUDE, NOVA]
TEMPERATURES = [{"temperature": 0.0, "max_tokens": 50}, {"temperature": 0.7, "max_tokens": 50}]


def invoices(client: BedrockClient | None, inputs: int) -> Experiment:
    return Experiment(
        prompts={name: f"{name}: extract invoice {{invoice}}." for name in PROMPT_NAMES},
        models=MODELS,
        params=TEMPERATURES,
        inputs=[{"invoice": f"number-{number:03}", "expected": "invoice"} for number in range(inputs)],
        score=contains(),
        client=client,
    )


class Throttling:
    """One request in ten is refused; each that is answered is counted by what was asked."""

    def __init__(self, seconds: float, seed: int) -> None:
        self.seconds = seconds
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.answered: Counter[tuple[Any, ...]] = Counter()
        self.refused = 0

    def __call__(self, recorded: Recorded) -> ServerReply | Fault:
        with self.lock:
            if self.random.random() < 0.1:
                self.refused += 1
                return Fault("ThrottlingException")
            self.answered[asked(recorded)] += 1
        return ServerReply(f"The invoice of {recorded.asked.last_user_text}", first_delay=self.seconds)


def asked(recorded: Recorded) -> tuple[Any, ...]:
    return recorded.model, recorded.asked.last_user_text, recorded.asked.sampling.get("temperature")


@pytest.fixture
def server() -> Iterator[BedrockServer]:
    with BedrockServer() as running:
        yield running


@pytest.fixture
def environment(server: BedrockServer, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def whole_grid(server: BedrockServer, inputs: int, seconds: float, base: float) -> tuple[float, float, float]:
    """Runs the grid in one go; the wall time, the ideal one, and the longest back-off of a cell."""
    server.default = throttling = Throttling(seconds, seed=inputs)
    client = BedrockClient(retry=RetryPolicy(base=base))
    client.warm()
    experiment = invoices(client, inputs)
    began = time.monotonic()
    results = experiment.run(8, progress=False)
    wall = time.monotonic() - began
    assert results.errors == []
    assert len(results) == len(experiment) == len(throttling.answered) == 12 * inputs
    assert set(throttling.answered.values()) == {1}
    assert throttling.refused > 0
    assert results.frame()["score"].tolist() == [1.0] * len(experiment)
    assert sum(outcome.retries for outcome in results.outcomes.values()) == throttling.refused
    longest = max(outcome.waited for outcome in results.outcomes.values())
    return wall, len(experiment) * seconds / 8, longest


def test_a_small_grid_under_throttling_loses_no_cell_and_pays_each_once(
    server: BedrockServer, environment: Mapping[str, str]
) -> None:
    whole_grid(server, 4, 0.02, base=0.05)


RUN = """
    import sys
    from assistant.clients.bedrock import BedrockClient
    from assistant.clients.retry import RetryPolicy
    from tests.test_experiments import invoices

    client = BedrockClient(retry=RetryPolicy(base=float(sys.argv[3])))
    invoices(client, int(sys.argv[2])).run(8, resume=sys.argv[1], progress=False)
"""


def killed_and_resumed(
    server: BedrockServer, environment: Mapping[str, str], kept: Path, inputs: int, seconds: float, seed: int
) -> int:
    """Kills a run at a random moment, resumes it, and checks what was paid; how many cells were finished by then."""
    server.default = throttling = Throttling(seconds, seed)
    base = min(1.0, 5 * seconds)
    command = [sys.executable, "-c", textwrap.dedent(RUN), str(kept), str(inputs), str(base)]
    cells = 12 * inputs
    killed = subprocess.Popen(command, env=dict(environment))
    at = random.Random(seed).uniform(0.05, 0.95)
    try:
        # The moment is drawn over the requests, and falls anywhere within one.
        assert server.wait_until(lambda: throttling.answered.total() >= at * cells, 60)
        time.sleep(random.Random(seed).uniform(0, 2 * seconds))
    finally:
        killed.kill()
        killed.wait()
    before = invoices(BedrockClient(), inputs).results(kept) if kept.exists() else Results([], {}, {})
    paid = Counter(throttling.answered)
    # Nothing of the killed process is left but the file, so the one that resumes may be this one, which is cheaper.
    resumed = invoices(BedrockClient(retry=RetryPolicy(base=base)), inputs).run(8, resume=kept, progress=False)
    assert (resumed.errors, resumed.missing) == ([], 0)
    finished = {(cell.model_id, cell.text, cell.params["temperature"]) for cell in before.cells}
    assert finished <= set(paid)
    assert all(throttling.answered[request] == 1 for request in finished), "a finished cell was repeated"
    assert len(throttling.answered) == cells
    # What was under way at the kill, one a worker at most, is all that was asked for twice.
    assert throttling.answered.total() - cells <= 8
    assert len(invoices(BedrockClient(), inputs).results(kept)) == cells
    return len(finished)


def test_a_killed_run_is_resumed_with_no_finished_cell_repeated(
    server: BedrockServer, environment: Mapping[str, str], tmp_path: Path
) -> None:
    killed_and_resumed(server, environment, tmp_path / "results.jsonl", 4, 0.03, seed=7)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_480_cells_under_throttling_take_about_as_long_as_they_must(
    server: BedrockServer, environment: Mapping[str, str]
) -> None:
    wall, ideal, longest = whole_grid(server, 40, 0.2, base=1.0)
    print(f"{wall:.1f} s; ideal {ideal:.1f} s, longest back-off {longest:.1f} s")
    assert wall <= 1.5 * ideal + longest


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(5))
def test_480_cells_are_killed_at_a_random_moment_and_resumed(
    server: BedrockServer, environment: Mapping[str, str], tmp_path: Path, seed: int
) -> None:
    finished = killed_and_resumed(server, environment, tmp_path / "results.jsonl", 40, 0.2, seed)
    print(f"killed with {finished} of 480 finished")
