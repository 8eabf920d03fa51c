"""What the tests of the Bedrock wires share: one model of each, waits that take no time, and a way to follow a turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping

import pytest

from assistant import BedrockClient, ChatSession
from assistant.buffers import BufferMemory
from assistant.clients.helpers import HELPERS
from assistant.clients.retry import RetryPolicy
from assistant.clients.rules import LEARNED
from assistant.reply import CancelToken, Reply
from tests.bedrock_script import STREAMING
from tests.bedrock_server import BedrockServer, Recorded

CLAUDE = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA = "amazon.nova-lite-v1:0"

both_wires = pytest.mark.parametrize("model", [CLAUDE, NOVA], ids=["claude", "converse"])

# Whoever waits this long waits in vain: a test that comes near it has failed.
LONG = 20.0


class NoSleep:
    """Waits of a retry policy, noted and not waited for."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def __call__(self, token: CancelToken, seconds: float) -> bool:
        self.waits.append(seconds)
        return token.cancelled


def retries(sleep: NoSleep | None = None, **options: float) -> RetryPolicy:
    """At most three requests; each wait is the longest one that the policy may draw, and takes no time."""
    return RetryPolicy(
        **{"attempts": 3, **options},  # type: ignore[arg-type]
        uniform=lambda low, high: high,
        clock=lambda: 0.0,
        sleep=sleep or NoSleep(),
    )


def client_of(**options: object) -> BedrockClient:
    return BedrockClient(**{"retry": retries(), "read_timeout": LONG, **options})  # type: ignore[arg-type]


def session_of(client: BedrockClient, model: str) -> ChatSession:
    return ChatSession(client, model=model, memory=BufferMemory())


def set_environment(monkeypatch: pytest.MonkeyPatch, values: Mapping[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def inferences(server: BedrockServer) -> list[Recorded]:
    """The requests that ask a model, without those that list or count."""
    return [recorded for recorded in server.requests if recorded.operation in STREAMING]


def nothing_left(server: BedrockServer, *, idle: int = 0) -> bool:
    """Whether, in time, no opening call is left and no connection but `idle` ones that wait for their next use."""
    return HELPERS.wait_idle(LONG) and server.wait_until(lambda: server.open_connections <= idle, LONG)


class Reader:
    """A reply that is read in a thread of its own. `first` is set when its first text is there."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.seen: list[str] = []
        self.first = threading.Event()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._read, name="reader")
        self.thread.start()

    def _read(self) -> None:
        try:
            for text in self.reply:
                self.seen.append(text)
                self.first.set()
        except BaseException as error:
            self.error = error

    def join(self) -> None:
        self.thread.join(LONG)
        assert not self.thread.is_alive(), "the reader is still blocked"


def caught(call: Callable[[], object]) -> BaseException | None:
    """What a call raises; None where it returns."""
    try:
        call()
    except Exception as error:
        return error
    return None


@pytest.fixture(scope="module")
def module_server() -> Iterator[BedrockServer]:
    with BedrockServer() as server:
        yield server


@pytest.fixture
def server(module_server: BedrockServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockServer]:
    set_environment(monkeypatch, module_server.env)
    LEARNED.clear()
    module_server.requests.clear()
    yield module_server
    LEARNED.clear()
    module_server.check_rules = True
    module_server.deny.clear()
    module_server.faults.clear()
    module_server.page_size = 1000


@pytest.fixture(scope="module")
def shared() -> BedrockClient:
    return client_of()


@pytest.fixture
def client(server: BedrockServer, shared: BedrockClient) -> BedrockClient:
    return shared
