"""The embedded model beside llama.cpp's own server: same file, threads, prompts and sampling, in one run.

    uv run python benchmarks/local.py            # about two minutes; --quick: half a minute
    uv run python benchmarks/local.py --check    # exit status 1 where a bar is missed

llama.cpp's server is a process of its own that is asked over HTTP: the program `llama-server` where there is one
(on the path, or --server), else the same server code as the wheel xllamacpp holds it, with llama.cpp's own defaults for
everything but threads, window and slots. Rounds are interleaved and medians compared, because a machine's speed drifts.

Cold: a conversation that nobody has read before. Next turn: the same one with an answer and a question more; `read` is
how many of its tokens were processed again. Eight at once: tokens of all of them in a second.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

WINDOW, SLOTS = 2048, 8
TOKENS = 96
OTHERS = 8
# Ours over theirs: at most so much longer to the first text, at least so many tokens a second.
LATER, SLOWER = 1.10, 0.90

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Answer:
    """`first` and `whole` are seconds from the call; `read` counts the tokens of the prompt that were processed."""

    first: float
    whole: float
    tokens: int
    read: int
    text: str

    @property
    def speed(self) -> float:
        """Tokens a second after the first."""
        return (self.tokens - 1) / (self.whole - self.first)


Ask = Callable[[Messages], Answer]


def ours() -> Ask:
    from assistant import LocalClient
    from assistant.messages import Message

    client = LocalClient(context_window=WINDOW, slots=SLOTS)
    client.warm()

    def ask(messages: Messages) -> Answer:
        said = [Message(message["role"], message["content"]) for message in messages]  # type: ignore[arg-type]
        extra = {"frequency_penalty": 0.0, "seed": 1}
        before = time.perf_counter()
        reply = client.stream(said, max_tokens=TOKENS, temperature=0.0, top_p=1.0, extra=extra)
        first = 0.0
        for _ in reply:
            first = first or time.perf_counter() - before
        whole = time.perf_counter() - before
        assert reply.usage is not None
        return Answer(first, whole, reply.usage.output_tokens, reply.usage.input_tokens, reply.text)

    return ask


def theirs(port: int) -> Ask:
    def ask(messages: Messages) -> Answer:
        wanted = {"max_tokens": TOKENS, "temperature": 0.0, "top_p": 1.0, "frequency_penalty": 0.0, "seed": 1}
        body = {**wanted, "messages": messages, "stream": True}
        connection = http.client.HTTPConnection("127.0.0.1", port)
        before = time.perf_counter()
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        first, text, timings = 0.0, "", {}
        for line in connection.getresponse():
            if not line.startswith(b"data: {"):
                continue
            chunk = json.loads(line[6:])
            timings = chunk.get("timings", timings)
            piece = "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])
            if piece:
                first = first or time.perf_counter() - before
                text += piece
        whole = time.perf_counter() - before
        connection.close()
        return Answer(first, whole, timings["predicted_n"], timings["prompt_n"], text)

    return ask


def serve(path: str, port: int, threads: int) -> None:
    """The other process, where there is no llama-server: the same code from the wheel."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_parallel = SLOTS
    params.n_ctx = WINDOW * SLOTS
    params.kv_unified = False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.hostnames, params.port, params.verbosity = ["127.0.0.1"], port, -1
    kept = xllamacpp.Server(params)
    sys.stdin.read()
    del kept


