"""A store with one conversation in it, a clock that is set by hand, and turns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from assistant.errors import StoreError
from assistant.messages import Turn, Usage
from assistant.store import ConversationStore
from assistant.stored import Begun
from tests.databases import Database
from tests.places import LEASE, Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database: Database, clock: Clock) -> Iterator[ConversationStore]:
    store = ConversationStore(database.url, clock=clock, busy_timeout=0.05)
    store.create("ana", "c")
    yield store
    store.close()


def begin(store: ConversationStore, after: str | None, id: str, **options: object) -> Begun:
    lease = str(options.pop("lease", f"lease of {id}"))
    return store.begin_turn("ana", "c", after, Turn(f"text of {id}", id=id), lease, LEASE, **options)  # type: ignore[arg-type]


def say(store: ConversationStore, after: str | None, id: str, **options: object) -> None:
    """A whole turn."""
    assert begin(store, after, id, **options).outcome == "ok"
    turn = Turn("", f"reply to {id}", "end_turn", id=id, usage=Usage(1, 2, cost=0.5), model="m")
    assert store.end_turn("c", turn, f"lease of {id}", {"after": id}) is not None


def ids(store: ConversationStore) -> list[str]:
    return [turn.id for turn in store.line("ana", "c")]


def failure(store: ConversationStore) -> StoreError:
    with pytest.raises(StoreError) as caught:
        say(store, None, "x")
    assert type(caught.value) is StoreError
    assert caught.value.hint
    assert caught.value.__cause__ is not None or caught.value.code == "newer"
    return caught.value
