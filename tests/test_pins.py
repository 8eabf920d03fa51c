"""Documents that stay whole: their budget, who brought them, and the way through JSON."""

from __future__ import annotations

import json

from assistant import Document
from assistant.buffers import MemoryTurn
from assistant.pins import PIN_FROM, Pins, should_pin

ONE, TWO, THREE = (Document.from_text(f"{name} " * 100, f"{name}.txt") for name in ("one", "two", "three"))


def names(pins: Pins) -> list[str]:
    return [document.name for document in pins.documents]


def test_past_the_budget_the_one_that_was_pinned_longest_ago_goes_and_is_named() -> None:
    pins = Pins()
    assert pins.pin(ONE, 10_000) == pins.pin(TWO, 10_000) == []
    # Again: it counts as new and costs nothing.
    before = pins.tokens
    assert pins.pin(ONE, 10_000) == []
    assert pins.tokens == before
    (notice,) = pins.pin(THREE, before + 50)
    assert (notice.code, notice.values["name"]) == ("unpinned", "two.txt")
    assert names(pins) == ["one.txt", "three.txt"]
    assert pins.tokens == sum(size for _, size in pins.sizes)


def test_what_is_larger_than_the_budget_does_not_stay() -> None:
    pins = Pins()
    assert [notice.values["name"] for notice in pins.pin(ONE, 1)] == ["one.txt"]
    assert (pins.documents, pins.tokens) == ((), 0)


def test_documents_go_with_the_last_turn_that_brought_them() -> None:
    pins = Pins()
    for document, owners in ((ONE, "ab"), (TWO, "b"), (THREE, "")):
        pins.pin(document, 10_000)
        for owner in owners:
            pins.own(document.id, owner)
    pins = Pins.from_list(json.loads(json.dumps(pins.to_list())))
    pins.keep([MemoryTurn("a", "", "")])
    assert names(pins) == ["one.txt", "three.txt"]
    pins.keep([])
    assert names(pins) == ["three.txt"]
    assert pins.unpin(THREE.id)
    assert not pins.unpin(THREE.id)
    assert pins.tokens == 0


def test_a_paste_is_kept_above_half_the_limit_and_never_below_4000_tokens() -> None:
    words = "word " * (PIN_FROM + 500)
    assert should_pin(words, 1_024)
    assert should_pin(words, None)
    assert not should_pin(words, 4 * PIN_FROM)
    assert not should_pin("word " * 1_000, 100)
