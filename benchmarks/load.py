"""The page under load: many visitors at once, each with a stored chat, beside Gradio's plain ChatInterface.

    uv run python benchmarks/load.py                               # 200 visitors, chats of 100 messages, 800 tokens
    uv run python benchmarks/load.py --sessions 300 --history 0    # empty chats
    uv run python benchmarks/load.py --wire                        # through the fake Bedrock server
    uv run python benchmarks/load.py --plain                       # gr.ChatInterface, one yield a token
    uv run python benchmarks/load.py --sessions 400 --processes 2  # behind nginx, on one PostgreSQL
    uv run python benchmarks/load.py --check                       # exit status 1 where a bar is missed

Servers and visitors are processes of their own. The model speaks `--rate` tokens a second, whoever listens. Each token
is the time at which it was spoken; lag is the time from there to the visitor. Turns begin spread over `--spread`
seconds. The server's CPU is that of its processes, all threads, from the first turn's beginning to the last one's end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.visitor import Failed, Visitor  # noqa: E402

# The message of a first visitor, who is not measured: what is loaded once is start.py's business.
WARM_UP = "warm up"
WIRE_MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
# What has to hold with a chat of 100 messages and 200 visitors, or an empty one and 300.
BARS = {"slowest": 45.0, "lag_p95": 0.3, "first_p95": 2.0, "errors": 0}


@dataclass
class Load:
    """What is asked for."""

    sessions: int = 200
    rate: float = 50.0
    history: int = 100
    tokens: int = 800
    spread: float = 12.0
    wire: bool = False
    plain: bool = False
    database_url: str | None = None
    processes: int = 1
    # Owners and their conversations, where the store has them already.
    visitors: list[tuple[str, str]] | None = None


# -- the server's process ----------------------------------------------------------------------------------------------

_TOKENS = re.compile(r"(?:[0-9a-z]{5} )+")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def token_of(moment: float) -> str:
    """Six characters: the time in ms, and a space. One clock for all processes of a machine."""
    rest, digits = int(moment * 1000) % 36**5, ""
    for _ in range(5):
        rest, digit = divmod(rest, 36)
        digits = _DIGITS[digit] + digits
    return digits + " "


def lags_of(text: str, now: float) -> list[float]:
    """Seconds from when each token was spoken; the text is whole tokens."""
    clock = int(now * 1000) % 36**5
    return [(clock - int(text[at : at + 5], 36)) % 36**5 / 1000 for at in range(0, len(text) - 5, 6)]


def speaking(rate: float, tokens: int) -> Any:
    """A ChatClient that speaks in real time: whoever hears it late does not slow it down."""
    from benchmarks.filling import Instant

    class Speaking(Instant):
        def speak(self, token: Any, asked: str) -> Iterator[str]:
            begun = time.monotonic()
            for number in range(1 if asked == WARM_UP else tokens):
                due = begun + number / rate
                wait = due - time.monotonic()
                if wait > 0:
                    time.sleep(wait)
                if token.cancelled:
                    return
                yield token_of(due)

    return Speaking()


def serve(load: Load) -> None:
    """Prints address and visitors as a line of JSON; answers "cpu" with the CPU seconds so far; ends with its input."""
    with tempfile.TemporaryDirectory(prefix="assistant-load-", ignore_cleanup_errors=True) as directory:
        demo, visitors, close = _plain(load) if load.plain else _ours(load, Path(directory))
        print(json.dumps({"url": demo.local_url, "pid": os.getpid(), "visitors": visitors}), flush=True)
        for _ in sys.stdin:
            print(time.process_time(), flush=True)
        close()


def _ours(load: Load, directory: Path) -> tuple[Any, list[tuple[str, str]], Any]:
    from assistant.chats import Chats
    from assistant.session import ChatSession
    from assistant.store import ConversationStore
    from assistant_app import build
    from assistant_app.launch import check_address, close, launch, settle
    from benchmarks.filling import copy, hold

    store = ConversationStore(load.database_url, directory)
    owners = [f"{number:032x}" for number in range(1, load.sessions + 1)]
    ids = [""] * load.sessions
    if load.history and not load.visitors:
        conversation = hold(store, "template", load.history // 2)
        ids = copy(store, conversation, [f"cookie:{owner}" for owner in owners])
    make = None
    client: Any = speaking(load.rate, load.tokens)
    if load.wire:
        from assistant import BedrockClient

        client = BedrockClient(region="us-east-1")
        make = lambda: ChatSession(client, model=WIRE_MODEL)  # noqa: E731
    chats = Chats(client, store, make_session=make, pool_size=max(256, load.sessions))
    demo = build(chats)
    launch(demo, port=check_address("127.0.0.1", 0))
    settle()

    def end() -> None:
        chats.close(1)
        close(demo)

    return demo, load.visitors or list(zip(owners, ids, strict=True)), end


def _plain(load: Load) -> tuple[Any, list[tuple[str, str]], Any]:
    """What the documentation's streaming example becomes with the same model: one yield a token."""
    import gradio as gr

    from assistant.reply import CancelToken
    from assistant_app.launch import close, quiet_environment
    from benchmarks.filling import prose

    quiet_environment()
    client = speaking(load.rate, load.tokens)

    async def chat(message: str, history: list[Any]) -> Any:
        text, heard = "", client.speak(CancelToken(), message)
        while (token := await asyncio.to_thread(next, heard, None)) is not None:
            text += token
            yield text

    past = [
        {"role": ("user", "assistant")[number % 2], "content": prose((100, 400)[number % 2], number)}
        for number in range(load.history)
    ]
    interface = gr.ChatInterface(chat, chatbot=gr.Chatbot(value=past), concurrency_limit=load.sessions)  # type: ignore[arg-type]
    interface.launch(
        prevent_thread_lock=True, quiet=True, max_threads=2 * load.sessions, server_name="127.0.0.1", ssr_mode=False
    )
    return interface, [(f"{number:032x}", "") for number in range(load.sessions)], lambda: close(interface)


