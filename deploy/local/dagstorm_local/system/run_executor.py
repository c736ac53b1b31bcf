"""The run-executor: executes many runs at once, each in a thread that mostly waits for the workers.

`python -m dagstorm_local.system.run_executor`

A run's message stays on the queue, hidden, until the run has ended; so when this process dies the message comes back
and another process resumes the run from its event log. A claim in PostgreSQL, with a lease, keeps two processes from
executing one run. A process that lost a claim kills itself: that stops its threads at once, and its runs are resumed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psycopg2
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.execution.api import execute_run_iterator
from dagster._core.storage.dagster_run import DagsterRun
from taskiq import Context, TaskiqDepends

from dagstorm_local.contract import RUNS_QUEUE
from dagstorm_local.system import feed, logs, runtime
from dagstorm_local.system.broker import SQS_ERRORS, StackBroker
from dagstorm_local.system.dagster_process import Jobs, open_instance
from dagstorm_local.system.delivery import Delivery
from dagstorm_local.system.logs import Log
from dagstorm_local.system.messages import RUN_TASK
from dagstorm_local.system.records import Busy, Completed, Granted, Records, until_created
from dagstorm_local.system.serving import listen, stop_on_signals

RUNS_AT_ONCE = 100
VISIBILITY_S = int(os.environ.get("STACK_RUN_VISIBILITY", "20"))  # a dead executor's runs are resumed after it
LEASE_S = 0.7 * VISIBILITY_S
BEAT_S = 0.2 * VISIBILITY_S
CONNECTIONS = 12
PAUSE_AFTER_CRASH_S = 3
TRIES = 5  # deliveries of a run's message after which a run that cannot even be begun is given up
LOST_CLAIM = 70


class Runs:
    """Executes runs in this process's threads."""

    def __init__(self, instance: DagsterInstance, events: feed.Feed) -> None:
        self._instance = instance
        self._events = events
        self._jobs = Jobs()

    def execute(self, run_id: str, log: Log) -> None:
        """Bring the run to its end, beginning it or resuming it. Raises where Dagster could neither end nor fail it."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return log.info("The run has ended, nothing to execute", status=run.status.value if run else None)
        if run.status == DagsterRunStatus.CANCELING:
            self._instance.report_run_canceled(run)
            return log.info("Canceled the run before it began")
        resumed = run.status == DagsterRunStatus.STARTED
        log.info("Resuming a run" if resumed else "Started a run", job=run.job_name)
        self._events.subscribe(run_id)
        try:
            for _ in execute_run_iterator(self._jobs.of(run), run, self._instance, resume_from_failure=resumed):
                pass
        finally:
            self._events.unsubscribe(run_id)
        ended = self._instance.get_run_by_id(run_id)
        if ended is not None and not ended.is_finished:
            raise RuntimeError(f"the run was left in status {ended.status.value}")
        return log.info("Ended a run", status=ended.status.value if ended else None)

    def give_up(self, run_id: str, reason: str) -> None:
        """Mark a run as failed that cannot be executed at all."""
        run: DagsterRun | None = self._instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            self._instance.report_run_failed(run, f"given up after {TRIES} tries: {reason}")


@dataclass
class Held:
    """A run being executed: its latest delivery and the claim's epoch."""

    delivery: Delivery
    epoch: int


