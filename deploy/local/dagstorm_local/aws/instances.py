"""Container instances that are not there: tasks of launch type EC2 are placed on them, and leave one that is drained.

The demo cluster has a few; nothing runs on them, but each task says which one it is on. A draining instance takes no
task. A service's tasks on it are replaced elsewhere, within the service's minimum and maximum of healthy tasks, and
those of no service go on.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable
from typing import Any

from dagstorm_local.aws.ecs_answers import cluster_of, no_cluster, refuse
from dagstorm_local.aws.hooks import replace
from dagstorm_local.aws.private import ecs, responses
from dagstorm_local.contract import CLUSTER

Data = dict[str, Any]
IN_SERVICE = ("ACTIVE", "DRAINING")
UPDATED_AT_MOST = 10
DESCRIBED_AT_MOST = 100
DRAINED = "Container instance is draining"
NO_PLACE = "was unable to place a task because no container instance met all of its requirements."

_fleets: dict[str, dict[str, Data]] = {}  # by cluster ARN, then by instance ARN


def install(count: int) -> None:
    """Give the demo cluster `count` instances, and answer for them. Call once, before the first request."""
    replace(ecs, "_put_cluster", lambda original: _put_cluster(original, count))
    replace(ecs, "_run_task", _run_task)
    replace(ecs, "_list_container_instances", lambda _original: _list)
    replace(ecs, "_describe_container_instances", lambda _original: _describe)
    ecs._ACTION_MAP["UpdateContainerInstancesState"] = _update_state


def _put_cluster(original: Callable[[Data], Data], count: int) -> Callable[[Data], Data]:
    def put(data: Data) -> Data:
        cluster = original(data)
        if cluster["clusterName"] == CLUSTER:
            made = [_instance(cluster) for _ in range(count)]
            _fleets[cluster["clusterArn"]] = {one["containerInstanceArn"]: one for one in made}
            cluster["registeredContainerInstancesCount"] = count
            for one in made:
                ecs._tags[one["containerInstanceArn"]] = []
        return cluster

    return put


def _instance(cluster: Data) -> Data:
    resources = [
        {"name": name, "type": "INTEGER", "doubleValue": 0.0, "longValue": 0, "integerValue": amount}
        for name, amount in (("CPU", 65536), ("MEMORY", 262144))
    ]
    arn = cluster["clusterArn"].replace(":cluster/", ":container-instance/")
    return {
        "containerInstanceArn": f"{arn}/{secrets.token_hex(16)}",
        "ec2InstanceId": f"i-{secrets.token_hex(9)[:17]}",
        "version": 1,
        "versionInfo": {"agentVersion": "1.98.0", "agentHash": "00000000", "dockerVersion": "DockerVersion: 25.0.8"},
        "registeredResources": resources,
        "remainingResources": resources,
        "status": "ACTIVE",
        "agentConnected": True,
        "attributes": [{"name": "ecs.availability-zone", "value": f"{responses.get_region()}a"}],
        "registeredAt": ecs._iso(),
        "attachments": [],
    }


def of(cluster: str) -> dict[str, Data]:
    """The cluster's instances by ARN."""
    return _fleets.get((ecs._clusters.get(cluster) or {}).get("clusterArn", ""), {})


def _draining(cluster: str) -> set[str]:
    return {arn for arn, one in of(cluster).items() if one["status"] == "DRAINING"}


def _on(arn: str) -> list[Data]:
    return [task for task in list(ecs._tasks.values()) if task.get("containerInstanceArn") == arn]


# Placement


def _run_task(original: Callable[[Data], Any]) -> Callable[[Data], Any]:
    """On the active instance with the fewest tasks. None is active: a service waits, everyone else is refused."""

    def run(data: Data) -> Any:
        cluster = str(ecs._resolve_cluster_name(data.get("cluster", "default")))
        launch_type = "FARGATE" if data.get("capacityProviderStrategy") else data.get("launchType") or "EC2"
        usable = [arn for arn, one in of(cluster).items() if one["status"] == "ACTIVE"]
        if launch_type == "EC2" and of(cluster) and not usable:
            return _no_place(data, cluster)
        status, headers, body = original(data)
        if status != 200:
            return status, headers, body
        answer = json.loads(body)
        for told in answer["tasks"]:
            place = _least(usable) if launch_type == "EC2" else None
            ecs._tasks[told["taskArn"]]["containerInstanceArn"] = place
            told.pop("containerInstanceArn", None)
            if place:
                told["containerInstanceArn"] = place
        return status, headers, json.dumps(answer).encode()

    return run


def _least(usable: Iterable[str]) -> str | None:
    def count(arn: str) -> int:
        return len([task for task in _on(arn) if task["desiredStatus"] == "RUNNING"])

    return min(usable, key=count, default=None)


def _no_place(data: Data, cluster: str) -> Any:
    group = str(data.get("group", ""))
    if not group.startswith("service:"):
        return refuse("No Container Instances were found in your cluster.")
    service = ecs._services.get(f"{cluster}/{group[8:]}") or {"events": []}
    message = f"(service {group[8:]}) {NO_PLACE}"
    if not service["events"] or service["events"][0]["message"] != message:
        event = {"id": secrets.token_hex(16), "createdAt": ecs._iso(), "message": message}
        service["events"].insert(0, event)
    return responses.json_response({"tasks": [], "failures": []})


