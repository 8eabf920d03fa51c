"""What the memory costs and keeps, beside LangChain's ConversationSummaryBufferMemory on the same scripts.

`uv run python benchmarks/memory.py`. LangChain and the tokenizer of Claude 2 run in environments of their own, which uv
makes on demand; where they can't be had, their columns say why. Nothing here is a test: times depend on the machine.
"""

from __future__ import annotations

import json
import random
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from tokens import elsewhere, show_tokens  # noqa: E402

from assistant.tokens import estimate_tokens  # noqa: E402

FACT = re.compile(r"F\d{3}=\w+")
SENTENCE = "Claro, lo anoto y seguimos con lo que habíamos hablado sobre el viaje, la casa y el trabajo de la semana. "


def dialogue(count: int) -> list[tuple[str, str]]:
    return [(f"Pregunta {number}: {SENTENCE}", f"Respuesta {number}: {SENTENCE * 2}") for number in range(count)]


def fact_turns(count: int) -> list[tuple[str, str]]:
    return [(f"Recuerda: F{number:03}=k{number * 7919 % 10007}. {SENTENCE * 2}", SENTENCE) for number in range(count)]


def facts_of(prompt: str) -> str:
    return "\n".join(sorted(set(FACT.findall(prompt))))


def prose_of(prompt: str) -> str:
    """As a model writes: one statement for each turn it sees, within the words it is allowed, if it is told any."""
    allowed = re.findall(r"at most (\d+) words", prompt)
    seen = re.findall(r"^- .*$", prompt, re.MULTILINE) + [
        f"- El usuario preguntó por el viaje {number} y el asistente propuso el martes."
        for number in re.findall(r"Pregunta (\d+)", prompt)
    ]
    # LangChain's prompt names no length. A model left alone does not write for ever: 400 words, say.
    words = int(allowed[-1]) if allowed else 400
    return "\n".join(seen[-max(1, words // 13) :])


class Failing:
    """Fails `share` of its calls, at random, and counts them."""

    def __init__(self, write: Callable[[str], str], share: float = 0.0, seconds: float = 0.0) -> None:
        self.write = write
        self.share = share
        self.seconds = seconds
        self.calls = 0
        self.tokens = 0
        self._random = random.Random(1)

    def __call__(self, prompt: str) -> str:
        self.calls += 1
        time.sleep(self.seconds)
        if self._random.random() < self.share:
            raise ConnectionError("scripted")
        answer = self.write(prompt)
        self.tokens += estimate_tokens(prompt) + estimate_tokens(answer)
        return answer


# --- ours ---


def our_client(write: Failing) -> Any:
    from assistant.catalog import ModelInfo
    from assistant.messages import Completed, Usage
    from assistant.reply import CancelToken, Reply, SourceItem

    class Client:
        default_model = "scripted"

        def stream(self, messages: Any, **options: Any) -> Reply:
            def source(token: CancelToken) -> Iterator[SourceItem]:
                write.tokens += estimate_tokens(options["system"] or "")
                yield write(messages[0].text)
                yield Completed("end_turn", Usage(), "end_turn")

            return Reply(source, model="scripted")

        def model_info(self, model: str | None = None) -> ModelInfo:
            return ModelInfo("scripted", "scripted", "Test", context_window=200_000)

    return Client()


def our_memory(summarizer: Failing, limit: int) -> Any:
    from assistant.memory import SummaryBufferMemory

    return SummaryBufferMemory(our_client(summarizer), max_token_limit=limit)


def our_costs(count: int) -> dict[str, int]:
    summarizer = Failing(prose_of)
    memory = our_memory(summarizer, 1024)
    chat = 0
    for user, reply in dialogue(count):
        chat += estimate_tokens(memory.history) + estimate_tokens(user) + estimate_tokens(reply)
        memory.add_turn(user, reply)
        memory.flush()
    return {"calls": summarizer.calls, "chat": chat, "summaries": summarizer.tokens}


def our_survivors(share: float, threads: int, restart_every: int = 300) -> int:
    memory = our_memory(Failing(facts_of, share), 8192)
    turns = fact_turns(300)
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, 300, restart_every):
            list(pool.map(lambda turn, memory=memory: memory.add_turn(*turn), turns[start : start + restart_every]))
            if restart_every < 300:
                # A fold may be under way, and ends with the process.
                saved = json.dumps(memory.to_dict())
                memory.close()
                memory = type(memory).from_dict(memory._client, json.loads(saved))
    memory.flush()
    return len(set(FACT.findall(memory.history)))


def our_first_text(memory: Any) -> tuple[float, float]:
    """From the question to the first text of a model that answers at once: median and longest of 60 turns, in ms."""
    from assistant.session import ChatSession

    session = ChatSession(our_client(Failing(lambda prompt: SENTENCE * 2)), memory=memory)
    taken = []
    for user, _ in dialogue(60):
        start = time.perf_counter()
        reply = session.stream(user)
        # Kept: with it the reply would end here, and what comes at its end would count.
        words = iter(reply)
        next(words)
        taken.append(time.perf_counter() - start)
        reply.drain()
    memory.close()
    return median(taken) * 1000, max(taken) * 1000


# --- LangChain's ---


def langchain_main() -> None:
    """Runs in an environment that has LangChain; prints its numbers as JSON."""
    import warnings

    warnings.simplefilter("ignore")
    from langchain_classic.memory import ConversationSummaryBufferMemory
    from langchain_core.language_models.llms import LLM

    class Scripted(LLM):
        write: Any

        @property
        def _llm_type(self) -> str:
            return "scripted"

        def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **options: Any) -> str:
            return str(self.write(prompt))

        def get_num_tokens(self, text: str) -> int:
            return estimate_tokens(text)

    # Pydantic does not find what a module run by its path has imported.
    Scripted.model_rebuild(_types_namespace={"Any": Any})

    def make(summarizer: Failing, limit: int) -> Any:
        return ConversationSummaryBufferMemory(
            llm=Scripted(write=summarizer), max_token_limit=limit, human_prefix="H", ai_prefix="A"
        )

    def costs(count: int) -> dict[str, int]:
        summarizer = Failing(prose_of)
        memory = make(summarizer, 1024)
        chat = 0
        for user, reply in dialogue(count):
            history = memory.load_memory_variables({})["history"]
            chat += estimate_tokens(history) + estimate_tokens(user) + estimate_tokens(reply)
            memory.save_context({"input": user}, {"output": reply})
        return {"calls": summarizer.calls, "chat": chat, "summaries": summarizer.tokens}

    def survivors(share: float, threads: int) -> int:
        memory = make(Failing(facts_of, share), 8192)

        def add(turn: tuple[str, str]) -> None:
            # The turn's answer would be lost here as well; the script goes on.
            with suppress(Exception):
                memory.save_context({"input": turn[0]}, {"output": turn[1]})

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(add, fact_turns(300)))
        return len(set(FACT.findall(memory.load_memory_variables({})["history"])))

    def wait(seconds: float) -> float:
        memory = make(Failing(prose_of, seconds=seconds), 1024)
        longest = 0.0
        for user, reply in dialogue(12):
            start = time.perf_counter()
            memory.load_memory_variables({})
            memory.save_context({"input": user}, {"output": reply})
            longest = max(longest, time.perf_counter() - start)
        return longest * 1000

    json.dump(
        {
            "costs": {str(count): costs(count) for count in (60, 120)},
            "survivors": [survivors(0.0, 1), survivors(0.3, 1), survivors(0.3, 8)],
            "wait": wait(2.0),
        },
        sys.stdout,
    )


