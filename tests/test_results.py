"""Results: scores, summaries, comparisons, and the ways out."""

from __future__ import annotations

import csv
import math
import random
from pathlib import Path

import pytest

from assistant.errors import InvalidRequestError
from assistant.results import Results, bootstrap, sign_test
from assistant.scorers import length

from .grids import FREE, ROWS, Answering, grid, made_results


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


def test_no_cells_are_an_empty_table() -> None:
    assert Results([], {}, {}).summary().empty
    assert len(Results([], {}, {}).frame()) == 0
