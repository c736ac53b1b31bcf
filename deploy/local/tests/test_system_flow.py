"""The system on real parts: a run by SQS, workers as processes, PostgreSQL, and what happens when parts of it die."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from system_rig import Cut, NewDatabase, Process, Rig, rig, wait_until

from dagstorm_local.contract import TASKS_QUEUE, Settings
from dagstorm_local.system.durations import FAST, SLOW, draw
from dagstorm_local.system.logs import KEY_TAG

QUICK = Settings(scale=0.01, visibility_timeout=2)  # fast 0.1 to 0.3 s, slow 1.8 to 4.2 s
RUN_VISIBILITY = "4"  # an executor that stalls for longer loses its runs, and with them its life
FORGETFUL = Settings(scale=0.01, visibility_timeout=1, heartbeat=False)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("system"), new_database("flow")) as made:
        yield made


@pytest.fixture
def stack(parts: Rig) -> Iterator[Rig]:
    yield parts
    parts.purge()


def _start(stack: Rig, settings: Settings, workers: int) -> tuple[Process, list[Process]]:
    """One executor, to which the settings make no difference, and so many workers."""
    running = stack.alive("run_executor") or [
        stack.start("run_executor", settings, STACK_RUN_VISIBILITY=RUN_VISIBILITY)
    ]
    started = stack.workers(settings, workers)
    stack.listening(*running, *started)
    return running[0], started


def _lasting(seconds: float, step: str = "slow") -> dict[str, str]:
    """Tags of a run whose step takes about so long."""
    keys = (f"try/{number}" for number in range(1000))
    span = SLOW if "slow" in step else FAST
    good = (key for key in keys if abs(draw(span, scale=0.01, seed=7, run=key, step=step) - seconds) < 0.1)
    return {KEY_TAG: next(good)}


def _attempts(stack: Rig, run_id: str) -> list[tuple[str, int, str | None]]:
    """Step, attempt and outcome of everything that was executed for the run."""
    rows = stack.query("SELECT step_key, attempt, outcome FROM exec_attempts WHERE run_id = %s ORDER BY id", run_id)
    return [(step, attempt, outcome) for step, attempt, outcome in rows]


def _workers_of(stack: Rig, run_id: str) -> list[str]:
    """The workers of all that was executed for the run, in its order."""
    return [
        str(row[0]) for row in stack.query("SELECT worker FROM exec_attempts WHERE run_id = %s ORDER BY id", run_id)
    ]


def _queue_is_empty(stack: Rig) -> bool:
    client = stack.sqs()
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = client.get_queue_url(QueueName=TASKS_QUEUE)["QueueUrl"]
    return set(client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()) == {"0"}


def _busy_worker(stack: Rig, workers: list[Process], run_id: str) -> Process:
    """The worker that is in the middle of a step of the run."""

    def busy() -> list[Process]:
        return [one for one in workers if any(line["run_id"] == run_id for line in one.said("Started a step"))]

    return wait_until("a worker starts the step", busy)[0]


def test_a_run_succeeds_and_every_line_tells_its_key(stack: Rig) -> None:
    executor, workers = _start(stack, QUICK, workers=2)
    ready = list((stack.folder / "ready").iterdir())
    tags = {"dagstorm/key": "steady/1/7", "dagstorm/scenario": "steady"}
    run_id = stack.launch("parallel_fast_job", tags)
    assert stack.finished(run_id) == "SUCCESS"
    assert sorted(_attempts(stack, run_id)) == [(f"fast_{n}", 1, "completed") for n in range(1, 5)]
    assert len(ready) >= 3
    wait_until("the last step is settled", lambda: sum(len(one.said("Settled a step")) for one in workers) == 4)
    wait_until("the run's end is logged", lambda: executor.said("Ended a run"))
    lines = [line for one in (executor, *workers) for line in one.lines() if "run_id" in line]
    assert all(line["key"] == "steady/1/7" and line["scenario"] == "steady" for line in lines)
    assert all({"timestamp", "level", "component", "message"} <= line.keys() for line in lines)
    assert not [line for one in (executor, *workers) for line in one.lines() if line["level"] != "INFO"]
    wait_until("the messages are acknowledged", lambda: _queue_is_empty(stack))


def test_a_killed_worker_s_step_is_started_again_and_completed_once(stack: Rig) -> None:
    _, workers = _start(stack, QUICK, workers=2)
    run_id = stack.launch("slow_job", _lasting(2))
    busy = _busy_worker(stack, workers, run_id)
    wait_until("Dagster knows of the start", lambda: stack.events(run_id, "STEP_START"))
    assert busy.kill() == -signal.SIGKILL
    assert stack.finished(run_id) == "SUCCESS"
    assert stack.events(run_id, "STEP_START") == ["slow", "slow"]
    assert stack.events(run_id, "STEP_SUCCESS") == ["slow"]
    assert _attempts(stack, run_id) == [("slow", 1, None), ("slow", 1, "completed")]
    first, second = stack.takers(run_id, "slow")
    assert first != second and [first, second] == _workers_of(stack, run_id)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_another_executor_resumes_the_runs_of_one_that_is_gone(stack: Rig, number: int) -> None:
    executor, workers = _start(stack, QUICK, workers=1)
    run_id = stack.launch("mixed_job", _lasting(2, "slow_beside"))
    _busy_worker(stack, workers, run_id)
    executor.kill(number)
    other = stack.start("run_executor", QUICK, STACK_RUN_VISIBILITY=RUN_VISIBILITY)
    assert stack.finished(run_id) == "SUCCESS"
    assert other.said("Resuming a run")
    assert sorted(_attempts(stack, run_id)) == [
        (step, 1, "completed") for step in ("fast_first", "fast_last", "slow_beside")
    ]
    assert len(stack.takers(run_id, "slow_beside")) == 1


def test_a_failing_op_is_tried_again_under_a_new_attempt(stack: Rig) -> None:
    _start(stack, QUICK, workers=1)
    mended = stack.launch("fast_job", {"dagstorm/fail-attempts": "1"})
    broken = stack.launch("fast_job", {"dagstorm/fail-attempts": "9"})
    assert stack.finished(mended) == "SUCCESS"
    assert stack.finished(broken) == "FAILURE"
    assert _attempts(stack, mended) == [("fast", 1, "up for retry"), ("fast", 2, "completed")]
    assert [outcome for _, _, outcome in _attempts(stack, broken)] == ["up for retry", "up for retry", "failed"]
    assert stack.events(broken, "STEP_FAILURE") == ["fast"]
    wait_until("the messages are acknowledged", lambda: _queue_is_empty(stack))


def test_a_canceled_run_starts_no_further_step(stack: Rig) -> None:
    _, workers = _start(stack, QUICK, workers=1)
    run_id = stack.launch("sequential_slow_job", _lasting(2, "slow_1"))
    _busy_worker(stack, workers, run_id)
    assert stack.instance.run_launcher.terminate(run_id)
    assert stack.finished(run_id) == "CANCELED"
    assert not stack.instance.run_launcher.terminate(run_id)
    wait_until("the step in hand is settled", lambda: _queue_is_empty(stack))
    assert stack.events(run_id, "STEP_START") == ["slow_1"]
    assert stack.run(run_id).status.value == "CANCELED"


def test_a_worker_told_to_stop_finishes_its_step(stack: Rig) -> None:
    _, workers = _start(stack, QUICK, workers=1)
    run_id = stack.launch("slow_job", _lasting(2))
    assert _busy_worker(stack, workers, run_id).kill(signal.SIGTERM) == 0
    assert stack.finished(run_id) == "SUCCESS"
    assert _attempts(stack, run_id) == [("slow", 1, "completed")]


def test_a_lost_acknowledgement_executes_nothing_again_and_is_logged_once(stack: Rig) -> None:
    cut = Cut(stack.sqs_port)
    _start(stack, QUICK, workers=0)
    worker = stack.start("worker", QUICK, AWS_ENDPOINT_URL_SQS=cut.url)
    stack.listening(worker)
    run_id = stack.launch("slow_job", _lasting(2))
    _busy_worker(stack, [worker], run_id)
    cut.cut()
    assert stack.finished(run_id) == "SUCCESS"  # the step goes on; only its acknowledgement is lost
    wait_until("the acknowledgement is lost", lambda: worker.said("The acknowledgement was lost"))
    assert len(worker.said("SQS is out of reach, retrying")) == 1
    cut.heal()
    wait_until("the worker recovers by itself", lambda: worker.said("SQS is within reach again"))
    wait_until("the redelivery is settled", lambda: _queue_is_empty(stack))
    assert worker.said("The step is completed already, nothing to execute")
    assert _attempts(stack, run_id) == [("slow", 1, "completed")]
    worker.kill()  # it alone goes by the proxy
    cut.cut()


def test_with_claims_a_forgotten_heartbeat_does_no_harm(stack: Rig) -> None:
    _, workers = _start(stack, FORGETFUL, workers=2)
    run_id = stack.launch("slow_job", _lasting(2))
    assert stack.finished(run_id) == "SUCCESS"
    wait_until("the redelivery ends", lambda: _queue_is_empty(stack))
    assert stack.events(run_id, "STEP_START") == stack.events(run_id, "STEP_SUCCESS") == ["slow"]
    assert _attempts(stack, run_id) == [("slow", 1, "completed")]
    assert any(one.said("Another worker has the step, giving the message back") for one in workers)


def test_without_claims_a_forgotten_heartbeat_completes_a_step_twice(stack: Rig) -> None:
    settings = Settings(**{**vars(FORGETFUL), "idempotency": False})
    _start(stack, settings, workers=2)
    run_id = stack.launch("slow_job", _lasting(2))
    assert stack.finished(run_id) == "SUCCESS"
    wait_until("it is completed twice", lambda: len(stack.events(run_id, "STEP_SUCCESS")) >= 2)
    wait_until("the redelivery ends", lambda: _queue_is_empty(stack))
    wait_until("the last attempt ends", lambda: all(outcome for _, _, outcome in _attempts(stack, run_id)))
    assert stack.run(run_id).status.value == "SUCCESS"
    attempts = _attempts(stack, run_id)
    assert len(attempts) >= 2 and set(attempts) == {("slow", 1, "completed")}
    assert set(stack.takers(run_id, "slow")) <= set(_workers_of(stack, run_id))
    assert len(stack.events(run_id, "STEP_WORKER_STARTED")) == len(stack.events(run_id, "STEP_START")) == len(attempts)
