"""Two tables in the stack's PostgreSQL: what was executed (`exec_attempts`) and who may execute (`exec_claims`).

`exec_attempts` is append-only: a row is added when an attempt starts and gets `finished` and `outcome` once; none is
ever removed or started anew. It is the effect-level source of the audit, written whether claims are on or off.
`exec_claims` has one row a key. A claim is given by one statement, so of any number of workers at most one holds it;
it must be renewed before its lease runs out, and each new holder raises the epoch.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2

from dagstorm_local.system import runtime
from dagstorm_local.system.logs import Log

SCHEMA_LOCK = 0x64616773  # any number that nobody else takes: two processes creating the tables at once would clash

SCHEMA = """
CREATE TABLE IF NOT EXISTS exec_attempts (
    id bigserial PRIMARY KEY,
    key text NOT NULL,
    run_id text NOT NULL,
    step_key text NOT NULL,
    attempt integer NOT NULL,
    worker text NOT NULL,
    task_arn text,
    receive_count integer NOT NULL,
    scenario_key text,
    started timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished timestamptz,
    outcome text
);
CREATE INDEX IF NOT EXISTS exec_attempts_run ON exec_attempts (run_id);
CREATE INDEX IF NOT EXISTS exec_attempts_scenario_key ON exec_attempts (scenario_key text_pattern_ops);
CREATE TABLE IF NOT EXISTS exec_claims (
    key text PRIMARY KEY,
    attempt integer NOT NULL,
    owner text NOT NULL,
    epoch integer NOT NULL,
    lease_until timestamptz NOT NULL,
    completed_at timestamptz
);
CREATE INDEX IF NOT EXISTS exec_claims_held ON exec_claims (owner) WHERE completed_at IS NULL;
"""

CLAIM = """
INSERT INTO exec_claims AS held (key, attempt, owner, epoch, lease_until)
VALUES (%(key)s, %(attempt)s, %(owner)s, 1, clock_timestamp() + %(lease)s * interval '1 second')
ON CONFLICT (key) DO UPDATE SET
    attempt = excluded.attempt, owner = excluded.owner, epoch = held.epoch + 1,
    lease_until = excluded.lease_until, completed_at = NULL
WHERE held.attempt < excluded.attempt
   OR (held.attempt = excluded.attempt AND held.completed_at IS NULL AND held.lease_until < clock_timestamp())
RETURNING epoch
"""

LOOK = """
SELECT completed_at IS NOT NULL OR attempt > %(attempt)s,
       greatest(0, extract(epoch FROM lease_until - clock_timestamp())), owner
FROM exec_claims WHERE key = %(key)s
"""


@dataclass(frozen=True)
class Granted:
    """The claim is ours. An epoch above 1 means that another holder's lease ran out, or an earlier attempt was held."""

    epoch: int


@dataclass(frozen=True)
class Busy:
    """Another holds it for at least so long."""

    lease_left_s: float
    owner: str


@dataclass(frozen=True)
class Completed:
    """The work was done, or a later attempt has begun: there is nothing to execute."""


Claim = Granted | Busy | Completed


@dataclass(frozen=True)
class Attempt:
    """What a row of `exec_attempts` says at its start."""

    key: str
    run_id: str
    step: str
    attempt: int
    worker: str
    task_arn: str | None
    receive_count: int
    scenario_key: str | None


