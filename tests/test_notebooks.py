"""The notebooks run from a clean kernel and their tables are right; so are the outputs that are saved in them.

`ASSISTANT_NOTEBOOK_SIZE=full` runs them as they were saved.
"""

from __future__ import annotations

import multiprocessing
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from notebooks.invoices import FIELDS, answer, invoices
from notebooks.save import HERE, PICTURE, clean, execute, picture

from .bedrock_server import BedrockServer, Recorded, Reply
from .kernels import AT_IMPORT, fork_kernel

NAMES = ("01_quickstart", "02_prompts", "03_memory", "04_models", "05_documents")
LEFT = "application/vnd.assistant.left+json"

# How much the small size runs, and the full one: invoices, labelled invoices, questions.
SMALL, FULL = (1, 1, 2), (40, 18, 8)

Left = dict[str, Any]


def left_in(notebook: nbformat.NotebookNode) -> Left:
    """The tables that the notebook left for us. An error in a cell fails here too."""
    found: Left = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert output.output_type != "error", output
            found |= output.get("data", {}).get(LEFT, {})
    return found


def by(rows: list[dict[str, Any]], key: str) -> dict[str, dict[str, Any]]:
    return {row[key]: row for row in rows}


def shares(rows: list[dict[str, Any]], *names: str) -> Iterator[float]:
    for row in rows:
        assert row.get("errors", 0) == 0
        for name in names:
            interval = (row[f"{name}_low"], row[f"{name}_high"])
            if row["n"] > 1:
                assert interval[0] - 1e-9 <= row[name] <= interval[1] + 1e-9
            else:
                assert interval == (None, None), "one input tells nothing of others"
            yield row[name]


def check_quickstart(left: Left, sizes: tuple[int, ...]) -> None:
    assert left["reply"]["text"]
    assert left["reply"]["output_tokens"] > 0
    assert left["deltas"] > 5
    assert left["stopped"] == "cancelled"
    assert left["async_pieces"] > 0
    first, second = left["session"]["input_tokens"]
    assert second > first + 10
    assert left["distinct"]["0.0"] <= left["distinct"]["1.5"]
    assert left["short"] == {"text": "The capital of France", "stop": "stop_sequence"}
    assert left["continued"] == {"before": "max_tokens", "turns": 1, "starts": True}


def check_prompts(left: Left, sizes: tuple[int, ...]) -> None:
    shots = by(left["shots"], "prompt")
    # One example and none are asked for always; many need the full size.
    many = sizes[0] > 1
    prompts = 3 if many else 2
    assert [row["n"] for row in left["shots"]] == [sizes[0]] * prompts
    assert all(0 <= share <= 1 for share in shares(left["shots"], "fields", "all", "format", "keys", "copied"))
    # What the text says: the example gives the form, and is copied with it.
    assert shots["1-shot"]["keys"] >= shots["0-shot"]["keys"] + 0.01 * many
    assert shots["1-shot"]["copied"] >= shots["0-shot"]["copied"] + 0.01 * many
    tokens = [row["input_tokens"] for row in left["shots"]]
    assert tokens == sorted(tokens)
    assert left["compare"]["inputs"] == sizes[0]
    assert left["compare"]["difference"] >= 0.01 * many
    single = by(left["single"], "prompt")
    assert [row["n"] for row in left["single"]] == [sizes[0]] * 4
    assert all(0 <= share <= 1 for share in shares(left["single"], "amount", "short"))
    assert all(0 <= share <= 1 for share in shares(left["number"], "score"))
    # Of one invoice the small model may read nothing right.
    assert max(row["amount"] for row in left["single"]) >= 0.01 * many
    assert single["XML tags"]["input_tokens"] > single["plain"]["input_tokens"]
    assert set(left["pairs"]) == set(single) - {"plain"}
    assert {row["language"] for row in left["languages"]} == ({"es", "en"} if many else {"en"})
    assert sum(row["n"] for row in left["languages"]) == 4 * sizes[0]
    assert [row["n"] for row in left["labels"]] == [sizes[1]] * prompts
    assert {name for counts in left["said"].values() for name in counts} <= {"electricity", "books", "repairs", "—"}
    assert all(sum(counts.values()) == sizes[1] for counts in left["said"].values())
    assert len(left["temperature"]) == 3
    assert all(0 <= row["agreement"] <= 1 for row in left["temperature"])


