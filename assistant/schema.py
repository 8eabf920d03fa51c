"""Where conversations are kept and in what shape: tables, engine, and what a database's failures mean.

Only store.py comes here, when the first ConversationStore is made: this module loads SQLAlchemy. Nothing in it but
the pragmas and the file modes is SQLite's own.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from .documents import Document
from .errors import StoreError
from .messages import Turn, Usage

# Raised with each change of the tables; Alembic's revisions will start from this one.
SCHEMA_VERSION = 1

metadata = sa.MetaData()

schema_version = sa.Table("schema_version", metadata, sa.Column("version", sa.Integer, primary_key=True))

conversations = sa.Table(
    "conversations",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("owner", sa.String(255), nullable=False),
    sa.Column("title", sa.Text, nullable=False),
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
    sa.Column("usage", sa.JSON, nullable=False),
    sa.Column("model", sa.Text),
    # Ids into `documents`, in order.
    sa.Column("documents", sa.JSON, nullable=False),
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


class Tables(NamedTuple):
    """What store.py works with, so that it needs no SQLAlchemy of its own."""

    conversations: sa.Table = conversations
    turns: sa.Table = turns
    documents: sa.Table = documents


def ancestry(tx: sa.Connection, conversation_id: str, head: str | None) -> list[str]:
    """The ids from `head` back to the first turn."""
    query = sa.select(turns.c.id, turns.c.parent).where(turns.c.conversation_id == conversation_id)
    parents = {row.id: row.parent for row in tx.execute(query)}
    line: list[str] = []
    while head is not None and head in parents:
        line.append(head)
        head = parents.pop(head)
    return line


def read_line(tx: sa.Connection, conversation_id: str, head: str | None) -> list[Turn]:
    """The turns from the first one to `head`, with their documents."""
    found = tx.execute(sa.select(turns).where(turns.c.conversation_id == conversation_id)).mappings()
    rows = {row["id"]: row for row in found}
    files: dict[str, Document] = {}
    if any(row["documents"] for row in rows.values()):
        for file in tx.execute(sa.select(documents).where(documents.c.conversation_id == conversation_id)):
            files[file.id] = Document(file.name, file.format, file.data, file.id)
    line: list[Turn] = []
    while head is not None and head in rows:
        row = rows.pop(head)
        turn = Turn(
            row["user_text"],
            row["reply"],
            row["stop_reason"],
            row["error"],
            Usage.from_dict(row["usage"]),
            tuple(files[id] for id in row["documents"] if id in files),
            row["model"],
            row["id"],
        )
        line.append(turn)
        head = row["parent"]
    return line[::-1]


def add_turn(tx: sa.Connection, conversation_id: str, parent: str | None, turn: Turn, now: float) -> bool:
    """Stores a turn that begins, and what it brings along; False where it is there already."""
    if tx.execute(sa.select(turns.c.id).where(turns.c.id == turn.id)).first() is not None:
        return False
    row: dict[str, Any] = {"id": turn.id, "conversation_id": conversation_id, "parent": parent, "user_text": turn.user}
    row |= {"usage": turn.usage.to_dict(), "model": turn.model, "created_at": now, "updated_at": now}
    row["documents"] = [document.id for document in turn.documents]
    tx.execute(turns.insert().values(row))
    if turn.documents:
        query = sa.select(documents.c.id).where(documents.c.conversation_id == conversation_id)
        known = set(tx.execute(query).scalars())
        for document in {each.id: each for each in turn.documents if each.id not in known}.values():
            file = {"id": document.id, "name": document.name, "format": document.format, "data": document.data}
            tx.execute(documents.insert().values(conversation_id=conversation_id, **file))
    return True


def database_url(url: str | None, data_dir: str | os.PathLike[str] | None) -> sa.URL:
    """The URL to open. Without one: conversations.db in `data_dir`, by default the platform's directory for user data.

    A bare "postgresql:" (or "postgres:") means psycopg 3. Raises StoreError for what is no URL.
    """
    if url is None:
        if data_dir is None:
            import platformdirs

            data_dir = platformdirs.user_data_dir("assistant", appauthor=False)
        path = Path(data_dir).expanduser().absolute() / "conversations.db"
        return sa.URL.create("sqlite", database=str(path))
    try:
        parsed = sa.make_url(url)
    except exc.ArgumentError as error:
        # The text may hold a password: it is not repeated.
        raise StoreError(
            "The database URL can't be read.",
            hint="It looks like sqlite:////absolute/path.db or postgresql://user:password@host/name.",
        ) from error
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed


def make_engine(url: sa.URL, busy_timeout: float) -> sa.Engine:
    """An engine whose write transactions (see `ConversationStore`) begin as such. Opens nothing yet."""
    if url.get_backend_name() != "sqlite":
        # What a user wrote doesn't belong into messages of errors and logs: hide_parameters.
        return _created(url, hide_parameters=True, pool_pre_ping=True, pool_size=10, max_overflow=20)
    in_memory = url.database in (None, "", ":memory:")
    engine = _created(
        url,
        hide_parameters=True,
        poolclass=QueuePool,
        # A database in memory is as many databases as it has connections.
        pool_size=1 if in_memory else 10,
        max_overflow=0 if in_memory else 20,
        connect_args={"timeout": busy_timeout, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        # The driver's own transactions begin late and never as writing ones: begin() below does it instead.
        connection.isolation_level = None
        cursor = connection.cursor()
        # Asking changes nothing where the database is in WAL mode already, so that a read-only one opens too.
        if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A transaction that reads first and writes later fails at once when another one wrote in between, whatever
        # the timeout; one that says so at the beginning waits for its turn.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _created(url: sa.URL, **options: Any) -> sa.Engine:
    try:
        return sa.create_engine(url, **options)
    except (exc.ArgumentError, ModuleNotFoundError) as error:
        raise StoreError(
            f"There is no driver for {url.drivername} databases here.",
            hint="For PostgreSQL: pip install 'psycopg[binary]'.",
        ) from error


def prepare_files(url: sa.URL) -> None:
    """What others on the machine must not read: the directory, where it is made here, 0700, the database 0600.

    SQLite gives the files beside the database (-wal, -shm) the database's mode.
    """
    name = url.database
    if url.get_backend_name() != "sqlite" or name in (None, "", ":memory:") or name.startswith("file:"):
        return
    path = Path(name)
    if not path.parent.exists():
        # Directories above it are nobody's secret and get the ordinary mode.
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
    if path.exists():
        if os.name == "posix" and path.stat().st_mode & 0o077 and path.stat().st_uid == os.geteuid():
            path.chmod(0o600)
        return
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def prepare_tables(engine: sa.Engine) -> None:
    """Makes the tables where they are missing. Raises StoreError where they are of a newer package."""
    with engine.connect() as connection:
        if sa.inspect(connection).has_table(schema_version.name):
            version = connection.execute(sa.select(sa.func.max(schema_version.c.version))).scalar()
        else:
            version = None
    if version is None:
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            metadata.create_all(connection)
            # Two processes may get here at once; the second finds it done.
            if connection.execute(sa.select(schema_version)).first() is None:
                connection.execute(schema_version.insert().values(version=SCHEMA_VERSION))
    elif version > SCHEMA_VERSION:
        raise StoreError(
            f"The database has version {version}; this package reads {SCHEMA_VERSION}.",
            hint="Update the package, or choose another database.",
            code="newer",
        )


_CAUSES: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    (
        "locked",
        ("locked", "busy", "timeout"),
        "is locked by another program",
        "Close the other program, or wait: it is tried again by itself.",
    ),
    ("full", ("is full", "no space left"), "has no space left", "Make room on the disk; it is tried again by itself."),
    (
        "read_only",
        ("readonly", "read-only"),
        "can't be written",
        "Check the permissions of the file and of its directory, or choose another --data-dir.",
    ),
    (
        "not_a_database",
        ("not a database", "malformed", "file is encrypted"),
        "is damaged, or is no database",
        "Move the file away (a new one is made), or choose another --data-dir.",
    ),
    (
        "unopenable",
        ("unable to open", "permission denied", "no such file", "not a directory", "is a directory", "file exists"),
        "can't be opened",
        "Check that the directory exists and belongs to you, or choose another --data-dir.",
    ),
)


def store_error(error: Exception, url: sa.URL) -> StoreError:
    """What went wrong, in words; `code` is one of locked, full, read_only, not_a_database, unopenable, failed."""
    where = url.render_as_string(hide_password=True)
    # Of an OSError only the words: its path may say anything.
    said = str(getattr(error, "orig", None) or getattr(error, "strerror", None) or error).lower()
    for code, words, what, hint in _CAUSES:
        if any(word in said for word in words):
            return StoreError(f"The database {where} {what}.", hint=hint, code=code, transient=code != "not_a_database")
    return StoreError(
        f"The database {where} failed: {said.splitlines()[0] if said else type(error).__name__}",
        hint="See the log; it is tried again by itself.",
        code="failed",
        transient=True,
    )
