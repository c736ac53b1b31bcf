"""The events of all runs that this process executes, from one connection: PostgreSQL tells, nobody polls.

Dagster notifies the channel `run_events` of each event it stores, with the run's id and the event's. A run whose
notifications may have been missed (a new connection, or quiet for a while) is told to read its log itself, so no run
depends on the notifications to come to its end.
"""

from __future__ import annotations

import select
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import psycopg2
from dagster import DagsterEvent, DagsterEventType
from dagster._core.events.log import EventLogEntry
from dagster._serdes import deserialize_value

from dagstorm_local.system import runtime
from dagstorm_local.system.logs import Log

CHANNEL = "run_events"
RESCAN_S = 5.0
GATHER_S = 0.04  # notifications that arrive within it are fetched together
WATCHED = [
    kind.value
    for kind in (
        DagsterEventType.STEP_OUTPUT,
        DagsterEventType.STEP_SUCCESS,
        DagsterEventType.STEP_FAILURE,
        DagsterEventType.STEP_UP_FOR_RETRY,
        DagsterEventType.STEP_RESTARTED,
        DagsterEventType.RESOURCE_INIT_FAILURE,
        DagsterEventType.RUN_CANCELING,
        DagsterEventType.RUN_CANCELED,
        DagsterEventType.RUN_FAILURE,
    )
]


@dataclass
class Batch:
    """What happened to a run: new events in their order, or that the log must be read (then `events` is empty)."""

    events: list[tuple[int, DagsterEvent]] = field(default_factory=list)
    rescan: bool = False


class Subscription:
    """The mailbox of one run; filled by the feed, emptied by the run's thread."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._events: list[tuple[int, DagsterEvent]] = []
        self._rescan = True
        self._scanned_at = 0.0

    def put(self, events: list[tuple[int, DagsterEvent]]) -> None:
        with self._condition:
            self._events.extend(events)
            self._condition.notify()

    def ask_rescan(self) -> None:
        with self._condition:
            self._rescan = True
            self._condition.notify()

    def take(self, timeout_s: float) -> Batch:
        """What came since the last call, waiting at most `timeout_s` for it; a re-read at the latest every 5 s."""
        with self._condition:
            if not self._events and not self._rescan:
                self._condition.wait(timeout_s)
            events, self._events = self._events, []
            if self._rescan or time.monotonic() - self._scanned_at > RESCAN_S:
                self._rescan, self._scanned_at = False, time.monotonic()
                return Batch(rescan=True)
            return Batch(events=events)


class Feed(threading.Thread):
    """Reads notifications for ever; connects again by itself."""

    def __init__(self, dsn: str, log: Log) -> None:
        super().__init__(name="feed", daemon=True)
        self._dsn = dsn
        self._log = log
        self._lock = threading.Lock()
        self._subscriptions: dict[str, Subscription] = {}

    def subscribe(self, run_id: str) -> Subscription:
        with self._lock:
            return self._subscriptions.setdefault(run_id, Subscription())

    def unsubscribe(self, run_id: str) -> None:
        with self._lock:
            self._subscriptions.pop(run_id, None)

    def subscription(self, run_id: str) -> Subscription | None:
        with self._lock:
            return self._subscriptions.get(run_id)

    def run(self) -> None:
        waits = runtime.backoff()
        while True:
            try:
                self._follow()
            except (psycopg2.Error, OSError) as error:
                self._log.warning("Lost the connection to the event log, retrying", error=str(error).strip())
                time.sleep(next(waits))

    def _follow(self) -> None:
        connection = psycopg2.connect(self._dsn, connect_timeout=3)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {CHANNEL}")
                with self._lock:
                    waiting = list(self._subscriptions.values())
                for subscription in waiting:
                    subscription.ask_rescan()
                while True:
                    self._wait(connection, cursor)
                    self._deliver(cursor, self._notified(connection))
        finally:
            connection.close()

    def _wait(self, connection: Any, cursor: Any) -> None:
        if not select.select([connection], [], [], 10)[0]:
            cursor.execute("SELECT 1")  # a connection that died unseen fails here
        else:
            time.sleep(GATHER_S)
        connection.poll()

    def _notified(self, connection: Any) -> list[int]:
        ids = []
        while connection.notifies:
            run_id, _, event_id = connection.notifies.pop(0).payload.rpartition("_")
            if self.subscription(run_id):
                ids.append(int(event_id))
        return ids

    def _deliver(self, cursor: Any, ids: list[int]) -> None:
        if not ids:
            return
        cursor.execute(
            "SELECT id, run_id, event FROM event_logs WHERE id = ANY(%s) AND dagster_event_type = ANY(%s) ORDER BY id",
            (ids, WATCHED),
        )
        found: dict[str, list[tuple[int, DagsterEvent]]] = defaultdict(list)
        for event_id, run_id, text in cursor.fetchall():
            entry = deserialize_value(text, EventLogEntry)
            if entry.dagster_event is not None:
                found[run_id].append((int(event_id), entry.dagster_event))
        for run_id, events in found.items():
            subscription = self.subscription(run_id)
            if subscription is not None:
                subscription.put(events)


_current: Feed | None = None


def start(dsn: str, log: Log) -> Feed:
    """Start the feed of this process, which the step executor then uses."""
    global _current  # noqa: PLW0603 - Dagster makes the executor; this is the only way to hand it the feed
    _current = Feed(dsn, log)
    _current.start()
    return _current


def current() -> Feed | None:
    """The feed of this process; None outside a run-executor, where Dagster's own polling does."""
    return _current
