"""Searching by words, presets and preferences, usage by day, accounts for limits, and more about each turn."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("conversations", sa.Column("titled_by", sa.String(16), nullable=False, server_default=""))
    op.add_column("conversations", sa.Column("folded_title", sa.Text, nullable=False, server_default=""))
    op.add_column("turns", sa.Column("error_code", sa.String(64), nullable=False, server_default=""))
    op.add_column("turns", sa.Column("notices", sa.JSON))
    op.add_column("turns", sa.Column("started", sa.Double))
    op.add_column("turns", sa.Column("first_text_after", sa.Double))
    op.create_table(
        "search_texts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "conversation_id", sa.String(64), sa.ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("turns", sa.Integer, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Index("ix_search_texts_conversation_id", "conversation_id"),
    )
    op.create_table(
        "search_words",
        sa.Column("id", sa.Integer, sa.ForeignKey("search_texts.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("conversation_id", sa.String(64), nullable=False),
        sa.Column("words", sa.Text().with_variant(TSVECTOR(), "postgresql"), nullable=False),
    )
    op.create_table(
        "preferences",
        sa.Column("owner", sa.String(255), primary_key=True),
        sa.Column("settings", sa.JSON, nullable=False),
    )
    op.create_table(
        "presets",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Index("ix_presets_owner", "owner"),
    )
    op.create_table(
        "usage_days",
        sa.Column("owner", sa.String(255), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("cost", sa.Double, nullable=False),
        sa.Column("unpriced", sa.Integer, nullable=False),
        sa.Column("turns", sa.Integer, nullable=False),
    )
    op.create_table(
        "accounts",
        sa.Column("key", sa.String(300), primary_key=True),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("usd", sa.Double, nullable=False),
    )
    op.create_table(
        "admissions",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(300), primary_key=True),
        sa.Column("sent_at", sa.Double, nullable=False),
        sa.Column("held_until", sa.Double, nullable=False),
        sa.Index("admissions_of_key", "key", "sent_at"),
    )
    _fill(op.get_bind())
    # Alembic has one of its own.
    op.drop_table("schema_version")


def _fill(connection: sa.Connection) -> None:
    """What was said before is to be found too."""
    from assistant.schema import make_search_index
    from assistant.searching import add_words, fold, words_of

    make_search_index(connection)
    c = sa.table("conversations", *(sa.column(name) for name in ("id", "owner", "title", "folded_title")))
    t = sa.table("turns", *(sa.column(name) for name in ("conversation_id", "user_text", "reply", "created_at")))
    for row in connection.execute(sa.select(c.c.id, c.c.owner, c.c.title)).all():
        connection.execute(c.update().where(c.c.id == row.id).values(folded_title=fold(row.title)))
        said = sa.select(t.c.user_text, t.c.reply).where(t.c.conversation_id == row.id).order_by(t.c.created_at)
        for turn in connection.execute(said).all():
            add_words(connection, row.owner, row.id, words_of(turn.user_text, turn.reply))
