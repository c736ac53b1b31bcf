"""The whole stack with the real Dagster: a run that is launched succeeds, and a dead webserver comes back."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_rig import alive, eventually
from stack_rig import Stack

LAUNCH = """mutation { launchRun(executionParams: {
  selector: {repositoryLocationName: "demo", repositoryName: "__repository__", jobName: "fast_job"}, runConfigData: {}
}) { __typename ... on LaunchRunSuccess { run { runId } } } }"""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path / ".stack")
    yield made
    made.run("down")


def ask(stack: Stack, query: str) -> Any:
    body = json.dumps({"query": query}).encode()
    request = urllib.request.Request(stack.file["dagster"]["graphql"], body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["data"]


def test_a_run_succeeds_and_the_webserver_can_be_away(stack: Stack) -> None:
    done = stack.run("up", "--port-aws", "0", "--port-dagster", "0", "--scale", "0.01", within_s=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert stack.status()[0] == 0
    launched = ask(stack, LAUNCH)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess"
    run = '{ runOrError(runId: "%s") { ... on Run { status } } }' % launched["run"]["runId"]  # noqa: UP031
    eventually(lambda: ask(stack, run)["runOrError"]["status"] == "SUCCESS", 20)

    url = stack.file["dagster"]["graphql"]
    assert stack.run("part", "stop", "webserver").returncode == 0
    assert stack.status()[0] == 1
    assert stack.run("part", "start", "webserver").returncode == 0
    assert stack.file["dagster"]["graphql"] == url
    assert ask(stack, run)["runOrError"]["status"] == "SUCCESS"

    pids = stack.pids()
    assert stack.run("down").returncode == 0
    assert [pid for pid in pids if alive(pid)] == []
