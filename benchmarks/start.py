"""How long one waits at the start: the import, the first word in a terminal, the page, its first visitor.

    uv run python benchmarks/start.py
    uv run python benchmarks/start.py --quick --check    # exit status 1 where a bar is missed

Each number is the median of new processes, the contenders in turn. The peers run in environments that uv makes for each
of them, or are skipped with the reason. All of them talk to the same fake Bedrock on loopback, a process of its own,
and are measured from the start of the process to the first byte of the answer on standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.load import WIRE_MODEL as CLAUDE  # noqa: E402
from benchmarks.load import Load, address_of, bedrock_server, config_of  # noqa: E402
from benchmarks.visitor import Visitor  # noqa: E402

NOVA = "amazon.nova-lite-v1:0"

BARS = {
    "import assistant over bare python, ms": 50.0,
    "first text, Converse: assistant / boto3": 1.3,
    "first text, Claude: assistant / AnthropicBedrock": 1.3,
    "page usable after it answers, s": 1.0,
    "first visitor's first text / the second's": 2.0,
}

_BOTO3 = f"""
import boto3
client = boto3.client("bedrock-runtime", region_name="us-east-1")
answer = client.converse_stream(
    modelId="{NOVA}", messages=[{{"role": "user", "content": [{{"text": "hola"}}]}}]
)
for event in answer["stream"]:
    if "contentBlockDelta" in event:
        print(event["contentBlockDelta"]["delta"]["text"], end="", flush=True)
"""
_ANTHROPIC = f"""
import os
from anthropic import AnthropicBedrock
client = AnthropicBedrock(aws_region="us-east-1", base_url=os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"])
with client.messages.stream(
    model="{CLAUDE}", max_tokens=64, messages=[{{"role": "user", "content": "hola"}}],
    extra_body={{"anthropic_version": "bedrock-2023-05-31"}},
) as answer:
    for text in answer.text_stream:
        print(text, end="", flush=True)
"""
_STRANDS = f"""
import asyncio
from strands import Agent
from strands.models import BedrockModel
async def main():
    agent = Agent(model=BedrockModel(model_id="{NOVA}", region_name="us-east-1"), callback_handler=None)
    async for event in agent.stream_async("hola"):
        if "data" in event:
            print(event["data"], end="", flush=True)
asyncio.run(main())
"""
_LANGCHAIN = f"""
import os
from langchain_aws import ChatBedrockConverse
chat = ChatBedrockConverse(
    model="{NOVA}", region_name="us-east-1", base_url=os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"]
)
for chunk in chat.stream("hola"):
    for block in chunk.content if isinstance(chunk.content, list) else [{{"text": chunk.content}}]:
        print(block.get("text", ""), end="", flush=True)
"""
_CHATLAS = f"""
import os
from chatlas import ChatBedrockAnthropic
chat = ChatBedrockAnthropic(
    model="{CLAUDE}", aws_region="us-east-1", base_url=os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"]
)
# Bedrock refuses the version that the SDK sends by itself for this model.
for text in chat.stream("hola", kwargs={{"extra_body": {{"anthropic_version": "bedrock-2023-05-31"}}}}):
    print(text, end="", flush=True)
"""
# name: (wire, package, script)
PEERS = {
    "Strands Agents": ("Converse", "strands-agents", _STRANDS),
    "langchain-aws": ("Converse", "langchain-aws", _LANGCHAIN),
    "chatlas": ("Claude", "chatlas[bedrock-anthropic]", _CHATLAS),
}


def first_byte(command: list[str], environment: dict[str, str]) -> float:
    """Seconds from the process's start to its first output that is no blank. Raises RuntimeError without one."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    byte = process.stdout.read(1)
    while byte.isspace():
        byte = process.stdout.read(1)
    spent = time.perf_counter() - begun
    _, said = process.communicate(timeout=120)
    if not byte:
        raise RuntimeError((said.decode(errors="replace").strip().splitlines() or ["no output"])[-1])
    return spent


def imports(rounds: int) -> dict[str, float]:
    bare: list[float] = []
    ours: list[float] = []
    environment = {**without(), "PYTHONPATH": str(ROOT)}
    for _ in range(rounds):
        for spent, code in ((bare, "pass"), (ours, "import assistant")):
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], env=environment, check=True)
            spent.append(time.perf_counter() - begun)
    code = "import sys, assistant; print(int(any(name in sys.modules for name in ('boto3', 'botocore', 'anthropic'))))"
    loads = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert loads.stdout.strip() == "0", "import assistant loads an SDK"
    return {BAR_IMPORT: (statistics.median(ours) - statistics.median(bare)) * 1000}


BAR_IMPORT, BAR_CONVERSE, BAR_CLAUDE, BAR_PAGE, BAR_VISITOR = BARS


