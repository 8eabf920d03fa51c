"""What an owner's replies used, by day."""

from __future__ import annotations

from assistant.messages import Usage
from assistant.profiles import DayUsage, Profiles
from assistant.spending import add_turn_usage, add_usage
from assistant.store import ConversationStore
from tests import stores
from tests.places import Clock

store, clock = stores.store, stores.clock


def day_of(store: ConversationStore) -> DayUsage:
    (day,) = Profiles(store).usage_by_day("ana", 1)
    return day


def test_cache_reads_and_writes_count_as_input(store: ConversationStore, clock: Clock) -> None:
    with store.transaction() as tx:
        add_usage(tx, "ana", Usage(10, 4, 20, 30, cost=0.25), 1, clock())
        add_usage(tx, "ana", Usage(1, 1, cost=0.5), 0, clock())
    day = day_of(store)
    assert (day.input_tokens, day.output_tokens, day.cost, day.turns) == (61, 5, 0.75, 1)


def test_a_turn_that_is_continued_adds_what_is_new_and_is_one_turn(store: ConversationStore, clock: Clock) -> None:
    first, both = Usage(10, 4, cost=0.25), Usage(30, 9, cost=0.75)
    with store.transaction() as tx:
        add_turn_usage(tx, "ana", Usage().to_dict(), first, clock())
        add_turn_usage(tx, "ana", first.to_dict(), both, clock())
    day = day_of(store)
    assert (day.input_tokens, day.output_tokens, day.cost, day.turns) == (30, 9, 0.75, 1)


def test_a_day_with_a_reply_of_unknown_price_has_no_price(store: ConversationStore, clock: Clock) -> None:
    with store.transaction() as tx:
        add_usage(tx, "ana", Usage(10, 4, cost=0.25), 1, clock())
        add_usage(tx, "ana", Usage(10, 4, cost=None), 1, clock())
        add_usage(tx, "bea", Usage(10, 4, cost=0.25), 1, clock())
    assert (day_of(store).cost, day_of(store).turns) == (None, 2)
