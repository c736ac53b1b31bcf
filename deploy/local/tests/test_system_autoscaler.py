"""The autoscaler's loop over clients that answer as told: what it changes, what it leaves alone, what it says."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from dagstorm_local.system.autoscaler import Autoscaler, Watch
from dagstorm_local.system.logs import Log
from dagstorm_local.system.scaling import Policy

POLICY = Policy(least=2, most=20, up_at=5, down_at=2, cooldown_s=60)


class Aws:
    """SQS and ECS in one."""

    def __init__(self) -> None:
        self.waiting, self.in_flight, self.desired = 0, 0, 2
        self.stopped: list[dict[str, Any]] = []
        self.updates: list[int] = []
        self.down = False

    def _answer(self) -> None:
        if self.down:
            raise EndpointConnectionError(endpoint_url="http://aws")  # type: ignore[no-untyped-call]

    def get_queue_url(self, **_: Any) -> dict[str, str]:
        self._answer()
        return {"QueueUrl": "url"}

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        self._answer()
        names = "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"
        return {"Attributes": dict(zip(names, (str(self.waiting), str(self.in_flight)), strict=True))}

    def describe_services(self, **_: Any) -> dict[str, Any]:
        self._answer()
        return {"services": [{"status": "ACTIVE", "desiredCount": self.desired}] if self.desired >= 0 else []}

    def update_service(self, *, desiredCount: int, **_: Any) -> None:
        self._answer()
        self.updates.append(desiredCount)
        self.desired = desiredCount

    def list_tasks(self, **_: Any) -> dict[str, Any]:
        return {"taskArns": [task["taskArn"] for task in self.stopped]}

    def describe_tasks(self, *, tasks: list[str], **_: Any) -> dict[str, Any]:
        return {"tasks": [task for task in self.stopped if task["taskArn"] in tasks]}


@pytest.fixture
def aws() -> Aws:
    return Aws()


@pytest.fixture
def scaler(aws: Aws, caplog: pytest.LogCaptureFixture) -> Autoscaler:
    caplog.set_level(logging.INFO, logger="dagstorm")
    return Autoscaler(Watch(aws, aws, Log()), POLICY, Log())


def test_it_goes_up_waits_and_comes_down(aws: Aws, scaler: Autoscaler) -> None:
    aws.waiting = 40
    assert all(scaler.step(now) for now in (0, 1, 2))
    assert aws.updates == [8]
    aws.waiting = 0
    assert all(scaler.step(now) for now in (59, 61, 62, 122))
    assert aws.updates == [8, 6, 5]


def test_a_failed_look_changes_nothing_and_is_said_once(
    aws: Aws, scaler: Autoscaler, caplog: pytest.LogCaptureFixture
) -> None:
    aws.desired = 8
    aws.down = True
    assert not any(scaler.step(now) for now in (0, 100, 200))
    aws.down, aws.desired = False, -1  # an answer without the service is no answer either
    assert not scaler.step(300)
    assert aws.updates == []
    aws.desired = 8
    assert scaler.step(400)
    messages = [record.getMessage() for record in caplog.records]
    assert messages.count("The look failed, leaving all as it is") == 1
    assert messages.count("Looking succeeds again") == 1


def test_a_failed_worker_is_told_of_once_with_its_exit_code(
    aws: Aws, scaler: Autoscaler, caplog: pytest.LogCaptureFixture
) -> None:
    reason = {"stopCode": "EssentialContainerExited", "stoppedReason": "it went"}
    aws.stopped = [
        {"taskArn": "arn/killed", "lastStatus": "STOPPED", "containers": [{"exitCode": 137}], **reason},
        {"taskArn": "arn/drained", "lastStatus": "STOPPED", "containers": [{"exitCode": 0}], **reason},
        {
            "taskArn": "arn/old",
            "lastStatus": "STOPPED",
            "stoppedAt": datetime(2026, 1, 1, tzinfo=UTC),
            "containers": [],
        },
        {"taskArn": "arn/never", "lastStatus": "STOPPED", "containers": [], "stopCode": "TaskFailedToStart"},
        {"taskArn": "arn/going", "lastStatus": "STOPPING", "containers": []},
    ]
    assert scaler.step(0) and scaler.step(1)
    told: list[Any] = [
        (record.getMessage(), record.dagstorm_fields["worker_task"], record.dagstorm_fields["exit_codes"])  # type: ignore[attr-defined]
        for record in caplog.records
        if "worker_task" in record.dagstorm_fields  # type: ignore[attr-defined]
    ]
    failed = "A worker failed; the service replaces it"
    assert told == [
        (failed, "arn/killed", [137]),
        ("A worker stopped", "arn/drained", [0]),
        (failed, "arn/never", []),
    ]
