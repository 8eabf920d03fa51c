"""A database that is opened at its first use, brought to the tables of this package, and says in words what fails.

Importing this module loads no SQLAlchemy; making a Database does.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .errors import AssistantError, StoreError

if TYPE_CHECKING:
    import sqlalchemy as sa


class Database:
    """Transactions on the database of an URL; without one, on conversations.db in `data_dir`."""

    def __init__(
        self,
        url: str | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        *,
        clock: Callable[[], float] = time.time,
        busy_timeout: float = 5.0,
    ) -> None:
        try:
            from . import engines, upgrading
        except ModuleNotFoundError as error:
            raise StoreError(
                f"Keeping conversations needs {error.name}, which is not installed.",
                hint="pip install 'assistant[store]'",
            ) from error
        self.clock = clock
        self._engines = engines
        self._upgrade = upgrading.prepare_tables
        self._url = engines.database_url(url, data_dir)
        self._engine = engines.make_engine(self._url, busy_timeout)
        self._busy_timeout = busy_timeout
        self._prepared = False
        # SQLite has one writer at a time. Waiting for a lock is fair and quick; waiting inside SQLite is polling.
        self._writing = threading.Lock() if self._url.get_backend_name() == "sqlite" else None

    @property
    def location(self) -> str:
        """Where the conversations are, without a password."""
        return self._url.render_as_string(hide_password=True)

    def check(self) -> None:
        """Opens the database and brings its tables up to date. Any other call does so too."""
        with self.transaction(writes=False):
            pass

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def transaction(self, *, writes: bool = True) -> Iterator[sa.Connection]:
        """One transaction, committed at the end; what the database fails with becomes a StoreError."""
        lock = self._writing if writes else None
        if lock is not None and not lock.acquire(timeout=self._busy_timeout):
            raise self._engines.store_error(TimeoutError("locked"), self._url)
        try:
            if not self._prepared:
                self._engines.prepare_files(self._url)
                self._upgrade(self._engine)
                self._prepared = True
            with self._engine.connect().execution_options(writes=writes) as connection, connection.begin():
                yield connection
        except AssistantError:
            raise
        except Exception as error:
            if isinstance(error, (OSError, sqlite3.Error)) or type(error).__module__.startswith("sqlalchemy."):
                failed = self._engines.store_error(error, self._url)
                if failed.code == "read_only":
                    # What SQLite opened while nothing could be written stays so when it can be again.
                    self._engine.dispose()
                raise failed from error
            raise
        finally:
            if lock is not None:
                lock.release()
