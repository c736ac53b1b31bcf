"""The parts that touch nothing: durations, settings, the autoscaler's decision, what counts as news, log lines."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import pytest
from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.execution.plan.objects import StepRetryData, StepSuccessData
from dagster._core.execution.retries import RetryMode
from dagster._core.utils import make_new_run_id
from dagster_shared.error import SerializableErrorInfo

from dagstorm_local.contract import AUTOSCALER_SERVICE, DESTINATIONS, EXECUTOR_SERVICE, WORKER_SERVICE, Settings
from dagstorm_local.system.definitions import defs
from dagstorm_local.system.durations import FAST, SLOW, draw
from dagstorm_local.system.executor import FirstCompletions, TaskiqExecutor
from dagstorm_local.system.logs import JsonFormatter, Log
from dagstorm_local.system.messages import Sender
from dagstorm_local.system.runtime import backoff
from dagstorm_local.system.scaling import Load, Policy, decide
from dagstorm_local.system.services import services, worker_stop_timeout
from dagstorm_local.system.settings import from_environment, to_environment
from dagstorm_local.system.step_handler import TaskiqStepHandler


def test_durations_repeat_and_stay_within_the_specification() -> None:
    drawn = [draw(FAST, scale=1, seed=7, run=f"s/1/{n}", step="fast") for n in range(500)]
    assert drawn == [draw(FAST, scale=1, seed=7, run=f"s/1/{n}", step="fast") for n in range(500)]
    assert 10 <= min(drawn) < 11 and 29 < max(drawn) <= 30
    slow = draw(SLOW, scale=1, seed=7, run="s/1/1", step="slow")
    assert 180 <= slow <= 420
    assert draw(SLOW, scale=0.05, seed=7, run="s/1/1", step="slow") == pytest.approx(slow / 20)
    assert draw(SLOW, scale=1, seed=8, run="s/1/1", step="slow") != slow


def test_settings_survive_the_environment() -> None:
    settings = Settings(scale=0.2, seed=3, idempotency=False, heartbeat=False, workers=5, cooldown=1.5, schedule=True)
    assert from_environment(to_environment(settings)) == settings
    assert from_environment({}) == Settings()
    with pytest.raises(ValueError, match="STACK_SEED must be a number, not 'x'"):
        from_environment({"STACK_SEED": "x"})
    with pytest.raises(ValueError, match="STACK_HEARTBEAT must be 0 or 1, not 'yes'"):
        from_environment({"STACK_HEARTBEAT": "yes"})


POLICY = Policy(least=2, most=20, up_at=5, down_at=2, cooldown_s=60)


@pytest.mark.parametrize(
    ("waiting", "in_flight", "desired", "idle_s", "expected"),
    [
        (0, 0, 2, 999, 2),  # at the lower limit
        (10, 2, 2, 999, 2),  # five a worker is not above five
        (11, 2, 2, 999, 3),  # above: as many as the queue asks for
        (40, 2, 2, 999, 8),
        (40, 2, 2, 59, 2),  # cooling down
        (400, 20, 8, 999, 20),  # the upper limit
        (400, 20, 20, 999, 20),
        (30, 10, 10, 999, 10),  # between the thresholds
        (0, 0, 20, 999, 15),  # down by a quarter
        (0, 0, 3, 999, 2),
        (0, 18, 20, 999, 18),  # never below the messages in flight
        (0, 20, 20, 999, 20),
        (0, 25, 20, 999, 20),  # more in flight than workers: given back by some, no reason to go up
        (0, 0, 1, 0, 2),  # outside of the limits: at once
        (0, 0, 30, 0, 20),
        (3, 0, 0, 0, 2),
    ],
)
def test_the_autoscaler_decides(waiting: int, in_flight: int, desired: int, idle_s: float, expected: int) -> None:
    decision = decide(POLICY, Load(waiting, in_flight, desired), idle_s)
    assert decision.desired == expected
    assert decision.reason


def test_scaling_converges_and_never_leaves_the_limits() -> None:
    for waiting in range(0, 300, 7):
        desired = 2
        for _ in range(40):
            desired = decide(POLICY, Load(waiting, 0, desired), 999).desired
            assert POLICY.least <= desired <= POLICY.most
        assert waiting / desired <= POLICY.up_at or desired == POLICY.most


def _event(kind: DagsterEventType, step: str | None) -> DagsterEvent:
    data: dict[DagsterEventType, Any] = {
        DagsterEventType.STEP_SUCCESS: StepSuccessData(duration_ms=1.0),  # type: ignore[no-untyped-call]
        DagsterEventType.STEP_UP_FOR_RETRY: StepRetryData(error=SerializableErrorInfo("failed", [], None)),  # type: ignore[no-untyped-call]
    }
    return DagsterEvent(kind.value, "job", step_key=step, event_specific_data=data.get(kind))


def test_a_second_completion_is_no_news() -> None:
    first = FirstCompletions()
    success, start = DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_START
    told = [_event(start, "a"), _event(start, "a"), _event(success, "a"), _event(success, "a"), _event(start, "a")]
    assert first.keep(told) == told[:3]
    assert (
        first.keep([_event(success, "a"), _event(success, "b"), _event(DagsterEventType.RUN_START, None)])[0].step_key
        == "b"
    )


def test_of_a_step_up_for_retry_only_its_restart_is_news() -> None:
    first = FirstCompletions()
    retry, restart = DagsterEventType.STEP_UP_FOR_RETRY, DagsterEventType.STEP_RESTARTED
    kept = first.keep(
        [_event(retry, "a"), _event(retry, "a"), _event(restart, "a"), _event(DagsterEventType.STEP_SUCCESS, "a")]
    )
    assert [event.event_type for event in kept] == [retry, restart, DagsterEventType.STEP_SUCCESS]


def test_a_run_is_interrupted_when_its_status_says_so_not_when_the_event_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the two Dagster would call the run failed, and the late status would then leave it canceling for ever."""
    waiting = TaskiqExecutor(TaskiqStepHandler(Sender("none"), Log()), RetryMode.ENABLED)
    news = iter([[_event(DagsterEventType.RUN_CANCELING, None)], [], []])
    monkeypatch.setattr(waiting, "_news", lambda *_: next(news))
    with DagsterInstance.ephemeral() as instance:
        run = instance.add_run(DagsterRun("job", run_id=make_new_run_id(), status=DagsterRunStatus.STARTED))
        assert len(waiting._pop_events(instance, run.run_id, set())) == 1
        assert waiting._pop_events(instance, run.run_id, set()) == []
        instance.report_run_canceling(run)
        with pytest.raises(DagsterExecutionInterruptedError):
            waiting._pop_events(instance, run.run_id, set())


