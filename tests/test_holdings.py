"""What a memory shows of itself: each part with its tokens, all of one moment."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from assistant.buffers import BaseMemory
from assistant.documents import Document
from assistant.holdings import MemoryItem
from assistant.memory import BufferMemory, MemoryTurn, NoMemory, SummaryBufferMemory, WindowMemory
from assistant.tokens import ESTIMATOR, estimate_tokens

from .scripted import ScriptedClient

TERMS = Document.from_text("Los datos son del usuario. " * 50, "condiciones.txt")


def test_each_part_has_its_tokens_and_the_sum_is_what_the_limit_is_for() -> None:
    memory = SummaryBufferMemory(ScriptedClient(), max_token_limit=5000)
    memory.summary = "El usuario se llama Ana."
    memory.add_turn("¿Cómo me llamo?", "Ana.", id="t0")
    memory.add_turn("Gracias.", "De nada.", id="t1")
    memory.pin(TERMS)
    sizes = [turn.size for turn in memory.turns]
    view = memory.view()
    assert (view.summary, view.summary_tokens) == (memory.summary, estimate_tokens(memory.summary))
    assert view.turns == [
        MemoryItem("t0", "H: ¿Cómo me llamo?\nA: Ana.", sizes[0]),
        MemoryItem("t1", "H: Gracias.\nA: De nada.", sizes[1]),
    ]
    assert view.documents == [MemoryItem(TERMS.id, "condiciones.txt", estimate_tokens(TERMS.text))]
    assert view.tokens == view.summary_tokens + sum(sizes)
    assert (view.document_tokens, view.limit) == (estimate_tokens(TERMS.text), 5000)


def test_tokens_are_those_of_the_model_in_use() -> None:
    memory = SummaryBufferMemory(ScriptedClient(), max_token_limit=5000)
    memory.summary = "El usuario se llama Ana. " * 10
    memory.add_turn("¿Cómo me llamo? " * 10, "Ana.")
    memory.pin(TERMS)
    before = memory.view()
    memory.context(model="fine")
    ESTIMATOR.calibrate("fine", 10_000, 20_000)
    after = memory.view()
    assert after.tokens == pytest.approx(2 * before.tokens, rel=0.05)
    assert after.document_tokens == pytest.approx(2 * before.document_tokens, rel=0.05)
    assert after.limit == before.limit, "the limit is in those tokens already"


@pytest.mark.parametrize(("make", "shown"), [(BufferMemory, 3), (lambda: WindowMemory(2), 2), (NoMemory, 0)])
def test_the_other_memories_show_what_they_would_send(make: Callable[[], BaseMemory], shown: int) -> None:
    memory = make()
    for turn in [MemoryTurn(f"t{number}", "Hola", "Hola") for number in range(3)]:
        memory.add_turn(turn.user, turn.reply, id=turn.id)
    memory.pin(TERMS)
    view = memory.view()
    assert [item.id for item in view.turns] == [turn.id for turn in memory.context().turns]
    assert len(view.turns) == shown
    assert (view.summary, len(view.documents), view.limit) == ("", 1, None)


def test_a_document_that_is_unpinned_is_no_longer_shown() -> None:
    memory = SummaryBufferMemory(ScriptedClient())
    memory.pin(TERMS)
    assert memory.unpin(TERMS.id)
    assert memory.view().documents == []
