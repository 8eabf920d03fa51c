"""StoredLimits: what one process counts, the others know, and a restart forgets nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from assistant.accounts import StoredLimits
from assistant.chats import Chats
from assistant.errors import BudgetExceededError
from assistant.limits import Allowance
from assistant.messages import Usage
from assistant.store import ConversationStore
from tests.databases import Database
from tests.places import END, Gate, Place, Scripted

NOON = 1_795_435_200.0  # 2026-11-23 12:00:00 UTC


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Processes:
    """Limits as another process would have them: nothing in common but the database and the clock."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self.clock = clock

    def limits(self, *, busy_timeout: float = 0.2, **given: object) -> StoredLimits:
        store = ConversationStore(self.database.url, clock=self.clock, busy_timeout=busy_timeout)
        return StoredLimits(store, clock=self.clock, **given)  # type: ignore[arg-type]


@pytest.fixture
def processes(database: Database, clock: Clock) -> Processes:
    return Processes(database, clock)


def refused(limits: StoredLimits, owner: str, session: str | None = None) -> BudgetExceededError:
    with pytest.raises(BudgetExceededError) as caught:
        limits.admit(owner, session)
    return caught.value


def test_messages_a_minute_are_counted_over_processes(processes: Processes, clock: Clock) -> None:
    one, other = (processes.limits(messages_per_minute=2, concurrent_runs=None) for _ in range(2))
    one.admit("ana")
    clock.now += 20
    other.admit("ana")
    error = refused(one, "ana")
    assert (error.code, error.retry_after) == ("messages_per_minute", 40.0)
    assert "12:01:00 UTC" in error.hint
    other.admit("bea")
    clock.now += 40
    one.admit("ana")
    refused(other, "ana")


@pytest.mark.parametrize(
    ("given", "code"), [({"tokens_per_day": 100}, "tokens_per_day"), ({"usd_per_day": 0.5}, "usd_per_day")]
)
def test_a_day_s_budget_outlives_the_process_and_resets_at_midnight(
    processes: Processes, clock: Clock, given: dict[str, float], code: str
) -> None:
    limits = processes.limits(**given)
    limits.admit("ana")
    limits.settle("ana", Usage(60, 40, cost=0.5))
    error = refused(processes.limits(**given), "ana")
    assert (error.code, error.retry_after) == (code, 12 * 3600.0)
    clock.now += 12 * 3600
    again = processes.limits(**given)
    again.admit("ana")
    again.settle("ana", Usage(60, 40, cost=0.5))
    # A process whose clock is a little behind does not begin yesterday anew.
    clock.now -= 5
    assert refused(processes.limits(**given), "ana").code == code


def test_replies_at_once_are_limited_over_processes_until_one_ends(processes: Processes) -> None:
    one, other = (processes.limits(concurrent_runs=1) for _ in range(2))
    one.admit("ana")
    assert (refused(other, "ana").code, refused(other, "ana").retry_after) == ("concurrent_runs", None)
    one.settle("ana", Usage(1, 1))
    other.admit("ana")
    refused(one, "ana")


def test_a_slot_is_renewed_while_its_reply_runs_and_free_when_its_process_is_gone(
    processes: Processes, clock: Clock
) -> None:
    alive, gone = (processes.limits(concurrent_runs=2, slot=60) for _ in range(2))
    alive.admit("ana")
    gone.admit("ana")
    other = processes.limits(concurrent_runs=2, slot=60)
    for _ in range(4):
        clock.now += 20
        alive.renew()
    other.admit("ana")
    refused(other, "ana")


def test_what_holds_in_all_and_for_a_session_is_counted_too(processes: Processes) -> None:
    given = {"concurrent_runs": None, "per_session": Allowance(messages_per_minute=1)}
    limits = processes.limits(in_all=Allowance(messages_per_minute=3), **given)
    limits.admit("ana", "browser")
    assert "this session" in refused(limits, "ana", "browser").message
    limits.admit("ana", "phone")
    limits.admit("bea", "browser")
    assert "everybody" in refused(processes.limits(in_all=Allowance(messages_per_minute=3), **given), "eve").message


