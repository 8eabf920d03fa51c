"""What a streamed reply costs beside the clients that one would use instead, in one run, against one loopback server.

    uv run python benchmarks/streaming.py            # about a minute; --quick: a quarter of that
    uv run python benchmarks/streaming.py --check    # exit status 1 where a bar is missed

CPU: process time for a reply of 1,000 text deltas, all threads included; the median of interleaved rounds, because a
machine's speed drifts. First text: wall-clock time from the call to the first delta, over a warm connection; the bar is
on the medians; the fastest tenth is printed beside them, for a busy machine makes the hand-over between two
threads wait for a core. The server is a process of its own. langchain-aws is measured in an environment that uv makes
for it, or
skipped with the reason.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLAUDE = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA = "amazon.nova-lite-v1:0"
DELTAS = 1000

# A client is a function from a model and a text to its text deltas; the call opens the reply.
Stream = Callable[[str], Iterator[str]]

BARS = {"CPU, Converse: ours / boto3": 1.15, "CPU, Claude: ours / SDK": 0.75, "first text added, ms": 1.0}


def serve() -> None:
    """The server's process: "long" gets 1,000 deltas, everything else three."""
    sys.path.insert(0, str(ROOT))
    from tests.bedrock_server import BedrockServer, Recorded, Reply

    long, short = Reply(deltas=["palabra "] * DELTAS), Reply(deltas=["uno ", "dos ", "tres"])

    def answer(recorded: Recorded) -> Reply:
        return long if recorded.asked.last_user_text == "long" else short

    with BedrockServer() as server:
        server.default = answer
        print(json.dumps(server.env), flush=True)
        sys.stdin.read()


