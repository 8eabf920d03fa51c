"""Documents that stay whole: their budget, who brought them, and the way through JSON."""

from __future__ import annotations

import json

from assistant import Document
from assistant.buffers import MemoryTurn
from assistant.documents import MAX_DOCUMENTS, MAX_IMAGES
from assistant.memory import SummaryBufferMemory
from assistant.pins import PIN_FROM, Pins, should_pin
from assistant.tokens import estimate_tokens
from tests.files import PNG

from .summarizing import FILLER, Summarizer, fill, turns

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


def test_documents_stay_whole_within_a_quarter_of_the_window_and_the_oldest_goes_with_a_notice() -> None:
    memory = SummaryBufferMemory(Summarizer(window=20_000))
    first, second, third = (
        Document.from_text(f"{name} {FILLER * 50}", f"{name}.txt") for name in ("uno", "dos", "tres")
    )
    assert memory.pin(first) == first.id
    memory.pin(second)
    memory.pin(first)
    assert memory.pinned == (second, first), "pinned again means most recent, and once"
    assert memory.take_notices() == []
    memory.pin(third)
    assert memory.pinned == (first, third)
    notice = memory.take_notices()
    assert [(each.code, each.values["name"]) for each in notice] == [("unpinned", "dos.txt")]
    assert memory.take_notices() == []
    assert memory.context().documents == (first, third)
    assert memory.unpin(first.id)
    assert not memory.unpin(first.id)
    assert memory.tokens.pinned == estimate_tokens(third.text)


def test_a_document_above_the_whole_budget_is_not_pinned() -> None:
    memory = SummaryBufferMemory(Summarizer(window=8_000))
    memory.pin(Document.from_text(FILLER * 200, "largo.txt"))
    assert memory.pinned == ()
    assert [notice.code for notice in memory.take_notices()] == ["unpinned"]


def test_as_many_files_and_images_stay_as_a_request_takes() -> None:
    memory = SummaryBufferMemory(Summarizer(window=1_000_000))
    files = [Document(f"{n}.pdf", "pdf", b"%%PDF %d" % n) for n in range(MAX_DOCUMENTS + 1)]
    images = [Document(f"{n}.png", "png", PNG + b"%d" % n) for n in range(MAX_IMAGES + 1)]
    text = Document.from_text("words")
    for document in (text, *files, *images):
        memory.pin(document)
    assert memory.pinned == (text, *files[1:], *images[1:])
    assert [(each.code, each.values["name"]) for each in memory.take_notices()] == [
        ("crowded_out", "0.pdf"),
        ("crowded_out", "0.png"),
    ]


def test_a_document_goes_with_the_turn_that_brought_it() -> None:
    memory = SummaryBufferMemory(Summarizer())
    by_hand, brought = Document.from_text("a mano"), Document.from_text("adjunto")
    fill(memory, 2)
    memory.pin(by_hand)
    memory.pin(brought)
    memory.add_turn("Mira", "Visto", id="m1", documents=[brought])
    memory.add_turn("Otra vez", "Sí", id="m2", documents=[brought])
    first = MemoryTurn("m1", "Mira", "Visto")
    memory.rewind([*turns(2), first])
    assert memory.pinned == (by_hand, brought)
    memory.rewind(turns(2))
    assert memory.pinned == (by_hand,)


def test_a_paste_is_pinned_above_half_the_limit_and_4000_tokens() -> None:
    short, long = FILLER * 80, FILLER * 150
    assert 1000 < estimate_tokens(short) < 4000 < estimate_tokens(long)
    assert not should_pin(short, 1024)
    assert should_pin(long, 1024)
    assert not should_pin(long, 20_000)
    assert should_pin(long, None)
