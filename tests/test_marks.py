"""Which turns a summary stands for, and the way back."""

from __future__ import annotations

import json

from assistant.marks import Mark, Marks

from .summarizing import turns


def marks_after(*steps: int) -> Marks:
    """A summary for each number of turns."""
    marks = Marks()
    for step in steps:
        marks.advance(turns(step)[marks.current.covered :], f"summary of {step}")
    return marks


def test_a_step_back_finds_the_latest_summary_that_stands_for_none_but_older_turns() -> None:
    for left, found in ((31, 30), (30, 20), (20, 10), (11, 10), (10, 0), (0, 0)):
        marks = marks_after(10, 20, 30)
        assert marks.return_to(turns(left)).covered == found
        assert marks.current.summary == (f"summary of {found}" if found else "")


def test_other_turns_in_the_same_place_are_noticed() -> None:
    marks = marks_after(10, 20, 30)
    edited = turns(40)
    edited[15:16] = turns(1, start=500)
    assert marks.return_to(edited).covered == 10


def test_a_step_back_can_be_taken_back_until_the_conversation_goes_on() -> None:
    marks = marks_after(10, 20, 30)
    last = marks.current
    marks.return_to(turns(5))
    assert marks.return_to(turns(31)) is last
    assert marks.return_to(turns(21)).covered == 20, "the earlier ones are there too"
    marks.settle()
    assert marks.return_to(turns(31)).covered == 20


def test_few_summaries_are_kept_the_first_and_the_last_among_them() -> None:
    marks = marks_after(*range(1, 100))
    assert len(marks.to_dict()["marks"]) <= 9
    assert marks.return_to(turns(99)).covered == 98
    assert marks.return_to(turns(5)).covered < 5


def test_what_was_forgotten_stays_so_through_later_summaries() -> None:
    marks = marks_after(10).forgetting(turns(20)[10:])
    assert (marks.current.covered, marks.current.forgotten, marks.current.summary) == (20, 20, "")
    marks.advance(turns(30)[20:], "summary of 30")
    marks = Marks.from_dict(json.loads(json.dumps(marks.to_dict())))
    marks.return_to(turns(31))
    assert (marks.current.summary, marks.current.forgotten) == ("summary of 30", 20)
    assert (marks.return_to(turns(12)).covered, marks.current.summary) == (12, "")


def test_marks_that_were_saved_before_anything_could_be_forgotten_are_read() -> None:
    saved = marks_after(10, 20).to_dict()
    for mark in (saved["mark"], *saved["marks"]):
        del mark["forgotten"]
    assert Marks.from_dict(saved).current == Mark(**saved["mark"])
