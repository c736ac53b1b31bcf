"""The code location `mine` of a team that knows nothing of dagstorm; Dagster 1.8 can load it too.

Jobs run in one process, for speed; `crashing_step` has a process for each step. Dagster reads the annotations when it
loads the file: they are no texts here.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterRunStatus, DefaultSensorStatus, OpExecutionContext, RunRequest, RunStatusSensorContext

# How long a run waits for its gate before it gives up: longer than any test.
GATE_S = 600.0
POLL_S = 0.1
EVERY_S = 1
OWN_PROCESS = dg.multiprocess_executor.configured({"max_concurrent": 1})


def is_first(context: OpExecutionContext) -> bool:
    return context.run.parent_run_id is None


def wait_for_gate(context: OpExecutionContext) -> None:
    """Wait until the test has done to this run, or beside it, what it wants to do."""
    gate = Path(os.environ["FOREIGN_GATES"]) / context.run.tags.get("dagstorm/scenario", "none")
    deadline = time.monotonic() + GATE_S
    while not gate.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody opened {gate}")
        time.sleep(POLL_S)


@dg.op
def quick() -> int:
    return 1


@dg.op
def wait(context: OpExecutionContext) -> None:
    wait_for_gate(context)


@dg.op
def wait_at_first(context: OpExecutionContext) -> None:
    """Long in the first run, short when it is run again: so that the first can be interrupted."""
    if is_first(context):
        wait_for_gate(context)


@dg.op
def fail_at_first(context: OpExecutionContext) -> None:
    if is_first(context):
        raise RuntimeError("the first run fails")


@dg.op
def fail_twice(context: OpExecutionContext) -> None:
    if int(context.run.tags.get("dagster/retry_number", "0")) < 2:
        raise ConnectionError("two runs of three fail")


@dg.op
def fail() -> None:
    raise ValueError("no such customer")


@dg.op
def after(context: OpExecutionContext, before: int) -> None:
    if is_first(context):
        raise RuntimeError(f"the second step fails at first, after {before}")


@dg.op(retry_policy=dg.RetryPolicy(max_retries=2, delay=0))
def fail_once(context: OpExecutionContext) -> None:
    if context.retry_number < 1:
        raise RuntimeError("the first attempt fails")


@dg.op(retry_policy=dg.RetryPolicy(max_retries=1, delay=0))
def fail_always() -> None:
    raise KeyError("each attempt fails")


@dg.op(out=dg.DynamicOut(int))
def spread() -> Iterator[dg.DynamicOutput[int]]:
    for number in range(3):
        yield dg.DynamicOutput(number, mapping_key=f"part_{number}")


@dg.op
def use(number: int) -> int:
    return number


@dg.op
def use_if_again(context: OpExecutionContext, number: int) -> int:
    if number == 1 and is_first(context):
        raise RuntimeError("one part fails at first")
    return number


@dg.op
def gather(numbers: list[int]) -> int:
    return sum(numbers)


@dg.op
def use_partition(context: OpExecutionContext) -> None:
    context.log.info(context.partition_key)


@dg.op(config_schema={"region": str})
def use_region(context: OpExecutionContext) -> None:
    context.log.info(context.op_config["region"])


@dg.op
def wrong_type() -> int:
    return "no number"  # type: ignore[return-value]


@dg.op
def crash() -> None:
    os._exit(3)


@dg.op(required_resource_keys={"database"})
def use_database() -> None: ...


@dg.resource
def database(_: object) -> None:
    raise PermissionError("the database refuses the password")


@dg.success_hook
def broken_hook(_: object) -> None:
    raise RuntimeError("the hook itself fails")


@dg.failure_hook
def quiet_hook(_: object) -> None: ...


@dg.job
def plain() -> None:
    quick()


@dg.job
def gated() -> None:
    wait()


@dg.job
def interrupted() -> None:
    wait_at_first()


@dg.job
def flaky() -> None:
    fail_at_first()


@dg.job
def flaky_twice() -> None:
    fail_twice()


@dg.job
def failing() -> None:
    fail()


@dg.job
def second_step_flaky() -> None:
    after(quick())


@dg.job
def op_flaky() -> None:
    fail_once()


@dg.job
def op_failing() -> None:
    fail_always()


@dg.job
def dynamic() -> None:
    gather(spread().map(use).collect())


@dg.job
def dynamic_flaky() -> None:
    gather(spread().map(use_if_again).collect())


@dg.job(partitions_def=dg.StaticPartitionsDefinition(["eu", "us"]))
def by_region() -> None:
    use_partition()


@dg.static_partitioned_config(["eu", "us"])
def of_region(key: str) -> dict[str, Any]:
    return {"ops": {"use_region": {"config": {"region": key}}}}


@dg.job(config=of_region)
def configured_by_region() -> None:
    use_region()


@dg.job
def badly_typed() -> None:
    wrong_type()


@dg.job
def crashing() -> None:
    crash()


@dg.job(executor_def=OWN_PROCESS)
def crashing_step() -> None:
    crash()


@dg.job(resource_defs={"database": database})
def without_database() -> None:
    use_database()


@dg.job(hooks={broken_hook})
def hook_fails() -> None:
    quick()


@dg.job(hooks={quiet_hook})
def hook_of_failure() -> None:
    fail()


@dg.job
def chained() -> None:
    quick()


@dg.job
def chaining() -> None:
    quick()


@dg.job
def copied() -> None:
    quick()


@dg.job
def follow_up() -> None:
    quick()


@dg.asset
def orders() -> int:
    return 1


@dg.asset
def revenue(orders: int) -> int:
    return orders * 2


@dg.asset
def forecast() -> None:
    raise ArithmeticError("the forecast does not converge")


def own_tags(context: RunStatusSensorContext) -> dict[str, str]:
    """As many sensors do, to keep the labels of the run before."""
    return {tag: value for tag, value in context.dagster_run.tags.items() if not tag.startswith(("dagster/", "."))}


@dg.run_status_sensor(
    run_status=DagsterRunStatus.SUCCESS,
    monitored_jobs=[chaining],
    request_job=chained,
    default_status=DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=EVERY_S,
)
def chain(context: RunStatusSensorContext) -> RunRequest:
    """The next job of a chain, without the tags of the one before."""
    return RunRequest(run_key=context.dagster_run.run_id, tags={"follows": context.dagster_run.run_id})


@dg.run_status_sensor(
    run_status=DagsterRunStatus.SUCCESS,
    monitored_jobs=[copied],
    request_jobs=[copied, follow_up],
    default_status=DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=EVERY_S,
)
def copy(context: RunStatusSensorContext) -> Iterator[RunRequest | dg.SkipReason]:
    """Copies the tags to another job, or to the same one, as the tag `copy-to` says."""
    run = context.dagster_run
    if "copy-of" in run.tags:
        yield dg.SkipReason("it is a copy itself")
        return
    tags = {**own_tags(context), "copy-of": run.run_id}
    yield RunRequest(run_key=run.run_id, job_name=run.tags.get("copy-to", "follow_up"), tags=tags)


@dg.repository(default_executor_def=dg.in_process_executor)
def warehouse() -> list[Any]:
    """A repository with a name of its own, as people wrote them before `Definitions`."""
    jobs = [
        plain,
        gated,
        interrupted,
        flaky,
        flaky_twice,
        failing,
        second_step_flaky,
        op_flaky,
        op_failing,
        dynamic,
        dynamic_flaky,
        by_region,
        configured_by_region,
        badly_typed,
        crashing,
        crashing_step,
        without_database,
        hook_fails,
        hook_of_failure,
        chained,
        chaining,
        copied,
        follow_up,
        dg.define_asset_job("sales", selection=["orders", "revenue"]),
        dg.define_asset_job("planning", selection=["forecast"]),
    ]
    return [*jobs, orders, revenue, forecast, chain, copy]
