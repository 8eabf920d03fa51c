"""How a database of an earlier package becomes one of this package: Alembic's revisions."""
