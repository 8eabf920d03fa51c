"""What a conversation costs while it lives: memory, idling, length, and a text of 200 pages.

    uv run python benchmarks/sessions.py             # a few minutes
    uv run python benchmarks/sessions.py --quick
    uv run python benchmarks/sessions.py --check     # exit status 1 where a bar is missed

An hour of idling is an hour of the library's own clock: its once-a-second work is done 3,600 times in a row.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import sys
import tempfile
import threading
import time
import tracemalloc
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.load import WARM_UP, Load, address_of, config_of, cpu_of, server  # noqa: E402
from benchmarks.visitor import Connections, Visitor  # noqa: E402

PASTE = 600_000

BARS = {
    "live session beside its text, kB": 100.0,
    "idle hour of 1,000 sessions: memory, kB a session": 1.0,
    "idle hour of 1,000 sessions: threads more": 0.0,
    "library, turn 10,000 / turn 100, CPU": 1.2,
    "page, turn 10,000 / turn 100, CPU": 1.2,
    "600,000 characters pasted: longest task in the browser, ms": 1000.0,
    "600,000 characters pasted: longest stall of the server, ms": 500.0,
}


def live_sessions(count: int, idle_hour: bool = True) -> dict[str, float]:
    """Memory of sessions with ten turns each, and what an hour in which nothing happens adds."""
    from assistant.chats import Chats
    from assistant.store import ConversationStore
    from benchmarks.filling import Instant, prose

    now = [time.time()]
    with tempfile.TemporaryDirectory() as directory:
        store = ConversationStore(data_dir=directory, clock=lambda: now[0])
        chats = Chats(Instant(), store, clock=lambda: now[0], pool_size=count + 1, save_every=3600.0)
        text = 0

        def talk(owner: str, turns: int) -> int:
            conversation, after, size = chats.create(owner).id, None, 0
            for number in range(turns):
                run = chats.submit(owner, conversation, after, prose(100, number))
                run.wait(60)
                after = run.turn_id
                size += len(run.turn.user.encode()) + len(run.text.encode())
            return size

        talk("warm up", 2)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            text += talk(f"owner {number}", 10)
        _quiet()
        used = tracemalloc.get_traced_memory()[0] - before
        found = {"live session beside its text, kB": (used - text) / count / 1000}
        if idle_hour:
            # Once, for what is made at the first time.
            chats.tick()
            _quiet()
            before, threads, cpu = tracemalloc.get_traced_memory()[0], threading.active_count(), time.process_time()
            for _ in range(3600):
                now[0] += 1
                chats.tick()
            spent = time.process_time() - cpu
            _quiet()
            grown = tracemalloc.get_traced_memory()[0] - before
            found |= {
                "idle hour of 1,000 sessions: memory, kB a session": grown / count / 1000,
                "idle hour of 1,000 sessions: threads more": float(max(0, threading.active_count() - threads)),
                "idle hour of 1,000 sessions: CPU, s": spent,
            }
        tracemalloc.stop()
        chats.close()
        store.close()
    return found


def _quiet() -> None:
    """Until summaries are written and threads have ended; what is garbage is collected."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any(each.name.startswith("assistant-run") for each in threading.enumerate()):
        time.sleep(0.05)
    gc.collect()


def long_library(last: int) -> dict[str, float]:
    """CPU of a turn in a ChatSession: the median of the 50th to the 150th, and of the last 100.

    They take turns, since this machine's speed changes: what is compared is of the same moment.
    """
    from assistant.session import ChatSession
    from benchmarks.filling import Instant, prose

    def talk(session: ChatSession, number: int) -> float:
        begun = time.thread_time()
        session.send(prose(100, number % 50))
        return time.thread_time() - begun

    short, long = ChatSession(Instant()), ChatSession(Instant())  # type: ignore[arg-type]
    for number in range(last - 100):
        talk(long, number)
    for number in range(50):
        talk(short, number)
    spent = [(talk(short, number), talk(long, number)) for number in range(50, 150)]
    early, late = (statistics.median(times) for times in zip(*spent, strict=True))
    short.memory.close()
    long.memory.close()
    return {
        "library, turn 100, CPU, ms": early * 1000,
        f"library, turn {last:,}, CPU, ms": late * 1000,
        "library, turn 10,000 / turn 100, CPU": late / early,
    }


def long_page(*lengths: int, rounds: int = 100) -> list[float]:
    """CPU seconds of the server's process for a turn of one word in chats of so many turns, the first one left out.

    Each has a server of its own, and they take turns, as in `long_library`. The mean: what is done now and then counts.
    """
    with ExitStack() as stack:
        started = [stack.enter_context(server(Load(sessions=1, history=2 * turns, tokens=1))) for turns in lengths]
        return asyncio.run(_turns(started, rounds))


