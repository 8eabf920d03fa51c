"""Connections and files: whose they are, and what failures of the place mean."""

from __future__ import annotations

import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from assistant.errors import StoreError
from assistant.schema import HEAD
from assistant.store import ConversationStore
from tests import stores
from tests.databases import ON_SQLITE
from tests.stores import begin, failure, say

clock, store = stores.clock, stores.store


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@ON_SQLITE
def test_directory_and_files_are_the_user_s_own(store: ConversationStore, tmp_path: Path) -> None:
    begin(store, None, "1")
    data = tmp_path / "data"
    files = sorted(data.iterdir())
    assert [file.name for file in files] == ["conversations.db", "conversations.db-shm", "conversations.db-wal"]
    assert [oct(mode(path)) for path in (data, *files)] == ["0o700", "0o600", "0o600", "0o600"]


def test_a_file_that_was_open_to_others_is_closed_and_their_directory_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    file = tmp_path / "x.db"
    file.touch(0o644)
    store = ConversationStore(f"sqlite:///{file}")
    store.check()
    store.close()
    assert (mode(tmp_path), mode(file)) == (0o755, 0o600)


@ON_SQLITE
def test_the_database_is_in_wal_mode_and_keeps_what_it_knows(store: ConversationStore, tmp_path: Path) -> None:
    say(store, None, "1")
    with sqlite3.connect(tmp_path / "data" / "conversations.db") as raw:
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
    again = ConversationStore(data_dir=tmp_path / "data")
    assert [turn.reply for turn in again.line("ana", "c")] == ["reply to 1"]
    again.close()


def test_a_database_in_memory_is_one_database_for_all_threads() -> None:
    store = ConversationStore("sqlite://")
    threads = [threading.Thread(target=store.create, args=("ana", f"c{number}")) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(store.list("ana")) == 4
    store.close()


def test_a_server_that_can_t_be_reached_says_so_and_is_tried_again(tmp_path: Path) -> None:
    store = ConversationStore(f"postgresql://user:secret@/name?host={tmp_path}", busy_timeout=0.05)
    for _ in range(2):
        error = failure(store)
        assert (error.code, error.transient) == ("unreachable", True)
        assert "secret" not in str(error) + str(error.__cause__)
    store.close()


def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "conversations.db").write_bytes(b"Dear diary, " * 1000)
    error = failure(ConversationStore(data_dir=tmp_path))
    assert error.code == "not_a_database"
    assert str(tmp_path) in str(error)


def test_a_place_that_can_t_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert failure(ConversationStore(data_dir=tmp_path / "file" / "data")).code == "unopenable"
    (tmp_path / "conversations.db").mkdir()
    assert failure(ConversationStore(data_dir=tmp_path)).code == "unopenable"


@pytest.mark.parametrize("url", ["nonsense", "nosuchdriver://user:secret@host/x"])
def test_a_wrong_url_is_one_clear_error_without_the_password(url: str) -> None:
    with pytest.raises(StoreError) as caught:
        ConversationStore(url)
    assert "secret" not in str(caught.value)
