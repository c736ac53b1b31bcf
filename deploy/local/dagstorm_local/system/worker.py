"""The worker: takes one step at a time from the tasks queue and executes it. `python -m dagstorm_local.system.worker`

A message is acknowledged only when its step has ended and that was recorded. Whatever else happens (kill -9, a lost
claim, Dagster failing) leaves the message on the queue, where its visibility time-out or we ourselves give it back.
While it holds a message it is protected from scale-in: ECS stops idle workers first.
With claims on, a step that was completed is never executed again, and of two workers with the same message one waits.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import psycopg2
from dagster._core.storage.dagster_run import DagsterRun
from taskiq import Context, TaskiqDepends

from dagstorm_local.contract import TASKS_QUEUE, Settings
from dagstorm_local.system import logs, runtime
from dagstorm_local.system.broker import StackBroker
from dagstorm_local.system.dagster_process import open_instance
from dagstorm_local.system.delivery import Delivery
from dagstorm_local.system.messages import STEP_TASK, step_key_of
from dagstorm_local.system.records import Attempt, Busy, Completed, Granted, Records, until_created
from dagstorm_local.system.serving import listen, stop_on_signals
from dagstorm_local.system.steps import Outcome, Steps, ended

LEASE_SHARE = 0.7  # of the visibility time-out: the lease of a killed worker has run out when its message returns
PAUSE_AFTER_CRASH_S = 3


@dataclass(frozen=True)
class Job:
    """One delivery, understood."""

    delivery: Delivery
    arguments: str
    run_id: str
    step: str
    attempt: int

    @property
    def key(self) -> str:
        return step_key_of(self.run_id, self.step)


class Worker:
    """Settles deliveries one by one."""

    def __init__(self, settings: Settings, who: runtime.Identity, records: Records, steps: Steps) -> None:
        self._settings = settings
        self._who = who
        self._records = records
        self._steps = steps
        self._thread = ThreadPoolExecutor(1, "step")
        self._lease_s = settings.visibility_timeout * LEASE_SHARE
        self._completed = 0

    async def settle(self, arguments: str, delivery: Delivery) -> None:
        """Execute, or not, and settle the message accordingly. Never raises but for its own cancellation."""
        labels = delivery.labels
        job = Job(delivery, arguments, labels["run_id"], labels["step"], int(labels["attempt"]))
        await asyncio.to_thread(runtime.protect, True)
        try:
            await self._settle(job)
        except psycopg2.Error as error:
            delivery.log.warning("PostgreSQL failed, giving the step back", error=str(error).strip())
            await delivery.give_back(PAUSE_AFTER_CRASH_S)
        finally:
            await asyncio.to_thread(runtime.protect, False)

    async def _settle(self, job: Job) -> None:
        if not self._settings.idempotency:
            await self._work(job, epoch=None)
            return
        claim = await asyncio.to_thread(self._records.claim, job.key, job.attempt, self._who.owner, self._lease_s)
        match claim:
            case Granted(epoch):
                await self._work(job, epoch)
            case Completed():
                job.delivery.log.info("The step is completed already, nothing to execute")
                await job.delivery.delete(self._patience_s)
            case Busy(lease_left_s, owner):
                job.delivery.log.info("Another worker has the step, giving the message back", owner=owner)
                await job.delivery.give_back(job.delivery.pause_s(lease_left_s))

    async def _work(self, job: Job, epoch: int | None) -> None:
        """Execute under the claim, or without one, and acknowledge."""
        log = job.delivery.log
        keepers = self._keepers(job, epoch)
        try:
            outcome = await self._in_thread(job, epoch)
        except Exception as error:
            log.error("Executing the step failed, giving it back", error=f"{type(error).__name__}: {error}")
            outcome = Outcome.CRASHED
        finally:
            for keeper in keepers:
                keeper.cancel()
        if outcome is Outcome.CRASHED:
            if epoch is not None:
                await asyncio.to_thread(self._records.release, job.key, self._who.owner, epoch)
            await job.delivery.give_back(PAUSE_AFTER_CRASH_S)
            return
        if epoch is not None and not await asyncio.to_thread(self._records.complete, job.key, self._who.owner, epoch):
            log.warning("The claim was taken over while the step was executed")
        acknowledged = await job.delivery.delete(self._patience_s)
        log.info("Settled a step", outcome=outcome.value, acknowledged=acknowledged)

    async def _in_thread(self, job: Job, epoch: int | None) -> Outcome:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._execute, job, epoch)

    def _execute(self, job: Job, epoch: int | None) -> Outcome:
        """Runs in the step thread: look, tell Dagster who has the step, record the start, execute, record the end."""
        run = self._steps.run_of(job.run_id)
        if run is None:
            job.delivery.log.error("There is no such run, dropping the step")
            return Outcome.SKIPPED
        log = job.delivery.log
        if epoch is not None and (epoch > 1 or job.delivery.receive_count > 1):
            reported = self._steps.reported(job.run_id, job.step, job.attempt)
            if reported is not None:
                # Its worker died between Dagster's log and its own record.
                self._records.finish_for(job.run_id, job.step, job.attempt, reported.value)
                log.info("The step had ended already, nothing to execute", outcome=reported.value)
                return reported
        if ended(run):
            log.info("The run has ended, nothing to execute", status=run.status.value)
            return Outcome.SKIPPED
        self._steps.report_worker(run, job.step, self._described(job))
        row = self._records.start(self._attempt(job, run))
        log.info("Started a step", epoch=epoch)
        outcome = Outcome.CRASHED
        try:
            outcome = self._steps.execute(job.arguments, run)
        finally:
            if not self._forgets(outcome):
                with suppress(psycopg2.Error):
                    self._records.finish(row, outcome.value)
        return outcome

    def _forgets(self, outcome: Outcome) -> bool:
        """Whether the record of this completion is dropped, as the setting asks."""
        self._completed += outcome is Outcome.COMPLETED
        every = self._settings.forget_every
        return outcome is Outcome.COMPLETED and every > 0 and self._completed % every == 0

    def _described(self, job: Job) -> dict[str, str]:
        """This worker and this delivery, as the metadata of STEP_WORKER_STARTED; the audit reads `task_arn`."""
        task = {"task_arn": self._who.task_arn} if self._who.task_arn else {}
        counts = {"attempt": str(job.attempt), "receive_count": str(job.delivery.receive_count)}
        return {**task, **counts, "worker": self._who.owner}

    def _attempt(self, job: Job, run: DagsterRun) -> Attempt:
        return Attempt(
            key=job.key,
            run_id=job.run_id,
            step=job.step,
            attempt=job.attempt,
            worker=self._who.owner,
            task_arn=self._who.task_arn,
            receive_count=job.delivery.receive_count,
            scenario_key=run.tags.get(logs.KEY_TAG),
        )

    def _keepers(self, job: Job, epoch: int | None) -> list[asyncio.Task[None]]:
        keepers = []
        if self._settings.heartbeat:
            keepers.append(asyncio.create_task(job.delivery.keep_hidden(self._settings.visibility_timeout)))
        if epoch is not None:
            keepers.append(asyncio.create_task(self._keep_lease(job, epoch)))
        return keepers

    async def _keep_lease(self, job: Job, epoch: int) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                held = await asyncio.to_thread(self._records.renew, job.key, self._who.owner, epoch, self._lease_s)
            except psycopg2.Error as error:
                job.delivery.log.warning("Could not renew the claim", error=str(error).strip())
                continue
            if not held:
                job.delivery.log.warning("Lost the claim: another worker may execute this step too")
                return

    @property
    def _patience_s(self) -> float:
        """How long to try an acknowledgement: after that the message is anyone's."""
        return float(self._settings.visibility_timeout)


async def main() -> None:
    """Serve until SIGTERM; then finish the step in hand and return."""
    stop = stop_on_signals()
    who = runtime.identity()
    log = logs.configure("worker", who.task_arn)
    settings = runtime.settings()
    records = Records(runtime.postgres_dsn())
    await asyncio.to_thread(until_created, records, log)
    worker = Worker(settings, who, records, Steps(open_instance(connections=2)))
    broker = StackBroker(TASKS_QUEUE, visibility_timeout=settings.visibility_timeout, log=log)

    @broker.task(task_name=STEP_TASK)
    async def execute_step(arguments: str, context: Context = TaskiqDepends()) -> None:  # noqa: B008
        await worker.settle(arguments, Delivery.of(context, broker, log))

    await listen(broker, 1, stop, who, log)
    log.info("stopped")


if __name__ == "__main__":
    asyncio.run(main())