# --- what a turn costs ---


def turn_costs(*lengths: int) -> list[float]:
    """CPU of one turn in conversations that are so many turns long, in microseconds: medians of 400, taken in turn."""
    script = dialogue(40)
    memories = []
    for length in lengths:
        memory = our_memory(Failing(lambda prompt: SENTENCE * 4), 1024)
        for number in range(length):
            memory.add_turn(*script[number % 40])
            if number % 10 == 9:
                memory.flush()
        memories.append(memory)
    costs: list[list[float]] = [[] for _ in lengths]
    for number in range(400):
        for memory, taken in zip(memories, costs, strict=True):
            start = time.thread_time()
            memory.context()
            memory.add_turn(*script[number % 40])
            taken.append(time.thread_time() - start)
            memory.flush()
    return [sorted(taken)[200] * 1e6 for taken in costs]


def save_and_load() -> tuple[float, float, int]:
    """Seconds to save and to load a session of 10,000 turns with its transcript, and the size of it in bytes."""
    from assistant.memory import SummaryBufferMemory
    from assistant.messages import Turn
    from assistant.session import ChatSession

    memory = our_memory(Failing(lambda prompt: SENTENCE * 4), 1024)
    client = memory._client
    session = ChatSession(client, memory=memory)
    script = dialogue(40)
    for number in range(10_000):
        turn = Turn(*script[number % 40], stop_reason="end_turn")
        session._turns.append(turn)
        memory.add_turn(turn.user, turn.reply, id=turn.id)
        if number % 10 == 9:
            memory.flush()
    start = time.perf_counter()
    text = json.dumps(session.to_dict())
    saved = time.perf_counter()
    again = ChatSession.from_dict(client, json.loads(text))
    loaded = time.perf_counter()
    assert len(again.transcript) == 10_000
    assert isinstance(again.memory, SummaryBufferMemory)
    assert again.memory.covered == memory.covered
    return saved - start, loaded - saved, len(text)


