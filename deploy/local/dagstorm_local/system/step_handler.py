"""Hands the steps of a run to the workers: one TaskIQ message a step and attempt on the tasks queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from dagster import DagsterEvent, DagsterEventType, MetadataValue
from dagster._core.executor.step_delegating import CheckStepHealthResult, StepHandler, StepHandlerContext
from dagster._serdes import serialize_value
from dagster_shared.record import copy

from dagstorm_local.system import runtime
from dagstorm_local.system.logs import Log, tag_fields
from dagstorm_local.system.messages import Sender, step_message


class TaskiqStepHandler(StepHandler):
    """Guarantees that a launched step is on the queue at least once, however often the executor is started again."""

    def __init__(self, sender: Sender, log: Log) -> None:
        super().__init__()
        self._sender = sender
        self._log = log

    @property
    def name(self) -> str:
        return "TaskiqStepHandler"

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        """Send first, then record it: a crash in between sends twice, which the workers' claims make harmless."""
        context = step_handler_context
        step, attempt = _step_of(context), _attempt_of(context)
        run = context.dagster_run
        arguments = serialize_value(copy(context.execute_step_args, instance_ref=None))
        message = step_message(run.run_id, step, attempt, arguments, tag_fields(run.tags))
        log = self._log.bind(**tag_fields(run.tags), run_id=run.run_id, step=step, attempt=attempt)
        self._until_sent(lambda: self._sender.send(message), log)
        log.info("Queued a step")
        yield DagsterEvent.step_worker_starting(
            context.get_step_context(step), "Queued for a worker", {"task_id": MetadataValue.text(message.task_id)}
        )

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """A step whose message was sent is healthy, for SQS redelivers it until a worker has finished it."""
        context = step_handler_context
        step, attempt = _step_of(context), _attempt_of(context)
        sent = context.instance.all_logs(context.dagster_run.run_id, of_type=DagsterEventType.STEP_WORKER_STARTING)
        times = sum(1 for entry in sent if entry.dagster_event and entry.dagster_event.step_key == step)
        if times >= attempt:
            return CheckStepHealthResult.healthy()
        return CheckStepHealthResult.unhealthy(f"attempt {attempt} was not handed to the queue")

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        """Nothing to do: a worker starts no step of a run that is being canceled, and finishes the one it has."""
        return iter(())

    def _until_sent(self, send: Callable[[], None], log: Log) -> None:
        for tries, wait in enumerate(runtime.backoff()):
            try:
                return send()
            except runtime.AWS_ERRORS as error:
                if tries == 0:
                    log.warning("Cannot queue a step, retrying", error=f"{type(error).__name__}: {error}")
                time.sleep(wait)
        raise AssertionError("the backoff never ends")


def _step_of(context: StepHandlerContext) -> str:
    steps = context.execute_step_args.step_keys_to_execute
    if steps is None or len(steps) != 1:
        raise ValueError(f"one step a message, not {steps}")
    return steps[0]


def _attempt_of(context: StepHandlerContext) -> int:
    known = context.execute_step_args.known_state
    return 1 if known is None else 1 + known.get_retry_state().get_attempt_count(_step_of(context))