@contextmanager
def server() -> Iterator[dict[str, str]]:
    """What to set so that AWS's clients go to a server in another process."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait()


# --- the clients ------------------------------------------------------------------------------------------------------


def ours(model: str) -> Stream:
    from assistant import BedrockClient

    client = BedrockClient()
    return lambda text: iter(client.stream(text, model=model))


def boto3_converse(model: str) -> Stream:
    import boto3

    client = boto3.client("bedrock-runtime", region_name=os.environ["AWS_REGION"])

    def stream(text: str) -> Iterator[str]:
        messages = [{"role": "user", "content": [{"text": text}]}]
        response = client.converse_stream(modelId=model, messages=messages, inferenceConfig={"maxTokens": 1024})
        for event in response["stream"]:
            if "contentBlockDelta" in event:
                yield event["contentBlockDelta"]["delta"]["text"]

    return stream


def anthropic_create(model: str) -> Stream:
    from anthropic import AnthropicBedrock

    # It reads no AWS_ENDPOINT_URL.
    client = AnthropicBedrock(base_url=os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"])

    def stream(text: str) -> Iterator[str]:
        messages = [{"role": "user", "content": text}]
        body = {"anthropic_version": "bedrock-2023-05-31"}
        for event in client.messages.create(
            model=model,
            max_tokens=1024,
            messages=messages,  # type: ignore[arg-type]
            stream=True,
            extra_body=body,
        ):
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                yield event.delta.text

    return stream


def langchain_aws(model: str) -> Stream:
    from langchain_aws import ChatBedrockConverse  # type: ignore[import-not-found]

    chat = ChatBedrockConverse(
        model=model,
        region_name=os.environ["AWS_REGION"],
        base_url=os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"],
        max_tokens=1024,
    )

    def stream(text: str) -> Iterator[str]:
        for chunk in chat.stream(text):
            for block in chunk.content if isinstance(chunk.content, list) else [{"text": chunk.content}]:
                if block.get("text"):
                    yield block["text"]

    return stream


CLIENTS: dict[str, tuple[Callable[[str], Stream], str]] = {
    "assistant, Converse": (ours, NOVA),
    "boto3 converse_stream": (boto3_converse, NOVA),
    "assistant, Claude": (ours, CLAUDE),
    "AnthropicBedrock create(stream=True)": (anthropic_create, CLAUDE),
}
PEERS: dict[str, tuple[Callable[[str], Stream], str]] = {"langchain-aws ChatBedrockConverse": (langchain_aws, NOVA)}


# --- measuring --------------------------------------------------------------------------------------------------------


def cpu(stream: Stream) -> float:
    """Seconds of CPU for 1,000 deltas."""
    gc.collect()
    before = time.process_time()
    count = sum(1 for _ in stream("long"))
    spent = time.process_time() - before
    assert count == DELTAS, f"{count} deltas arrived"
    return spent


def first_text(stream: Stream) -> float:
    """Seconds to the first delta; the rest is read too, so that the connection can be used again."""
    before = time.perf_counter()
    deltas = stream("short")
    next(deltas)
    spent = time.perf_counter() - before
    for _ in deltas:
        pass
    return spent


def measure(clients: dict[str, tuple[Callable[[str], Stream], str]], rounds: int) -> dict[str, dict[str, float]]:
    """Medians in ms by client."""
    streams = {name: make(model) for name, (make, model) in clients.items()}
    for stream in streams.values():
        cpu(stream)
        first_text(stream)
    spent: dict[str, list[float]] = {name: [] for name in streams}
    waited: dict[str, list[float]] = {name: [] for name in streams}
    for _ in range(rounds):
        for name, stream in streams.items():
            spent[name].append(cpu(stream))
    for _ in range(10 * rounds):
        for name, stream in streams.items():
            waited[name].append(first_text(stream))
    return {
        name: {
            "cpu": statistics.median(spent[name]) * 1000,
            "best": min(spent[name]) * 1000,
            "first": statistics.median(waited[name]) * 1000,
            "tenth": statistics.quantiles(waited[name], n=10)[0] * 1000,
        }
        for name in streams
    }


def peers(environment: dict[str, str], rounds: int) -> dict[str, dict[str, float]] | str:
    """The same of the peers, in an environment of their own; a reason where that can't be."""
    uv = shutil.which("uv")
    if uv is None:
        return "uv is not installed"
    command = [uv, "run", "--no-project", "--quiet", "--with", "langchain-aws", "python", __file__, "--peers"]
    try:
        done = subprocess.run(
            [*command, "--rounds", str(rounds)], env=environment, capture_output=True, text=True, timeout=600
        )
    except subprocess.TimeoutExpired:
        return "the environment was not ready within 600 s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
    found: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def bars(results: dict[str, dict[str, float]]) -> dict[str, float]:
    """What was measured for each bar."""
    converse, boto3, claude, sdk = (results[name] for name in CLIENTS)
    return dict(
        zip(
            BARS,
            (
                converse["cpu"] / boto3["cpu"],
                claude["cpu"] / sdk["cpu"],
                max(converse["first"] - boto3["first"], claude["first"] - sdk["first"]),
            ),
            strict=True,
        )
    )


def report(results: dict[str, dict[str, float]], skipped: str | None) -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("boto3", "anthropic"))
    lines = [
        f"Python {platform.python_version()}, {packages}, {os.cpu_count()} cores; medians",
        "",
        f"| client | CPU for {DELTAS:,} deltas, ms | the best round | first text, ms | the fastest tenth |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, row in results.items():
        lines.append(f"| {name} | {row['cpu']:.1f} | {row['best']:.1f} | {row['first']:.2f} | {row['tenth']:.2f} |")
    if skipped:
        lines.append(f"| {', '.join(PEERS)} | skipped: {skipped} | | | |")
    lines.append("")
    for name, value in bars(results).items():
        lines.append(f"{name}: {value:.2f} (at most {BARS[name]}) {'ok' if value <= BARS[name] else 'MISSED'}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--check", action="store_true", help="exit status 1 where a bar is missed")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--peers", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    rounds = 10 if options.quick else options.rounds
    if options.serve:
        serve()
        return 0
    if options.peers:
        print(json.dumps(measure(PEERS, rounds)))
        return 0
    sys.path.insert(0, str(ROOT))
    with server() as settings:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        # uv may need the machine's proxy; nothing that is measured does.
        os.environ.update(settings, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
        results = measure(CLIENTS, rounds)
        found = peers(dict(os.environ), max(rounds // 4, 3))
    skipped = found if isinstance(found, str) else None
    if not isinstance(found, str):
        results |= found
    print(report(results, skipped))
    missed = [name for name, value in bars(results).items() if value > BARS[name]]
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
