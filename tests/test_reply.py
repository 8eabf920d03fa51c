"""Reply and CancelToken: one source, many ways to end it."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator

import pytest

from assistant.errors import ServiceError, StreamInterruptedError
from assistant.messages import Completed, Notice, Retrying, TextDelta, ThinkingDelta, Usage
from assistant.reply import CancelToken, Reply, ReplyState, SourceItem, UsageSoFar

USAGE = Usage(3, 2, cost=0.5)
END = Completed("end_turn", USAGE, "end_turn")


class Script:
    """A source that yields what it is given, counts its openings and knows when it was closed."""

    def __init__(self, *items: SourceItem | BaseException) -> None:
        self.items = items
        self.opened = 0
        self.closed = 0

    def __call__(self, token: CancelToken) -> Iterator[SourceItem]:
        self.opened += 1
        try:
            for item in self.items:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self.closed += 1


class Blocking:
    """Says one word, then blocks until the token wakes it, as a socket would."""

    def __init__(self) -> None:
        self.reading = threading.Event()
        self.woken = threading.Event()

    def __call__(self, token: CancelToken) -> Iterator[SourceItem]:
        yield "Hola"
        with token.waking(self.woken.set):
            self.reading.set()
            assert self.woken.wait(30)
        raise OSError("the socket was shut down")


def test_nothing_is_sent_before_the_first_step() -> None:
    script = Script("a", END)
    reply = Reply(script)
    assert (script.opened, reply.text, reply.usage, reply.stop_reason) == (0, "", None, None)
    assert list(reply) == ["a"]
    assert script.opened == 1


def test_text_usage_and_reason_are_there_as_they_come() -> None:
    reply = Reply(Script(UsageSoFar(Usage(3)), "Ho", Notice("n", "note"), "la", END), model="m")
    steps = iter(reply)
    assert next(steps) == "Ho"
    assert reply.text == "Ho"
    assert reply.usage == Usage(3)
    assert reply.stop_reason is None
    assert next(steps) == "la"
    assert [notice.code for notice in reply.notices] == ["n"]
    assert list(steps) == []
    assert (reply.text, reply.usage, reply.stop_reason, reply.raw_stop_reason) == (
        "Hola",
        USAGE,
        "end_turn",
        "end_turn",
    )
    assert reply.time_to_first_text is not None
    assert reply.seconds is not None
    assert reply.seconds >= reply.time_to_first_text >= 0


def test_events_tell_everything_in_order() -> None:
    retrying = Retrying(2, 0.1, ServiceError("x"))
    reply = Reply(Script(retrying, ThinkingDelta("hm"), "Hola", END))
    assert list(reply.events()) == [retrying, ThinkingDelta("hm"), TextDelta("Hola"), END]


def test_a_second_iteration_replays_and_then_goes_on_from_the_one_source() -> None:
    script = Script("a", "b", "c", END)
    reply = Reply(script)
    first = iter(reply)
    assert next(first) == "a"
    second = iter(reply)
    assert [next(second), next(second)] == ["a", "b"]
    assert next(first) == "b"
    assert list(second) == ["c"]
    assert list(first) == ["c"]
    assert list(reply) == ["a", "b", "c"]
    assert script.opened == 1


def test_str_and_drain_read_to_the_end() -> None:
    assert str(Reply(Script("a", "b", END))) == "ab"
    assert Reply(Script("a", END)).drain().stop_reason == "end_turn"


def test_a_failure_is_raised_with_what_came_and_raised_again_at_a_replay() -> None:
    reply = Reply(Script("Ho", ServiceError("broken")))
    for _ in range(2):
        seen: list[str] = []
        with pytest.raises(ServiceError) as caught:
            seen.extend(reply)
        assert seen == ["Ho"]
        assert caught.value.partial == "Ho"
    assert reply.stop_reason == "error"


def test_an_interruption_has_a_reason_of_its_own() -> None:
    reply = Reply(Script("Ho", StreamInterruptedError("cut")))
    with pytest.raises(StreamInterruptedError):
        reply.drain()
    assert reply.stop_reason == "interrupted"


def test_a_source_that_stops_without_its_last_event_is_an_interruption() -> None:
    with pytest.raises(StreamInterruptedError) as caught:
        Reply(Script("Ho")).drain()
    assert caught.value.partial == "Ho"


def leave_by_break(reply: Reply) -> None:
    for _ in reply:
        break


def leave_by_close(reply: Reply) -> None:
    steps = iter(reply)
    next(steps)
    reply.close()
    assert list(steps) == []


def leave_by_with(reply: Reply) -> None:
    with reply:
        next(steps := iter(reply))
        assert steps


@pytest.mark.parametrize("leave", [leave_by_break, leave_by_close, leave_by_with])
def test_leaving_early_ends_the_reply_as_cancelled_and_closes_the_source(leave) -> None:
    script = Script("a", "b", END)
    ended: list[ReplyState] = []
    reply = Reply(script)
    reply.state.on_end(ended.append)
    leave(reply)
    assert (reply.stop_reason, reply.text, script.closed, len(ended)) == ("cancelled", "a", 1, 1)
    assert list(reply) == ["a"]


@pytest.mark.parametrize("begun", [False, True])
def test_dropping_a_reply_ends_it_without_a_garbage_collection(begun: bool) -> None:
    script = Script("a", "b", END)
    ended: list[ReplyState] = []
    gc.disable()
    try:
        reply = Reply(script)
        reply.state.on_end(ended.append)
        if begun:
            steps = iter(reply)
            next(steps)
            del steps
        del reply
        assert [state.stop_reason for state in ended] == ["cancelled"]
        assert script.closed == script.opened == int(begun)
    finally:
        gc.enable()


def test_cancel_wakes_a_blocked_reader_which_simply_ends() -> None:
    source = Blocking()
    reply = Reply(source)
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.extend(reply))
    reader.start()
    assert source.reading.wait(30)
    reply.cancel()
    reader.join(30)
    assert not reader.is_alive()
    assert seen == ["Hola"]
    assert (reply.stop_reason, reply.state.error) == ("cancelled", None)


def test_cancel_between_two_steps_ends_it_in_the_cancelling_thread() -> None:
    script = Script("a", "b", END)
    reply = Reply(script)
    steps = iter(reply)
    next(steps)
    canceller = threading.Thread(target=reply.cancel)
    canceller.start()
    canceller.join(30)
    assert (reply.stop_reason, script.closed) == ("cancelled", 1)
    assert list(steps) == []


def test_cancel_after_the_end_changes_nothing() -> None:
    reply = Reply(Script("a", END)).drain()
    reply.cancel()
    assert reply.stop_reason == "end_turn"


def test_cancel_before_the_first_step_sends_nothing() -> None:
    script = Script("a", END)
    reply = Reply(script)
    reply.cancel()
    assert (list(reply), script.opened, reply.stop_reason) == ([], 0, "cancelled")


def test_a_keyboard_interrupt_ends_it_as_cancelled_and_goes_on_up() -> None:
    reply = Reply(Script("a", KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        list(reply)
    assert reply.stop_reason == "cancelled"


def test_the_end_is_reached_when_completed_is_seen_not_one_step_later() -> None:
    ended: list[ReplyState] = []
    reply = Reply(Script("a", END))
    reply.state.on_end(ended.append)
    events = reply.events()
    assert [next(events), next(events)] == [TextDelta("a"), END]
    assert len(ended) == 1
    assert reply.stop_reason == "end_turn"


def test_on_end_after_the_end_calls_back_at_once() -> None:
    reply = Reply(Script("a", END)).drain()
    ended: list[ReplyState] = []
    reply.state.on_end(ended.append)
    assert ended == [reply.state]


def test_async_iteration_gives_the_same_deltas() -> None:
    async def read() -> list[str]:
        return [text async for text in Reply(Script("a", "b", END))]

    assert asyncio.run(read()) == ["a", "b"]


def test_a_cancelled_task_wakes_the_reader_in_its_thread() -> None:
    source = Blocking()
    reply = Reply(source)

    async def read() -> None:
        async for _ in reply:
            pass

    async def main() -> None:
        task = asyncio.create_task(read())
        await asyncio.to_thread(source.reading.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert reply.stop_reason == "cancelled"


def test_markdown_escapes_dollars_and_tells_tokens() -> None:
    markdown = Reply(Script("costs $5", END), model="m").drain()._repr_markdown_()
    assert markdown == "costs \\$5\n\n*3 + 2 tokens · 0.500000 USD · m*"


def test_a_token_that_is_cancelled_wakes_a_late_comer_at_once() -> None:
    token = CancelToken()
    token.cancel()
    woken = threading.Event()
    with token.waking(woken.set):
        assert woken.is_set()
    assert token.wait(60)
