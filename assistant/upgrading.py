"""Brings a database to the tables of this package, whatever it held before and however many processes try at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from .errors import StoreError
from .schema import HEAD, metadata

if TYPE_CHECKING:
    from alembic.config import Config

# Any number, the same in each process: PostgreSQL's lock for those who make or change tables.
_LOCK = 0x61737369
_VERSIONS = sa.table("alembic_version", sa.column("version_num", sa.String))
# Before Alembic, which then begins from this revision.
_OLD_VERSIONS = sa.table("schema_version", sa.column("version", sa.Integer))
_ADOPTED = "0001"


def prepare_tables(engine: sa.Engine) -> None:
    """Makes the tables, or changes them as needed. Raises StoreError where they are of a newer package.

    A database that is up to date costs one SELECT, and no import of Alembic.
    """
    with engine.connect() as connection:
        if _revision(connection) == HEAD:
            return
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        # Another process may have been here in between.
        revision = _revision(connection)
        if revision == HEAD:
            return
        if revision is None:
            metadata.create_all(connection)
            sa.Table("alembic_version", sa.MetaData(), _version_column()).create(connection)
            connection.execute(_VERSIONS.insert().values(version_num=HEAD))
        else:
            upgrade(connection, revision)


def upgrade(connection: sa.Connection, revision: str, to: str = HEAD) -> None:
    """Runs the revisions between, within the connection's transaction."""
    from alembic import command
    from alembic.util import CommandError

    config = alembic_config(connection)
    try:
        if not sa.inspect(connection).has_table("alembic_version"):
            command.stamp(config, revision)
        command.upgrade(config, to)
    except CommandError as error:
        raise StoreError(
            f"The database has revision {revision}; this package reads {HEAD}.",
            hint="Update the package, or choose another database.",
            code="newer",
        ) from error


def alembic_config(connection: sa.Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "assistant:migrations")
    config.attributes["connection"] = connection
    return config


def _version_column() -> sa.Column[str]:
    # As Alembic makes it.
    return sa.Column("version_num", sa.String(32), primary_key=True)


def _revision(connection: sa.Connection) -> str | None:
    """The revision of the tables; None: there are none."""
    names = sa.inspect(connection)
    if names.has_table(_VERSIONS.name):
        found: str | None = connection.execute(sa.select(_VERSIONS.c.version_num)).scalar()
        return found
    if names.has_table(_OLD_VERSIONS.name):
        version = connection.execute(sa.select(sa.func.max(_OLD_VERSIONS.c.version))).scalar() or 0
        return _ADOPTED if version <= 1 else f"v{version}"
    return None
