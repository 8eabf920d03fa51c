"""How far token estimates are off, on texts that no rate was made from. `benchmarks/memory.py` prints this table too.

Three columns of truth: the embedded model's own tokenizer; the tokenizer that Anthropic published for Claude 2, in an
environment of its own, which uv makes on demand; and what a service reports over the real wire. That service is the
tests' loopback server, so its numbers prove nothing about Bedrock: it is given the Claude 2 counts to report.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import samples  # noqa: E402

from assistant.tokens import MESSAGE_TOKENS, TokenEstimator, estimate_tokens  # noqa: E402

CLAUDE_2 = """
import anthropic, json, pathlib, sys, tokenizers
path = pathlib.Path(anthropic.__file__).parent / "tokenizer.json"
tokenizer = tokenizers.Tokenizer.from_file(str(path))
print(json.dumps([len(tokenizer.encode(text).ids) for text in json.load(sys.stdin)]))
"""

FENCES = re.compile(r"```.*?```", re.DOTALL)


@dataclass(frozen=True)
class Talk:
    """A conversation: texts of user and assistant in turn."""

    kind: str
    texts: tuple[str, ...]


def elsewhere(packages: list[str], code: str, given: str = "") -> tuple[Any, str]:
    """What `code` prints as JSON in an environment with `packages`; None and the reason where that can't be had."""
    command = ["uv", "run", "--quiet", "--no-project", "--python", "3.11"]
    for package in packages:
        command += ["--with", package]
    try:
        done = subprocess.run(
            [*command, "python", "-c", code], input=given, capture_output=True, text=True, timeout=600
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or ["?"])[-1]
    return json.loads(done.stdout.strip().splitlines()[-1]), ""


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def cut(text: str, size: int) -> list[str]:
    """Pieces of about `size` characters that end with a line."""
    pieces = [""]
    for line in text.splitlines(keepends=True):
        if len(pieces[-1]) > size:
            pieces.append("")
        pieces[-1] += line
    return [piece.strip("\n") for piece in pieces if len(piece) > size // 2]


def notebooks_in_spanish() -> str:
    """The Spanish halves of the notebooks' texts."""
    sources = [
        "".join(cell["source"])
        for path in sorted(ROOT.glob("notebooks/*.ipynb"))
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "markdown"
    ]
    return "\n".join(re.findall(r"^\*\*(?:ES|Español\.)\*\* (.*(?:\n.+)*)", "\n\n".join(sources), re.MULTILINE))


def talks() -> list[Talk]:
    """Eight texts each: everyday talk, this repository's own prose and code, and both mixed as in an answer."""
    spanish = [samples.SPANISH, cut(FENCES.sub("", read("README.es.md")), 400), cut(notebooks_in_spanish(), 400)]
    english = [
        samples.ENGLISH,
        *(cut(FENCES.sub("", read(name)), 400) for name in ("README.md", "docs/deploy.md", "notebooks/terms.md")),
    ]
    files = ("assistant/session.py", "assistant/extract.py", "tests/bedrock_wire.py", "assistant_app/page.js")
    code = [samples.CODE, *(cut(read(name), 900) for name in files)]
    prose = [samples.SPANISH, samples.ENGLISH]
    mixed = [
        [text for pair in zip(prose[index % 2][index:], code[index], strict=False) for text in pair]
        for index in range(len(code))
    ]
    mixed += [
        [f"{said}\n\n```\n{shown}\n```" for said, shown in zip(texts, samples.CODE, strict=True)] for texts in prose
    ]
    mixed += [cut(read(name), 500) for name in ("README.es.md", "README.md")]
    kinds = {"Spanish": spanish, "English": english, "code": code, "mixed chat": mixed}
    found = [
        Talk(kind, tuple(texts[start : start + 8]))
        for kind, documents in kinds.items()
        for texts in documents
        for start in range(0, len(texts) - 6, 8)
    ]
    return found + turning([talk for talk in found if talk.kind != "mixed chat"])


def turning(pure: list[Talk]) -> list[Talk]:
    """What reports say least about: after three turns of one kind, the fourth is of another."""
    return [
        Talk("new kind", before.texts[:6] + after.texts[6:])
        for before, after in itertools.product(pure, pure)
        if before.kind != after.kind
    ]


def embedded_counts(texts: list[str]) -> tuple[list[int] | None, str]:
    from assistant.clients.local import LocalClient
    from assistant.errors import AssistantError

    try:
        client = LocalClient()
        # A request holds the template beside the text: what it costs is left out.
        frame = client.count_tokens("a").tokens - 1
        return [client.count_tokens(text).tokens - frame for text in texts], ""
    except (AssistantError, ImportError) as error:
        return None, str(error).splitlines()[0]


@dataclass(frozen=True)
class Off:
    """How far an estimate is off, as a share of the truth."""

    unseen: float
    text: float
    request: float


def off_after_three(talk: Talk, counts: Sequence[int]) -> Off:
    """Of the fourth thing said: unseen, after three replies, and of the whole request that it goes out with."""
    estimator = TokenEstimator()
    estimates = [estimate_tokens(text) for text in talk.texts]

    def request(index: int, sizes: Sequence[int]) -> int:
        return sum(sizes[: index + 1]) + MESSAGE_TOKENS * (index + 1)

    for index in (0, 2, 4):
        estimator.calibrate("m", request(index, estimates), request(index, counts))
    ratio = estimator.ratio("m")
    return Off(
        estimates[6] / counts[6] - 1,
        estimates[6] * ratio / counts[6] - 1,
        request(6, estimates) * ratio / request(6, counts) - 1,
    )


def off_over_the_wire(all_talks: list[Talk], counts: dict[str, int]) -> list[Off]:
    """The same with a ChatSession and boto3's signatures and frames; the reported numbers are what `counts` says."""
    from assistant.clients.bedrock import BedrockClient
    from assistant.memory import BufferMemory
    from assistant.messages import Message
    from assistant.session import ChatSession
    from assistant.tokens import ESTIMATOR, estimate_request
    from tests.bedrock_server import BedrockServer, Reply

    found = []
    with BedrockServer() as server:
        os.environ.update(server.env)
        client = BedrockClient()
        for talk in all_talks:
            ESTIMATOR.forget()
            session = ChatSession(client, memory=BufferMemory())
            for index in (0, 2, 4):
                said = talk.texts[: index + 1]
                reported = sum(counts[text] for text in said) + MESSAGE_TOKENS * len(said)
                server.script(Reply(talk.texts[index + 1], input_tokens=reported))
                session.send(talk.texts[index])
            ratio = ESTIMATOR.ratio(session.transcript[-1].model)
            truth = counts[talk.texts[6]]
            whole = sum(counts[text] for text in talk.texts[:7]) + 7 * MESSAGE_TOKENS
            estimated = estimate_request([Message("user", text) for text in talk.texts[:7]])
            estimate = estimate_tokens(talk.texts[6])
            found.append(Off(estimate / truth - 1, estimate * ratio / truth - 1, estimated * ratio / whole - 1))
    return found


def show(name: str, all_talks: list[Talk], offs: list[Off]) -> None:
    for kind in dict.fromkeys(talk.kind for talk in all_talks):
        of_kind = [off for talk, off in zip(all_talks, offs, strict=True) if talk.kind == kind]
        columns = [
            f"{median(values):5.1%} {max(values):6.1%}"
            for values in ([abs(getattr(off, part)) for off in of_kind] for part in ("unseen", "text", "request"))
        ]
        print(f"  {name:22} {kind:11} {len(of_kind):3}   " + "     ".join(columns))


def show_tokens() -> None:
    all_talks = talks()
    flat = list(dict.fromkeys(text for talk in all_talks for text in talk.texts))
    print("  off by: median and most          n    text, unseen     text, corrected    request, corrected")
    claude = elsewhere(["anthropic==0.38.0"], CLAUDE_2, json.dumps(flat))
    for name, (counted, reason) in {"SmolLM2": embedded_counts(flat), "Claude 2": claude}.items():
        if counted is None:
            print(f"  {name:22} skipped: {reason}")
            continue
        counts = dict(zip(flat, counted, strict=True))
        show(name, all_talks, [off_after_three(talk, [counts[text] for text in talk.texts]) for talk in all_talks])
        if name == "Claude 2":
            show("the wire (fake server)", all_talks, off_over_the_wire(all_talks, counts))
    for kind in ("Spanish", "English", "code"):
        text = "\n".join(text for talk in all_talks if talk.kind == kind for text in talk.texts)
        best = min(_timed(lambda text=text: estimate_tokens(text)) for _ in range(30))
        print(f"  {kind:11} {best * 1e9 / len(text):5.1f} µs of CPU for 1,000 characters")


def _timed(what: Callable[[], Any]) -> float:
    start = time.thread_time()
    what()
    return time.thread_time() - start


if __name__ == "__main__":
    show_tokens()
