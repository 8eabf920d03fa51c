"""One table: what goes wrong, where, and what the caller gets. Every row on both wires, against real frames.

Of each row is checked: the exception or the stop reason, the number of requests, the text that is kept, and that the
session goes on. The rules by which errors are told apart have their own table in test_faults.py.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from assistant import (
    AssistantError,
    BedrockClient,
    ContextTooLongError,
    CredentialsError,
    InvalidRequestError,
    ModelAccessError,
    ModelNotFoundError,
    ServiceError,
    StreamInterruptedError,
    ThrottledError,
)
from assistant.clients.rules import LEARNED
from assistant.messages import Retrying
from tests.bedrock_errors import INPUT_TOO_LONG, PROMPT_TOO_LONG
from tests.bedrock_server import BedrockServer, Fault, Recorded, Reply, Scripted
from tests.wires import (
    CLAUDE,
    LONG,
    NOVA,
    NoSleep,
    both_wires,
    client_of,
    inferences,
    retries,
    session_of,
    set_environment,
)

WHOLE = "uno dos tres"
AROUND = Reply(WHOLE)
# A hang costs this many seconds, and on a busy machine no good answer may pause for as long.
IMPATIENT = 0.5
TOO_MANY_TOKENS = "Too many tokens, please wait before trying again."


@dataclass(frozen=True)
class Row:
    """`script` is answered in turn. `gets` is an exception's class or a stop reason; `kept` the text that remains.

    `impatient` rows wait for a hang to time out, on a client that gives up soon.
    """

    name: str
    script: tuple[Scripted, ...]
    gets: type[AssistantError] | str
    requests: int
    kept: str = ""
    wait: float | None = None
    impatient: bool = False
    notice: str | None = None
    model: str | None = None

    def __str__(self) -> str:
        return self.name


def fails(kind: str, after: int | str | None = None, **more: object) -> Fault:
    return Fault(kind, after=after, reply=AROUND, **more)  # type: ignore[arg-type]


def rows() -> Iterator[Row]:
    # Before the first text: tried again, and in the end what it was.
    for kind, gets in HTTP_PASSING.items():
        yield Row(f"{kind} once", (fails(kind), AROUND), "end_turn", 2, WHOLE, wait=1.0)
        yield Row(f"{kind} for good", (fails(kind),) * 3, gets, 3)
    throttled = fails("ThrottlingException", retry_after=7)
    yield Row("throttled with Retry-After", (throttled, AROUND), "end_turn", 2, WHOLE, wait=7.0)
    dated = {"Date": "Wed, 21 Oct 2026 07:27:48 GMT"}
    throttled = fails("ThrottlingException", retry_after="Wed, 21 Oct 2026 07:28:00 GMT", headers=dated)
    yield Row("throttled with Retry-After as a date", (throttled, AROUND), "end_turn", 2, WHOLE, wait=12.0)
    throttled = fails("ThrottlingException", message=TOO_MANY_TOKENS)
    yield Row("too many tokens a minute is no long context", (throttled,) * 3, ThrottledError, 3)
    for kind in BREAKS:
        late = kind == "hang"
        if kind in ("hang", "fin", "rst"):
            yield Row(f"{kind} before headers", (fails(kind), AROUND), "end_turn", 2, WHOLE, impatient=late)
            yield Row(f"{kind} before headers for good", (fails(kind),) * 3, ServiceError, 3, impatient=late)
        first = fails(kind, 0)
        yield Row(f"{kind} before text", (first, AROUND), "end_turn", 2, WHOLE, impatient=late)
        yield Row(f"{kind} before text for good", (first,) * 3, ServiceError, 3, impatient=late)
        yield Row(f"{kind} in mid-stream", (fails(kind, 2),), StreamInterruptedError, 1, "uno dos", impatient=late)
        yield Row(f"{kind} at the end", (fails(kind, "last"),), StreamInterruptedError, 1, WHOLE, impatient=late)
    for kind, gets in FRAMES_PASSING.items():
        yield Row(f"{kind} as first frame", (fails(kind), AROUND), "end_turn", 2, WHOLE)
        yield Row(f"{kind} as first frame for good", (fails(kind),) * 3, gets, 3)
        yield Row(f"{kind} in mid-stream", (fails(kind, 2),), StreamInterruptedError, 1, "uno dos")
        yield Row(f"{kind} at the end", (fails(kind, "last"),), StreamInterruptedError, 1, WHOLE)
    for after in (0, 2, "last"):
        yield Row(f"unknown events at {after}", (fails("unknown_event", after),), "end_turn", 1, WHOLE)
    yield Row("held open after the last event", (fails("held"),), "end_turn", 1, WHOLE)
    yield Row("empty body", (fails("empty_body"), AROUND), "end_turn", 2, WHOLE)
    yield Row("empty body for good", (fails("empty_body"),) * 3, ServiceError, 3)
    page = replace(AROUND, headers={"Content-Type": "text/html; charset=utf-8"})
    yield Row("a web page in place of the stream", (page,), ServiceError, 1)
    for kind in ("empty", "blank"):
        yield Row(f"{kind} reply", (fails(kind), AROUND), "end_turn", 2, WHOLE)
        yield Row(f"{kind} reply twice is the model's", (fails(kind),) * 2, ServiceError, 2)

    # Wrong for good: one request, whatever comes of it.
    for name, fault, kind in PERMANENT:
        yield Row(name, (fault,), kind, 1)
    for name, kind, message, gets in FRAMES_PERMANENT:
        for after, kept in ((0, ""), (2, "uno dos"), ("last", WHOLE)):
            yield Row(f"{name} as a frame at {after}", (fails(kind, after, message=message),), gets, 1, kept)

    # Endings that are no failures.
    blocked = "Sorry, the model cannot answer this question."
    yield Row("guardrail", (fails("guardrail"),), "guardrail", 1, blocked)
    late_block = replace(AROUND, stop_reason="guardrail_intervened")
    yield Row("guardrail after some text", (late_block,), "guardrail", 1, WHOLE)
    yield Row("refusal at once", (fails("refusal", 0),), "refusal", 1)
    yield Row("refusal after some text", (fails("refusal", 2),), "refusal", 1, "uno dos")
    yield Row("max_tokens", (replace(AROUND, stop_reason="max_tokens"),), "max_tokens", 1, WHOLE)
    for thought in ("mmm", ""):
        all_thinking = Reply(deltas=[], thinking=thought, stop_reason="max_tokens")
        name = f"all of max_tokens went into thinking{'' if thought else ' that is not shown'}"
        yield Row(name, (all_thinking,), "max_tokens", 1, notice="all_thinking")
    full = replace(AROUND, stop_reason="model_context_window_exceeded")
    yield Row("the window is full", (full,), "context_window", 1, WHOLE)
    yield Row("a reason that nobody knows", (replace(AROUND, stop_reason="tool_use"),), "other", 1, WHOLE)


# Errors in place of the response, and what is raised when they do not go away.
HTTP_PASSING: dict[str, type[AssistantError]] = {
    "ThrottlingException": ThrottledError,
    "InternalServerException": ServiceError,
    "ServiceUnavailableException": ServiceError,
    "ModelTimeoutException": ServiceError,
    "ModelErrorException": ServiceError,
    "ModelStreamErrorException": ServiceError,
    "ModelNotReadyException": ServiceError,
}
# The same as frames of a stream that has begun with status 200.
FRAMES_PASSING: dict[str, type[AssistantError]] = {
    "throttlingException": ThrottledError,
    "internalServerException": ServiceError,
    "serviceUnavailableException": ServiceError,
    "modelTimeoutException": ServiceError,
    "modelStreamErrorException": ServiceError,
    "somethingNobodyKnowsException": ServiceError,
}
BREAKS = ("hang", "fin", "rst", "short_content_length", "clean_end", "cut_in_frame", "bad_crc", "not_json")

PERMANENT: list[tuple[str, Fault, type[AssistantError]]] = [
    ("expired login", Fault("ExpiredTokenException"), CredentialsError),
    ("unknown key", Fault("UnrecognizedClientException"), CredentialsError),
    ("invalid signature", Fault("InvalidSignatureException"), CredentialsError),
    ("unsigned", Fault("MissingAuthenticationTokenException"), CredentialsError),
    ("access denied", Fault("AccessDeniedException"), ModelAccessError),
    ("no such model", Fault("ResourceNotFoundException"), ModelNotFoundError),
    ("quota", Fault("ServiceQuotaExceededException"), ThrottledError),
    ("wrong request", Fault("ValidationException"), InvalidRequestError),
    ("long context", Fault("ValidationException", message=INPUT_TOO_LONG), ContextTooLongError),
    ("long context by tokens", Fault("ValidationException", message=PROMPT_TOO_LONG), ContextTooLongError),
]
FRAMES_PERMANENT: list[tuple[str, str, str | None, type[AssistantError]]] = [
    ("expired login", "expiredTokenException", None, CredentialsError),
    ("access denied", "accessDeniedException", None, ModelAccessError),
    ("no such model", "resourceNotFoundException", None, ModelNotFoundError),
    ("quota", "serviceQuotaExceededException", None, ThrottledError),
    ("wrong request", "validationException", "Something was not right.", InvalidRequestError),
    ("long context", "validationException", INPUT_TOO_LONG, ContextTooLongError),
]

ROWS = list(rows())


@pytest.fixture(scope="module")
def server() -> Iterator[BedrockServer]:
    with BedrockServer() as server:
        yield server


class Clients:
    """The clients of all rows: built once, for a client is what costs."""

    def __init__(self) -> None:
        self.sleep = NoSleep()
        retry = retries(self.sleep)
        self.patient = client_of(retry=retry)
        self.impatient = client_of(retry=retry, read_timeout=IMPATIENT)


@pytest.fixture(scope="module")
def all_clients() -> Clients:
    return Clients()


@pytest.fixture
def clients(server: BedrockServer, all_clients: Clients, monkeypatch: pytest.MonkeyPatch) -> Clients:
    set_environment(monkeypatch, server.env)
    server.requests.clear()
    all_clients.sleep.waits.clear()
    LEARNED.clear()
    return all_clients


@both_wires
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_fault_has_its_outcome_keeps_its_text_and_lets_the_session_go_on(
    row: Row, model: str, clients: Clients, server: BedrockServer
) -> None:
    session = session_of(clients.impatient if row.impatient else clients.patient, model)
    server.script(*row.script)
    reply = session.stream("cuenta")
    retried: list[Retrying] = []
    error: AssistantError | None = None
    try:
        for event in reply.events():
            retried += [event] if isinstance(event, Retrying) else []
    except AssistantError as caught:
        error = caught
    turn = session.transcript[-1]

    # One that was given up in time may not have been looked at yet.
    assert server.wait_until(lambda: len(inferences(server)) >= row.requests, LONG)
    assert len(inferences(server)) == row.requests
    assert [retry.attempt for retry in retried] == list(range(2, row.requests + 1))
    assert len(clients.sleep.waits) == row.requests - 1
    assert (reply.text, turn.user, turn.reply) == (row.kept, "cuenta", row.kept or None)
    if isinstance(row.gets, str):
        assert error is None
        assert (reply.stop_reason, turn.stop_reason, turn.error) == (row.gets, row.gets, None)
    else:
        assert type(error) is row.gets
        assert error.partial == row.kept
        reason = "interrupted" if row.gets is StreamInterruptedError else "error"
        assert (reply.stop_reason, turn.stop_reason, turn.error) == (reason, reason, str(error))
        assert (error.model, error.region) == (model, server.region)
        assert error.hint
    if row.wait is not None:
        assert clients.sleep.waits[0] == row.wait
    assert [notice.code for notice in reply.notices] == ([row.notice] if row.notice else [])

    answer = session.send("sigue")
    assert answer.stop_reason == "end_turn"
    assert [role for role, _ in server.requests[-1].asked.messages] == (
        ["user", "assistant", "user"] if row.kept else ["user"]
    )
    assert server.errors == []


@both_wires
def test_without_credentials_nothing_is_sent_and_the_session_goes_on_with_them(
    model: str, clients: Clients, server: BedrockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    session = session_of(client_of(retry=retries(clients.sleep)), model)
    with pytest.raises(CredentialsError):
        session.send("cuenta")
    assert (server.requests, clients.sleep.waits, session.transcript[-1].stop_reason) == ([], [], "error")
    set_environment(monkeypatch, server.env)
    assert session.retry().drain().stop_reason == "end_turn"


@both_wires
def test_an_address_that_nobody_listens_at_is_tried_again_and_then_said(model: str, clients: Clients) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = client_of(endpoint_url=f"http://127.0.0.1:{taken.getsockname()[1]}", retry=retries(clients.sleep))
        with pytest.raises(ServiceError) as caught:
            nobody.complete("hola", model=model)
    assert len(clients.sleep.waits) == 2
    assert "HTTPS_PROXY" in caught.value.hint


@pytest.mark.parametrize(
    "model",
    [
        "eu.anthropic.claude-haiku-4-5-20251001-v1:0",
        "eu.amazon.nova-lite-v1:0",
        "us.anthropic.claude-nope-9",
        "amazon.nope",
    ],
)
def test_a_model_that_is_not_in_this_region_is_asked_for_once(
    model: str, clients: Clients, server: BedrockServer
) -> None:
    session = session_of(clients.patient, model)
    with pytest.raises(ModelNotFoundError) as caught:
        session.send("hola")
    assert (len(inferences(server)), caught.value.model, caught.value.region) == (1, model, "us-east-1")
    assert session.transcript[-1].reply is None
    assert session.retry(model=NOVA).drain().stop_reason == "end_turn"


@both_wires
def test_a_reply_is_never_asked_for_again_once_its_thinking_was_shown(
    model: str, clients: Clients, server: BedrockServer
) -> None:
    server.script(Fault("fin", after=0, reply=Reply(WHOLE, thinking="mmm")))
    reply = clients.patient.stream("hola", model=model)
    with pytest.raises(StreamInterruptedError):
        reply.drain()
    assert len(server.requests) == 1


@both_wires
@pytest.mark.parametrize("size", [1, 7, 100])
def test_frames_may_come_in_pieces_of_any_size(size: int, model: str, clients: Clients, server: BedrockServer) -> None:
    server.script(replace(AROUND, chunk_size=size))
    assert str(clients.patient.stream("hola", model=model)) == WHOLE


@both_wires
def test_a_failure_of_one_reply_touches_no_other_of_the_same_client(
    model: str, clients: Clients, server: BedrockServer
) -> None:
    def answer(recorded: Recorded) -> Reply | Fault:
        return fails("rst", 2) if recorded.asked.last_user_text == "mal" else AROUND

    server.script(*[answer] * 3)
    good = iter(clients.patient.stream("bien", model=model))
    next(good)
    bad = clients.patient.stream("mal", model=model)
    with pytest.raises(StreamInterruptedError):
        bad.drain()
    assert "".join(good) == " dos tres"
    assert str(clients.patient.stream("bien", model=model)) == WHOLE


def test_the_table_runs_on_the_wire_it_means(clients: Clients, server: BedrockServer) -> None:
    for model in (CLAUDE, NOVA):
        clients.patient.complete("hola", model=model)
    assert [recorded.operation for recorded in server.requests] == ["InvokeModelWithResponseStream", "ConverseStream"]


def test_a_client_of_its_own_needs_nothing_of_this_file(server: BedrockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, server.env)
    assert BedrockClient().complete("hola", model=CLAUDE).stop_reason == "end_turn"
