"""Dagster's code location: the jobs of the specification, their schedule, and the executor that queues their steps."""

from __future__ import annotations

from dagster import DefaultScheduleStatus, Definitions, GraphDefinition, JobDefinition, ScheduleDefinition, graph

from dagstorm_local.system import ops, runtime
from dagstorm_local.system.executor import taskiq_executor

PARALLEL = 4
SEQUENCE = 3


@graph
def fast_graph() -> None:
    ops.fast("fast")()


@graph
def slow_graph() -> None:
    ops.slow("slow")()


@graph
def mixed_graph() -> None:
    first = ops.fast("fast_first")()
    ops.slow("slow_beside")(first)
    ops.fast("fast_last")(first)


@graph
def parallel_fast_graph() -> None:
    for number in range(1, PARALLEL + 1):
        ops.fast(f"fast_{number}")()


@graph
def sequential_slow_graph() -> None:
    done = ops.slow("slow_1")()
    for number in range(2, SEQUENCE + 1):
        done = ops.slow(f"slow_{number}")(done)


def _job(definition: GraphDefinition, name: str) -> JobDefinition:
    return definition.to_job(name=name, executor_def=taskiq_executor)


fast_job = _job(fast_graph, "fast_job")
slow_job = _job(slow_graph, "slow_job")
mixed_job = _job(mixed_graph, "mixed_job")
parallel_fast_job = _job(parallel_fast_graph, "parallel_fast_job")
sequential_slow_job = _job(sequential_slow_graph, "sequential_slow_job")

every_ten_minutes = ScheduleDefinition(
    name="every_ten_minutes",
    job=mixed_job,
    cron_schedule="*/10 * * * *",
    default_status=DefaultScheduleStatus.RUNNING if runtime.settings().schedule else DefaultScheduleStatus.STOPPED,
)

defs = Definitions(
    jobs=[fast_job, slow_job, mixed_job, parallel_fast_job, sequential_slow_job],
    schedules=[every_ten_minutes],
)
