"""Opening, reading and leaving a response: what cancel() wakes, and that nothing is left behind. Both wires, both TLS
and not. What happened is told by the order of events, never by a clock."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from assistant import BedrockClient, CancelToken
from assistant.clients.retry import RetryPolicy
from assistant.clients.wire import open_and_read, stop_reason_of
from assistant.errors import ServiceError
from assistant.messages import Completed, Retrying, Usage
from assistant.reply import SourceItem
from tests.bedrock_server import BedrockServer, Fault, Reply
from tests.wires import LONG, NOVA, Reader, both_wires, client_of, nothing_left, set_environment


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "tls"])
def server(request: pytest.FixtureRequest) -> Iterator[BedrockServer]:
    # The packages are loaded here: on a busy machine that takes longer than a test waits.
    BedrockClient(region="us-east-1").warm()
    with BedrockServer(tls=request.param) as server:
        yield server


@pytest.fixture
def client(server: BedrockServer, monkeypatch: pytest.MonkeyPatch) -> BedrockClient:
    set_environment(monkeypatch, server.env)
    server.requests.clear()
    server.dropped.clear()
    # The clients of other tests are reference cycles, and keep their connections until they are collected.
    gc.collect()
    assert server.wait_until(lambda: not server.open_connections, LONG)
    return client_of()


@both_wires
def test_cancel_ends_a_read_that_blocks_in_mid_stream(model: str, client: BedrockClient, server: BedrockServer) -> None:
    server.script(Fault("hang", after=1, reply=Reply("uno dos tres")))
    before = server.open_connections
    reader = Reader(client.stream("hola", model=model))
    assert reader.first.wait(LONG)
    reader.reply.cancel()
    reader.join()
    assert (reader.seen, reader.error, reader.reply.stop_reason) == (["uno"], None, "cancelled")
    assert server.wait_until(lambda: len(server.dropped) == 1)
    assert nothing_left(server, idle=before)


@both_wires
def test_cancel_between_two_steps_closes_the_connection(
    model: str, client: BedrockClient, server: BedrockServer
) -> None:
    server.script(Reply("uno dos tres", gate=threading.Event(), gate_after=1))
    steps = iter(reply := client.stream("hola", model=model))
    assert next(steps) == "uno"
    reply.cancel()
    assert server.wait_until(lambda: len(server.dropped) == 1)
    assert list(steps) == []


@both_wires
def test_leaving_a_loop_closes_the_connection(model: str, client: BedrockClient, server: BedrockServer) -> None:
    server.script(Reply("uno dos tres", gate=threading.Event(), gate_after=1))
    for _ in client.stream("hola", model=model):
        break
    assert server.wait_until(lambda: len(server.dropped) == 1)


@both_wires
def test_cancel_returns_from_an_opening_call_that_has_no_headers_yet(
    model: str, client: BedrockClient, server: BedrockServer
) -> None:
    """The gate opens only after the reader is gone: it can't have waited for the response."""
    gate = threading.Event()
    server.script(lambda recorded: (gate.wait(LONG) and Reply("tarde")) or Reply("nunca"))
    reader = Reader(client.stream("hola", model=model))
    assert server.wait_until(lambda: len(server.requests) == 1)
    reader.reply.cancel()
    reader.join()
    assert (reader.seen, reader.error, reader.reply.stop_reason) == ([], None, "cancelled")
    gate.set()
    # The abandoned call gets its response now, and closes it unread.
    assert nothing_left(server)


@both_wires
def test_an_abandoned_opening_call_is_gone_after_one_read_timeout(
    model: str, client: BedrockClient, server: BedrockServer
) -> None:
    impatient = client_of(read_timeout=0.3)
    server.script(Fault("hang"))
    reader = Reader(impatient.stream("hola", model=model))
    assert server.wait_until(lambda: len(server.requests) == 1)
    reader.reply.cancel()
    reader.join()
    assert nothing_left(server)
    assert len(server.requests) == 1, "an abandoned call is not tried again"


@both_wires
def test_cancel_ends_a_back_off_without_another_request(
    model: str, client: BedrockClient, server: BedrockServer
) -> None:
    server.script(Fault("ThrottlingException", retry_after=3600))
    waiting = BedrockClient(retry=RetryPolicy(deadline=7200))
    reply = waiting.stream("hola", model=model)
    told = threading.Event()
    events = []

    def read() -> None:
        for event in reply.events():
            events.append(event)
            told.set()

    thread = threading.Thread(target=read)
    thread.start()
    assert told.wait(LONG)
    reply.cancel()
    thread.join(LONG)
    assert not thread.is_alive()
    assert [type(event) for event in events] == [Retrying]
    assert (reply.stop_reason, len(server.requests)) == ("cancelled", 1)


@both_wires
def test_a_reply_that_is_dropped_closes_its_connection(
    model: str, client: BedrockClient, server: BedrockServer
) -> None:
    server.script(Reply("uno dos tres", gate=threading.Event(), gate_after=1))
    steps = iter(client.stream("hola", model=model))
    next(steps)
    del steps
    assert server.wait_until(lambda: len(server.dropped) == 1)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts this process's descriptors in /proc")
@both_wires
def test_a_reply_that_is_left_leaves_no_descriptor_open(
    model: str, client: BedrockClient, server: BedrockServer
) -> None:
    """botocore's stream is a reference cycle: what nobody closes stays open until a garbage collection."""
    client.complete("hola", model=model)
    gc.collect()
    gc.disable()
    try:
        before = len(list(Path("/proc/self/fd").iterdir()))
        connections = server.open_connections
        for _ in range(5):
            server.script(Reply("uno dos tres", gate=threading.Event(), gate_after=1))
            for _ in client.stream("hola", model=model):
                break
        assert server.wait_until(lambda: len(server.dropped) == 5 and server.open_connections < connections)
        assert len(list(Path("/proc/self/fd").iterdir())) <= before
    finally:
        gc.enable()


