"""All measurements, with the peers beside, in one run: docs/benchmarks.md, its picture, and the table in README.

    uv run benchmarks/run.py             # about half an hour; nothing else should run on the machine meanwhile
    uv run benchmarks/run.py --quick     # under two minutes, smaller sizes, prints only
    uv run benchmarks/run.py --check     # exit status 1 where a bar is missed

Each part is a script of its own beside this one and can be run alone. Peers run in environments of their own.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from benchmarks import load, sessions, start, store  # noqa: E402

DOCS = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "benchmarks.png"
READMES = {"README.md": "en", "README.es.md": "es"}
_MARKS = re.compile(r"(<!-- benchmarks -->\n).*?(<!-- /benchmarks -->)", re.DOTALL)

PACKAGES = ("assistant", "gradio", "boto3", "anthropic", "sqlalchemy", "psycopg", "uvicorn", "starlette")

FULL = load.Load()
# The same page with a server of ours on the same two cores: for docs/benchmarks.md, and no more.
WIRE = "assistant, through the fake Bedrock"
# name: what is asked for, and whether the bars hold for it.
LOADS = {
    "assistant": (replace(FULL, sessions=60), False),
    "assistant, many visitors": (FULL, True),
    "assistant, empty chats": (replace(FULL, sessions=300, history=0), True),
    "assistant, two processes": (replace(FULL, sessions=400, processes=2), True),
    WIRE: (replace(FULL, wire=True), False),
    "plain gr.ChatInterface": (replace(FULL, plain=True), False),
    "plain gr.ChatInterface, few visitors": (replace(FULL, plain=True, sessions=10), False),
}
_SMALL = load.Load(sessions=15, tokens=100, spread=2.0)
QUICK_LOADS = {"assistant": (_SMALL, False), "plain gr.ChatInterface": (replace(_SMALL, plain=True), False)}


@dataclass
class Part:
    """A chapter of the report, and the bars that it missed."""

    title: str
    text: str
    missed: list[str] = field(default_factory=list)
    loads: dict[str, dict[str, Any]] = field(default_factory=dict)


def page_under_load(quick: bool) -> Part:
    found: dict[str, dict[str, Any]] = {}
    failed: list[str] = []
    missed: list[str] = []
    for name, (asked, barred) in (QUICK_LOADS if quick else LOADS).items():
        try:
            found[name] = load.run(asked)
        except (SystemExit, OSError, ValueError, RuntimeError) as error:
            failed.append(f"{name}: {type(error).__name__}: {error}")
            continue
        if barred:
            missed += [f"{name}: {each}" for each in load.missed(found[name])]
    rows = [load.row(name, result) for name, result in found.items()]
    errors = [f"- {name}: {result['first_error']}" for name, result in found.items() if result["first_error"]]
    text = "\n".join([load.HEADER, *rows, "", *errors, *(f"- {each}" for each in failed)])
    return Part("The page under load", text, missed + failed, found)


def beginning(quick: bool) -> Part:
    found = start.run(2 if quick else 9, peers=not quick)
    return Part("The start", start.table(found), start.missed(found))


def storing(quick: bool) -> Part:
    count = 300 if quick else 10_000
    found = store.run(count, 20 if quick else 60)
    return Part("The store", store.table(found, count), store.missed(found))


def living(quick: bool) -> Part:
    found = sessions.run(quick)
    return Part("Long and many conversations", sessions.table(found), [] if quick else sessions.missed(found))


def script(title: str, name: str, *arguments: str) -> Callable[[bool], Part]:
    """A part that prints what it found."""

    def part(quick: bool) -> Part:
        command = [sys.executable, str(HERE / name), *arguments, *(["--quick"] if quick else [])]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=3600, cwd=ROOT)
        except subprocess.TimeoutExpired:
            return Part(title, "", [f"{name}: not finished within an hour"])
        output = done.stdout.strip()
        missed = [line for line in output.splitlines() if "MISSED" in line]
        if done.returncode and not missed:
            missed = [f"{name}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}"]
        return Part(title, output if "|--" in output else f"```text\n{output}\n```", missed)

    return part


PARTS: dict[str, Callable[[bool], Part]] = {
    "load": page_under_load,
    "streaming": script("The wire", "streaming.py"),
    "start": beginning,
    "store": storing,
    "sessions": living,
    "memory": script("The memory", "memory.py"),
    "local": script("The local model", "local.py"),
}
# The others have no small size, or take their time for warming up.
QUICK = ("load", "start", "store", "sessions")


def machine() -> str:
    names = []
    for package in PACKAGES:
        try:
            names.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    load_average = f", load average {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return (
        f"{datetime.date.today().isoformat()}, {os.cpu_count()} cores {platform.machine()}, {platform.system()}, "
        f"Python {platform.python_version()}{load_average}. {', '.join(names)}."
    )


def document(where: str, parts: list[Part]) -> str:
    lines = ["# Measurements", "", "Written by `uv run benchmarks/run.py`; edit that and not this.", "", where, ""]
    if any(part.loads for part in parts):
        lines += ["![The page under load](benchmarks.png)", ""]
    for part in parts:
        lines += [f"## {part.title}", "", part.text, ""]
        lines += [f"**Missed:** {each}  " for each in part.missed] + ([""] if part.missed else [])
    return "\n".join(lines).rstrip() + "\n"


_WORDS = {
    "en": (
        "| the page with | visitors | slowest, tokens/s | lag p95, s | first text p95, s |",
        "chats of {} messages",
        "two processes",
        "not finished",
    ),
    "es": (
        "| la página con | visitas | la más lenta, tokens/s | retraso p95, s | primer texto p95, s |",
        "chats de {} mensajes",
        "dos procesos",
        "sin terminar",
    ),
}


def short_table(loads: dict[str, dict[str, Any]], language: str) -> str:
    head, chats, two, unfinished = _WORDS[language]
    lines = [head, "|---|---:|---:|---:|---:|"]
    for name, found in loads.items():
        if name == WIRE:
            continue
        page = ", ".join([name.split(",")[0], *([two] if found["processes"] > 1 else [])])
        measured = f"{found['slowest']:.0f} | {found['lag_p95']:.2f} | {found['first_p95']:.2f}"
        if found["errors"] == found["sessions"]:
            measured = f"{unfinished} | – | –"
        lines.append(f"| {page}, {chats.format(found['history'])} | {found['sessions']} | {measured} |")
    return "\n".join(lines)


def draw(loads: dict[str, dict[str, Any]]) -> None:
    """Lag and time to first text of each page, on logarithmic axes: they are orders of magnitude apart."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    names = [f"{name}\n{found['sessions']} visitors, {found['history']} messages" for name, found in loads.items()]
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 0.7 * len(names) + 1.2), sharey=True)
    for axis, key, title, bar in (
        (axes[0], "slowest", "slowest visitor, tokens/s", load.BARS["slowest"]),
        (axes[1], "lag_p95", "lag p95, s", load.BARS["lag_p95"]),
        (axes[2], "first_p95", "first text p95, s", load.BARS["first_p95"]),
    ):
        values = [found[key] for found in loads.values()]
        axis.barh(names, values, color=["#3b6ea5" if name.startswith("assistant") else "#b0b0b0" for name in loads])
        if key != "slowest":
            axis.set_xscale("log")
        axis.axvline(bar, color="black", linestyle=":", linewidth=1)
        axis.set_title(title, fontsize=10)
        axis.tick_params(labelsize=8)
        for at, found in enumerate(loads.values()):
            if found["errors"] == found["sessions"]:
                axis.text(0.02, at, "not finished", transform=axis.get_yaxis_transform(), va="center", fontsize=8)
    axes[0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=110)


def write(where: str, parts: list[Part]) -> None:
    loads = next((part.loads for part in parts if part.loads), {})
    DOCS.write_text(document(where, parts), "utf-8")
    if not loads:
        return
    draw(loads)
    for name, language in READMES.items():
        path = ROOT / name
        table = short_table(loads, language)
        # Nothing in a table is a backslash.
        path.write_text(_MARKS.sub(rf"\g<1>{table}\n\g<2>", path.read_text("utf-8")), "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="only these; nothing is written then")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    where = machine()
    print(where, flush=True)
    done: list[Part] = []
    for name in options.parts or (QUICK if options.quick else PARTS):
        begun = time.monotonic()
        try:
            part = PARTS[name](options.quick)
        except Exception as error:
            # Half an hour of the others is not lost for it.
            part = Part(name, f"Not measured: {type(error).__name__}: {error}", [f"{name}: not measured"])
        done.append(part)
        print(f"\n## {done[-1].title} ({time.monotonic() - begun:.0f} s)\n\n{done[-1].text}", flush=True)
    missed = [each for part in done for each in part.missed]
    print("\n" + ("\n".join(f"MISSED {each}" for each in missed) or "Every bar is met."))
    if not (options.quick or options.parts):
        write(where, done)
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
