"""A long chat on the page: its window, and updates that do not walk what has not changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

from assistant.messages import Turn
from assistant.store import StaleConversationError
from assistant_app import show, words
from assistant_app.chatbot import Leaf, drawn, is_text
from benchmarks.visitor import Visitor
from tests.visiting import OWNER, page, texts, visit

TURNS = [Turn(f"question {number}", f"answer {number}", "end_turn") for number in range(30)]


def text(message: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": message}], "metadata": {"id": "1"}}


# -- the window --------------------------------------------------------------------------------------------------------


def test_a_window_begins_with_a_note_that_names_the_turn_before_it() -> None:
    shown = show.window(TURNS, "en", 10)
    assert len(shown) == 1 + 20
    assert shown[0]["metadata"]["id"] == TURNS[19].id
    assert "20" in shown[0]["content"][0]["text"]
    assert shown[1]["content"][0]["text"] == "question 20"
    assert show.window(TURNS[:10], "en", 10) == show.conversation(TURNS[:10], "en")


def test_a_windowed_history_ends_with_the_turn_that_it_ends_with() -> None:
    shown = show.window(TURNS, "en", 10)
    assert show.last_turn(shown, TURNS) == TURNS[-1].id
    # An edit of the first message that is shown: the new text follows what is not shown, and begins no new chat.
    assert show.last_turn(shown[:1], TURNS) == TURNS[19].id
    typed = {"role": "user", "content": "question 29", "metadata": None}
    assert show.last_turn([*shown[:-2], typed], TURNS) == TURNS[29].id
    with pytest.raises(StaleConversationError):
        show.last_turn(shown, TURNS[:15])


def test_how_much_a_page_shows_is_seen_from_its_first_message() -> None:
    assert show.size_of(show.window(TURNS, "en", 10), TURNS) == 10
    assert show.size_of(show.conversation(TURNS, "en"), TURNS) == 30
    assert show.size_of([{"role": "user", "content": "x", "metadata": None}], TURNS) == 30
    assert show.size_of([], TURNS) == 30
    assert show.size_of(None, TURNS) == 30


# -- leaves ------------------------------------------------------------------------------------------------------------


def test_an_old_message_is_the_same_object_each_time_and_the_last_one_is_plain() -> None:
    first, second = drawn([text("a"), text("b")]), drawn([text("a"), text("b and more")])
    assert isinstance(first[0], Leaf)
    assert first[0] is second[0]
    assert second[1]["content"] == [{"text": "b and more", "type": "text"}]


def test_messages_that_differ_in_anything_are_different_leaves() -> None:
    one = text("a")
    others = [{**one, "role": "user"}, {**one, "metadata": {"id": "2"}}, {**one, "metadata": None}, text("b")]
    leaves = drawn([one, *others, one])[:-1]
    assert len(set(map(id, leaves))) == len(leaves)


@pytest.mark.parametrize(
    "message",
    [
        None,
        "text",
        {"role": "system", "content": "x"},
        {"role": "user", "content": None},
        {"role": "user", "content": [{"type": "file", "file": {"path": "/etc/passwd"}}]},
        {"role": "user", "content": [{"type": "text", "text": {"path": "/etc/passwd"}}]},
        {"role": "user", "content": "x", "metadata": {"id": {"path": "/etc/passwd"}}},
    ],
)
def test_whatever_is_no_plain_text_goes_gradios_own_way(message: Any) -> None:
    assert not is_text([text("a"), message])


# -- the page ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plain", [False, True])
def test_a_long_chat_goes_on_in_its_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: bool) -> None:
    if plain:
        monkeypatch.setenv("ASSISTANT_PLAIN_CHATBOT", "1")
    hidden = 3
    with page(tmp_path, show.WINDOW + hidden) as (served, conversation):

        async def talk(visitor: Visitor) -> None:
            shown = texts(visitor)
            assert len([each for each in shown if each.startswith("question")]) == show.WINDOW
            assert shown[1] == f"question {hidden}"
            visitor.calls.clear()
            await visitor.submit("  one more\n    indented")
            assert len(visitor.calls) == 1, "a turn is one request"

        visitor = visit(served, conversation, talk)
        assert "You said:   one more\n    indented" in texts(visitor)
        turns = served.chats.open(f"cookie:{OWNER}", conversation).turns
        assert len(turns) == show.WINDOW + hidden + 1
        assert turns[-1].user == "  one more\n    indented"


def test_a_page_with_many_turns_is_cut_without_reading_the_conversation(tmp_path: Path, mocker: MockerFixture) -> None:
    with page(tmp_path, show.WINDOW + 3) as (served, conversation):
        reads = mocker.spy(served.chats, "open")

        async def talk(visitor: Visitor) -> None:
            for _ in range(2 * show.WINDOW):
                await visitor.submit("more")
            assert len([each for each in texts(visitor) if each == "more"]) == 2 * show.WINDOW
            reads.reset_mock()
            await visitor.submit("and more")

        shown = texts(visit(served, conversation, talk))
        assert reads.call_count == 0
        assert shown[0] == words.say("chat.earlier", "en", turns=3 + 2 * show.WINDOW)
        assert len([each for each in shown if each == "more"]) == show.WINDOW
        assert "and more" in shown


def test_earlier_messages_are_shown_when_they_are_asked_for(tmp_path: Path) -> None:
    with page(tmp_path, show.WINDOW + 3) as (served, conversation):

        async def ask(visitor: Visitor) -> None:
            earlier = next(id for id, part in visitor._parts.items() if part["props"].get("elem_id") == "earlier")
            await visitor._fire("click", earlier)

        shown = texts(visit(served, conversation, ask))
        assert shown[0] == "question 0"
        assert len([each for each in shown if each.startswith("question")]) == show.WINDOW + 3
