"""Engines: the URL of a database, connections to it, the modes of its files, and what its failures mean.

This module loads SQLAlchemy.
"""

from __future__ import annotations

import logging
import math
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from .errors import StoreError

logger = logging.getLogger("assistant")


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
        return _server_engine(url, busy_timeout)
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
        _use_wal(cursor, time.monotonic() + busy_timeout)
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        # What is erased is overwritten; how SQLite was built decides it otherwise.
        cursor.execute("PRAGMA secure_delete=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A transaction that reads first and writes later fails at once when another one wrote in between, whatever
        # the timeout; one that says so at the beginning waits for its turn.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _use_wal(cursor: sqlite3.Cursor, deadline: float) -> None:
    """Where several processes open a new database at once, SQLite refuses this at once, whatever its timeout."""
    while True:
        try:
            # Asking changes nothing where the database is in WAL mode already, so that a read-only one opens too.
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= deadline:
                raise
            time.sleep(0.01)


def truncate_log(engine: sa.Engine) -> None:
    """Empties SQLite's write-ahead log, which holds what was written last, erased or not. Blocks for whoever reads it,
    at most for the busy timeout; the log stays then."""
    if engine.dialect.name != "sqlite":
        return
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError:
        # It is what a later checkpoint does as well.
        logger.info("store.log_not_truncated", exc_info=True)
    finally:
        connection.close()


def _server_engine(url: sa.URL, busy_timeout: float) -> sa.Engine:
    # A server that is gone is to be noticed within the time that one waits for a lock.
    limits = {"connect_timeout": max(2, math.ceil(busy_timeout))} if url.get_backend_name() == "postgresql" else {}
    engine = _created(url, hide_parameters=True, pool_pre_ping=True, pool_size=10, max_overflow=20, connect_args=limits)

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: ConnectionPoolEntry) -> None:
        if limits:
            with connection.cursor() as cursor:
                cursor.execute(f"SET lock_timeout = {round(busy_timeout * 1000)}")
            connection.commit()

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


_CAUSES: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    (
        "unreachable",
        (
            "connection failed",
            "connection is bad",
            "connection is lost",
            "connection refused",
            "connection timeout",
            "closed the connection",
            "could not translate host",
            "terminating connection",
        ),
        "can't be reached",
        "Check that its server runs and that the URL is right; it is tried again by itself.",
    ),
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
    """What went wrong, in words; `code` is one of locked, full, read_only, unreachable,
    not_a_database, unopenable, failed."""
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
