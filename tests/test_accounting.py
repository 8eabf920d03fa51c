"""What a reply has used where the service did not come to say so; what titles and summaries use is counted too."""

from __future__ import annotations

from typing import Any

import pytest

from assistant import ChatSession
from assistant.accounting import Ledger
from assistant.buffers import BufferMemory
from assistant.chats import Chats
from assistant.errors import BudgetExceededError, StreamInterruptedError, ThrottledError
from assistant.limits import Limits
from assistant.memory import SummaryBufferMemory
from assistant.messages import Retrying, ThinkingDelta, Usage
from assistant.reply import UsageSoFar
from assistant.tokens import estimate_tokens
from tests.bedrock_server import BedrockServer, Reply

from .places import Place, Scripted, say
from .scripted import ScriptedClient
from .summarizing import PATIENCE, Summarizer, said
from .wires import both_wires, client_of, set_environment

WORDS = "the quick brown fox jumps over the lazy dog and runs away " * 20


def stopped(script: list[Any]) -> Usage:
    """The usage of a turn whose reader leaves after the first text."""
    session = ChatSession(ScriptedClient([script]), memory=BufferMemory())
    for _ in session.stream("How many foxes are there?"):
        break
    return session.transcript[0].usage


@both_wires
def test_a_stopped_reply_is_paid_for_as_far_as_it_came(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    with BedrockServer() as server:
        server.default = Reply(WORDS)
        set_environment(monkeypatch, server.env)
        _stopped_halfway(model)


def _stopped_halfway(model: str) -> None:
    session = ChatSession(client_of(), model=model, memory=BufferMemory())
    whole = session.send("How many foxes are there?").usage
    assert whole is not None
    assert whole.cost
    read = ""
    with session.stream("How many foxes are there?") as reply:
        for text in reply:
            read += text
            if len(read) > len(WORDS) // 2:
                break
    usage = session.transcript[1].usage
    assert session.transcript[1].stop_reason == "cancelled"
    assert usage.output_tokens == estimate_tokens(read, reply.model) > 50
    # More was read than for the first: its answer too.
    assert usage.total_input_tokens > whole.total_input_tokens
    assert usage.cost is not None
    assert whole.cost / 3 < usage.cost < whole.cost * 3
    assert session.usage == whole + usage


def test_what_was_thought_is_paid_for_and_what_the_service_said_holds() -> None:
    plain = stopped(["one ", "two"])
    assert stopped([ThinkingDelta(WORDS), "one ", "two"]).output_tokens > plain.output_tokens + 100
    told = stopped([UsageSoFar(Usage(7, 300, cache_read_tokens=5)), "one ", "two"])
    assert (told.input_tokens, told.output_tokens, told.cache_read_tokens) == (7, 300, 5)


@pytest.mark.parametrize(
    ("script", "paid"),
    [
        ([ThrottledError("slow down")], False),
        (["Some text. ", StreamInterruptedError("cut")], True),
        (["Some text. ", ThrottledError("slow down")], True),
    ],
    ids=["refused", "cut off", "failed after its beginning"],
)
def test_who_was_refused_pays_nothing(script: list[Any], paid: bool) -> None:
    session = ChatSession(ScriptedClient([script]), memory=BufferMemory())
    with pytest.raises((ThrottledError, StreamInterruptedError)):
        session.send("How many foxes are there?")
    assert bool(session.transcript[0].usage.total_tokens) is paid
    assert bool(session.usage.total_tokens) is paid


@pytest.mark.parametrize(
    ("first", "paid"), [(ThinkingDelta("hm"), True), (Retrying(2, 1.0, ThrottledError("slow")), False)]
)
def test_a_stop_before_the_first_word_pays_for_what_is_read(first: Any, paid: bool) -> None:
    session = ChatSession(ScriptedClient([[first, "never read"]]), memory=BufferMemory())
    reply = session.stream("How many foxes are there?")
    for _ in reply.events():
        break
    assert bool(session.transcript[0].usage.input_tokens) is paid


def test_summaries_are_on_their_owner_s_day_and_accounts(place: Place) -> None:
    summarizer, memories = Summarizer(), []

    def make() -> ChatSession:
        memories.append(SummaryBufferMemory(summarizer, max_token_limit=200))
        return ChatSession(Scripted(), memory=memories[-1])

    limits = Limits(tokens_per_day=100_000)
    chats: Chats = place.chats(Scripted(), limits=limits, make_session=make, busy_timeout=30)
    id, after = chats.create("ana").id, None
    for number in range(8):
        after = say(chats, id, after, said(number)[0]).turn_id
        assert memories[-1].flush(PATIENCE)
    summaries = memories[-1].usage
    assert summaries.total_tokens
    conversation = chats.open("ana", id)
    replies = sum((turn.usage for turn in conversation.turns), Usage())
    (today,) = chats.usage_by_day("ana", 1)
    assert today.input_tokens + today.output_tokens == (replies + summaries).total_tokens
    assert today.turns == 8
    assert conversation.usage == replies + summaries
    # One token more than was left.
    limits.each = type(limits.each)(tokens_per_day=(replies + summaries).total_tokens)
    with pytest.raises(BudgetExceededError):
        chats.submit("ana", id, after, "one more")
    limits.each = type(limits.each)(tokens_per_day=(replies + summaries).total_tokens + 1)
    say(chats, id, after, "one more")


def test_what_could_not_be_put_on_the_day_is_put_there_later_and_once(place: Place) -> None:
    chats = place.chats()
    store, ledger = chats.store, Ledger()
    ledger.book(store, "ana", Usage(3, 2, cost=0.5))
    lock = place.breaking()
    ledger.book(store, "ana", Usage(4, 1, cost=0.25))
    assert chats.usage_by_day("ana", 1)[0].cost == 0.5
    lock.close()
    for _ in range(2):
        ledger.catch_up()
        (today,) = chats.usage_by_day("ana", 1)
        assert (today.input_tokens, today.output_tokens, today.cost) == (7, 3, 0.75)