class RunExecutor:
    """Settles deliveries of runs, and keeps hold of the runs in hand."""

    def __init__(self, who: runtime.Identity, records: Records, runs: Runs, die: Callable[[int], object]) -> None:
        self._owner = who.owner
        self._records = records
        self._runs = runs
        self._die = die
        self._threads = ThreadPoolExecutor(RUNS_AT_ONCE, "run")
        self._held: dict[str, Held] = {}

    async def settle(self, run_id: str, delivery: Delivery) -> None:
        """Execute the run, or not, and settle its message accordingly."""
        if run_id in self._held:
            self._held[run_id].delivery = delivery  # our own message came back: go on with its new receipt
            return
        try:
            claim = await asyncio.to_thread(self._records.claim, _key(run_id), 1, self._owner, LEASE_S)
            match claim:
                case Granted(epoch):
                    await self._execute(run_id, Held(delivery, epoch))
                case Completed():
                    await delivery.delete(VISIBILITY_S)
                case Busy(lease_left_s, owner):
                    delivery.log.info("Another process has the run, giving the message back", owner=owner)
                    await delivery.give_back(delivery.pause_s(lease_left_s))
        except psycopg2.Error as error:
            delivery.log.warning("PostgreSQL failed, giving the run back", error=str(error).strip())
            await delivery.give_back(PAUSE_AFTER_CRASH_S)

    async def _execute(self, run_id: str, held: Held) -> None:
        self._held[run_id] = held
        log = held.delivery.log
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._runs.execute, run_id, log)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            log.error("Executing the run failed, giving it back", error=reason)
            if held.delivery.receive_count < TRIES:
                await asyncio.to_thread(self._records.release, _key(run_id), self._owner, held.epoch)
                await held.delivery.give_back(PAUSE_AFTER_CRASH_S)
                return
            await asyncio.to_thread(self._runs.give_up, run_id, reason)
        finally:
            del self._held[run_id]
        await asyncio.to_thread(self._records.complete, _key(run_id), self._owner, held.epoch)
        await held.delivery.delete(VISIBILITY_S)

    async def keep_hold(self) -> None:
        """Renew the claims and hide the messages of the runs in hand, for ever; to be cancelled.

        A failed beat is made good by the next; a claim that is gone ends the process.
        """
        while True:
            await asyncio.sleep(BEAT_S)
            held = dict(self._held)
            try:
                renewed = await asyncio.to_thread(self._records.renew_all, self._owner, LEASE_S)
            except psycopg2.Error as error:
                logs.Log().warning("Could not renew the claims", error=str(error).strip())
            else:
                lost = [run_id for run_id in held if run_id in self._held and _key(run_id) not in renewed]
                if lost:
                    logs.Log().error("Lost the claims of runs, ending this process", runs=lost)
                    self._die(LOST_CLAIM)
            await self._hide([one.delivery for one in held.values()], VISIBILITY_S)

    async def let_go(self) -> None:
        """Give every run in hand back, for another process to resume at once."""
        held, self._held = self._held, {}
        try:
            await asyncio.to_thread(self._records.renew_all, self._owner, 0)
        except psycopg2.Error as error:
            logs.Log().warning("Could not release the claims", error=str(error).strip())
        await self._hide([one.delivery for one in held.values()], 0)

    async def _hide(self, deliveries: list[Delivery], seconds: int) -> None:
        if not deliveries:
            return
        first, handles = deliveries[0], [delivery.receipt_handle for delivery in deliveries]
        try:
            await first.broker.change_visibilities(first.queue_url, handles, seconds)
        except SQS_ERRORS as error:
            first.broker.reachability.failed(error)


def _key(run_id: str) -> str:
    return f"run:{run_id}"


async def main() -> None:
    """Serve until SIGTERM; then give the runs in hand back and end at once: a run may last for longer than we may."""
    stop = stop_on_signals()
    who = runtime.identity()
    log = logs.configure("executor", who.task_arn)
    records = Records(runtime.postgres_dsn())
    await asyncio.to_thread(until_created, records, log)
    instance = open_instance(CONNECTIONS)
    runs = Runs(instance, feed.start(runtime.postgres_dsn(), log))
    executor = RunExecutor(who, records, runs, os._exit)
    broker = StackBroker(RUNS_QUEUE, visibility_timeout=VISIBILITY_S, log=log)

    @broker.task(task_name=RUN_TASK)
    async def execute_run(run_id: str, context: Context = TaskiqDepends()) -> None:  # noqa: B008
        await executor.settle(run_id, Delivery.of(context, broker, log))

    serving = asyncio.create_task(listen(broker, RUNS_AT_ONCE, stop, who, log))
    holding = asyncio.create_task(executor.keep_hold())
    stopped = asyncio.create_task(stop.wait())
    ended: set[asyncio.Task[Any]] = (await asyncio.wait({serving, holding, stopped}, return_when="FIRST_COMPLETED"))[0]
    for task in ended:
        task.result()  # an error of ours ends the process, so that ECS starts another
    await executor.let_go()
    log.info("stopped")
    os._exit(0)  # the threads of the runs wait for events; they must not come to write another word


if __name__ == "__main__":
    asyncio.run(main())
