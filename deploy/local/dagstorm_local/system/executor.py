"""Dagster's step executor on TaskIQ: its own step-delegating executor, fed by notifications instead of polling.

Changed of it: events come from the process's feed, a step's second completion is not taken for news (the stock
executor fails the run at one), and a run that was asked to be canceled stops handing out steps.
"""

from __future__ import annotations

from collections.abc import Sequence

from dagster import DagsterEvent, DagsterEventType, DagsterInstance, Executor, InitExecutorContext, executor
from dagster._core.definitions.executor_definition import multiple_process_executor_requirements
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.step_delegating import StepDelegatingExecutor, StepHandler

from dagstorm_local.contract import TASKS_QUEUE
from dagstorm_local.system import feed
from dagstorm_local.system.logs import Log
from dagstorm_local.system.messages import Sender
from dagstorm_local.system.step_handler import TaskiqStepHandler
from dagstorm_local.system.steps import ended

WAIT_S = 1.0  # at most so long until a step that waits for its retry is looked at
PAUSE_S = 0.05  # between two rounds of Dagster's loop; the feed is what waits
UNFED_PAUSE_S = 0.5  # the same without a feed

_ENDING = {DagsterEventType.RUN_CANCELING, DagsterEventType.RUN_CANCELED, DagsterEventType.RUN_FAILURE}


class FirstCompletions:
    """Lets each attempt of a step end once: whatever is told of it afterwards is dropped.

    After a step is up for retry, only the start of its next attempt is news.
    """

    def __init__(self) -> None:
        self._ended: set[str] = set()
        self._between: set[str] = set()

    def keep(self, events: Sequence[DagsterEvent]) -> list[DagsterEvent]:
        return [event for event in events if self._is_news(event)]

    def _is_news(self, event: DagsterEvent) -> bool:
        step = event.step_key
        if step is None:
            return True
        if event.event_type == DagsterEventType.STEP_RESTARTED:
            self._between.discard(step)
        if step in self._ended or step in self._between:
            return False
        if event.is_step_success or event.is_step_failure:
            self._ended.add(step)
        if event.is_step_up_for_retry:
            self._between.add(step)
        return True


class TaskiqExecutor(StepDelegatingExecutor):
    """Waits for the steps of one run. Made anew for each run, used by one thread."""

    def __init__(self, step_handler: StepHandler, retries: RetryMode) -> None:
        self._feed = feed.current()
        super().__init__(
            step_handler,
            retries=retries,
            sleep_seconds=PAUSE_S if self._feed else UNFED_PAUSE_S,
            check_step_health_interval_seconds=24 * 3600,  # a step whose message was sent is always healthy
        )
        self._first = FirstCompletions()
        self._told_of_end = False

    def _pop_events(self, instance: DagsterInstance, run_id: str, seen_storage_ids: set[int]) -> list[DagsterEvent]:
        events = self._first.keep(self._news(instance, run_id, seen_storage_ids))
        self._told_of_end = self._told_of_end or any(event.event_type in _ENDING for event in events)
        if self._told_of_end and self._is_ended(instance, run_id):
            raise DagsterExecutionInterruptedError("the run was ended from outside")
        return events

    def _is_ended(self, instance: DagsterInstance, run_id: str) -> bool:
        """Dagster stores the event before the status, and takes a run interrupted between the two for a failed one."""
        run = instance.get_run_by_id(run_id)
        return run is None or ended(run)

    def _news(self, instance: DagsterInstance, run_id: str, seen: set[int]) -> Sequence[DagsterEvent]:
        subscription = self._feed.subscription(run_id) if self._feed else None
        if subscription is None:
            return super()._pop_events(instance, run_id, seen)
        batch = subscription.take(WAIT_S)
        if batch.rescan:
            return super()._pop_events(instance, run_id, seen)
        fresh = [(event_id, event) for event_id, event in batch.events if event_id not in seen]
        seen.update(event_id for event_id, _ in fresh)
        return [event for _, event in fresh]

    def _get_pop_events_offset(self, instance: DagsterInstance) -> int:
        """How many ids to read again: events of parallel steps become visible in another order than their ids'."""
        return 200


_sender = Sender(TASKS_QUEUE)


@executor(name="taskiq", requirements=multiple_process_executor_requirements())
def taskiq_executor(init_context: InitExecutorContext) -> Executor:
    """Executes each step by a message on the tasks queue. Needs no configuration."""
    return TaskiqExecutor(TaskiqStepHandler(_sender, Log()), RetryMode.ENABLED)
