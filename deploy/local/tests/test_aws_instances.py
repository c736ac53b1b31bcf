"""Container instances: tasks are placed on them, and a drained one is left by the tasks of services."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from aws_rig import Emulator, error_code, eventually, mark, throughout

from dagstorm_local.contract import CLUSTER

TAG = {"key": "dagstorm:fault", "value": "f-7"}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = Emulator(tmp_path_factory.mktemp("cloud"))
    yield emulator
    emulator.close()


@pytest.fixture
def arns(cloud: Emulator) -> Iterator[list[str]]:
    found = cloud.ecs.list_container_instances(cluster=CLUSTER)["containerInstanceArns"]
    yield found
    state(cloud, "ACTIVE", *found)


def state(cloud: Emulator, status: str, *arns: str) -> dict[str, Any]:
    asked = {"cluster": CLUSTER, "containerInstances": list(arns), "status": status}
    return dict(cloud.ecs.update_container_instances_state(**asked))


def instances(cloud: Emulator, *arns: str) -> list[dict[str, Any]]:
    asked = {"cluster": CLUSTER, "containerInstances": list(arns), "include": ["TAGS"]}
    return list(cloud.ecs.describe_container_instances(**asked)["containerInstances"])


def places(cloud: Emulator, service: str) -> Counter[str]:
    return Counter(task["containerInstanceArn"] for task in cloud.tasks(service))


def test_instances_are_told_and_tagged(cloud: Emulator, arns: list[str]) -> None:
    assert len(arns) == 2
    told = instances(cloud, *arns)
    assert [one["containerInstanceArn"] for one in told] == arns
    assert all(one["ec2InstanceId"].startswith("i-") and one["agentConnected"] for one in told)
    assert [(one["status"], one["runningTasksCount"], one["tags"]) for one in told] == [("ACTIVE", 0, [])] * 2
    cluster = cloud.ecs.describe_clusters(clusters=[CLUSTER])["clusters"][0]
    assert cluster["registeredContainerInstancesCount"] == 2
    cloud.ecs.tag_resource(resourceArn=arns[0], tags=[TAG])
    assert [one["tags"] for one in instances(cloud, *arns)] == [[TAG], []]
    by_id = cloud.ecs.describe_container_instances(cluster=CLUSTER, containerInstances=[arns[0].rsplit("/", 1)[-1]])
    assert "tags" not in by_id["containerInstances"][0]
    cloud.ecs.untag_resource(resourceArn=arns[0], tagKeys=[TAG["key"]])
    assert [one["tags"] for one in instances(cloud, *arns)] == [[], []]


def test_what_is_absent_or_wrong_is_refused(cloud: Emulator, arns: list[str]) -> None:
    absent = arns[0] + "0"
    answer = state(cloud, "DRAINING", absent)
    assert (answer["containerInstances"], answer["failures"]) == ([], [{"arn": absent, "reason": "MISSING"}])
    assert error_code(lambda: state(cloud, "GONE", arns[0])) == "InvalidParameterException"
    assert error_code(lambda: instances(cloud)) == "InvalidParameterException"
    assert error_code(lambda: state(cloud, "ACTIVE", *arns * 6)) == "InvalidParameterException"
    elsewhere = {"cluster": "absent", "containerInstances": arns}
    assert error_code(lambda: cloud.ecs.describe_container_instances(**elsewhere)) == "ClusterNotFoundException"


def test_a_drained_instance_is_left_by_services_and_by_nobody_else(cloud: Emulator, arns: list[str]) -> None:
    cloud.service("moved", 4, environment=mark("moved"))
    before = cloud.running("moved", 4)
    assert places(cloud, "moved") == Counter(dict.fromkeys(arns, 2))
    alone = [cloud.ecs.run_task(cluster=CLUSTER, taskDefinition="moved")["tasks"][0] for _ in range(2)]
    (stays,) = [task["taskArn"] for task in alone if task["containerInstanceArn"] == arns[0]]
    eventually(lambda: len(cloud.pids("moved")) == 6)
    answer = state(cloud, "DRAINING", arns[0])["containerInstances"]
    assert [(one["containerInstanceArn"], one["status"]) for one in answer] == [(arns[0], "DRAINING")]
    draining = {"cluster": CLUSTER, "status": "DRAINING"}
    assert cloud.ecs.list_container_instances(**draining)["containerInstanceArns"] == [arns[0]]
    fewest = []

    def moved() -> bool:
        here = places(cloud, "moved")
        fewest.append(here.total())
        return here == Counter({arns[1]: 4})

    eventually(moved)
    assert min(fewest) >= 4  # its minimum of healthy tasks is all of them
    gone = [cloud.stopped(task["taskArn"]) for task in before if task["containerInstanceArn"] == arns[0]]
    assert {task["stopCode"] for task in gone} == {"ServiceSchedulerInitiated"}
    throughout(lambda: places(cloud, "moved") == Counter({arns[1]: 4}), 1.3)  # longer than the scheduler's round
    assert cloud.task(stays)["lastStatus"] == "RUNNING"
    asked = {"cluster": CLUSTER, "containerInstance": arns[0]}
    assert cloud.ecs.list_tasks(**asked)["taskArns"] == [stays]
    assert [one["runningTasksCount"] for one in instances(cloud, *arns)] == [1, 5]
    state(cloud, "ACTIVE", arns[0])
    throughout(lambda: places(cloud, "moved") == Counter({arns[1]: 4}), 1.3)  # nothing moves back
    cloud.ecs.update_service(cluster=CLUSTER, service="moved", desiredCount=6)
    eventually(lambda: places(cloud, "moved") == Counter({arns[0]: 2, arns[1]: 4}))
    for task in alone:
        cloud.ecs.stop_task(cluster=CLUSTER, task=task["taskArn"])
    cloud.delete_service("moved")


def test_with_every_instance_drained_new_tasks_wait(cloud: Emulator, arns: list[str]) -> None:
    cloud.service("waiting", 2, environment=mark("waiting"))
    task = cloud.running("waiting", 2)[0]["taskArn"]
    state(cloud, "DRAINING", *arns)
    throughout(lambda: len(cloud.tasks("waiting")) == 2, 1.3)  # all are needed, and there is no other place
    cloud.ecs.stop_task(cluster=CLUSTER, task=task)
    cloud.stopped(task)
    throughout(lambda: len(cloud.tasks("waiting")) == 1, 1.3)
    events = cloud.ecs.describe_services(cluster=CLUSTER, services=["waiting"])["services"][0]["events"]
    assert "no container instance met all of its requirements" in events[0]["message"]
    asked = {"cluster": CLUSTER, "taskDefinition": "waiting"}
    assert error_code(lambda: cloud.ecs.run_task(**asked)) == "InvalidParameterException"
    less = {"minimumHealthyPercent": 0, "maximumPercent": 100}
    cloud.ecs.update_service(cluster=CLUSTER, service="waiting", deploymentConfiguration=less)
    eventually(lambda: not cloud.pids("waiting"))
    throughout(lambda: not cloud.tasks("waiting"), 1.3)
    state(cloud, "ACTIVE", *arns)
    cloud.running("waiting", 2)
    cloud.delete_service("waiting")


def test_a_task_of_fargate_is_on_no_instance(cloud: Emulator, arns: list[str]) -> None:
    cloud.service("serverless", 0)
    state(cloud, "DRAINING", *arns)
    asked = {"cluster": CLUSTER, "taskDefinition": "serverless", "launchType": "FARGATE"}
    task = cloud.ecs.run_task(**asked)["tasks"][0]
    assert "containerInstanceArn" not in task
    assert "containerInstanceArn" not in cloud.task(task["taskArn"])
    cloud.ecs.stop_task(cluster=CLUSTER, task=task["taskArn"])
    cloud.delete_service("serverless")
