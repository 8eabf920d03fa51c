"""The memories that never summarise."""

from __future__ import annotations

import pytest

from assistant.buffers import BaseMemory, BufferMemory, NoMemory, WindowMemory
from assistant.documents import Document
from assistant.errors import InvalidRequestError
from assistant.messages import Usage

from .summarizing import fill, turns


@pytest.mark.parametrize(
    ("memory", "sent"),
    [(BufferMemory(), 9), (WindowMemory(4), 4), (WindowMemory(), 5), (NoMemory(), 0)],
    ids=["everything", "the last 4", "the last 5", "nothing"],
)
def test_the_other_memories_send_everything_the_last_turns_or_nothing(memory: BaseMemory, sent: int) -> None:
    fill(memory, 9)
    assert [turn.id for turn in memory.context().turns] == [f"t{number}" for number in range(9 - sent, 9)]
    assert len(memory.turns) == sent
    assert memory.flush(0)
    assert memory.usage == Usage()
    assert memory.max_token_limit is None
    memory.rewind(turns(2))
    assert len(memory.context().turns) == min(2, sent)
    document = Document.from_text("fijo")
    memory.pin(document)
    assert memory.context().documents == (document,)
    memory.clear()
    assert memory.context() == BufferMemory().context()


def test_a_window_is_full_before_a_turn_that_is_asked_again() -> None:
    memory = WindowMemory(3)
    fill(memory, 9)
    assert [turn.id for turn in memory.context(before="t8").turns] == ["t5", "t6", "t7"]
    with pytest.raises(InvalidRequestError, match="k is 0"):
        WindowMemory(0)