@contextmanager
def server(load: Load) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    environment = dict(os.environ)
    with bedrock_server(load) as aws:
        process = subprocess.Popen(
            [sys.executable, __file__, "--serve", json.dumps(asdict(load))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**environment, **aws},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise SystemExit("the server did not start")
            yield process, json.loads(line)
        finally:
            process.stdin.close()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def servers(load: Load) -> Iterator[tuple[list[subprocess.Popen[str]], dict[str, Any]]]:
    """Of `each` there is to warm up; visitors come to `url`."""
    if load.processes > 1:
        from benchmarks.replicas import cluster

        with cluster(load) as found:
            yield found
    else:
        with server(load) as (process, served):
            yield [process], {**served, "each": [served["url"]]}


@contextmanager
def bedrock_server(load: Load) -> Iterator[dict[str, str]]:
    """The fake Bedrock in a third process; what to set so that the server's clients go there."""
    if not load.wire:
        yield {}
        return
    command = [sys.executable, __file__, "--bedrock", json.dumps(asdict(load))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield {**json.loads(process.stdout.readline()), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    finally:
        process.stdin.close()
        process.wait()


def bedrock(load: Load) -> None:
    """Tokens are stamped with the time at which they are due: the fake server's own lateness counts as lag."""
    from tests.bedrock_server import BedrockServer, Recorded, Reply

    def answer(recorded: Recorded) -> Reply:
        system = str(recorded.asked.system or "").lower()
        if "summar" in system:
            return Reply("They talked about a trip.")
        if "title" in system:
            # A page looks out for it for a while.
            return Reply("A trip")
        now = time.monotonic()
        count = 1 if recorded.asked.last_user_text == WARM_UP else load.tokens
        deltas = [token_of(now + number / load.rate) for number in range(count)]
        return Reply(deltas=deltas, delay=1 / load.rate)

    with BedrockServer() as fake:
        fake.default = answer
        print(json.dumps(fake.env), flush=True)
        sys.stdin.read()


# -- the visitors ------------------------------------------------------------------------------------------------------


@dataclass
class Heard:
    """What one visitor saw of a turn. Times are in s; `first` from sending to the first text."""

    first: float | None = None
    speed: float = 0.0
    lags: list[float] = field(default_factory=list)
    chunks: int = 0
    error: str = ""
    load: float = 0.0


async def visit(config: Any, host: str, port: int, who: tuple[str, str], opened: Any, at: float) -> Heard:
    """Opens the page, waits for the others, sends a message at `at` seconds after them and listens to the end."""
    heard = Heard()
    moments: list[float] = []

    def hear(text: str) -> None:
        if not (ready and _TOKENS.fullmatch(text)):
            # The stored chat, or a notice.
            return
        now = time.monotonic()
        moments.append(now)
        heard.lags += lags_of(text, now)
        heard.chunks += 1

    ready = False
    visitor = Visitor(config, host, port, owner=who[0], conversation=who[1], heard=hear)
    try:
        begun = time.monotonic()
        await visitor.load()
        heard.load = time.monotonic() - begun
        ready = True
        start = await opened()
        await asyncio.sleep(max(0.0, start + at - time.monotonic()))
        sent = time.monotonic()
        await visitor.submit("How do I get to the beach from the hotel?")
        if not moments:
            raise Failed(f"no text came: {json.dumps(visitor.messages[-1:])[:300]}")
        heard.first = moments[0] - sent
        # The last token's time is the time the reply took, however late its first one was seen.
        spoken = moments[-1] - (moments[0] - heard.lags[0])
        heard.speed = len(heard.lags) / spoken if spoken else 0.0
    except (Failed, OSError, asyncio.IncompleteReadError, ValueError) as error:
        heard.error = f"{type(error).__name__}: {error}"
        if not ready:
            await opened()
    finally:
        await visitor.close()
    return heard


async def drive(load: Load, processes: list[subprocess.Popen[str]], served: dict[str, Any]) -> dict[str, Any]:
    host, port = address_of(served["url"])
    config = await config_of(host, port)
    for each in served["each"]:
        first = Visitor(config, *address_of(each))
        await first.load()
        await first.submit(WARM_UP)
        await first.close()
    count = load.sessions
    arrived = 0
    everybody = asyncio.Event()
    start = 0.0
    before = 0.0

    def spent() -> float:
        return sum(cpu_of(each) for each in processes)

    async def opened() -> float:
        nonlocal arrived, start, before
        arrived += 1
        if arrived == count:
            before = await asyncio.to_thread(spent)
            start = time.monotonic() + 0.2
            everybody.set()
        await everybody.wait()
        return start

    # Few open their pages at the same moment: what is measured is the talking.
    gate = asyncio.Semaphore(8)
    limit = load.tokens / load.rate * 2 + load.spread + 30

    async def one(number: int) -> Heard:
        who = served["visitors"][number]
        at = load.spread * number / max(1, count)
        # The gate is left as soon as the page is open.
        await gate.acquire()
        released = False

        async def opened_and_out() -> float:
            nonlocal released
            released = True
            gate.release()
            return await opened()

        try:
            async with asyncio.timeout(None) as deadline:
                task = asyncio.ensure_future(visit(config, host, port, who, opened_and_out, at))
                await asyncio.wait({task, asyncio.ensure_future(everybody.wait())}, return_when="FIRST_COMPLETED")
                deadline.reschedule(asyncio.get_running_loop().time() + limit)
                return await task
        except TimeoutError:
            return Heard(error=f"not finished {limit:.0f} s after the others were ready")
        finally:
            if not released:
                gate.release()

    heard = await asyncio.gather(*(one(number) for number in range(count)))
    after = await asyncio.to_thread(spent)
    return summary(load, heard, after - before, time.monotonic() - start)


def address_of(url: str) -> tuple[str, int]:
    host, port = url.split("//")[1].strip("/").split(":")
    return host, int(port)


async def config_of(host: str, port: int) -> Any:
    from benchmarks.visitor import Connections

    return json.loads(await Connections(host, port, "a=b").request("GET", "/config"))


def cpu_of(process: subprocess.Popen[str]) -> float:
    """CPU seconds of the server's process so far, all threads."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("cpu\n")
    process.stdin.flush()
    found: float = json.loads(process.stdout.readline())
    return found


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def summary(load: Load, heard: list[Heard], cpu: float, seconds: float) -> dict[str, Any]:
    lags = [lag for each in heard for lag in each.lags]
    firsts = [each.first for each in heard if each.first is not None]
    speeds = [each.speed if not each.error else 0.0 for each in heard]
    errors = [each.error for each in heard if each.error]
    return {
        "sessions": load.sessions,
        "processes": load.processes,
        "history": load.history,
        "slowest": min(speeds),
        "speed": statistics.median(speeds),
        "lag_p50": quantile(lags, 0.5),
        "lag_p95": quantile(lags, 0.95),
        "first_p50": quantile(firsts, 0.5),
        "first_p95": quantile(firsts, 0.95),
        "load_p95": quantile([each.load for each in heard], 0.95),
        "tokens": len(lags),
        "chunks": sum(each.chunks for each in heard),
        "errors": len(errors),
        "first_error": errors[0] if errors else "",
        "cpu": cpu,
        "cpu_turn": cpu / load.sessions,
        "busy": cpu / seconds,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan"),
    }


def run(load: Load) -> dict[str, Any]:
    """One load, from the servers' start to their end."""
    with servers(load) as (processes, served):
        return asyncio.run(drive(load, processes, served))


def missed(result: dict[str, Any]) -> list[str]:
    """The bars that were not reached, in words."""
    found = [f"{name} {result[name]:.2f}" for name, bar in BARS.items() if name != "slowest" and result[name] > bar]
    return found + ([f"slowest {result['slowest']:.1f} tokens/s"] if result["slowest"] < BARS["slowest"] else [])


def row(name: str, result: dict[str, Any]) -> str:
    text = (
        f"| {name} | {result['sessions']} | {result['history']} | {result['slowest']:.0f} / {result['speed']:.0f} "
        f"| {result['lag_p50']:.2f} / {result['lag_p95']:.2f} | {result['first_p50']:.2f} / {result['first_p95']:.2f} "
        f"| {result['errors']} | {result['busy']:.0%} | {result['cpu_turn'] * 1000:.0f} |"
    )
    # Of visitors who heard nothing.
    return text.replace("nan / nan", "–")


HEADER = (
    "| page | visitors | messages | tokens/s, slowest / median | lag p50 / p95, s | first text p50 / p95, s | errors "
    "| server CPU | CPU a turn, ms |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|"
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, kind in (("sessions", int), ("rate", float), ("history", int), ("tokens", int), ("spread", float)):
        parser.add_argument(f"--{name}", type=kind, default=getattr(Load, name))
    parser.add_argument("--seconds", type=float, help="instead of --tokens")
    parser.add_argument("--wire", action="store_true", help="through the fake Bedrock server")
    parser.add_argument("--plain", action="store_true", help="Gradio's plain ChatInterface instead of our page")
    parser.add_argument("--database-url", help="another store than SQLite in a scratch directory")
    parser.add_argument("--processes", type=int, choices=(1, 2), default=1, help="2: on one PostgreSQL, behind nginx")
    parser.add_argument("--check", action="store_true", help="exit status 1 where a bar is missed")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--bedrock", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve or given.bedrock:
        load = Load(**json.loads(given.serve or given.bedrock))
        (serve if given.serve else bedrock)(load)
        return 0
    tokens = int(given.seconds * given.rate) if given.seconds else given.tokens
    names = ("sessions", "rate", "history", "spread", "wire", "plain", "database_url", "processes")
    load = Load(tokens=tokens, **{name: getattr(given, name) for name in names})
    result = run(load)
    if given.json:
        print(json.dumps(result))
    else:
        name = "plain ChatInterface" if load.plain else "assistant, wire" if load.wire else "assistant"
        print(f"{HEADER}\n{row(name, result)}")
        print(f"{result['chunks']} chunks, load average {result['load_average']:.1f}. {result['first_error']}")
    return 1 if given.check and missed(result) else 0


if __name__ == "__main__":
    sys.exit(main())