@contextmanager
def server(path: Path, program: str | None, threads: int) -> Iterator[int]:
    """Its port, once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, __file__, "--serve", str(path), "--port", str(port), "--threads", str(threads)]
    if program:
        command = [program, "-m", str(path), "--host", "127.0.0.1", "--port", str(port), "-np", str(SLOTS)]
        command += ["-c", str(WINDOW * SLOTS), "-t", str(threads), "--no-webui"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit("llama.cpp's server did not start.")


# --- measuring --------------------------------------------------------------------------------------------------------


def conversation(name: str) -> Messages:
    """About 300 tokens that no other conversation begins with."""
    facts = " ".join(f"{name} has {number} boats and {number + 3} nets in harbour {number}." for number in range(16))
    return [{"role": "user", "content": f"{name}. {facts} Tell a long story about the harbours of {name}."}]


def one_round(ask: Ask, name: str) -> dict[str, float]:
    cold = ask(said := conversation(name))
    again = [*said, {"role": "assistant", "content": cold.text}, {"role": "user", "content": "And the boats?"}]
    following = ask(again)
    return {
        "first text, cold, ms": cold.first * 1000,
        "read, cold, tokens": cold.read,
        "first text, next turn, ms": following.first * 1000,
        "read, next turn, tokens": following.read,
        "tokens a second": cold.speed,
    }


def together(ask: Ask, name: str) -> dict[str, float]:
    """Eight conversations at once. An error of one is an error of the benchmark."""
    answers: list[Answer] = []
    start = threading.Barrier(OTHERS + 1)

    def one(number: int) -> None:
        start.wait()
        answers.append(ask(conversation(f"{name}{number}")))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(OTHERS)]
    for thread in threads:
        thread.start()
    start.wait()
    before = time.perf_counter()
    for thread in threads:
        thread.join()
    spent = time.perf_counter() - before
    assert len(answers) == OTHERS, "a conversation failed"
    return {
        "eight at once, tokens a second": sum(answer.tokens for answer in answers) / spent,
        "eight at once, last first text, ms": max(answer.first for answer in answers) * 1000,
    }


def measure(clients: dict[str, Ask], rounds: int, groups: int) -> dict[str, dict[str, float]]:
    """Medians by client."""
    found: dict[str, dict[str, list[float]]] = {name: {} for name in clients}

    def note(name: str, values: dict[str, float]) -> None:
        for key, value in values.items():
            found[name].setdefault(key, []).append(value)

    for name, ask in clients.items():
        one_round(ask, f"Warm{name[:3]}")
    for number in range(rounds):
        for name, ask in clients.items():
            note(name, one_round(ask, f"Isla{number}"))
    for number in range(groups):
        for name, ask in clients.items():
            note(name, together(ask, f"Cabo{number}x"))
    return {name: {key: statistics.median(values) for key, values in rows.items()} for name, rows in found.items()}


def bars(results: dict[str, dict[str, float]]) -> dict[str, tuple[float, bool]]:
    """What was measured for each bar, and whether it is met."""
    mine, other = results.values()
    ratios = {key: mine[key] / other[key] for key in mine}
    met: dict[str, tuple[float, bool]] = {}
    for key in ("first text, cold, ms", "first text, next turn, ms"):
        met[f"{key}: ours / theirs (at most {LATER})"] = ratios[key], ratios[key] <= LATER
    for key in ("tokens a second", "eight at once, tokens a second"):
        met[f"{key}: ours / theirs (at least {SLOWER})"] = ratios[key], ratios[key] >= SLOWER
    again = mine["read, next turn, tokens"] / mine["read, cold, tokens"]
    # The template's last words and the new question: what the model wrote and read itself is in its cache.
    met["next turn: tokens read / tokens of the first turn (at most 0.25)"] = again, again <= 0.25
    return met


def report(results: dict[str, dict[str, float]]) -> str:
    names = list(results)
    lines = [f"| | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    lines += [f"| {key} | {' | '.join(f'{results[name][key]:.1f}' for name in names)} |" for key in results[names[0]]]
    lines.append("")
    lines += [f"{name}: {value:.2f} {'ok' if good else 'MISSED'}" for name, (value, good) in bars(results).items()]
    return "\n".join(lines)


def run(rounds: int, groups: int, program: str | None) -> dict[str, Any]:
    """Results and bars, for those who print more than this."""
    from assistant import LocalClient
    from assistant.clients.llama import cores

    path = LocalClient()._file.path
    program = program or shutil.which("llama-server")
    other = program or "llama.cpp's server (xllamacpp)"
    with server(path, program, cores()) as port:
        results = measure({"assistant": ours(), other: theirs(port)}, rounds, groups)
    return {"file": path.name, "threads": cores(), "results": results}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--check", action="store_true", help="exit status 1 where a bar is missed")
    parser.add_argument("--server", help="the program llama-server")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.port, options.threads)
        return 0
    done = run(4 if options.quick else options.rounds, 1 if options.quick else 3, options.server)
    print(f"{done['file']}, {done['threads']} threads, {os.cpu_count()} cores; medians\n")
    print(report(done["results"]))
    missed = [name for name, (_, good) in bars(done["results"]).items() if not good]
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
