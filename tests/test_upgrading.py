"""Upgrading: databases of earlier packages, of none, and of many processes at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from assistant import upgrading
from assistant.errors import StoreError
from assistant.store import ConversationStore
from tests.databases import Database, database_of

ROOT = Path(__file__).parent.parent


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """A database without tables."""
    if request.param == "sqlite":
        return Database(f"sqlite:///{tmp_path / 'x.db'}", tmp_path / "x.db")
    return Database(request.getfixturevalue("postgres").empty())


def engine_of(database: Database) -> sa.Engine:
    return sa.create_engine(database.url, poolclass=sa.NullPool)


def make_old(database: Database) -> None:
    """As the package without Alembic left it: two turns, one of them with accents."""
    with engine_of(database).begin() as connection:
        upgrading.upgrade(connection, "base", "0001")
        connection.exec_driver_sql("DROP TABLE alembic_version")
        connection.exec_driver_sql("INSERT INTO schema_version (version) VALUES (1)")
        row = "'c', 'ana', 'Árboles', '{}', 't2', 3, 1.0, 2.0"
        connection.exec_driver_sql(
            "INSERT INTO conversations (id, owner, title, settings, head, version, created_at, updated_at) "
            f"VALUES ({row})"
        )
        for id, parent, text in (("t1", "NULL", "¿Qué árbol?"), ("t2", "'t1'", "Otro")):
            connection.exec_driver_sql(
                "INSERT INTO turns (id, conversation_id, parent, user_text, reply, stop_reason, usage, documents, "
                f"created_at, updated_at) VALUES ('{id}', 'c', {parent}, '{text}', 'Respuesta', 'end_turn', "
                """'{"input_tokens": 5}', '[]', 1.0, 1.0)"""
            )


def shape(database: Database) -> Any:
    """Tables, columns and indexes as the database tells them."""
    inspector = sa.inspect(engine_of(database))
    tables = sorted(name for name in inspector.get_table_names() if not name.startswith("search_index"))
    return {
        name: (
            sorted((each["name"], str(each["type"]), each["nullable"]) for each in inspector.get_columns(name)),
            sorted((str(each["name"]), each["column_names"]) for each in inspector.get_indexes(name)),
            sorted((each["constrained_columns"], each["options"]) for each in inspector.get_foreign_keys(name)),
            inspector.get_pk_constraint(name)["constrained_columns"],
        )
        for name in tables
    }


def test_a_database_from_before_alembic_is_adopted_with_all_it_holds(empty: Database) -> None:
    make_old(empty)
    store = ConversationStore(empty.url)
    stored = store.get("ana", "c")
    assert [(turn.user, turn.reply, turn.notices, turn.error_code) for turn in stored.turns] == [
        ("¿Qué árbol?", "Respuesta", (), ""),
        ("Otro", "Respuesta", (), ""),
    ]
    assert [[each.id for each in store.list("ana", search=word)] for word in ("ARBOL", "arboles", "respu")] == [
        ["c"]
    ] * 3
    store.close()


def test_revisions_lead_to_the_tables_that_a_new_database_has(
    empty: Database, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    make_old(empty)
    for made in (empty.url,):
        store = ConversationStore(made)
        store.check()
        store.close()
    with database_of(
        "sqlite" if empty.path else "postgresql", tmp_path / "new", lambda: request.getfixturevalue("postgres")
    ) as new:
        store = ConversationStore(new.url)
        store.check()
        store.close()
        assert shape(empty) == shape(new)
        if empty.path:
            kinds = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' OR name = 'search_index' ORDER BY name"
            assert empty.run(kinds) == new.run(kinds)


def test_a_revision_of_the_future_is_left_alone(empty: Database) -> None:
    store = ConversationStore(empty.url)
    store.check()
    empty.run("UPDATE alembic_version SET version_num = '9999'")
    again = ConversationStore(empty.url)
    with pytest.raises(StoreError) as caught:
        again.check()
    assert caught.value.code == "newer"
    assert empty.run("SELECT version_num FROM alembic_version") == [("9999",)]


def test_a_failed_upgrade_leaves_the_old_database_as_it_was(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    make_old(empty)
    before = shape(empty)
    # The last thing that the revision does.
    monkeypatch.setattr("alembic.op.drop_table", lambda name: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ConversationStore(empty.url).check()
    assert shape(empty) == before
    monkeypatch.undo()
    assert len(ConversationStore(empty.url).line("ana", "c")) == 2


PROCESS = """
import json, sys
from assistant.store import ConversationStore
print("ready", flush=True)
sys.stdin.readline()
store = ConversationStore(sys.argv[1], busy_timeout=60)
store.check()
store.create("ana", sys.argv[2])
store.close()
print(json.dumps("alembic.command" in sys.modules), flush=True)
"""


@pytest.mark.parametrize("old", [False, True])
def test_processes_that_start_at_once_make_one_schema(empty: Database, old: bool) -> None:
    if old:
        make_old(empty)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, empty.url, f"p{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for number in range(2)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    told = [process.communicate(timeout=90) for process in started]
    assert [process.returncode for process in started] == [0, 0], told
    store = ConversationStore(empty.url)
    assert {each.id for each in store.list("ana")} == {"p0", "p1"} | ({"c"} if old else set())
    # Who finds tables that are up to date has no use for Alembic; a new database needs none either.
    assert sum(json.loads(out) for out, _ in told) <= (2 if old else 0)
    store.close()
