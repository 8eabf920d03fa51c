"""Plain data: sums of usage, and turns as JSON and back."""

from __future__ import annotations

import json

from assistant import Document
from assistant.messages import STOP_REASONS, Notice, Turn, Usage


def test_usage_adds_up_and_an_unknown_cost_stays_unknown() -> None:
    one, other = Usage(1, 2, 3, 4, 0.5), Usage(10, 20, 30, 40, 0.25)
    assert one + other == Usage(11, 22, 33, 44, 0.75)
    assert (one.total_input_tokens, one.total_tokens) == (8, 10)
    assert (one + Usage(1, 1, cost=None)).cost is None
    assert Usage.from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_a_turn_is_the_same_after_json() -> None:
    turn = Turn(
        "¿Qué?",
        "Nada.",
        "max_tokens",
        usage=Usage(1, 2, cost=None),
        documents=(Document.from_text("a note"),),
        model="nova",
        notices=(Notice("parameter_left_out", "top_p was left out.", {"parameter": "top_p"}),),
        started=12.5,
        first_text_after=0.25,
    )
    assert Turn.from_dict(json.loads(json.dumps(turn.to_dict()))) == turn


def test_a_turn_that_was_running_when_it_was_saved_was_interrupted() -> None:
    assert Turn.from_dict(Turn("hi", "Ho").to_dict()).stop_reason == "interrupted"


def test_turns_of_earlier_versions_are_read() -> None:
    saved = Turn("hi", "ho", "end_turn").to_dict()
    for name in ("notices", "error_code", "started", "first_text_after"):
        del saved[name]
    assert Turn.from_dict(saved).notices == ()


def test_stop_reasons_are_those_of_the_contract() -> None:
    assert set(STOP_REASONS) == {
        *("end_turn", "max_tokens", "stop_sequence", "refusal", "guardrail", "context_window"),
        *("cancelled", "interrupted", "error", "other"),
    }
    assert len({Turn("").id for _ in range(100)}) == 100