def check_memory(left: Left, sizes: tuple[int, ...]) -> None:
    memories: dict[str, list[int]] = {}
    for row in left["sent"]:
        memories.setdefault(row["memory"], []).append(row["input_tokens"])
    history, window, summary, none = memories.values()
    assert history == sorted(history)
    assert len({len(turns) for turns in memories.values()}) == 1
    # All end far below the whole history; what is never remembered does not grow.
    assert max(window[-1], summary[-1]) < history[-1]
    assert max(none) < 60
    assert max(summary) < 300 + 200
    assert left["kept"]["historia / full history"] == 5
    assert left["kept"]["ninguna / none"] == 0
    costs = by(left["costs"], "memory")
    assert [row["memory"] for row in left["costs"] if row["summaries in"]] == ["resumen / summary buffer"]
    assert all(costs[name]["conversation in"] == sum(turns) for name, turns in memories.items())
    assert all(row["USD / 1,000 on nova-lite"] > 0 for row in left["costs"])


def check_models(left: Left, sizes: tuple[int, ...]) -> None:
    models = {row["model"] for row in left["models"]}
    assert "rule" in models
    assert len(models) > 1
    assert all(0 <= share <= 1 for share in shares(left["models"], "score"))
    assert [row["score"] for row in left["models"] if row["model"] == "rule"] == [1, 1]
    assert all(row["latency"] > 0 for row in left["models"])
    prices = [row["USD / 1,000 invoices"] for row in left["prices"]]
    assert prices == sorted(prices)
    assert prices[0] > 0


def check_documents(left: Left, sizes: tuple[int, ...]) -> None:
    assert left["pinned"] == ["terms.md"]
    rows = by(left["questions"], "prompt")
    assert [row["n"] for row in left["questions"]] == [sizes[2]] * 3
    assert rows["pinned"]["score"] > rows["nothing"]["score"]
    assert rows["pinned"]["score"] >= rows["summarised"]["score"]
    # The small size reads the document's beginning.
    assert rows["pinned"]["input_tokens"] > (500 if sizes == FULL else 150)
    assert rows["pinned"]["input_tokens"] > rows["summarised"]["input_tokens"] > rows["nothing"]["input_tokens"]
    assert left["follow_up"]["read"] >= left["follow_up"]["cached"]


CHECKS: dict[str, Callable[[Left, tuple[int, ...]], None]] = dict(
    zip(NAMES, (check_quickstart, check_prompts, check_memory, check_models, check_documents), strict=True)
)


@pytest.fixture(autouse=True)
def cheap_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    if "forkserver" in multiprocessing.get_all_start_methods():
        monkeypatch.setattr("jupyter_client.provisioning.local_provisioner.launch_kernel", fork_kernel)
        for name, value in AT_IMPORT.items():
            monkeypatch.setenv(name, value)


