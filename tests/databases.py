"""A database of either kind for a test: its URL, a look into it, and a way to lock it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest
import sqlalchemy as sa

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


class Lock(Protocol):
    def close(self) -> None: ...


@dataclass(frozen=True)
class Database:
    """`path` is SQLite's file, which need not be there yet; None for PostgreSQL."""

    url: str
    path: Path | None = None

    def run(self, statement: str) -> list[Any]:
        """Runs a statement behind everybody's back; the rows, where it has some."""
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            result = connection.exec_driver_sql(statement)
            return [tuple(row) for row in result] if result.returns_rows else []

    def locked(self) -> Lock:
        """Nobody can write until this is closed; all can read."""
        if self.path is not None:
            raw = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            raw.execute("BEGIN IMMEDIATE")
            return raw
        connection = psycopg.connect(self.url.replace("+psycopg", ""))
        connection.execute("LOCK TABLE conversations, turns, usage_days IN EXCLUSIVE MODE")
        return connection


@contextmanager
def database_of(kind: str, path: Path, postgres: Any) -> Iterator[Database]:
    """A new one. `postgres()` is asked for the server where that is wanted."""
    if kind == "sqlite":
        yield Database(f"sqlite:///{path / 'conversations.db'}", path / "conversations.db")
    else:
        with postgres().database() as url:
            yield Database(url)
