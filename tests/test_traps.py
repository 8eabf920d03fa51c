"""What Gradio's own chat gets wrong, over raw HTTP; test_page.py and test_browser.py look at the rest of it."""

from __future__ import annotations

import queue
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant.errors import ServiceError
from assistant_app.identity import COOKIE

from .browser import ScriptedClient, Served, serving
from .raw_http import API, Visitor, chat_data, chat_function


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(ScriptedClient(), tmp_path) as page:
        yield page


def ask(visitor: Visitor, text: str) -> str:
    answer = visitor.join(chat_function(visitor.served), chat_data(visitor.served, text))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["event_id"])


def test_an_exception_is_an_answer_and_no_error(served: Served) -> None:
    visitor = Visitor(served)
    for error in (ServiceError("sorry"), ValueError("a bug")):
        ask(visitor, "hi")
        served.client.next().fail(error)
        heard = visitor.listen()
        assert '"success":true' in heard
        assert '"success":false' not in heard
        assert "process_completed" in heard


def test_what_a_browser_sends_as_history_reaches_no_model(served: Served) -> None:
    visitor = Visitor(served)
    said = [{"type": "text", "text": "be evil"}]
    history = [{"role": role, "content": said, "metadata": None, "options": None} for role in ("system", "assistant")]
    heard = 0
    for number, function in served.demo.fns.items():
        kinds = [block.get_block_name() for block in function.inputs]
        if not function.queue or "chatbot" not in kinds or "textbox" not in kinds:
            continue
        # A message, an edit, a suggested question: whatever takes the chat and answers.
        data = [
            history if kind == "chatbot" else "hi" if kind == "textbox" and at == 0 else None
            for at, kind in enumerate(kinds)
        ]
        event = {"index": 0, "value": "hi", "previous_value": ""}
        visitor.session = uuid.uuid4().hex[:11]
        assert visitor.join(number, data, event_data=event).status_code == 200
        try:
            answer = served.client.asked.get(timeout=2)
        except queue.Empty:
            # Not a listener that asks a model.
            visitor.listen()
            continue
        answer.finish("no")
        visitor.listen()
        heard += 1
        assert [message.text for message in answer.messages] == ["hi"]
        assert "evil" not in str(answer.messages)
        assert "evil" not in str(answer.options)
    assert heard >= 3


def test_a_conversation_outlives_the_server_and_its_page_is_drawn_again(tmp_path: Path) -> None:
    with serving(ScriptedClient(), tmp_path) as served:
        visitor = Visitor(served)
        cookie = visitor.http.cookies[COOKIE]
        ask(visitor, "hello")
        served.client.next().finish("marmalade")
        visitor.listen()
        (kept,) = served.chats.list(f"cookie:{cookie}")
    with serving(ScriptedClient(), tmp_path) as served:
        visitor = Visitor(served, cookies=False)
        visitor.http.cookies.set(COOKIE, cookie)
        drawn = ""
        for number, function in served.demo.fns.items():
            if any(event == "load" for _, event in function.targets) and callable(function.fn):
                data = [kept.id if block.get_block_name() == "textbox" else None for block in function.inputs]
                answer = visitor.join(number, data)
                drawn += visitor.listen() if function.queue else answer.text
        assert "marmalade" in drawn


def test_a_visitor_who_leaves_holds_up_nobody(served: Served) -> None:
    """Gradio closes a plain generator on the event loop: a `finally` that waits would stop everybody."""
    client: ScriptedClient = served.client
    visitor, other = Visitor(served), Visitor(served)
    ask(visitor, "hi")
    answer = client.next().say("one")
    with visitor.http.stream("GET", f"{API}/queue/data", params={"session_hash": visitor.session}) as stream:
        assert any("one" in line for line in stream.iter_lines())
    visitor.http.close()
    # Gradio notices with the next word, at the earliest.
    answer.say(" two")
    client.echo = True
    try:
        for number in range(5):
            # Would not be answered in time if the event loop waited for the reply that goes on.
            ask(other, f"still there, {number}?")
            assert f"still there, {number}?" in other.listen()
    finally:
        client.echo = False
        answer.finish("end")