# Draining


def leave(cluster: str, key: str) -> None:
    """One step of moving a service's tasks off draining instances: start what may be started, stop what may be stopped.

    Called with the lock of reconciliation, before the service's count is put right.
    """
    service = ecs._services.get(key)
    if not service or service["status"] != "ACTIVE":
        return
    tasks = _active(service)
    leaving = [task for task in tasks if task.get("containerInstanceArn") in _draining(cluster)]
    desired = int(service["desiredCount"])
    if not leaving or not desired:
        return
    least, most = _bounds(service)
    extra = min(desired - (len(tasks) - len(leaving)), most - len(tasks))
    if extra > 0 and len(tasks) >= desired:  # fewer than desired: reconciliation starts them itself
        _start(cluster, service, extra)
    running = len([task for task in tasks if task["lastStatus"] == "RUNNING"])
    for task in sorted(leaving, key=lambda task: task["lastStatus"] == "RUNNING"):
        if task["lastStatus"] == "RUNNING":
            if running <= least:
                break
            running -= 1
        ecs._stop_task({"cluster": cluster, "task": task["taskArn"], "reason": DRAINED})


def is_moving(service: Data, cluster: str) -> bool:
    """True while tasks of the service are on draining instances: that there are more than desired is meant."""
    gone = _draining(cluster)
    return bool(gone) and any(task.get("containerInstanceArn") in gone for task in _active(service))


def _active(service: Data) -> list[Data]:
    group = f"service:{service['serviceName']}"
    return [
        task
        for task in list(ecs._tasks.values())
        if (task.get("group"), task.get("clusterArn")) == (group, service["clusterArn"])
        and task["lastStatus"] in ecs._PRE_STOP_STATUSES
        and task["desiredStatus"] == "RUNNING"
    ]


def _bounds(service: Data) -> tuple[int, int]:
    """The fewest tasks that must run, and the most that may be there, while tasks are replaced."""
    configuration, desired = service.get("deploymentConfiguration") or {}, int(service["desiredCount"])
    least = -(-desired * int(configuration.get("minimumHealthyPercent", 100)) // 100)
    return least, desired * int(configuration.get("maximumPercent", 200)) // 100


def _start(cluster: str, service: Data, count: int) -> None:
    deployment = ecs._primary_deployment(service)
    ecs._run_task(
        {
            "cluster": cluster,
            "taskDefinition": service["taskDefinition"],
            "count": count,
            "group": f"service:{service['serviceName']}",
            "launchType": service.get("launchType"),
            "capacityProviderStrategy": service.get("capacityProviderStrategy"),
            "platformVersion": service.get("platformVersion", ""),
            "networkConfiguration": service.get("networkConfiguration", {}),
            "enableExecuteCommand": service.get("enableExecuteCommand", False),
            "_deploymentId": deployment.get("id") if deployment else None,
        }
    )


# Actions


def _list(data: Data) -> Any:
    cluster = cluster_of(data)
    if cluster is None:
        return no_cluster()
    wanted = data.get("status")
    arns = [arn for arn, one in of(cluster).items() if wanted in (None, one["status"])]
    return responses.json_response({"containerInstanceArns": arns})


def _describe(data: Data) -> Any:
    return _answer(data, DESCRIBED_AT_MOST, lambda _instance: None)


def _update_state(data: Data) -> Any:
    if data.get("status") not in IN_SERVICE:
        return refuse("Container instance status must be one of [ACTIVE, DRAINING].")

    def change(instance: Data) -> None:
        instance.update(status=data["status"], version=instance["version"] + 1)

    answer = _answer(data, UPDATED_AT_MOST, change)
    cluster = cluster_of(data)
    for key in list(ecs._services.keys()) if cluster else []:
        if key.startswith(f"{cluster}/"):
            ecs._reconcile_service_tasks(cluster, key)
    return answer


def _answer(data: Data, at_most: int, act: Callable[[Data], None]) -> Any:
    """Act on the instances that the request names, by ARN or id, and tell them; a failure for each absent one."""
    cluster = cluster_of(data)
    if cluster is None:
        return no_cluster()
    names = data.get("containerInstances") or []
    if not 1 <= len(names) <= at_most:
        return refuse(f"Container instances must have 1 to {at_most} elements.")
    by_name = {key: one for arn, one in of(cluster).items() for key in (arn, arn.rsplit("/", 1)[-1])}
    found, failures = [], []
    for name in names:
        if name in by_name:
            act(by_name[name])
            found.append(_told(by_name[name], "TAGS" in data.get("include", [])))
        else:
            prefix = f"arn:aws:ecs:{responses.get_region()}:{responses.get_account_id()}:container-instance/{cluster}/"
            failures.append({"arn": name if name.startswith("arn:") else prefix + name, "reason": "MISSING"})
    return responses.json_response({"containerInstances": found, "failures": failures})


def _told(instance: Data, with_tags: bool) -> Data:
    states = [task["lastStatus"] for task in _on(instance["containerInstanceArn"])]
    pending = [state for state in states if state in ecs._PRE_STOP_STATUSES and state != "RUNNING"]
    counts = {"runningTasksCount": states.count("RUNNING"), "pendingTasksCount": len(pending)}
    tags = {"tags": ecs._tags.get(instance["containerInstanceArn"], [])} if with_tags else {}
    return {**instance, **counts, **tags}
