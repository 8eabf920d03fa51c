"""Runs the notebooks and keeps their outputs, free of traces of this machine: `uv run notebooks/save.py [name …]`.

At the full size, unless ASSISTANT_NOTEBOOK_SIZE says otherwise; on two cores all five take about a quarter of an hour.
"""

from __future__ import annotations

import base64
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
# The picture that README shows: the notebook, and what stands in its cell.
PICTURE = ("02_prompts", 'single_results.plot("amount"')


def execute(path: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs, from a kernel of its own. Raises CellExecutionError for a cell that failed."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=1800, kernel_name="python3", resources={"metadata": {"path": HERE}})
    # A progress bar is for who watches; what is saved is for who reads.
    client.execute(env={**os.environ, "TQDM_DISABLE": "1"})
    return notebook


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without times of execution and paths of this machine: the same run gives the same file."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
        if "outputs" in cell:
            cell.outputs = joined(cell.outputs)
        for output in cell.get("outputs", ()):
            output.get("metadata", {}).clear()
            output.update({name: plain(output[name]) for name in ("text", "data") if name in output})
    return notebook


def joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """A stream comes in a piece for each token; the file holds it as one."""
    kept: list[nbformat.NotebookNode] = []
    for output in outputs:
        if kept and output.output_type == "stream" and output.get("name") == kept[-1].get("name"):
            kept[-1].text += output.text
        else:
            kept.append(output)
    return kept


def plain(said: Any) -> Any:
    """Without the directory that this is in, and addresses in memory."""
    if isinstance(said, dict):
        return {kind: plain(each) for kind, each in said.items()}
    if not isinstance(said, str):
        return said
    return re.sub(r" at 0x[0-9a-f]+", "", re.sub(rf"{re.escape(str(HERE.parent))}/?", "", said))


def picture(notebook: nbformat.NotebookNode) -> bytes:
    """The picture for README, from the notebook's outputs."""
    cell = next(cell for cell in notebook.cells if PICTURE[1] in cell.source)
    return next(base64.b64decode(output.data["image/png"]) for output in cell.outputs if "image/png" in output.data)


def main(names: list[str]) -> None:
    for path in sorted(HERE.glob("*.ipynb")):
        if names and not any(path.name.startswith(name) for name in names):
            continue
        began = time.monotonic()
        notebook = clean(execute(path))
        nbformat.write(notebook, path)
        if path.stem == PICTURE[0]:
            (HERE.parent / "docs" / "experiment.png").write_bytes(picture(notebook))
        print(f"{path.name}: {time.monotonic() - began:.0f} s, {path.stat().st_size / 1000:.0f} KB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
