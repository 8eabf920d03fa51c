"""Many stored conversations: how long listing, searching and opening take, on SQLite and on PostgreSQL.

    uv run python benchmarks/store.py                # 10,000 conversations of 50 turns, all of one owner
    uv run python benchmarks/store.py --quick        # 1,000
    uv run python benchmarks/store.py --check        # exit status 1 where a bar is missed

PostgreSQL is the tests' own server (tests/postgres.py), or the one at ASSISTANT_BENCHMARK_POSTGRES, a URL of an empty
database; where there is neither it is skipped, with the reason.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

BAR = 100.0  # ms, the 95th percentile
OWNER = "benchmark"
RARE = "aguacate"


def fill(url: str | None, directory: Path, count: int) -> tuple[Any, list[str]]:
    """A store with `count` conversations of 50 turns; in every 1,000th (in one at least) the rare word was said."""
    from assistant.messages import Turn, Usage
    from assistant.store import ConversationStore
    from benchmarks.filling import copy, hold

    store = ConversationStore(url, directory)
    template = hold(store, "template", 50)
    ids = copy(store, template, [OWNER] * count)
    for id in ids[::1000]:
        turn = Turn(f"¿Y el {RARE}?", "Mañana.", "end_turn", usage=Usage(10, 5))
        head = store.get(OWNER, id, turns=False).head
        store.begin_turn(OWNER, id, head, turn, "benchmark", 10)
        store.end_turn(id, turn, "benchmark")
    return store, ids


def measure(store: Any, ids: list[str], rounds: int) -> dict[str, list[float]]:
    """Wall-clock times in ms by operation, interleaved."""
    pick = random.Random(1)
    operations: dict[str, Callable[[], object]] = {
        "list the last 100": lambda: store.list(OWNER),
        "search, a rare word": lambda: store.list(OWNER, search=RARE),
        "search, a word of all": lambda: store.list(OWNER, search="playa"),
        "search, nothing found": lambda: store.list(OWNER, search="zzyzx"),
        "open": lambda: store.get(OWNER, pick.choice(ids)),
    }
    found = store.list(OWNER, search=RARE)
    assert len(found) == len(ids[::1000]), f"{len(found)} found"
    spent: dict[str, list[float]] = {name: [] for name in operations}
    for _ in range(rounds):
        for name, operation in operations.items():
            begun = time.perf_counter()
            operation()
            spent[name].append((time.perf_counter() - begun) * 1000)
    return spent


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty database. Raises for whatever reason there is none."""
    given = os.environ.get("ASSISTANT_BENCHMARK_POSTGRES")
    if given:
        yield given
        return
    from tests.postgres import running_postgres

    with running_postgres() as server:
        yield server.empty()


def run(count: int, rounds: int) -> dict[str, dict[str, Any]]:
    """{database: {"fill": s, operation: [p50, p95] in ms}}, or {"skipped": why}."""
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as directory:
        results["SQLite"] = _one(None, Path(directory), count, rounds)
        try:
            with postgres() as url:
                results["PostgreSQL"] = _one(url, Path(directory), count, rounds)
        except Exception as error:
            results["PostgreSQL"] = {"skipped": f"{type(error).__name__}: {error}".splitlines()[0]}
    return results


def _one(url: str | None, directory: Path, count: int, rounds: int) -> dict[str, Any]:
    begun = time.perf_counter()
    store, ids = fill(url, directory, count)
    filled = time.perf_counter() - begun
    try:
        spent = measure(store, ids, rounds)
    finally:
        store.close()
    quantiles = {
        name: [statistics.median(times), sorted(times)[int(0.95 * len(times))]] for name, times in spent.items()
    }
    return {"filled in, s": filled, **quantiles}


def table(results: dict[str, dict[str, Any]], count: int) -> str:
    lines = [f"| {count:,} conversations of 50 turns | p50, ms | p95, ms |", "|---|---:|---:|"]
    for database, found in results.items():
        if "skipped" in found:
            lines.append(f"| {database}: skipped, {found['skipped']} | | |")
        for name, times in found.items():
            if isinstance(times, list):
                lines.append(f"| {database}: {name} | {times[0]:.1f} | {times[1]:.1f} |")
    return "\n".join(lines)


def missed(results: dict[str, dict[str, Any]]) -> list[str]:
    return [
        f"{database}: {name} {times[1]:.0f} ms"
        for database, found in results.items()
        for name, times in found.items()
        if isinstance(times, list) and times[1] > BAR
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    count = 1000 if options.quick else options.count
    results = run(count, options.rounds)
    print(table(results, count))
    print("\n".join(f"MISSED: {each}" for each in missed(results)))
    return 1 if options.check and missed(results) else 0


if __name__ == "__main__":
    sys.exit(main())
