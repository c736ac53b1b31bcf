"""The whole stack with the real Dagster: a run that is launched succeeds, and a dead webserver comes back."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from aws_rig import alive, eventually, throughout
from stack_rig import Stack

from dagstorm_local.contract import CLUSTER, REGION, TASKS_QUEUE, WORKER_SERVICE, WORKERS_GROUP

LAUNCH = """mutation { launchRun(executionParams: {
  selector: {repositoryLocationName: "demo", repositoryName: "__repository__", jobName: "slow_job"}, runConfigData: {}
}) { __typename ... on LaunchRunSuccess { run { runId } } } }"""

EVENTS = """{ logsForRun(runId: "%s") { ... on EventConnection { events {
  ... on MessageEvent { eventType stepKey }
  ... on StepWorkerStartedEvent { metadataEntries { label ... on TextMetadataEntry { text } } }
} } } }"""


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
    eventually(lambda: len(_protected(stack)) == 1, 20)  # the worker that has the step
    eventually(lambda: ask(stack, run)["runOrError"]["status"] == "SUCCESS", 20)

    _the_log_names_the_task_of_the_step(stack, launched["run"]["runId"])
    eventually(lambda: not _protected(stack))

    _the_workers_are_alone_in_their_subnet(stack)
    _a_denied_queue_holds_a_run_up(stack)

    url = stack.file["dagster"]["graphql"]
    assert stack.run("part", "stop", "webserver").returncode == 0
    assert stack.status()[0] == 1
    assert stack.run("part", "start", "webserver").returncode == 0
    assert stack.file["dagster"]["graphql"] == url
    assert ask(stack, run)["runOrError"]["status"] == "SUCCESS"

    pids = stack.pids()
    assert stack.run("down").returncode == 0
    assert [pid for pid in pids if alive(pid)] == []


def _the_workers_are_alone_in_their_subnet(stack: Stack) -> None:
    """So that the subnet's ACL can cut them off and nobody else."""
    inside = [{"Name": "subnet-id", "Values": [stack.file["subnet"]]}]
    found = _client(stack, "ec2").describe_network_interfaces(Filters=inside)["NetworkInterfaces"]
    assert len(found) == 2
    assert {group["GroupName"] for one in found for group in one["Groups"]} == {WORKERS_GROUP}
    assert all(one["PrivateIpAddress"].startswith("10.0.1.") for one in found)


def _a_denied_queue_holds_a_run_up(stack: Stack) -> None:
    """The workers' calls are denied, they go on trying, and the run ends when the policy is gone."""
    sqs, there = _client(stack, "sqs"), {"QueueUrl": stack.file["queues"][TASKS_QUEUE]}
    arn = sqs.get_queue_attributes(**there, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    actions = ["sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
    statement = {"Effect": "Deny", "Principal": "*", "Action": actions, "Resource": arn}
    sqs.set_queue_attributes(**there, Attributes={"Policy": json.dumps({"Statement": [statement]})})
    logs = stack.folder / "logs" / "tasks"
    workers = [path for path in logs.iterdir() if path.name.startswith(WORKER_SERVICE)]
    eventually(lambda: all("explicit deny in a resource-based policy" in path.read_text() for path in workers))
    run_id = ask(stack, LAUNCH)["launchRun"]["run"]["runId"]
    run = '{ runOrError(runId: "%s") { ... on Run { status } } }' % run_id  # noqa: UP031
    eventually(lambda: ask(stack, run)["runOrError"]["status"] == "STARTED")
    throughout(lambda: ask(stack, run)["runOrError"]["status"] == "STARTED", 2)
    sqs.set_queue_attributes(**there, Attributes={"Policy": ""})
    eventually(lambda: ask(stack, run)["runOrError"]["status"] == "SUCCESS", 40)


def _the_log_names_the_task_of_the_step(stack: Stack, run_id: str) -> None:
    """The audit reads it like this, to tell whose execution of a step a fault ended."""
    events = ask(stack, EVENTS % run_id)["logsForRun"]["events"]
    kinds = [event["eventType"] for event in events if event["stepKey"] == "slow"]
    order = [kind for kind in kinds if kind in ("STEP_WORKER_STARTING", "STEP_WORKER_STARTED", "STEP_START")]
    assert kinds.index("STEP_WORKER_STARTED") < kinds.index("STEP_START") and len(order) == 3
    entries = next(event["metadataEntries"] for event in events if event["eventType"] == "STEP_WORKER_STARTED")
    said = {entry["label"]: entry["text"] for entry in entries}
    tasks = _client(stack, "ecs").list_tasks(cluster=CLUSTER, serviceName=WORKER_SERVICE)["taskArns"]
    assert said["task_arn"] in tasks
    assert said["attempt"] == said["receive_count"] == "1"
    assert said["worker"].startswith(said["task_arn"].rsplit("/", 1)[-1])


def _protected(stack: Stack) -> list[str]:
    """The workers that scale-in must pass over."""
    ecs = _client(stack, "ecs")
    tasks = ecs.list_tasks(cluster=CLUSTER, serviceName=WORKER_SERVICE)["taskArns"]
    found = ecs.get_task_protection(cluster=CLUSTER, tasks=tasks)["protectedTasks"]
    return [task["taskArn"] for task in found if task["protectionEnabled"]]


def _client(stack: Stack, service: str) -> Any:
    return boto3.client(  # type: ignore[no-untyped-call]
        service,
        endpoint_url=stack.file["aws"]["endpoint"],
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