def test_a_turn_that_never_began_and_a_refusal_count_nothing(processes: Processes) -> None:
    limits = processes.limits(messages_per_minute=1, in_all=Allowance(messages_per_minute=2))
    limits.admit("ana")
    limits.settle("ana", None)
    limits.admit("ana")
    for _ in range(3):
        refused(limits, "ana")
    limits.admit("bea")


def test_of_many_at_once_as_many_are_admitted_as_may_be(processes: Processes) -> None:
    every = [processes.limits(messages_per_minute=5, concurrent_runs=None, busy_timeout=60) for _ in range(4)]
    for each in every:
        each._store.check()
    barrier = threading.Barrier(4)
    admitted: list[int] = []

    def attempt(limits: StoredLimits) -> None:
        barrier.wait(30)
        for _ in range(4):
            try:
                limits.admit("ana")
                admitted.append(1)
            except BudgetExceededError:
                pass

    threads = [threading.Thread(target=attempt, args=(each,)) for each in every]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(admitted) == 5


def test_while_the_database_fails_this_process_counts_by_itself_and_pays_later(
    processes: Processes, database: Database, clock: Clock
) -> None:
    limits = processes.limits(messages_per_minute=1, tokens_per_day=100)
    limits._store.check()
    lock = locked_accounts(database)
    limits.admit("ana")
    assert refused(limits, "ana").code == "messages_per_minute"
    limits.settle("ana", Usage(60, 40))
    lock.close()
    clock.now += 61
    limits.renew()
    assert refused(processes.limits(tokens_per_day=100), "ana").code == "tokens_per_day"


def locked_accounts(database: Database) -> object:
    lock = database.locked()
    if database.path is None:
        lock.execute("LOCK TABLE accounts, admissions IN EXCLUSIVE MODE")  # type: ignore[attr-defined]
    return lock


def test_chats_renew_the_slots_of_replies_that_run_and_count_sessions(place: Place) -> None:
    gate = Gate()

    def chats(client: Scripted) -> Chats:
        store = ConversationStore(place.database.url, clock=place.clock)
        limits = StoredLimits(
            store, concurrent_runs=2, per_session=Allowance(concurrent_runs=1), slot=60, clock=place.clock
        )
        return place.chats(client, limits=limits, grace=None)

    one, other = chats(Scripted(("half", gate, END))), chats(Scripted())
    run = one.submit("ana", one.create("ana").id, None, "x", session="browser")
    assert gate.reached.wait(30)
    for _ in range(10):
        place.clock.now += 10
        one.tick()
    with pytest.raises(BudgetExceededError):
        other.submit("ana", other.create("ana").id, None, "x", session="browser")
    assert other.submit("ana", other.create("ana").id, None, "x", session="phone").wait(30)
    gate.open()
    assert run.wait(30)
    assert other.submit("ana", other.create("ana").id, None, "x", session="browser").wait(30)


PROCESS = """
import sys
from assistant.accounts import StoredLimits
from assistant.errors import BudgetExceededError
from assistant.store import ConversationStore
limits = StoredLimits(ConversationStore(sys.argv[1], busy_timeout=60), messages_per_minute=10, concurrent_runs=None)
print("ready", flush=True)
sys.stdin.readline()
admitted = 0
for _ in range(10):
    try:
        limits.admit("ana")
        admitted += 1
    except BudgetExceededError:
        pass
print(admitted, flush=True)
"""


def test_real_processes_admit_no_more_than_may_be(database: Database) -> None:
    ConversationStore(database.url).check()
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, database.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
        for _ in range(2)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert sum(int(process.communicate(timeout=90)[0]) for process in started) == 10
