"""The supervisor by its command line: up, crash, status, change, down, and nothing left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import psycopg2
import pytest
import yaml
from aws_rig import STUBBORN, alive, eventually
from stack_rig import Stack

from dagstorm_local.aws.processes import MARKER
from dagstorm_local.contract import TASKS_QUEUE
from dagstorm_local.stack import remains
from dagstorm_local.stack.paths import Paths


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    # Deeper than a Unix socket's path may be long.
    made = Stack(tmp_path / ("a" * 60) / ("b" * 60) / ".stack")
    yield made
    made.run("down")


def test_up_change_and_down(stack: Stack) -> None:
    first = stack.up("--workers", "3")
    assert first.returncode == 0, first.stderr
    assert "postgres is ready" in first.stdout
    assert "emulator is ready" in first.stdout
    assert len(stack.workers()) == 3
    assert stack.status()[0] == 0
    again = stack.up()
    assert (again.returncode, again.stdout.splitlines()[0]) == (0, "the stack is up already")
    _files_say_where_everything_is(stack)

    changed = stack.run("configure", "--idempotency", "off", "--visibility-timeout", "2")
    assert changed.returncode == 0, changed.stderr
    assert (len(stack.workers(idempotency=False)), stack.workers()) == (3, [])
    assert (stack.file["settings"]["idempotency"], stack.file["settings"]["visibility_timeout"]) == (False, 2)
    assert stack.run("scale", "1").returncode == 0
    eventually(lambda: len(stack.workers(idempotency=False)) == 1)

    pids = stack.pids()
    assert stack.run("down").returncode == 0
    assert [pid for pid in pids if alive(pid)] == []
    assert stack.workers(idempotency=False) == []
    assert not Path(stack.file["postgres"]["socket"]).exists()
    assert stack.run("down").stdout.strip() == "nothing was running"
    assert stack.run("down", "--wipe").returncode == 0
    assert not stack.folder.exists()


def _files_say_where_everything_is(stack: Stack) -> None:
    written = stack.file
    target = yaml.safe_load((stack.folder / "target.yaml").read_text())["spec"]
    assert target["network"]["workers"]["securityGroup"] == written["groups"]["sg-workers"]
    assert target["dagster"]["url"] == written["dagster"]["graphql"]
    variables = dict(
        line.removeprefix("export ").split("=", 1) for line in (stack.folder / "env").read_text().splitlines()
    )
    sqs = boto3.client(  # type: ignore[no-untyped-call]
        "sqs",
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=variables["AWS_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )
    url = written["queues"][TASKS_QUEUE]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["VisibilityTimeout"] == "8"
    assert '"maxReceiveCount": 20' in attributes["RedrivePolicy"]


def test_a_crashed_part_is_seen_and_can_be_started_again(stack: Stack) -> None:
    assert stack.up("--workers", "1").returncode == 0
    with psycopg2.connect(host=stack.file["postgres"]["socket"], user="postgres", dbname="postgres") as database:
        database.cursor().execute("CREATE TABLE kept (x int)")
    os.kill(stack.file["parts"]["postgres"]["pid"], signal.SIGKILL)
    eventually(lambda: stack.file["parts"]["postgres"]["state"] == "failed", 5)
    code, found = stack.status()
    assert (code, found["healthy"]) == (1, False)
    assert stack.part("postgres")["ended"] == "killed by signal 9"
    assert '"event": "crashed"' in (stack.folder / "logs" / "supervisor.log").read_text()
    started = stack.run("part", "start", "postgres")
    assert started.returncode == 0, started.stderr
    assert stack.status()[0] == 0

    assert stack.run("part", "stop", "emulator").returncode == 0
    assert stack.part("emulator")["state"] == "stopped"
    assert stack.workers() == []
    assert stack.run("part", "start", "emulator").returncode == 0
    assert len(stack.workers()) == 1

    # What is in the database outlives `down` and `up`.
    assert stack.run("down").returncode == 0
    assert stack.up().returncode == 0
    with psycopg2.connect(host=stack.file["postgres"]["socket"], user="postgres", dbname="postgres") as database:
        database.cursor().execute("SELECT * FROM kept")


def test_down_works_when_the_supervisor_was_killed(stack: Stack) -> None:
    assert stack.up("--workers", "2").returncode == 0
    pids, workers = stack.pids(), stack.workers()
    os.kill(stack.file["supervisor"]["pid"], signal.SIGKILL)
    assert stack.status()[1]["state"] == "supervisor gone"
    done = stack.run("down")
    assert (done.returncode, done.stdout.strip()) == (
        0,
        "ended emulator, postgres, left by a supervisor that is gone",
    )
    eventually(lambda: not [pid for pid in (*pids, *workers) if alive(pid)])
    assert stack.up("--workers", "1").returncode == 0


def test_down_ends_what_nobody_recorded_and_nothing_of_another_stack(stack: Stack) -> None:
    assert stack.up("--workers", "2").returncode == 0
    deaf = [*STUBBORN[:-1], STUBBORN[-1] + "# nobody knows of me"]
    marks = (str(stack.folder), f"{stack.folder}-other")
    mine, others = (
        subprocess.Popen(deaf, env={**os.environ, MARKER: folder}, stdout=subprocess.DEVNULL, start_new_session=True)
        for folder in marks
    )
    try:
        # While it starts tasks and replaces one.
        boto3.client(  # type: ignore[no-untyped-call]
            "ecs",
            endpoint_url=stack.file["aws"]["endpoint"],
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        ).update_service(cluster="demo", service="taskiq-worker", desiredCount=20)
        os.kill(stack.workers()[0], signal.SIGKILL)
        assert stack.run("down").returncode == 0
        assert remains.find(Paths.of(stack.folder)) == {}
        assert stack.workers() == []
        assert mine.wait(1) == -signal.SIGKILL
        assert others.poll() is None
    finally:
        for process in (mine, others):
            process.kill()
            process.wait()


def test_a_taken_port_is_avoided_and_said(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = stack.run("up", "--parts", "emulator", "--services", "stack_rig:sleepers", "--port-aws", str(port))
    assert done.returncode == 0, done.stderr
    assert f"port {port} is taken" in done.stdout
    assert str(port) not in stack.file["aws"]["endpoint"]


def test_a_part_that_does_not_come_up_is_named_and_nothing_is_left(stack: Stack) -> None:
    data = stack.folder / "postgres"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("18\n")  # a data folder that is none
    done = stack.up()
    assert done.returncode == 4
    assert "could not start: postgres: ended with exit code" in done.stderr
    assert "postgresql.conf" in done.stderr  # PostgreSQL's own words
    assert [pid for pid in stack.pids() if alive(pid)] == []
    assert stack.workers() == []


@pytest.mark.parametrize("arguments", [("scale", "3"), ("part", "stop", "emulator"), ("configure", "--scale", "1")])
def test_without_a_stack_a_change_says_so(stack: Stack, arguments: tuple[str, ...]) -> None:
    done = stack.run(*arguments)
    assert done.returncode == 1
    assert "no supervisor answers" in done.stderr