def test_a_log_line_has_the_one_schema() -> None:
    record = logging.LogRecord("dagstorm", logging.INFO, "", 0, "Started a step", None, None)
    record.dagstorm_fields = {"key": "s/1/2", "step": "fast", "attempt": 1}
    line = json.loads(JsonFormatter("worker", {"task_arn": "arn:x"}).format(record))
    moment = line.pop("timestamp")
    assert moment.endswith("Z") and "T" in moment
    assert line == {
        "level": "INFO",
        "component": "worker",
        "message": "Started a step",
        "task_arn": "arn:x",
        "key": "s/1/2",
        "step": "fast",
        "attempt": 1,
    }


def test_backoff_doubles_to_its_limit_with_jitter() -> None:
    waits = backoff(1, 5, draw=lambda: 1.0)
    assert [next(waits) for _ in range(5)] == [1, 2, 4, 5, 5]
    assert next(backoff(1, 5, draw=lambda: 0.0)) == 0.5


def test_the_services_cover_the_contract() -> None:
    specs = {spec.name: spec for spec in services(Settings(workers=4, executor_tasks=2))}
    assert {name: spec.desired for name, spec in specs.items()} == {
        EXECUTOR_SERVICE: 2,
        WORKER_SERVICE: 4,
        AUTOSCALER_SERVICE: 1,
    }
    assert all(set(spec.destinations) <= DESTINATIONS.keys() for spec in specs.values())
    assert specs[WORKER_SERVICE].environment["STACK_SCALE"] == "0.05"
    assert [worker_stop_timeout(replace(Settings(), scale=scale)) for scale in (0.001, 0.05, 1, 10)] == [2, 3, 31, 120]


def test_the_code_location_is_as_specified() -> None:
    jobs = {job.name: job for job in defs.resolve_all_job_defs() if not job.name.startswith("__")}
    steps = {name: sorted(node.name for node in job.nodes) for name, job in jobs.items()}
    assert steps == {
        "fast_job": ["fast"],
        "slow_job": ["slow"],
        "mixed_job": ["fast_first", "fast_last", "slow_beside"],
        "parallel_fast_job": ["fast_1", "fast_2", "fast_3", "fast_4"],
        "sequential_slow_job": ["slow_1", "slow_2", "slow_3"],
    }
    assert all(job.executor_def.name == "taskiq" for job in jobs.values())
    schedule = defs.resolve_schedule_def("every_ten_minutes")
    assert (schedule.cron_schedule, schedule.job_name) == ("*/10 * * * *", "mixed_job")
