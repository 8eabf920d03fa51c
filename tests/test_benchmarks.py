"""The benchmarks run, at a size that says nothing about speed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks import load, run, sessions, start, store
from benchmarks.load import Load, lags_of, token_of
from benchmarks.visitor import _applied


@pytest.fixture(scope="module")
def loaded() -> dict[str, Any]:
    return load.run(Load(sessions=3, history=30, tokens=30, rate=100, spread=0.2))


def test_visitors_of_the_page_hear_every_token(loaded: dict[str, Any]) -> None:
    assert loaded["first_error"] == ""
    assert loaded["errors"] == 0
    assert loaded["tokens"] == 3 * 30
    assert loaded["slowest"] > 0
    assert loaded["cpu"] > 0


def test_a_token_tells_how_late_it_is() -> None:
    text = token_of(1000.0) + token_of(1000.5)
    assert len(text) == 12
    assert lags_of(text, 1000.75) == pytest.approx([0.75, 0.25], abs=0.002)


def test_what_gradio_sends_as_differences_is_put_together_again() -> None:
    old = [{"content": [{"text": "a"}]}, {"content": []}]
    edits = [["append", [0, "content", 0, "text"], "b"], ["add", [2], {"content": None}], ["delete", [1], None]]
    assert _applied(old, edits) == [{"content": [{"text": "ab"}]}, {"content": None}]
    assert old[0] == {"content": [{"text": "a"}]}


def test_a_filled_store_finds_what_was_said(tmp_path: Path) -> None:
    filled, ids = store.fill(None, tmp_path, 3)
    try:
        times = store.measure(filled, ids, 1)
        assert len(filled.list(store.OWNER)) == 3
        assert [len(filled.get(store.OWNER, id).turns) for id in ids] == [51, 50, 50]
        assert filled.list("template", search=store.RARE) == []
        assert all(len(each) == 1 for each in times.values())
    finally:
        filled.close()


def test_sessions_are_weighed() -> None:
    found = sessions.live_sessions(2)
    assert set(found) <= set(sessions.BARS) | {"idle hour of 1,000 sessions: CPU, s"}
    assert sessions.long_library(160)["library, turn 100, CPU, ms"] > 0


def test_a_peer_that_fails_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start.shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match="uv is not installed"):
        start.peer_python("chatlas", Path())


def test_the_report_is_written_where_the_marks_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, loaded: dict[str, Any]
) -> None:
    (tmp_path / "README.md").write_text("a\n<!-- benchmarks -->\nold\n<!-- /benchmarks -->\nb\n")
    for name, value in (("ROOT", tmp_path), ("DOCS", tmp_path / "b.md"), ("PICTURE", tmp_path / "b.png")):
        monkeypatch.setattr(run, name, value)
    monkeypatch.setattr(run, "READMES", {"README.md": "en"})
    row = load.row("assistant", loaded)
    run.write("here", [run.Part("The page", f"{load.HEADER}\n{row}", ["one bar"], {"assistant": loaded})])
    readme = (tmp_path / "README.md").read_text()
    assert "old" not in readme
    assert "| assistant, chats of 30 messages | 3 |" in readme
    assert readme.startswith("a\n<!-- benchmarks -->\n| the page")
    assert readme.endswith("|\n<!-- /benchmarks -->\nb\n")
    assert "**Missed:** one bar" in (tmp_path / "b.md").read_text()
    nothing = {**loaded, "errors": 3, "lag_p50": math.nan, "lag_p95": math.nan, "processes": 2}
    assert "| plain, dos procesos, chats de 30 mensajes | 3 | sin terminar | – | – |" in run.short_table(
        {"plain, few": nothing}, "es"
    )
    assert "nan" not in load.row("plain", nothing)
    assert (tmp_path / "b.png").stat().st_size > 1000
    json.dumps(loaded)


def test_a_part_that_fails_leaves_the_others_their_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = {"start": lambda quick: 1 / 0, "store": lambda quick: run.Part("The store", "quick enough")}
    written: list[Any] = []
    monkeypatch.setattr(run, "PARTS", parts)
    monkeypatch.setattr(run, "write", lambda where, done: written.extend(done))
    monkeypatch.setattr("sys.argv", ["run.py", "--check"])
    assert run.main() == 1
    assert [part.title for part in written] == ["start", "The store"]
    assert written[0].missed == ["start: not measured"]
    assert "ZeroDivisionError" in capsys.readouterr().out