class Records:
    """The two tables, over a connection a thread.

    An error of PostgreSQL is the caller's; the next call connects anew.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._threads = threading.local()

    def create_tables(self) -> None:
        """Create what is missing. Safe from any number of processes at once."""
        with self._cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
            cursor.execute(SCHEMA)

    def claim(self, key: str, attempt: int, owner: str, lease_s: float) -> Claim:
        """Take the key for `lease_s`, where nobody holds it, its lease ran out, or it belongs to an earlier attempt."""
        values = {"key": key, "attempt": attempt, "owner": owner, "lease": lease_s}
        with self._cursor() as cursor:
            cursor.execute(CLAIM, values)
            row = cursor.fetchone()
            if row:
                return Granted(int(row[0]))
            cursor.execute(LOOK, values)
            row = cursor.fetchone()
        if row is None:  # removed by hand between the two statements
            return Busy(0, "nobody")
        return Completed() if row[0] else Busy(float(row[1]), str(row[2]))

    def renew(self, key: str, owner: str, epoch: int, lease_s: float) -> bool:
        """Hold on to a claim. False: another took it over, so what we do with it is no longer protected."""
        with self._cursor() as cursor:
            cursor.execute(
                "UPDATE exec_claims SET lease_until = clock_timestamp() + %s * interval '1 second'"
                " WHERE key = %s AND owner = %s AND epoch = %s AND completed_at IS NULL",
                (lease_s, key, owner, epoch),
            )
            return bool(cursor.rowcount)

    def renew_all(self, owner: str, lease_s: float) -> set[str]:
        """Hold on to every claim of this owner that is not completed; returns their keys."""
        with self._cursor() as cursor:
            cursor.execute(
                "UPDATE exec_claims SET lease_until = clock_timestamp() + %s * interval '1 second'"
                " WHERE owner = %s AND completed_at IS NULL RETURNING key",
                (lease_s, owner),
            )
            return {str(row[0]) for row in cursor.fetchall()}

    def release(self, key: str, owner: str, epoch: int) -> None:
        """Let anyone claim the key at once."""
        self.renew(key, owner, epoch, 0)

    def complete(self, key: str, owner: str, epoch: int) -> bool:
        """Say that the work is done, for good. False: another had taken it over."""
        with self._cursor() as cursor:
            cursor.execute(
                "UPDATE exec_claims SET completed_at = clock_timestamp()"
                " WHERE key = %s AND owner = %s AND epoch = %s AND completed_at IS NULL",
                (key, owner, epoch),
            )
            return bool(cursor.rowcount)

    def start(self, attempt: Attempt) -> int:
        """Record that an execution begins, before it does; returns the row's id."""
        with self._cursor() as cursor:
            cursor.execute(
                "INSERT INTO exec_attempts"
                " (key, run_id, step_key, attempt, worker, task_arn, receive_count, scenario_key)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
                (
                    attempt.key,
                    attempt.run_id,
                    attempt.step,
                    attempt.attempt,
                    attempt.worker,
                    attempt.task_arn,
                    attempt.receive_count,
                    attempt.scenario_key,
                ),
            )
            return int(cursor.fetchone()[0])

    def finish(self, row: int, outcome: str) -> None:
        """Record how an execution ended; only the first word counts."""
        with self._cursor() as cursor:
            cursor.execute(
                "UPDATE exec_attempts SET finished = clock_timestamp(), outcome = %s"
                " WHERE id = %s AND finished IS NULL",
                (outcome, row),
            )

    def finish_for(self, run_id: str, step: str, attempt: int, outcome: str) -> None:
        """Record how the last execution of an attempt ended, on behalf of a worker that died before it could.

        Nothing is written where that attempt has an end already.
        """
        with self._cursor() as cursor:
            cursor.execute(
                "UPDATE exec_attempts SET finished = clock_timestamp(), outcome = %(outcome)s WHERE id = ("
                " SELECT max(id) FROM exec_attempts WHERE run_id = %(run)s AND step_key = %(step)s"
                " AND attempt = %(attempt)s HAVING bool_and(outcome IS NULL OR outcome = 'crashed'))"
                " AND finished IS NULL",
                {"run": run_id, "step": step, "attempt": attempt, "outcome": outcome},
            )

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        """One transaction; a connection in which anything failed is thrown away."""
        connection = getattr(self._threads, "connection", None)
        if connection is None or connection.closed:
            connection = self._threads.connection = psycopg2.connect(self._dsn, connect_timeout=3)
        try:
            with connection.cursor() as cursor:
                yield cursor
            connection.commit()
        except BaseException:
            connection.close()
            raise


def until_created(records: Records, log: Log) -> None:
    """Create the tables, for as long as it takes PostgreSQL to be there."""
    for tries, wait in enumerate(runtime.backoff()):
        try:
            return records.create_tables()
        except psycopg2.OperationalError as error:
            if tries == 0:
                log.warning("PostgreSQL is out of reach, retrying", error=str(error).strip())
            time.sleep(wait)
    raise AssertionError("the backoff never ends")