def without(*prefixes: str) -> dict[str, str]:
    """The environment without these, and as people have it: what was imported once is compiled already."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(prefixes) and name != "PYTHONDONTWRITEBYTECODE"
    }


@contextmanager
def fake() -> Iterator[dict[str, str]]:
    """The environment in which AWS's clients go to the fake Bedrock, and nothing else of AWS's is set."""
    clean = without("AWS_", "ASSISTANT_")
    with bedrock_server(Load(wire=True, tokens=20, rate=1000)) as settings:
        region = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "PYTHONPATH": str(ROOT)}
        yield {**clean, **settings, **region}


def first_texts(environment: dict[str, str], rounds: int, peers: bool) -> dict[str, float | str]:
    """Seconds to the first text by contender; a reason where one could not be had."""
    ask = [sys.executable, "-m", "assistant", "ask", "--backend", "bedrock", "hola", "--model"]
    commands = {
        "assistant ask, Converse": [*ask, NOVA],
        "boto3 converse_stream, Converse": [sys.executable, "-c", _BOTO3],
        "assistant ask, Claude": [*ask, CLAUDE],
        "AnthropicBedrock, Claude": [sys.executable, "-c", _ANTHROPIC],
    }
    found: dict[str, float | str] = {}
    with tempfile.TemporaryDirectory() as directory:
        for name, (wire, package, script) in PEERS.items() if peers else ():
            try:
                commands[f"{name}, {wire}"] = [peer_python(package, Path(directory)), "-c", script]
            except RuntimeError as error:
                found[f"{name}, {wire}"] = f"skipped: {error}"
        spent: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(rounds + 1):
            for name, command in commands.items():
                if name in found:
                    continue
                try:
                    seconds = first_byte(command, environment)
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    found[name] = f"failed: {error}"[:160]
                    continue
                if number:
                    # The first one reads files that nobody has read before.
                    spent[name].append(seconds)
    return {**{name: statistics.median(times) for name, times in spent.items() if times}, **found}


def peer_python(package: str, directory: Path) -> str:
    """The interpreter of an environment with this package alone. Raises RuntimeError where it can't be made."""
    uv = shutil.which("uv")
    if uv is None:
        raise RuntimeError("uv is not installed")
    path = directory / package.split("[")[0]
    python = path / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    for command in (
        [uv, "venv", "-q", path, "-p", sys.executable],
        [uv, "pip", "install", "-q", "-p", python, package],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired:
            raise RuntimeError("the environment was not ready within 300 s") from None
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or ["no reason was given"])[-1])
    return str(python)


# -- the page ----------------------------------------------------------------------------------------------------------


@contextmanager
def served(environment: dict[str, str]) -> Iterator[str]:
    """The app as a user starts it; the URL as soon as it says so."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "assistant", "serve", "--backend", "bedrock", "--port", "0", "--no-browser"]
        process = subprocess.Popen(
            [*command, "--data-dir", directory], env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if "http" not in line:
                raise RuntimeError(f"the page was not served: {line.strip()}")
            yield line[line.index("http") :].split()[0]
        finally:
            process.terminate()
            process.wait(30)


def visitors(environment: dict[str, str]) -> tuple[float, float]:
    """Seconds from sending to the first text, of the first visitor of a new server and of the second one."""
    with served(environment) as url:
        return asyncio.run(_two(url))


async def _two(url: str) -> tuple[float, float]:
    host, port = address_of(url)
    config = await config_of(host, port)
    waited = []
    for _ in range(2):
        moments: list[float] = []
        visitor = Visitor(config, host, port, heard=lambda text, to=moments: to.append(time.monotonic()))  # type: ignore[misc]
        await visitor.load()
        moments.clear()
        begun = time.monotonic()
        await visitor.submit("hola")
        waited.append(moments[0] - begun)
        await visitor.close()
    return waited[0], waited[1]


def usable(environment: dict[str, str]) -> float:
    """Seconds from the address being asked for to a text box that takes text; raises where there is no browser."""
    from playwright.sync_api import sync_playwright

    from tests.browser import FLAGS, chromium

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page()
        with served(environment) as url:
            begun = time.perf_counter()
            page.goto(url, timeout=120_000)
            page.wait_for_selector("#message textarea:enabled", timeout=120_000)
            spent = time.perf_counter() - begun
        browser.close()
    return spent


def run(rounds: int, *, peers: bool = True) -> dict[str, float | str]:
    """Every number by its name; a reason where one could not be had."""
    found: dict[str, float | str] = {**imports(rounds)}
    with fake() as environment:
        texts = first_texts(environment, rounds, peers)
        found |= {f"first text, {name}, s": value for name, value in texts.items()}
        for bar, ours, raw in (
            (BAR_CONVERSE, "assistant ask, Converse", "boto3 converse_stream, Converse"),
            (BAR_CLAUDE, "assistant ask, Claude", "AnthropicBedrock, Claude"),
        ):
            one, other = texts[ours], texts[raw]
            found[bar] = one / other if isinstance(one, float) and isinstance(other, float) else "one of them failed"
        pairs = [visitors(environment) for _ in range(max(1, rounds // 3))]
        first, second = (statistics.median(each) for each in zip(*pairs, strict=True))
        found |= {"first visitor's first text, s": first, "second visitor's first text, s": second}
        found[BAR_VISITOR] = first / second
        try:
            found[BAR_PAGE] = statistics.median(usable(environment) for _ in range(max(1, rounds // 3)))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            found[BAR_PAGE] = f"skipped: {type(error).__name__}: {error}".splitlines()[0]
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
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="three rounds, no peers")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = run(3 if options.quick else options.rounds, peers=not options.quick)
    print(json.dumps(results) if options.json else table(results))
    return 1 if options.check and missed(results) else 0


if __name__ == "__main__":
    sys.exit(main())
