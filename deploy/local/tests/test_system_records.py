"""Claims and attempts against a real PostgreSQL."""

from __future__ import annotations

import threading
from typing import Any

import psycopg2
import pytest
from system_rig import NewDatabase, wait_until

from dagstorm_local.system.records import Attempt, Busy, Completed, Granted, Records

KEY = "run:step"


@pytest.fixture(scope="module")
def dsn(new_database: NewDatabase) -> str:
    url = new_database("records")
    Records(url).create_tables()
    return url


@pytest.fixture
def records(dsn: str) -> Records:
    _all(dsn, "TRUNCATE exec_claims; TRUNCATE exec_attempts; SELECT 1")
    return Records(dsn)


def _all(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    connection.close()
    return rows


def test_tables_are_created_by_any_number_at_once(dsn: str) -> None:
    _all(dsn, "DROP TABLE exec_claims, exec_attempts; SELECT 1")
    errors: list[BaseException] = []

    def create() -> None:
        try:
            Records(dsn).create_tables()
        except psycopg2.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_a_claim_is_given_to_one_of_many(dsn: str, records: Records) -> None:
    granted: list[object] = []

    def claim(owner: str) -> None:
        granted.append(Records(dsn).claim(KEY, 1, owner, 60))

    threads = [threading.Thread(target=claim, args=(f"w{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert granted.count(Granted(1)) == 1
    busy = [one for one in granted if isinstance(one, Busy)]
    assert len(busy) == 7 and all(50 < one.lease_left_s <= 60 for one in busy)


def test_a_living_holder_keeps_its_claim_and_a_dead_one_loses_it(records: Records) -> None:
    assert records.claim(KEY, 1, "a", 0.3) == Granted(1)
    assert records.renew(KEY, "a", 1, 60)
    assert isinstance(records.claim(KEY, 1, "b", 60), Busy)
    assert records.renew(KEY, "a", 1, 0.05)
    assert wait_until("the lease runs out", lambda: _granted(records, "b")) == Granted(2)
    assert not records.renew(KEY, "a", 1, 60)
    assert not records.complete(KEY, "a", 1)
    assert records.complete(KEY, "b", 2)


def _granted(records: Records, owner: str) -> Granted | None:
    claim = records.claim(KEY, 1, owner, 60)
    return claim if isinstance(claim, Granted) else None


def test_what_is_completed_is_never_given_again_but_to_a_later_attempt(records: Records) -> None:
    assert records.claim(KEY, 1, "a", 0) == Granted(1)
    assert records.complete(KEY, "a", 1)
    assert not records.complete(KEY, "a", 1)
    assert records.claim(KEY, 1, "a", 60) == Completed()
    assert records.claim(KEY, 2, "b", 60) == Granted(2)
    assert records.claim(KEY, 1, "a", 60) == Completed()  # its message is stale
    assert isinstance(records.claim(KEY, 2, "a", 60), Busy)


def test_a_released_claim_is_anyone_s_at_once(records: Records) -> None:
    assert records.claim(KEY, 1, "a", 60) == Granted(1)
    records.release(KEY, "a", 1)
    assert records.claim(KEY, 1, "b", 60) == Granted(2)


def test_all_claims_of_an_owner_are_renewed_together(records: Records) -> None:
    for key in ("x", "y", "done"):
        assert records.claim(key, 1, "a", 60) == Granted(1)
    assert records.claim("other", 1, "b", 60) == Granted(1)
    assert records.complete("done", "a", 1)
    assert records.renew_all("a", 60) == {"x", "y"}


def test_an_attempt_ends_once(dsn: str, records: Records) -> None:
    attempt = Attempt(KEY, "run", "step", 1, "task/1", "arn:task", 2, "s/1/1")
    row = records.start(attempt)
    records.finish(row, "completed")
    records.finish(row, "crashed")
    other = records.start(attempt)
    found = _all(
        dsn, "SELECT id, outcome, finished >= started, scenario_key, receive_count FROM exec_attempts ORDER BY id"
    )
    assert found == [(row, "completed", True, "s/1/1", 2), (other, None, None, "s/1/1", 2)]


def test_a_lost_connection_is_replaced(dsn: str, records: Records) -> None:
    assert records.claim(KEY, 1, "a", 60) == Granted(1)
    _all(
        dsn,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
    )
    with pytest.raises(psycopg2.OperationalError):
        records.renew(KEY, "a", 1, 60)
    assert records.renew(KEY, "a", 1, 60)


def test_an_end_is_recorded_for_a_worker_that_died_and_for_no_other(dsn: str, records: Records) -> None:
    def started(step: str) -> int:
        return records.start(Attempt(f"run:{step}", "run", step, 1, "w1", None, 1, "a/0a-1/0"))

    def outcomes(step: str) -> list[Any]:
        rows = _all(dsn, f"SELECT outcome FROM exec_attempts WHERE step_key = '{step}' ORDER BY id")
        return [row[0] for row in rows]

    crashed = started("died")
    records.finish(crashed, "crashed")
    started("died")
    records.finish_for("run", "died", 1, "completed")
    assert outcomes("died") == ["crashed", "completed"]
    # Done once is done once: a second execution that is open stays so.
    records.finish(started("done"), "completed")
    started("done")
    records.finish_for("run", "done", 1, "completed")
    assert outcomes("done") == ["completed", None]
    records.finish_for("run", "never", 1, "completed")
    assert outcomes("never") == []
