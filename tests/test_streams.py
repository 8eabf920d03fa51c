"""Twenty streams at once on one client under a mix of faults: each reply is whole or marked, and nothing stays behind.

An interleaving is a seed: it says which fault strikes which request, and what each reader does. The ordinary run takes
a sample, `pytest -m soak` all of them.
"""

from __future__ import annotations

import gc
import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from assistant import AssistantError, BedrockClient
from assistant.clients.helpers import HELPERS
from assistant.reply import Reply as Answer
from tests.bedrock_server import BedrockServer, Fault, Recorded, Reply
from tests.wires import CLAUDE, LONG, NOVA, client_of, retries, set_environment

STREAMS = 20
SAMPLE, FULL = 30, 500
READ_TIMEOUT = 0.3

BEFORE = ("ThrottlingException", "ServiceUnavailableException", "fin", "rst", "empty_body", "empty")
WITHIN = (
    "fin",
    "rst",
    "clean_end",
    "cut_in_frame",
    "bad_crc",
    "not_json",
    "throttlingException",
    "nobodyKnowsException",
)
READERS = ("drain", "drain", "drain", "leave", "cancel", "cancel at once", "drop")


class Mix:
    """The server's side of one interleaving. `whole` is what a complete answer to a text is."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.asked: Counter[str] = Counter()
        self._lock = threading.Lock()

    def whole(self, text: str) -> str:
        return " ".join(f"{text}.{number}" for number in range(8))

    def __call__(self, recorded: Recorded) -> Reply | Fault:
        text = recorded.asked.last_user_text
        with self._lock:
            self.asked[text] += 1
            draw = random.Random(f"{self.seed} {text} {self.asked[text]}")
        around = Reply(self.whole(text), chunk_size=draw.choice((None, None, 50)), delay=draw.choice((0, 0, 0.001)))
        chance = draw.random()
        # A hang lasts for a whole read timeout: not in every interleaving.
        if chance < 0.05 and self.seed % 5 == 0:
            return Fault("hang", after=draw.choice((None, 0, 3)), reply=around)
        if chance < 0.25:
            return Fault(draw.choice(BEFORE), reply=around)
        if chance < 0.5:
            return Fault(draw.choice(WITHIN), after=draw.choice((0, 2, 5, "last")), reply=around)
        return around


def read(reply: Answer, how: str, after: int) -> BaseException | None:
    """Reads a reply in one of the ways that people leave one; the error that it ended with."""
    if how == "cancel at once":
        threading.Thread(target=reply.cancel).start()
    try:
        for count, _ in enumerate(reply, 1):
            if count == after and how in ("leave", "drop"):
                break
            if count == after and how == "cancel":
                reply.cancel()
    except AssistantError as error:
        return error
    return None


@pytest.fixture(scope="module")
def server() -> Iterator[BedrockServer]:
    with BedrockServer() as server:
        yield server


@pytest.fixture(scope="module")
def shared() -> BedrockClient:
    return client_of(read_timeout=READ_TIMEOUT, retry=retries(attempts=2))


def interleave(seed: int, client: BedrockClient, server: BedrockServer) -> None:
    mix = Mix(seed)
    server.default = mix
    server.requests.clear()
    ready = threading.Barrier(STREAMS)

    def one(number: int) -> tuple[str, str, Answer, BaseException | None]:
        draw = random.Random(f"{seed} reader {number}")
        text, how = f"s{number}", draw.choice(READERS)
        reply = client.stream(text, model=(CLAUDE, NOVA)[number % 2])
        ready.wait(LONG)
        return text, how, reply, read(reply, how, draw.randint(1, 6))

    with ThreadPoolExecutor(STREAMS) as pool:
        ended = list(pool.map(one, range(STREAMS)))
    for text, how, reply, error in ended:
        whole = mix.whole(text)
        told = f"seed {seed}, {how}: {reply!r} {error!r}"
        assert whole.startswith(reply.text), told
        if reply.stop_reason == "end_turn":
            assert (reply.text, error) == (whole, None), told
        elif reply.stop_reason == "cancelled":
            assert how != "drain", told
            assert error is None, told
        else:
            assert reply.stop_reason in ("interrupted", "error"), told
            assert isinstance(error, AssistantError), told
            assert error.partial == reply.text, told
        assert mix.asked[text] <= 2, told
    assert HELPERS.wait_idle(LONG)
    # Every request has come to an end on the other side too: what is still open waits for its next use.
    assert server.wait_until(lambda: all(recorded.outcome for recorded in server.requests), LONG)
    assert server.errors == []


@pytest.mark.parametrize("first", [0, SAMPLE // 2])
def test_twenty_streams_at_once_are_whole_or_marked_and_leave_nothing_behind(
    first: int, shared: BedrockClient, server: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, server.env)
    for seed in range(first, first + SAMPLE // 2):
        interleave(seed, shared, server)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_five_hundred_interleavings_of_twenty_streams(server: BedrockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, server.env)
    before = set(threading.enumerate())
    client = client_of(read_timeout=READ_TIMEOUT, retry=retries(attempts=2))
    for seed in range(FULL):
        interleave(seed, client, server)
    # What waits for its next use: helpers end by themselves, connections belong to the client.
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("assistant"):
            thread.join(LONG)
    assert server.open_connections <= 2 * STREAMS
    del client
    gc.collect()
    assert server.wait_until(lambda: not server.open_connections, LONG)
    assert [thread.name for thread in set(threading.enumerate()) - before if "process_request" not in thread.name] == []