# A grid on the embedded model takes its time where other programs want the cores too, and at the full size.
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_from_a_clean_kernel_and_its_tables_are_right(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = os.environ.get("ASSISTANT_NOTEBOOK_SIZE", "small")
    monkeypatch.setenv("ASSISTANT_NOTEBOOK_SIZE", size)
    notebook = execute(HERE / f"{name}.ipynb")
    left = left_in(notebook)
    assert ("image/png" in str(notebook.cells)) == (name != "01_quickstart")
    CHECKS[name](left, SMALL if size == "small" else FULL)


def on_bedrock(name: str) -> list[nbformat.NotebookNode]:
    """The notebook's code with the one line changed, to what the comment on that line says."""
    cells = [cell for cell in nbformat.read(HERE / f"{name}.ipynb", as_version=4).cells if cell.cell_type == "code"]
    changed = 0
    for cell in cells:
        cell.source, times = re.subn(r'^client = connect\("local"\)  # Bedrock: ', "client = ", cell.source, flags=re.M)
        changed += times
    assert changed == 1
    assert 'connect("local")' not in "".join(cell.source for cell in cells)
    return cells


def cut_where_asked(recorded: Recorded) -> Reply:
    """A word a token, and as many as are allowed."""
    words = ["It", "is", "12,", *(["and", "more"] * 5)]
    allowed = recorded.asked.max_tokens or len(words)
    stop = "max_tokens" if allowed < len(words) else "end_turn"
    return Reply(" ".join(words[:allowed]), stop_reason=stop)


def test_the_notebooks_run_on_bedrock_when_one_line_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is answered is no matter: nothing depends on the embedded model. One kernel, emptied for each of them."""
    notebook = nbformat.v4.new_notebook()
    for name in NAMES:
        notebook.cells += [nbformat.v4.new_code_cell("%reset -f"), *on_bedrock(name)]
    nbformat.write(notebook, tmp_path / "all.ipynb")
    monkeypatch.setenv("ASSISTANT_NOTEBOOK_SIZE", "small")
    with BedrockServer() as server:
        server.default = cut_where_asked
        # A model that this account is not offered otherwise.
        lite = next(model for model in server.models if model["modelId"] == "amazon.nova-lite-v1:0")
        server.models.append({**lite, "modelId": "amazon.nova-pro-v1:0"})
        for variable, value in server.env.items():
            monkeypatch.setenv(variable, value)
        left = left_in(execute(tmp_path / "all.ipynb"))
    check_models(left, SMALL)
    assert {"reply", "shots", "sent", "models", "questions"} <= set(left)
    assert {request.operation for request in server.requests} == {
        "ConverseStream",
        "InvokeModelWithResponseStream",
        "CountTokens",
    }
    assert server.errors == []


@pytest.mark.parametrize("name", NAMES)
def test_the_saved_outputs_are_whole_of_the_full_size_and_of_no_machine(name: str) -> None:
    path = HERE / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 300_000
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    CHECKS[name](left_in(notebook), FULL)
    # By whom: the model's name stands in what is read.
    said = str([cell.get("outputs") for cell in code])
    assert "SmolLM2-135M" in said
    if name != "01_quickstart":
        assert "image/png" in said
    if name == PICTURE[0]:
        assert (HERE.parent / "docs" / "experiment.png").read_bytes() == picture(notebook)
    for trace in (str(Path(__file__).parents[1]), str(Path.home()) + "/", "site-packages", "ipykernel_", " at 0x"):
        assert trace not in re.sub(r"'image/png': '[^']*'", "", said)
    assert nbformat.writes(clean(notebook)) == nbformat.writes(nbformat.read(path, as_version=4))


@pytest.mark.parametrize("name", NAMES)
def test_every_notebook_is_in_both_languages(name: str) -> None:
    notebook = nbformat.read(HERE / f"{name}.ipynb", as_version=4)
    texts = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert re.search(r"\*\*Español\.\*\*", texts)
    assert re.search(r"\*\*English\.\*\*", texts)
    assert texts.count("**ES**") == texts.count("**EN**")
    assert "@@" not in texts


def test_the_invoices_are_many_varied_and_the_same_each_time() -> None:
    rows = invoices()
    assert rows == invoices()
    assert len({row["invoice"] for row in rows}) == len(rows) >= 40
    assert len({row["invoice_number"] for row in rows}) == len(rows)
    assert {row["language"] for row in rows} == {"es", "en"}
    assert 0.4 < sum(row["language"] == "es" for row in rows) / len(rows) < 0.6
    for row in rows:
        assert row["invoice_number"] in row["invoice"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", row["due_date"])


def test_the_right_answer_to_an_invoice_scores_as_right() -> None:
    from assistant.scorers import json_equal

    rows = invoices()
    assert all(json_equal(*FIELDS)(f"Here it is: {answer(row)}", row) for row in rows)
    assert not any(json_equal(*FIELDS)(answer(rows[0]), row) for row in rows[1:])
