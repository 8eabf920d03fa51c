"""Transactions, and what a database that fails comes to."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from assistant.errors import StoreError
from assistant.messages import Turn
from assistant.store import ConversationStore
from tests import stores
from tests.databases import ON_SQLITE, Database
from tests.places import LEASE
from tests.postgres import Postgres
from tests.stores import failure, ids, say

clock, store = stores.clock, stores.store


@ON_SQLITE
def test_who_is_going_to_write_has_the_database_before_reading(store: ConversationStore, tmp_path: Path) -> None:
    # A transaction that reads first fails when another one wrote before it does, however long it may wait.
    raw = sqlite3.connect(tmp_path / "data" / "conversations.db", timeout=0, isolation_level=None)
    with store.transaction(), pytest.raises(sqlite3.OperationalError, match="locked"):
        raw.execute("BEGIN IMMEDIATE")
    with store.transaction(writes=False):
        raw.execute("BEGIN IMMEDIATE")
    raw.close()


def test_a_locked_database_says_so_and_works_again_afterwards(store: ConversationStore, database: Database) -> None:
    lock = database.locked()
    assert (failure(store).code, failure(store).transient) == ("locked", True)
    assert ids(store) == []
    lock.close()
    say(store, None, "1")


@ON_SQLITE
def test_a_full_disk_says_so(store: ConversationStore) -> None:
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1")
    turn = Turn("long " * 100_000, id="1")
    with pytest.raises(StoreError) as caught:
        store.begin_turn("ana", "c", None, turn, "l", LEASE)
    assert caught.value.code == "full"
    assert ids(store) == []
    assert "long long" not in str(caught.value) + str(caught.value.__cause__), "what a user wrote is in no message"


@ON_SQLITE
def test_a_read_only_database_can_still_be_read(store: ConversationStore, tmp_path: Path) -> None:
    say(store, None, "1")
    path = tmp_path / "data" / "conversations.db"
    reader = ConversationStore(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert [turn.id for turn in reader.line("ana", "c")] == ["1"]
    assert failure(reader).code == "read_only"
    reader.close()


@ON_SQLITE
def test_a_database_that_can_be_written_again_is(store: ConversationStore) -> None:
    # As a connection is that was opened on a disk mounted for reading.
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only=ON")
    assert failure(store).code == "read_only"
    say(store, None, "1")


def test_connections_that_the_server_ended_are_made_again(postgres: Postgres) -> None:
    with postgres.database() as url:
        store = ConversationStore(url)
        store.create("ana", "c")
        postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test%'")
        say(store, None, "1")
        store.close()


def test_a_place_that_failed_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    store = ConversationStore(data_dir=tmp_path / "data")
    failure(store)
    (tmp_path / "data").unlink()
    store.create("ana", "c")
    store.close()


def test_a_database_of_a_newer_package_is_left_alone(store: ConversationStore, database: Database) -> None:
    database.run("UPDATE alembic_version SET version_num = '9999'")
    assert failure(ConversationStore(database.url)).code == "newer"
