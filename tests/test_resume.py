"""The file of finished cells: torn, foreign, or in use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assistant.errors import InvalidRequestError
from assistant.resume import ResumeFile

from .grids import FREE, Answering, grid


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
