"""The tables, and the statements that are made of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from assistant import schema, upgrading


def test_the_newest_revision_is_the_one_that_tables_are_of() -> None:
    from alembic.script import ScriptDirectory

    with sa.create_engine("sqlite://").connect() as connection:
        assert ScriptDirectory.from_config(upgrading.alembic_config(connection)).get_heads() == [schema.HEAD]


def test_what_hangs_on_a_conversation_goes_with_it_and_what_an_owner_has_used_stays() -> None:
    gone = {table.name for table in schema.metadata.sorted_tables if _hangs_on_conversations(table)}
    assert gone == {"turns", "documents", "search_texts", "search_words"}
    named = {table.name for table in schema.metadata.sorted_tables if "owner" in table.c}
    assert named == {table.name for table in schema.Tables().owned}


def _hangs_on_conversations(table: sa.Table) -> bool:
    kept = {key.ondelete for key in table.foreign_keys} - {"CASCADE"}
    assert not kept, "rows of a conversation that is erased would stop that, or stay"
    return bool(table.foreign_keys)


def test_an_insert_of_either_database_says_what_happens_where_the_key_is_there() -> None:
    for dialect in (postgresql.dialect(), sqlite.dialect()):
        tx: Any = SimpleNamespace(dialect=dialect)
        insert = schema.inserting(tx, schema.preferences).values(owner="ana", settings={}).on_conflict_do_nothing()
        assert str(insert.compile(dialect=dialect)).endswith("ON CONFLICT DO NOTHING")


@pytest.mark.parametrize(("day", "expected"), [("2026-11-24", ("2026-11-25", 7)), ("2026-11-26", ("2026-11-26", 1))])
def test_values_are_new_where_what_they_go_by_is_and_otherwise_kept(day: str, expected: tuple[str, int]) -> None:
    table = schema.accounts
    with sa.create_engine("sqlite://").begin() as tx:
        table.create(tx)
        tx.execute(table.insert().values(key="ana", day=day, tokens=1, usd=0.0))
        changed = schema.if_newer(table.c.day, "2026-11-25", {"tokens": 7}, {"tokens": table.c.tokens})
        tx.execute(table.update().values(changed))
        assert tx.execute(sa.select(table.c.day, table.c.tokens)).one() == expected
