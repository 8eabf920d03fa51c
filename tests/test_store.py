"""ConversationStore: owners, lines, leases and fences, on real SQLite files and a real PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assistant.documents import Document
from assistant.errors import StoreError
from assistant.messages import Turn, Usage
from assistant.schema import HEAD
from assistant.store import Begun, ConversationNotFoundError, ConversationStore, Growth, title_of
from tests.databases import Database
from tests.postgres import Postgres

LEASE = 15.0

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database: Database, clock: Clock) -> Iterator[ConversationStore]:
    store = ConversationStore(database.url, clock=clock, busy_timeout=0.05)
    store.create("ana", "c")
    yield store
    store.close()


def begin(store: ConversationStore, after: str | None, id: str, **options: object) -> Begun:
    lease = str(options.pop("lease", f"lease of {id}"))
    return store.begin_turn("ana", "c", after, Turn(f"text of {id}", id=id), lease, LEASE, **options)  # type: ignore[arg-type]


def say(store: ConversationStore, after: str | None, id: str, **options: object) -> None:
    """A whole turn."""
    assert begin(store, after, id, **options).outcome == "ok"
    turn = Turn("", f"reply to {id}", "end_turn", id=id, usage=Usage(1, 2, cost=0.5), model="m")
    assert store.end_turn("c", turn, f"lease of {id}", {"after": id}) is not None


def ids(store: ConversationStore) -> list[str]:
    return [turn.id for turn in store.line("ana", "c")]


# -- what is kept ------------------------------------------------------------------------------------------


def test_a_turn_comes_back_as_it_was(store: ConversationStore) -> None:
    document = Document("notes.txt", "txt", b"\x00\xffnotes")
    turn = Turn("¿qué tal?\n\tx  ", documents=(document,), id="t")
    assert store.begin_turn("ana", "c", None, turn, "l", LEASE, settings={"model": "m", "top_p": 0.5}).outcome == "ok"
    ended = Turn("", "bien", "max_tokens", "an error", Usage(1, 2, 3, 4, None), (document,), "m", "t")
    store.end_turn("c", ended, "l", {"summary": "s"})
    stored = store.get("ana", "c")
    assert stored.turns == [
        Turn("¿qué tal?\n\tx  ", "bien", "max_tokens", "an error", ended.usage, (document,), "m", "t")
    ]
    assert (stored.memory, stored.settings) == ({"summary": "s"}, {"model": "m", "top_p": 0.5})
    assert (stored.head, stored.lease_until, stored.title) == ("t", None, "¿qué tal? x")


def test_a_document_that_comes_again_is_kept_once(store: ConversationStore) -> None:
    document = Document.from_text("a long text")
    for after, id in ((None, "1"), ("1", "2")):
        turn = Turn("x", documents=(document, document), id=id)
        store.begin_turn("ana", "c", after, turn, id, LEASE)
        store.end_turn("c", turn, id)
    assert [turn.documents for turn in store.line("ana", "c")] == [(document, document)] * 2


def test_texts_that_no_database_takes_are_mended(store: ConversationStore) -> None:
    store.begin_turn("ana", "c", None, Turn("half \ud83d, whole \ud83d\ude00, nul \0", id="t"), "l", LEASE)
    store.save_growing([Growth("c", "t", "l", "\udc00 grows")], LEASE)
    assert store.line("ana", "c")[0].reply == "\ufffd grows"
    store.end_turn("c", Turn("", "\udc00", "end_turn", id="t"), "l")
    turn = store.line("ana", "c")[0]
    assert (turn.user, turn.reply) == ("half \ufffd, whole 😀, nul \ufffd", "\ufffd")


def test_the_text_is_there_before_the_turn_has_ended(store: ConversationStore) -> None:
    begin(store, None, "1")
    assert store.line("ana", "c") == [Turn("text of 1", id="1")]


def test_an_end_without_memory_keeps_the_stored_one(store: ConversationStore) -> None:
    say(store, None, "1")
    begin(store, "1", "2")
    store.end_turn("c", Turn("", stop_reason="error", id="2"), "lease of 2")
    assert store.get("ana", "c").memory == {"after": "1"}


# -- owners ------------------------------------------------------------------------------------------------

NOBODY_S: dict[str, Callable[[ConversationStore, str, str], object]] = {
    "get": lambda store, owner, id: store.get(owner, id),
    "line": lambda store, owner, id: store.line(owner, id),
    "rename": lambda store, owner, id: store.rename(owner, id, "mine"),
    "set_settings": lambda store, owner, id: store.set_settings(owner, id, {}),
    "delete": lambda store, owner, id: store.delete(owner, id),
    "restore": lambda store, owner, id: store.restore(owner, id),
    "erase": lambda store, owner, id: store.erase(owner, id),
    "move_head": lambda store, owner, id: store.move_head(owner, id, None),
}


@pytest.mark.parametrize("call", NOBODY_S)
def test_another_owner_s_conversation_is_not_found_just_like_none(store: ConversationStore, call: str) -> None:
    say(store, None, "1")
    before = store.get("ana", "c")
    told = []
    for owner, id in (("bea", "c"), ("ana", "no such id")):
        with pytest.raises(ConversationNotFoundError) as caught:
            NOBODY_S[call](store, owner, id)
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert store.get("ana", "c") == before


def test_another_owner_can_neither_begin_nor_resume_nor_make_it_anew(store: ConversationStore) -> None:
    say(store, None, "1")
    for branch in (False, True):
        assert store.begin_turn("bea", "c", "1", Turn("x"), "l", LEASE, branch=branch).outcome == "not_found"
    assert store.resume_turn("bea", "c", "1", "l", LEASE).outcome == "not_found"
    assert not store.interrupt_expired("bea", "c")
    with pytest.raises(ConversationNotFoundError):
        store.create("bea", "c")
    with pytest.raises(ConversationNotFoundError):
        store.begin_turn("bea", "c", None, Turn("x"), "l", LEASE, create=True)
    assert ids(store) == ["1"]


def test_only_a_first_turn_makes_a_conversation(store: ConversationStore) -> None:
    assert store.begin_turn("ana", "new", "x", Turn("x"), "l", LEASE, create=True).outcome == "not_found"
    assert [each.id for each in store.list("ana")] == ["c"]


def test_lists_hold_the_owner_s_own_the_last_changed_first(store: ConversationStore, clock: Clock) -> None:
    say(store, None, "1")
    for number in range(3):
        clock.now += 1
        store.create("ana", f"c{number}")
    store.create("bea", "b")
    clock.now += 1
    begin(store, "1", "2")
    assert [(each.id, each.running) for each in store.list("ana", limit=2)] == [("c", True), ("c2", False)]
    assert [each.id for each in store.list("bea")] == ["b"]


def test_search_looks_into_titles_and_texts_of_the_owner_alone(store: ConversationStore) -> None:
    say(store, None, "1")
    store.create("ana", "d")
    store.rename("ana", "d", "100% mine")
    store.create("bea", "b")
    store.rename("bea", "b", "100% hers")
    found = {
        word: [each.id for each in store.list("ana", search=word)]
        for word in ("TEXT OF", "reply", "0% m", "0%m", "hers")
    }
    assert found == {"TEXT OF": ["c"], "reply": ["c"], "0% m": ["d"], "0%m": [], "hers": []}


def test_deleted_is_gone_until_restored_and_erased_is_gone(store: ConversationStore) -> None:
    say(store, None, "1")
    store.delete("ana", "c")
    assert store.list("ana") == []
    assert begin(store, "1", "2").outcome == "not_found"
    with pytest.raises(ConversationNotFoundError):
        store.get("ana", "c")
    store.restore("ana", "c")
    assert ids(store) == ["1"]
    store.erase("ana", "c")
    with pytest.raises(ConversationNotFoundError):
        store.restore("ana", "c")
    store.create("bea", "c")
    assert store.line("bea", "c") == []


def test_what_was_deleted_before_a_time_is_erased_whoever_s_it_is(
    store: ConversationStore, clock: Clock, database: Database
) -> None:
    for owner, id in (("ana", "early"), ("bea", "early too"), ("ana", "late"), ("ana", "kept")):
        turn = Turn(f"text of {id}", id=f"turn {id}")
        store.begin_turn(owner, id, None, turn, f"lease {id}", LEASE, create=True)
        if id == "late":
            clock.now += 10
        if id != "kept":
            store.delete(owner, id)
    assert store.erase_deleted(clock.now) == 2
    assert sorted(database.run("SELECT id FROM conversations WHERE id <> 'c'")) == [("kept",), ("late",)]
    assert sorted(database.run("SELECT id FROM turns")) == [("turn kept",), ("turn late",)]
    store.restore("ana", "late")


@ON_SQLITE
def test_nothing_of_what_was_erased_is_left_in_the_files(store: ConversationStore, tmp_path: Path) -> None:
    document = Document.from_text("marmalade " * 2000)
    store.begin_turn("ana", "c", None, Turn("marmalade", documents=(document,), id="1"), "l", LEASE, create=True)
    store.end_turn("c", Turn("", "marmalade " * 200, "end_turn", id="1"), "l", {"summary": "marmalade"})
    store.create("bea", "d")

    def found() -> bool:
        return any(b"marmalade" in file.read_bytes() for file in (tmp_path / "data").iterdir())

    assert found()
    store.erase_all("ana")
    assert not found()
    assert [each.id for each in store.list("bea")] == ["d"]


# -- the line ----------------------------------------------------------------------------------------------


def test_a_text_behind_anything_but_the_head_is_stale(store: ConversationStore) -> None:
    say(store, None, "1")
    say(store, "1", "2")
    for after in (None, "1", "nonsense"):
        assert begin(store, after, "x").outcome == "stale"
    assert begin(store, "nonsense", "x", branch=True).outcome == "stale"
    store.create("ana", "d")
    assert store.begin_turn("ana", "d", "1", Turn("x"), "l", LEASE, branch=True).outcome == "stale"
    assert ids(store) == ["1", "2"]


def test_a_branch_supersedes_what_came_after_and_keeps_it(store: ConversationStore, database: Database) -> None:
    for after, id in ((None, "1"), ("1", "2"), ("2", "3")):
        say(store, after, id)
    say(store, "1", "4", branch=True)
    assert ids(store) == ["1", "4"]
    assert begin(store, "3", "x", branch=True).outcome == "stale"
    say(store, None, "5", branch=True)
    assert ids(store) == ["5"]
    assert [row[0] for row in database.run("SELECT id FROM turns ORDER BY id")] == ["1", "2", "3", "4", "5"]


def test_the_head_moves_back_along_the_line_and_nowhere_else(store: ConversationStore) -> None:
    for after, id in ((None, "1"), ("1", "2"), ("2", "3")):
        say(store, after, id)
    assert store.move_head("ana", "c", "1").outcome == "ok"
    assert ids(store) == ["1"]
    assert store.move_head("ana", "c", "3").outcome == "stale"
    assert store.move_head("ana", "c", None).outcome == "ok"
    assert ids(store) == []
    say(store, None, "4")
    assert ids(store) == ["4"]


def test_every_change_of_the_line_raises_the_version(store: ConversationStore, clock: Clock) -> None:
    def version() -> int:
        return store.get("ana", "c", turns=False).version

    seen = [version()]
    for change in (
        lambda: begin(store, None, "1"),
        lambda: store.end_turn("c", Turn("", id="1"), "lease of 1"),
        lambda: store.resume_turn("ana", "c", "1", "l", LEASE),
        lambda: setattr(clock, "now", clock.now + LEASE) or store.interrupt_expired("ana", "c"),
        lambda: store.move_head("ana", "c", None),
    ):
        change()
        seen.append(version())
    assert seen == [0, 1, 2, 3, 4, 5]


# -- leases ------------------------------------------------------------------------------------------------


def test_a_conversation_that_is_held_is_busy_and_says_for_how_long(store: ConversationStore, clock: Clock) -> None:
    begin(store, None, "1")
    clock.now += 5
    for busy in (
        begin(store, "1", "2"),
        begin(store, None, "2", branch=True),
        store.resume_turn("ana", "c", "1", "other", LEASE),
        store.move_head("ana", "c", None),
    ):
        assert (busy.outcome, busy.busy_for) == ("busy", 10.0)


def test_of_many_who_begin_at_once_one_does(store: ConversationStore, database: Database, clock: Clock) -> None:
    others = [ConversationStore(database.url, clock=clock, busy_timeout=30) for _ in range(8)]
    barrier = threading.Barrier(8)
    outcomes: list[str] = []

    def attempt(other: ConversationStore, number: int) -> None:
        barrier.wait(30)
        outcomes.append(begin(other, None, f"t{number}").outcome)

    threads = [threading.Thread(target=attempt, args=(other, n)) for n, other in enumerate(others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for other in others:
        other.close()
    assert sorted(outcomes) == ["busy"] * 7 + ["ok"]
    assert len(ids(store)) == 1


@ON_SQLITE
def test_who_is_going_to_write_has_the_database_before_reading(store: ConversationStore, tmp_path: Path) -> None:
    # A transaction that reads first fails when another one wrote before it does, however long it may wait.
    raw = sqlite3.connect(tmp_path / "data" / "conversations.db", timeout=0, isolation_level=None)
    with store.transaction(), pytest.raises(sqlite3.OperationalError, match="locked"):
        raw.execute("BEGIN IMMEDIATE")
    with store.transaction(writes=False):
        raw.execute("BEGIN IMMEDIATE")
    raw.close()


def test_beginning_again_after_a_lost_answer_is_the_same_beginning(store: ConversationStore) -> None:
    first = begin(store, None, "1")
    assert begin(store, None, "1") == first
    assert begin(store, None, "1", branch=True) == first
    assert ids(store) == ["1"]


def test_an_expired_lease_is_taken_over_and_its_turn_shown_as_interrupted(
    store: ConversationStore, clock: Clock
) -> None:
    begin(store, None, "1")
    store.save_growing([Growth("c", "1", "lease of 1", "half")], LEASE)
    clock.now += LEASE
    say(store, "1", "2")
    first, second = store.line("ana", "c")
    assert (first.reply, first.stop_reason, second.stop_reason) == ("half", "interrupted", "end_turn")


def test_saves_of_a_run_that_lost_its_lease_change_nothing(store: ConversationStore, clock: Clock) -> None:
    begin(store, None, "1")
    clock.now += LEASE
    say(store, "1", "2")
    assert store.save_growing([Growth("c", "1", "lease of 1", "late")], LEASE) == {"1"}
    assert store.end_turn("c", Turn("", "late", "end_turn", id="1"), "lease of 1", {"late": 1}) is None
    stored = store.get("ana", "c")
    assert [turn.reply for turn in stored.turns] == [None, "reply to 2"]
    assert (stored.memory, stored.lease_until) == ({"after": "2"}, None)


def test_growth_renews_the_lease_of_many_in_one_transaction(store: ConversationStore, clock: Clock) -> None:
    growing = []
    for number in range(300):
        store.begin_turn("ana", f"c{number}", None, Turn("x", id=f"t{number}"), f"l{number}", LEASE, create=True)
        growing.append(Growth(f"c{number}", f"t{number}", f"l{number}", f"text {number}" if number % 2 else None))
    growing.append(Growth("c", "none", "never held", "x"))
    clock.now += 10
    assert store.save_growing(growing, LEASE) == {"none"}
    assert store.save_growing([], LEASE) == set()
    for number in (0, 1, 299):
        stored = store.get("ana", f"c{number}")
        assert stored.lease_until == clock.now + LEASE
        assert stored.turns[0].reply == (f"text {number}" if number % 2 else None)


def test_a_lease_that_ran_out_unnoticed_is_still_held(store: ConversationStore, clock: Clock) -> None:
    begin(store, None, "1")
    clock.now += 10 * LEASE
    assert store.save_growing([Growth("c", "1", "lease of 1", "on")], LEASE) == set()
    assert begin(store, "1", "2").outcome == "busy"


def test_a_turn_is_interrupted_when_its_lease_has_expired_and_not_before(
    store: ConversationStore, clock: Clock
) -> None:
    begin(store, None, "1")
    clock.now += LEASE - 0.1
    assert not store.interrupt_expired("ana", "c")
    assert store.line("ana", "c")[0].stop_reason is None
    clock.now += 0.1
    assert store.interrupt_expired("ana", "c")
    assert store.line("ana", "c")[0].stop_reason == "interrupted"
    assert not store.interrupt_expired("ana", "c")
    assert store.save_growing([Growth("c", "1", "lease of 1", "late")], LEASE) == {"1"}


def test_a_turn_that_is_resumed_runs_again(store: ConversationStore) -> None:
    say(store, None, "1")
    assert store.resume_turn("ana", "c", "x", "l", LEASE).outcome == "stale"
    assert store.resume_turn("ana", "c", "1", "l", LEASE).outcome == "ok"
    turn = store.line("ana", "c")[0]
    assert (turn.reply, turn.stop_reason) == ("reply to 1", None)


# -- files, and databases that fail ------------------------------------------------------------------------


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


def failure(store: ConversationStore) -> StoreError:
    with pytest.raises(StoreError) as caught:
        say(store, None, "x")
    assert type(caught.value) is StoreError
    assert caught.value.hint
    assert caught.value.__cause__ is not None or caught.value.code == "newer"
    return caught.value


def test_a_locked_database_says_so_and_works_again_afterwards(store: ConversationStore, database: Database) -> None:
    lock = database.locked()
    assert (failure(store).code, failure(store).transient) == ("locked", True)
    assert ids(store) == []
    lock.close()
    say(store, None, "1")


@ON_SQLITE
def test_a_full_disk_says_so(store: ConversationStore) -> None:
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1")
    turn = Turn("long " * 100_000, id="1")
    with pytest.raises(StoreError) as caught:
        store.begin_turn("ana", "c", None, turn, "l", LEASE)
    assert caught.value.code == "full"
    assert ids(store) == []
    assert "long long" not in str(caught.value) + str(caught.value.__cause__), "what a user wrote is in no message"


@ON_SQLITE
def test_a_read_only_database_can_still_be_read(store: ConversationStore, tmp_path: Path) -> None:
    say(store, None, "1")
    path = tmp_path / "data" / "conversations.db"
    reader = ConversationStore(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert [turn.id for turn in reader.line("ana", "c")] == ["1"]
    assert failure(reader).code == "read_only"
    reader.close()


@ON_SQLITE
def test_a_database_that_can_be_written_again_is(store: ConversationStore) -> None:
    # As a connection is that was opened on a disk mounted for reading.
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only=ON")
    assert failure(store).code == "read_only"
    say(store, None, "1")


def test_a_server_that_can_t_be_reached_says_so_and_is_tried_again(tmp_path: Path) -> None:
    store = ConversationStore(f"postgresql://user:secret@/name?host={tmp_path}", busy_timeout=0.05)
    for _ in range(2):
        error = failure(store)
        assert (error.code, error.transient) == ("unreachable", True)
        assert "secret" not in str(error) + str(error.__cause__)
    store.close()


def test_connections_that_the_server_ended_are_made_again(postgres: Postgres) -> None:
    with postgres.database() as url:
        store = ConversationStore(url)
        store.create("ana", "c")
        postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test%'")
        say(store, None, "1")
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


def test_a_place_that_failed_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    store = ConversationStore(data_dir=tmp_path / "data")
    failure(store)
    (tmp_path / "data").unlink()
    store.create("ana", "c")
    store.close()


def test_a_database_of_a_newer_package_is_left_alone(store: ConversationStore, database: Database) -> None:
    database.run("UPDATE alembic_version SET version_num = '9999'")
    assert failure(ConversationStore(database.url)).code == "newer"


@pytest.mark.parametrize("url", ["nonsense", "nosuchdriver://user:secret@host/x"])
def test_a_wrong_url_is_one_clear_error_without_the_password(url: str) -> None:
    with pytest.raises(StoreError) as caught:
        ConversationStore(url)
    assert "secret" not in str(caught.value)


def test_importing_the_store_and_chats_loads_no_sqlalchemy() -> None:
    program = "import sys, assistant.store, assistant.chats; print('sqlalchemy' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("", ""),
        ("  Hola,\n\n ¿qué tal?  ", "Hola, ¿qué tal?"),
        ("word " * 40, "word word word word word word word word word word word word…"),
        ("x" * 100, "x" * 60 + "…"),
        ("a, " * 30, ("a, " * 20).rstrip(", ") + "…"),
    ],
)
def test_a_title_is_the_first_words(text: str, title: str) -> None:
    assert title_of(text) == title