def main() -> None:
    from assistant.memory import WindowMemory

    theirs, reason = elsewhere(
        ["langchain-classic", "langchain-core"],
        f"import runpy; runpy.run_path({str(Path(__file__).resolve())!r})['langchain_main']()",
    )
    if theirs is None:
        print(f"LangChain skipped: {reason}")
    print("\nFacts of 300 that survive, limit 8,192")
    cases = [("no failures", 0.0, 1), ("30 % of calls fail", 0.3, 1), ("30 % fail, 8 threads", 0.3, 8)]
    for index, (name, share, threads) in enumerate(cases):
        other = theirs["survivors"][index] if theirs else "-"
        print(f"  {name:22} ours {our_survivors(share, threads)}   LangChain {other}")
    print(f"  and a restart every 25 ours {our_survivors(0.3, 8, 25)}   LangChain can not be saved")

    print("\nSummary calls and tokens, limit 1,024")
    for count in (60, 120):
        sizes = [estimate_tokens(user) + estimate_tokens(reply) for user, reply in dialogue(count)]
        everything = sum(size * (count - index) for index, size in enumerate(sizes))
        print(f"  {count} turns, sending everything: {everything:,} tokens")
        for name, costs in (("ours", our_costs(count)), ("LangChain", theirs and theirs["costs"][str(count)])):
            if costs:
                total = costs["chat"] + costs["summaries"]
                parts = f"chat {costs['chat']:9,} + summaries {costs['summaries']:9,} = {total:9,} tokens"
                print(f"    {name:10} {costs['calls']:4} calls   {parts}, {total / everything:.0%} of everything")

    print("\nTime to the first text of a model that answers at once, 60 turns: median and longest")
    memories = {
        "no summariser": WindowMemory(5),
        "one that answers at once": our_memory(Failing(prose_of), 1024),
        "one of 2 s": our_memory(Failing(prose_of, seconds=2.0), 1024),
    }
    for name, memory in memories.items():
        usual, longest = our_first_text(memory)
        print(f"  {name:26} {usual:.2f} ms {longest:.2f} ms")
    if theirs:
        print(f"  LangChain's, one of 2 s: a turn waits up to {theirs['wait']:.0f} ms for its memory")

    print("\nCPU of a turn")
    short, long = turn_costs(100, 10_000)
    print(f"  turn 100: {short:.0f} µs   turn 10,000: {long:.0f} µs   ({long / short - 1:+.0%})")
    saved, loaded, size = save_and_load()
    print(f"  a session of 10,000 turns: saved in {saved:.2f} s, loaded in {loaded:.2f} s, {size / 1e6:.1f} MB")

    print("\nToken estimates against tokenizers")
    show_tokens()
    for thread in threading.enumerate():
        if thread.name == "assistant-summaries":
            thread.join(10)


if __name__ == "__main__":
    main()
