"""What Dagster itself has of a scenario's runs, read from its storage by its own classes.

What was seen of Dagster 1.8 to 1.13, and what the oracle rests on:

- A launched run has no parent and no root. Dagster's own retry has both, all tags of its parent, and the tag
  `dagster/retry_number`: how many runs its group had before it.
- A failed run gets `dagster/will_retry` a moment after its FAILURE (from 1.9 on), and `dagster/auto_retry_run_id` when
  the retry is there, up to seconds later. If the daemon cannot make it, an engine event says so and the tag is left.
- A person's re-execution copies the tags, the number of a retry too, and has a parent. What a sensor launches has
  `dagster/sensor_name`, what a backfill launches `dagster/backfill`; both may copy any other tag.
- A run that is deleted vanishes at once; what names it as its root goes on to do so.
- A run whose webserver died before it queued it is NOT_STARTED for ever.
- The death of a run's process leaves a failure without an error, that of a step's process one of Dagster's own classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunsFilter

KEY, SCENARIO = "dagstorm/key", "dagstorm/scenario"
STARTED, WRITER = "dagstorm/started", "dagstorm/writer"
# Who made a run that nobody launched: Dagster's own tags.
MAKERS = ("dagster/sensor_name", "dagster/schedule_name", "dagster/backfill", "dagster/auto_materialize")
NEXT, NUMBER, PROMISE = "dagster/auto_retry_run_id", "dagster/retry_number", "dagster/will_retry"
# How Dagster calls the death of a process. No job raises these.
DEATHS = {
    "ChildProcessCrashException",
    "DagsterExecutionInterruptedError",
    "DagsterSubprocessError",
    "KeyboardInterrupt",
}
BEGINS = (DagsterEventType.STEP_START, DagsterEventType.STEP_RESTARTED)
EVENTS = {
    *BEGINS,
    DagsterEventType.STEP_SUCCESS,
    DagsterEventType.STEP_FAILURE,
    DagsterEventType.STEP_UP_FOR_RETRY,
    DagsterEventType.RUN_FAILURE,
    DagsterEventType.ENGINE_EVENT,
}
# What the daemon writes to a failed run that it has announced to run again, and then could not.
GIVEN_UP = ("unable to retry the run", "Could not find run group")


@dataclass
class Step:
    """How often things happened to a step of a run."""

    begun: int = 0
    completed: int = 0
    failed: int = 0
    to_be_retried: int = 0


@dataclass(frozen=True)
class Run:
    """What Dagster has of a run."""

    run_id: str
    job: str
    code: str
    status: str
    parent: str | None
    root: str | None
    tags: Mapping[str, str]
    created: float
    steps: Mapping[str, Step] = field(default_factory=dict)
    # The innermost error, its first line, if the job's own code failed the run.
    error: str | None = None
    # Dagster says that it cannot run it again, whatever it announced.
    given_up: bool = False

    @property
    def key(self) -> str:
        return self.tags.get(KEY, "")

    @property
    def number(self) -> int:
        """Of a retry, which one it is."""
        return int(self.tags.get(NUMBER, "0"))

    @property
    def is_launched(self) -> bool:
        """By a program or a person, and not as another execution of a run."""
        return self.parent is None and not any(tag in self.tags for tag in MAKERS)

    @property
    def is_done(self) -> bool:
        """Every step that began was completed, whatever Dagster says of the run."""
        some = self.steps.values()
        return bool(self.steps) and all(step.completed and not step.failed for step in some if step.begun)


def read(instance: DagsterInstance, scenario: str, events: bool = True) -> list[Run]:
    """Every run that Dagster has with a scenario's tag, the earliest first; without their events it is much faster."""
    records = instance.get_run_records(RunsFilter(tags={SCENARIO: scenario}))
    runs = [
        _run(record, list(instance.all_logs(record.dagster_run.run_id, of_type=EVENTS)) if events else [])
        for record in records
    ]
    return sorted(runs, key=lambda run: run.created)


def _run(record: Any, entries: list[Any]) -> Run:
    run = record.dagster_run
    # Its name for the origin of a run has changed since 1.8.
    origin: Any = getattr(run, "remote_job_origin", None) or getattr(run, "external_job_origin", None)
    repository = origin.repository_origin
    steps, error = _read_events(entries)
    told = [entry.message or entry.user_message for entry in entries]
    return Run(
        run_id=run.run_id,
        job=run.job_name,
        code=f"{repository.repository_name}@{repository.code_location_origin.location_name}",
        status=run.status.value,
        parent=run.parent_run_id,
        root=run.root_run_id,
        tags=dict(run.tags),
        created=record.create_timestamp.timestamp(),
        steps=steps,
        error=error if run.status == DagsterRunStatus.FAILURE else None,
        given_up=any(words in text for text in told for words in GIVEN_UP),
    )


def _read_events(entries: list[Any]) -> tuple[dict[str, Step], str | None]:
    """What happened to each step, and the error of the job's own code, if there is one."""
    steps: dict[str, Step] = {}
    of_steps: list[Any] = []
    of_run: Any = None
    for entry in entries:
        event = entry.dagster_event
        if event is None or event.event_type == DagsterEventType.ENGINE_EVENT:
            continue
        if event.event_type == DagsterEventType.RUN_FAILURE:
            of_run = getattr(event.event_specific_data, "error", None)
            continue
        step = steps.setdefault(event.step_key or "", Step())
        step.begun += event.event_type in BEGINS
        step.completed += event.event_type == DagsterEventType.STEP_SUCCESS
        step.to_be_retried += event.event_type == DagsterEventType.STEP_UP_FOR_RETRY
        if event.event_type == DagsterEventType.STEP_FAILURE:
            step.failed += 1
            of_steps.append(getattr(event.event_specific_data, "error", None))
    return steps, _own_error(of_steps, of_run)


def _own_error(of_steps: list[Any], of_run: Any) -> str | None:
    """A failure of a run repeats those of its steps: it counts alone only where no step failed."""
    failures = of_steps or [of_run]
    own = [error for error in failures if error is not None and error.cls_name not in DEATHS]
    if not own:
        return None
    innermost = own[-1]
    while innermost.cause is not None:
        innermost = innermost.cause
    lines: list[str] = innermost.message.strip().splitlines()
    return lines[0].strip()
