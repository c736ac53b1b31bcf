"""Executing one step of a Dagster run in this process, as its message asks."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from enum import StrEnum

from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRunStatus, MetadataValue
from dagster._core.events import EngineEventData
from dagster._core.execution.api import create_execution_plan, execute_plan_iterator
from dagster._core.storage.dagster_run import DagsterRun
from dagster._grpc.types import ExecuteStepArgs
from dagster._serdes import deserialize_value

from dagstorm_local.system.dagster_process import Jobs


class Outcome(StrEnum):
    """How an attempt ended, as `exec_attempts` and the logs call it."""

    COMPLETED = "completed"
    FAILED = "failed"
    RETRIED = "up for retry"
    SKIPPED = "skipped"  # the run had ended, or is being canceled: nothing was executed
    CRASHED = "crashed"  # neither: Dagster itself failed, so the message comes back


_ENDS = {
    DagsterEventType.STEP_SUCCESS: Outcome.COMPLETED,
    DagsterEventType.STEP_FAILURE: Outcome.FAILED,
    DagsterEventType.STEP_UP_FOR_RETRY: Outcome.RETRIED,
}


def ended(run: DagsterRun) -> bool:
    """Whether no step of the run may be started any more."""
    return run.is_finished or run.status == DagsterRunStatus.CANCELING


class Steps:
    """Executes steps, reporting to Dagster's event log through the instance. One step at a time."""

    def __init__(self, instance: DagsterInstance) -> None:
        self._instance = instance
        self._jobs = Jobs()

    def run_of(self, run_id: str) -> DagsterRun | None:
        """The run as Dagster knows it now."""
        return self._instance.get_run_by_id(run_id)

    def report_worker(self, run: DagsterRun, step: str, worker: Mapping[str, str]) -> None:
        """Write STEP_WORKER_STARTED: who is about to execute the step. The next STEP_START of the step is theirs."""
        metadata = {label: MetadataValue.text(text) for label, text in worker.items()}
        event = DagsterEvent(
            DagsterEventType.STEP_WORKER_STARTED.value,
            job_name=run.job_name,
            step_key=step,
            message=f'A worker has taken "{step}".',
            event_specific_data=EngineEventData(metadata, marker_end="step_process_start"),
            pid=os.getpid(),
        )
        self._instance.report_dagster_event(event, run.run_id, logging.DEBUG)

    def execute(self, arguments: str, run: DagsterRun) -> Outcome:
        """Execute what the serialized ExecuteStepArgs name. An op that fails is an outcome; only Dagster raises."""
        args = deserialize_value(arguments, ExecuteStepArgs)
        job = self._jobs.of(run)
        plan = create_execution_plan(
            job, run.run_config, step_keys_to_execute=args.step_keys_to_execute, known_state=args.known_state
        )
        outcome = Outcome.CRASHED
        events = execute_plan_iterator(
            plan, job, run, self._instance, retry_mode=args.retry_mode, run_config=run.run_config
        )
        for event in events:
            outcome = _ENDS.get(event.event_type, outcome)
        return outcome

    def reported(self, run_id: str, step: str, attempt: int) -> Outcome | None:
        """How this attempt ended according to Dagster's event log; None if it did not.

        Asked by one who takes a claim over: the holder may have died after its last event and before saying so.
        """
        seen = [
            entry.dagster_event.event_type
            for entry in self._instance.all_logs(run_id, of_type=set(_ENDS))
            if entry.dagster_event and entry.dagster_event.step_key == step
        ]
        for kind in (DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE):
            if kind in seen:
                return _ENDS[kind]
        return Outcome.RETRIED if seen.count(DagsterEventType.STEP_UP_FOR_RETRY) >= attempt else None
