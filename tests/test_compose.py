"""What is sent for one turn, in each of the ways that a template asks for."""

from __future__ import annotations

import pytest

from assistant import Document, FewShotPrompt, PromptError, PromptTemplate
from assistant.buffers import BufferMemory, Context, MemoryTurn
from assistant.compose import check_prompt, compose, pasted_document, remembered_text, remembered_turns, turn_documents
from assistant.messages import Message, Turn

NOTE = Document.from_text("The contract.", "contract.txt")
TURNS = (MemoryTurn("1", "hi", "ho"),)
PASTE = "begin " + "word " * 9_000 + "finish"


def pairs(messages: list[Message]) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in messages]


def test_turns_are_messages_and_the_summary_stands_in_the_first() -> None:
    composed = compose(Context(summary="S", turns=TURNS), "new", system="brief")
    first, *rest = pairs(composed.messages)
    assert first == ("user", "<summary_so_far>\nS\n</summary_so_far>\n\nhi")
    assert rest == [("assistant", "ho"), ("user", "new")]
    assert (composed.system, composed.stop_sequences) == ("brief", ())


def test_pinned_documents_come_first_behind_a_cache_point_and_each_is_sent_once() -> None:
    photo = Document.from_text("Another.", "other.txt")
    composed = compose(Context(documents=(NOTE,), turns=TURNS), "new", (NOTE, photo))
    assert composed.messages[0].documents == (NOTE,)
    assert composed.messages[0].cache
    assert composed.messages[-1].documents == (photo,)


def test_the_seeds_style_is_one_message_and_stops_before_the_humans_next_line() -> None:
    prompt = PromptTemplate("Be kind.\n{history}\nHuman: {input}\nAI:")
    composed = compose(Context(documents=(NOTE,), summary="S", turns=TURNS), "{new}", prompt=prompt)
    (message,) = composed.messages
    assert message.text == "Be kind.\nS\nH: hi\nA: ho\nHuman: {new}\nAI:"
    assert message.documents == (NOTE,)
    assert composed.stop_sequences == ("\nH:", "\nHuman:")
    same = compose(Context(), "x", prompt=PromptTemplate("{history}\nQ: {input}"), human_prefix="Q")
    assert same.stop_sequences == ("\nQ:",)


def test_a_template_of_input_alone_wraps_every_users_text() -> None:
    composed = compose(Context(turns=TURNS), "new", prompt=PromptTemplate("Translate: {input}"))
    assert pairs(composed.messages) == [("user", "Translate: hi"), ("assistant", "ho"), ("user", "Translate: new")]


def test_a_template_without_gaps_is_the_system_prompt() -> None:
    composed = compose(Context(), "new", prompt=PromptTemplate("Be kind, {{name}}."))
    assert (composed.system, pairs(composed.messages)) == ("Be kind, {name}.", [("user", "new")])


@pytest.mark.parametrize("template", ["{history} {input} {tone}", "{history}", "{name}"])
def test_templates_that_a_session_can_not_fill_are_refused(template: str) -> None:
    with pytest.raises(PromptError) as caught:
        check_prompt(PromptTemplate(template))
    assert caught.value.hint
    check_prompt(FewShotPrompt("Extract.", [{"input": "a", "output": "b"}]))


def test_of_a_long_paste_the_turn_keeps_the_ends_and_the_whole_is_a_document() -> None:
    memory = BufferMemory()
    short = remembered_text(PASTE, memory)
    assert short.startswith("begin word")
    assert "finish\n(This message is shortened" in short
    assert len(short) < 1_000
    turn = Turn(PASTE, "ok", documents=(NOTE,))
    assert [document.text for document in turn_documents(turn, memory)] == [NOTE.text, PASTE]
    assert (pasted_document("short", memory), remembered_text("short", memory)) == (None, "short")
    assert [each.user for each in remembered_turns([turn, Turn("failed")], memory)] == [short]
