"""Services, tasks and protection as ECS tells and refuses them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from aws_rig import Emulator, error_code, eventually, mark

from dagstorm_local.contract import CLUSTER

TAG = {"key": "dagstorm:fault", "value": "f-5"}
TEAM = {"key": "team", "value": "storm"}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = Emulator(tmp_path_factory.mktemp("cloud"))
    emulator.service("told", 2, environment=mark("told"))
    yield emulator
    emulator.close()


def service(cloud: Emulator, name: str = "told", tags: bool = True) -> dict[str, Any]:
    include = ["TAGS"] if tags else []
    found = cloud.ecs.describe_services(cluster=CLUSTER, services=[name], include=include)["services"]
    return dict(found[0])


def listed(cloud: Emulator, **filters: str) -> set[str]:
    return set(cloud.ecs.list_tasks(cluster=CLUSTER, **filters)["taskArns"])


def standalone(cloud: Emulator, started_by: str) -> str:
    answer = cloud.ecs.run_task(cluster=CLUSTER, taskDefinition="told", startedBy=started_by)
    return str(answer["tasks"][0]["taskArn"])


def test_tags_of_a_service_are_told_when_asked_for(cloud: Emulator) -> None:
    arn = service(cloud)["serviceArn"]
    cloud.ecs.tag_resource(resourceArn=arn, tags=[TAG])
    assert service(cloud)["tags"] == [TEAM, TAG]
    assert "tags" not in service(cloud, tags=False)
    cloud.ecs.tag_resource(resourceArn=arn, tags=[{**TAG, "value": "f-6"}])
    assert service(cloud)["tags"] == [TEAM, {**TAG, "value": "f-6"}]
    cloud.ecs.untag_resource(resourceArn=arn, tagKeys=[TAG["key"], "absent"])
    assert service(cloud)["tags"] == [TEAM]
    many = [{"key": f"k{number}", "value": ""} for number in range(50)]
    bad: list[list[dict[str, str]]] = [[{"key": "k", "value": "v" * 257}], [{"key": "k", "value": "{}"}], many]
    for tags in bad:
        change = {"resourceArn": arn, "tags": tags}
        assert error_code(lambda change=change: cloud.ecs.tag_resource(**change)) == "InvalidParameterException"  # type: ignore[misc]
    absent = {"resourceArn": arn + "x", "tagKeys": ["k"]}
    assert error_code(lambda: cloud.ecs.untag_resource(**absent)) == "InvalidParameterException"
    assert service(cloud)["tags"] == [TEAM]
    missing = cloud.ecs.describe_services(cluster=CLUSTER, services=["absent"])
    assert (missing["services"], missing["failures"][0]["reason"]) == ([], "MISSING")


def test_a_service_goes_to_nothing_and_comes_back(cloud: Emulator) -> None:
    cloud.running("told", 2)
    answer = cloud.ecs.update_service(cluster=CLUSTER, service="told", desiredCount=0)["service"]
    assert answer["desiredCount"] == 0
    eventually(lambda: not cloud.pids("told"))
    eventually(lambda: service(cloud)["runningCount"] == 0)
    assert listed(cloud, serviceName="told") == set()
    cloud.ecs.update_service(cluster=CLUSTER, service="told", desiredCount=2)
    eventually(lambda: len(cloud.pids("told")) == 2)
    eventually(lambda: (service(cloud)["desiredCount"], service(cloud)["runningCount"]) == (2, 2))


def test_tasks_are_listed_by_family_starter_and_service(cloud: Emulator) -> None:
    ours = {task["taskArn"] for task in cloud.running("told", 2)}
    alone = standalone(cloud, "storm")
    deployment = service(cloud)["deployments"][0]["id"]
    assert listed(cloud, serviceName="told") == ours
    assert listed(cloud, family="told") == ours | {alone}
    assert listed(cloud, startedBy="storm") == {alone}
    assert listed(cloud, startedBy=deployment) == ours  # not the service's name
    assert listed(cloud, startedBy="told") == listed(cloud, family="tol") == set()
    assert error_code(lambda: listed(cloud, serviceName="absent")) == "ServiceNotFoundException"
    assert error_code(lambda: listed(cloud, startedBy="storm", family="told")) == "InvalidParameterException"
    elsewhere = {"cluster": "absent", "services": ["told"]}
    assert error_code(lambda: cloud.ecs.describe_services(**elsewhere)) == "ClusterNotFoundException"
    cloud.ecs.stop_task(cluster=CLUSTER, task=alone)


def test_protection_is_for_tasks_of_services(cloud: Emulator) -> None:
    arns = [task["taskArn"] for task in cloud.running("told", 2)]
    alone = standalone(cloud, "unprotected")
    absent = arns[0].rsplit("/", 1)[0] + "/0123456789abcdef"
    asked = {"cluster": CLUSTER, "tasks": [*arns, alone, absent]}
    answer = cloud.ecs.update_task_protection(**asked, protectionEnabled=True)
    states = answer["protectedTasks"]
    assert [(one["taskArn"], one["protectionEnabled"]) for one in states] == [(arn, True) for arn in arns]
    in_two_hours = time.time() + 7200
    assert all(abs(one["expirationDate"].timestamp() - in_two_hours) < 60 for one in states)
    failures = [(one["arn"], one["reason"]) for one in answer["failures"]]
    assert failures == [(alone, "TASK_NOT_VALID"), (absent, "MISSING")]
    told = cloud.ecs.get_task_protection(**asked)
    assert (told["protectedTasks"], told["failures"]) == (states, answer["failures"])
    mine = {"cluster": CLUSTER, "tasks": arns, "protectionEnabled": True}
    for change in ({"expiresInMinutes": 2881}, {"expiresInMinutes": 0}, {"tasks": [arns[0]] * 11}):
        wrong = {**mine, **change}
        assert error_code(lambda wrong=wrong: cloud.ecs.update_task_protection(**wrong)) == "InvalidParameterException"  # type: ignore[misc]
    freed = cloud.ecs.update_task_protection(cluster=CLUSTER, tasks=arns, protectionEnabled=False)["protectedTasks"]
    assert freed == [{"taskArn": arn, "protectionEnabled": False} for arn in arns]
    cloud.ecs.stop_task(cluster=CLUSTER, task=alone)


def test_a_deleted_service_cannot_be_changed(cloud: Emulator) -> None:
    cloud.service("gone", 0)
    cloud.delete_service("gone")
    change = {"cluster": CLUSTER, "service": "gone", "desiredCount": 1}
    assert error_code(lambda: cloud.ecs.update_service(**change)) == "ServiceNotActiveException"
    never = {**change, "service": "never"}
    assert error_code(lambda: cloud.ecs.update_service(**never)) == "ServiceNotFoundException"