async def _turns(started: list[Any], rounds: int) -> list[float]:
    visitors = []
    for _, served in started:
        host, port = address_of(served["url"])
        owner, conversation = served["visitors"][0]
        visitor = Visitor(await config_of(host, port), host, port, owner=owner, conversation=conversation)
        await visitor.load()
        await visitor.submit(WARM_UP)
        visitors.append(visitor)
    spent: list[list[float]] = [[] for _ in started]
    for _ in range(rounds):
        for (process, _), visitor, times in zip(started, visitors, spent, strict=True):
            before = cpu_of(process)
            await visitor.submit(WARM_UP)
            times.append(cpu_of(process) - before)
    for visitor in visitors:
        await visitor.close()
    return [statistics.mean(times) for times in spent]


# -- a text of 200 pages -----------------------------------------------------------------------------------------------

_WATCH = """
window.longest = 0;
new PerformanceObserver((list) => {
  for (const each of list.getEntries()) window.longest = Math.max(window.longest, each.duration);
}).observe({entryTypes: ["longtask"]});
"""


def paste(characters: int = PASTE) -> dict[str, float]:
    """Pasted into the page, sent and answered; raises where there is no browser."""
    from playwright.sync_api import sync_playwright

    from benchmarks.filling import prose
    from tests.browser import FLAGS, chromium

    text = prose(characters, 7)
    load = Load(sessions=1, history=0, tokens=20)
    with server(load) as (_, served), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page()
        page.goto(served["url"])
        page.wait_for_selector("html[data-loaded]", state="attached", timeout=120_000)
        page.evaluate(_WATCH)
        stop = threading.Event()
        stalls: list[float] = []
        prober = threading.Thread(target=lambda: asyncio.run(_probe(served["url"], stop, stalls)))
        prober.start()
        page.evaluate(
            """(text) => {
              const box = document.querySelector("#message textarea");
              box.focus();
              const data = new DataTransfer();
              data.setData("text/plain", text);
              const event = new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true});
              if (box.dispatchEvent(event)) document.execCommand("insertText", false, text);
            }""",
            text,
        )
        # It is a file by now, and a message waits for its files.
        page.wait_for_selector("#chips .chip-name", timeout=120_000)
        page.keyboard.press("Enter")
        page.wait_for_selector("#chat [data-testid=bot]", timeout=120_000)
        page.wait_for_function("!document.querySelector('#message textarea').disabled", timeout=120_000)
        stop.set()
        prober.join()
        longest = page.evaluate("window.longest")
        browser.close()
    return {
        "600,000 characters pasted: longest task in the browser, ms": float(longest),
        "600,000 characters pasted: longest stall of the server, ms": max(stalls) * 1000,
    }


async def _probe(url: str, stop: threading.Event, stalls: list[float]) -> None:
    """How long a small request takes, again and again: as long as the event loop is busy with something else."""
    web = Connections(*address_of(url), "a=b")
    while not stop.is_set():
        begun = time.monotonic()
        await web.request("GET", "/gradio_api/app_id")
        stalls.append(time.monotonic() - begun)
        await asyncio.sleep(0.01)
    web.close()


def run(quick: bool) -> dict[str, float | str]:
    """Every number by its name; a reason where one could not be had."""
    last = 400 if quick else 10_000
    found: dict[str, float | str] = {}
    found |= live_sessions(50 if quick else 1000)
    found |= long_library(last)
    early, late = long_page(100, last)
    found |= {
        "page, turn 100, CPU, ms": early * 1000,
        f"page, turn {last:,}, CPU, ms": late * 1000,
        "page, turn 10,000 / turn 100, CPU": late / early,
    }
    try:
        found |= paste()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        found["600,000 characters pasted"] = f"skipped: {type(error).__name__}: {error}".splitlines()[0]
    return found


def table(results: dict[str, float | str]) -> str:
    lines = ["| | measured | at most |", "|---|---:|---:|"]
    for name, value in results.items():
        bar = f"{BARS[name]:g}" if name in BARS else ""
        lines.append(f"| {name} | {value if isinstance(value, str) else f'{value:.2f}'} | {bar} |")
    return "\n".join(lines)


def missed(results: dict[str, float | str]) -> list[str]:
    return [
        f"{name}: {value:.2f}"
        for name, value in results.items()
        if not isinstance(value, str) and value > BARS.get(name, float("inf"))
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="50 sessions and 400 turns")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = run(options.quick)
    print(json.dumps(results) if options.json else table(results))
    return 1 if options.check and missed(results) else 0


if __name__ == "__main__":
    sys.exit(main())
