"""Preferences, presets and usage by day, each its owner's. What Chats makes of them is in test_owners.py."""

from __future__ import annotations

import pytest

from assistant.errors import InvalidRequestError
from assistant.profiles import Profiles
from assistant.store import ConversationStore
from tests import stores
from tests.databases import ON_SQLITE
from tests.places import Clock
from tests.stores import say

clock, store = stores.clock, stores.store

pytestmark = ON_SQLITE


@pytest.fixture
def profiles(store: ConversationStore) -> Profiles:
    return Profiles(store)


def test_presets_of_one_name_are_one_for_each_owner(profiles: Profiles) -> None:
    mine, theirs = (
        profiles.save_preset("ana", "Brief", {"system": "Be brief."}),
        profiles.save_preset("bea", "Brief", {}),
    )
    profiles.save_preset("ana", " Brief ", {"temperature": 0.0})
    assert [(each.id, each.settings) for each in profiles.presets("ana")] == [(mine.id, {"temperature": 0.0})]
    profiles.delete_preset("ana", theirs.id)
    assert profiles.presets("bea") == [theirs]
    with pytest.raises(InvalidRequestError):
        profiles.save_preset("ana", "\n", {})


def test_days_without_a_reply_stand_between_those_with_one(
    profiles: Profiles, store: ConversationStore, clock: Clock
) -> None:
    say(store, None, "1")
    clock.now += 2 * 86_400
    say(store, "1", "2")
    days = profiles.usage_by_day("ana", 4)
    assert [(day.turns, day.input_tokens, day.output_tokens, day.cost) for day in days] == [
        (0, 0, 0, 0.0),
        (1, 1, 2, 0.5),
        (0, 0, 0, 0.0),
        (1, 1, 2, 0.5),
    ]
    assert not any(day.turns for day in profiles.usage_by_day("bea", 4))
