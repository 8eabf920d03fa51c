"""Cells: what tells one request from another, by key and by label."""

from __future__ import annotations

from pathlib import Path

from assistant.scorers import length

from .grids import FREE, PROMPTS, ROWS, Answering, grid


def test_params_that_differ_within_only_are_told_apart() -> None:
    schemas = [{"json_schema": {"type": "object", "required": [name], "title": "x" * 40}} for name in ("a", "b")]
    extras = [{"top_k": 5}, {"top_k": 40}, *schemas]
    labels = [
        cell.params_label for cell in grid(Answering(), params=[{"extra": extra} for extra in extras]).cells()[:4]
    ]
    assert labels[:2] == ["extra={top_k=5}", "extra={top_k=40}"]
    assert len(set(labels)) == 4
    assert max(map(len, labels)) < 60


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
