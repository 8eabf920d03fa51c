"""The tables in which conversations are kept. This module loads SQLAlchemy.

What changes here needs a revision in migrations/versions: a new database is made from these tables, an old one is
brought to them by the revisions, and a test compares the two.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import TSVECTOR

# The revision that these tables are of; a database that has it is opened without a further look.
HEAD = "0002"

metadata = sa.MetaData()


def inserting(tx: sa.Connection, table: sa.Table) -> Any:
    """An INSERT that can say what happens where the key is there already."""
    insert: Any = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    return insert(table)


conversations = sa.Table(
    "conversations",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("owner", sa.String(255), nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    # Who gave the title: "" (the first words), "model" or "user".
    sa.Column("titled_by", sa.String(16), nullable=False, server_default=""),
    # The title without case and accents, for searches.
    sa.Column("folded_title", sa.Text, nullable=False, server_default=""),
    sa.Column("settings", sa.JSON, nullable=False),
    sa.Column("memory", sa.JSON(none_as_null=True)),
    # The newest turn of the line that is shown; None: nothing is said yet, or all is undone.
    sa.Column("head", sa.String(64)),
    # Goes up with everything that a session in some process's memory would have to read again.
    sa.Column("version", sa.Integer, nullable=False),
    # Names one run, not one process: a run that was given up can't save in the name of its successor.
    sa.Column("lease_owner", sa.String(64)),
    sa.Column("lease_until", sa.Double),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("updated_at", sa.Double, nullable=False),
    sa.Column("deleted_at", sa.Double),
    sa.Index("conversations_of_owner", "owner", "updated_at"),
)

turns = sa.Table(
    "turns",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("conversation_id", sa.ForeignKey(conversations.c.id, ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("parent", sa.String(64)),
    sa.Column("user_text", sa.Text, nullable=False),
    sa.Column("reply", sa.Text),
    # None while the turn runs.
    sa.Column("stop_reason", sa.String(32)),
    sa.Column("error", sa.Text),
    sa.Column("error_code", sa.String(64), nullable=False, server_default=""),
    sa.Column("usage", sa.JSON, nullable=False),
    sa.Column("model", sa.Text),
    # Ids into `documents`, in order.
    sa.Column("documents", sa.JSON, nullable=False),
    sa.Column("notices", sa.JSON(none_as_null=True)),
    sa.Column("started", sa.Double),
    sa.Column("first_text_after", sa.Double),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("updated_at", sa.Double, nullable=False),
    sa.Column("ended_at", sa.Double),
)

documents = sa.Table(
    "documents",
    metadata,
    sa.Column("conversation_id", sa.ForeignKey(conversations.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("format", sa.String(16), nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

# What searches look into: stretches of turns and their words (searching.py).
search_texts = sa.Table(
    "search_texts",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("conversation_id", sa.ForeignKey(conversations.c.id, ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("turns", sa.Integer, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
)

# Apart from them: a common word is found in all, and SQLite looks up in a narrow table whose they are. PostgreSQL keeps
# long values elsewhere anyway, and saves itself the join.
search_words = sa.Table(
    "search_words",
    metadata,
    sa.Column("id", sa.ForeignKey(search_texts.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("conversation_id", sa.String(64), nullable=False),
    sa.Column("words", sa.Text().with_variant(TSVECTOR(), "postgresql"), nullable=False),
)

preferences = sa.Table(
    "preferences",
    metadata,
    sa.Column("owner", sa.String(255), primary_key=True),
    sa.Column("settings", sa.JSON, nullable=False),
)

presets = sa.Table(
    "presets",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("owner", sa.String(255), nullable=False, index=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("settings", sa.JSON, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
)

# What an owner's replies used each (UTC) day; it stays when a conversation is erased.
usage_days = sa.Table(
    "usage_days",
    metadata,
    sa.Column("owner", sa.String(255), primary_key=True),
    sa.Column("day", sa.String(10), primary_key=True),
    sa.Column("input_tokens", sa.BigInteger, nullable=False),
    sa.Column("output_tokens", sa.BigInteger, nullable=False),
    sa.Column("cost", sa.Double, nullable=False),
    # Replies whose price is not known: the sum is no sum then.
    sa.Column("unpriced", sa.Integer, nullable=False),
    sa.Column("turns", sa.Integer, nullable=False),
)

# What limits are held against (accounts.py). The key names an owner, a session, or everybody.
accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("key", sa.String(300), primary_key=True),
    sa.Column("day", sa.String(10), nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    sa.Column("usd", sa.Double, nullable=False),
)

# A message each, and its slot among the replies that run at once, while either counts.
admissions = sa.Table(
    "admissions",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("key", sa.String(300), primary_key=True),
    sa.Column("sent_at", sa.Double, nullable=False),
    # Until when the slot is held, unless it is renewed; 0: given back.
    sa.Column("held_until", sa.Double, nullable=False),
    sa.Index("admissions_of_key", "key", "sent_at"),
)


class Tables(NamedTuple):
    """What store.py works with, so that it needs no SQLAlchemy of its own."""

    conversations: sa.Table = conversations
    turns: sa.Table = turns
    documents: sa.Table = documents
    # Those whose rows name an owner; what hangs on a conversation goes with it.
    owned: tuple[sa.Table, ...] = (conversations, preferences, presets, usage_days)


def if_newer(
    column: sa.ColumnElement[Any], value: Any, new: dict[str, Any], otherwise: dict[str, Any]
) -> dict[str, Any]:
    """What an update sets: the values of `new` where `value` is above the column's, else those of `otherwise`."""
    return {name: sa.case((column < value, new[name]), else_=kept) for name, kept in otherwise.items()} | {
        column.key or "": sa.case((column < value, value), else_=column)
    }


def has_fts(tx: sa.Connection) -> bool:
    """Whether this SQLite was built with full text search; nearly all are."""
    return bool(tx.exec_driver_sql("SELECT sqlite_compileoption_used('ENABLE_FTS5')").scalar())


def make_search_index(tx: sa.Connection) -> None:
    """The index over `search_words`, which each database makes in its own way."""
    if tx.dialect.name == "postgresql":
        tx.exec_driver_sql("CREATE INDEX search_words_index ON search_words USING gin (words)")
    elif has_fts(tx):
        for statement in _SQLITE_INDEX:
            tx.exec_driver_sql(statement)


@event.listens_for(search_words, "after_create")
def _created(target: sa.Table, connection: sa.Connection, **_: object) -> None:
    make_search_index(connection)


# The words stand in `search_words` alone; the triggers see to it that what goes there goes here, by cascades too.
# U+E000 and whatever else \w takes is a letter to unicode61; words are folded before.
_REMOVE = "INSERT INTO search_index(search_index, rowid, words) VALUES ('delete', old.id, old.words);"
_ADD = "INSERT INTO search_index(rowid, words) VALUES (new.id, new.words);"
_SQLITE_INDEX = (
    "CREATE VIRTUAL TABLE search_index USING fts5(words, content='search_words', content_rowid='id', detail=none, "
    "columnsize=0, tokenize='unicode61 remove_diacritics 0', prefix='3')",
    f"CREATE TRIGGER search_added AFTER INSERT ON search_words BEGIN {_ADD} END",
    f"CREATE TRIGGER search_removed AFTER DELETE ON search_words BEGIN {_REMOVE} END",
    f"CREATE TRIGGER search_changed AFTER UPDATE OF words ON search_words BEGIN {_REMOVE} {_ADD} END",
)