@both_wires
def test_the_connection_of_a_whole_reply_is_used_again(
    model: str, client: BedrockClient, server: BedrockServer
) -> None:
    for _ in range(3):
        client.complete("hola", model=model)
    assert len({recorded.connection_id for recorded in server.requests}) == 1


@both_wires
def test_the_connection_of_a_refused_request_is_used_again(
    model: str, client: BedrockClient, server: BedrockServer
) -> None:
    server.script(Fault("ThrottlingException"), Fault("ServiceUnavailableException"))
    client.complete("hola", model=model)
    assert len(server.requests) == 3
    assert len({recorded.connection_id for recorded in server.requests}) == 1


@both_wires
def test_a_response_that_closes_its_connection_can_be_woken_too(
    model: str, client: BedrockClient, server: BedrockServer
) -> None:
    """Proxies answer so; the HTTP library then lets go of the socket, and only the response still has it."""
    around = Reply("uno dos tres", headers={"Connection": "close"})
    server.script(Fault("hang", after=1, reply=around))
    reader = Reader(client.stream("hola", model=model))
    assert reader.first.wait(LONG)
    reader.reply.cancel()
    reader.join()
    assert reader.reply.stop_reason == "cancelled"
    assert server.wait_until(lambda: len(server.dropped) == 1)


@both_wires
def test_a_connection_that_is_held_open_after_the_last_event_delays_nothing_and_is_given_up(
    model: str, client: BedrockClient, server: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.clients.converse._ACCOUNTING", 3600)
    patient = client_of(read_timeout=3600)
    before = server.open_connections
    server.script(Fault("held", reply=Reply("uno dos tres")), Reply("cuatro"))
    reader = Reader(reply := patient.stream("hola", model=model))
    reader.join()
    assert (reply.text, reply.stop_reason) == ("uno dos tres", "end_turn")
    assert reply.usage is not None
    assert reply.usage.output_tokens > 0
    assert server.wait_until(lambda: len(server.dropped) == 1)
    assert patient.complete("hola", model=model).text == "cuatro"
    assert nothing_left(server, idle=before + 1)


def test_an_answer_whose_accounting_never_comes_ends_without_it(
    client: BedrockClient, server: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.clients.converse._ACCOUNTING", 0.05)
    server.script(Fault("held", after="last", reply=Reply("uno dos tres")))
    reader = Reader(reply := client_of(read_timeout=3600).stream("hola", model=NOVA))
    reader.join()
    assert (reply.text, reply.stop_reason) == ("uno dos tres", "end_turn")
    assert reply.usage is not None
    assert reply.usage.cost is None
    assert server.wait_until(lambda: len(server.dropped) == 1)


@both_wires
def test_text_comes_as_it_is_sent_where_a_proxy_takes_the_chunks_away(
    model: str, client: BedrockClient, server: BedrockServer
) -> None:
    gate = threading.Event()
    server.script(Reply("uno dos tres", chunked=False, gate=gate))
    steps = iter(client.stream("hola", model=model))
    assert next(steps) == "uno"
    gate.set()
    assert "".join(steps) == " dos tres"


# --- open_and_read alone ----------------------------------------------------------------------------------------------


class FakeStream:
    def __init__(self, *items: SourceItem) -> None:
        self._items = items
        self.closed = threading.Event()
        self.woken = threading.Event()

    def items(self) -> Iterator[SourceItem]:
        yield from self._items

    def wake(self) -> None:
        self.woken.set()

    def close(self) -> None:
        self.closed.set()


END = Completed("end_turn", Usage())


def test_the_opening_call_runs_elsewhere_and_the_reading_here() -> None:
    where: list[str] = []
    stream = FakeStream("a", END)

    def open_() -> FakeStream:
        where.append(threading.current_thread().name)
        return stream

    assert list(open_and_read(open_, CancelToken())) == ["a", END]
    assert where == ["assistant-open"]
    assert stream.closed.is_set()


def test_the_error_of_the_opening_call_is_raised_here() -> None:
    def open_() -> FakeStream:
        raise ServiceError("no")

    with pytest.raises(ServiceError, match="no"):
        list(open_and_read(open_, CancelToken()))


def test_a_token_that_was_cancelled_before_waits_for_nothing() -> None:
    token, gate, stream = CancelToken(), threading.Event(), FakeStream("a", END)

    def open_() -> FakeStream:
        assert gate.wait(LONG)
        return stream

    token.cancel()
    assert list(open_and_read(open_, token)) == []
    gate.set()
    assert stream.closed.wait(LONG)


def test_an_interrupt_while_opening_abandons_the_call() -> None:
    """Ctrl-C arrives in the thread that waits."""
    stream = FakeStream("a", END)

    class Interrupted(CancelToken):
        @contextmanager
        def waking(self, wake: Callable[[], None]) -> Iterator[None]:
            yield
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(open_and_read(lambda: stream, Interrupted()))
    assert stream.closed.wait(LONG)


@pytest.mark.parametrize(
    ("raw", "ours"),
    [
        ("end_turn", "end_turn"),
        ("max_tokens", "max_tokens"),
        ("stop_sequence", "stop_sequence"),
        ("refusal", "refusal"),
        ("content_filtered", "refusal"),
        ("guardrail_intervened", "guardrail"),
        ("model_context_window_exceeded", "context_window"),
        ("pause_turn", "other"),
        (None, "other"),
    ],
)
def test_each_stop_reason_of_the_service_has_one_of_ours(raw: str | None, ours: str) -> None:
    assert stop_reason_of(raw) == ours
