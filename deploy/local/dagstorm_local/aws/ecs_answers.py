"""What ECS tells and refuses where ministack is milder: tags only when asked for, filters that exclude, limits."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from dagstorm_local.aws import tags
from dagstorm_local.aws.hooks import replace
from dagstorm_local.aws.private import ecs, responses

Data = dict[str, Any]
Action = Callable[[Data], Any]
SERVICES_AT_MOST = 10  # in one DescribeServices
TASKS_AT_MOST = 100  # in one DescribeTasks
ALONE = ("family", "serviceName", "containerInstance")  # filters that may not stand beside startedBy


def install() -> None:
    """Harden the actions that read and tag. Call once, before the first request."""
    replace(ecs, "_describe_services", lambda original: _describe(original, "services", SERVICES_AT_MOST))
    replace(ecs, "_describe_tasks", lambda original: _describe(original, "tasks", TASKS_AT_MOST))
    replace(ecs, "_update_service", _update_service)
    replace(ecs, "_list_tasks", _list_tasks)
    replace(ecs, "_tag_resource", _tag)
    replace(ecs, "_untag_resource", _untag)


def refuse(message: str, code: str = "InvalidParameterException") -> Any:
    return responses.error_response_json(code, message, 400)


def cluster_of(data: Data) -> str | None:
    """The name of the cluster that the request is about; None if there is none."""
    name = ecs._resolve_cluster_name(data.get("cluster", "default"))
    return str(name) if name in ecs._clusters else None


def no_cluster() -> Any:
    return refuse("Cluster not found.", "ClusterNotFoundException")


def _describe(original: Action, kind: str, at_most: int) -> Action:
    def describe(data: Data) -> Any:
        if not data.get(kind):
            return refuse(f"{kind.capitalize()} cannot be empty.")
        if len(data[kind]) > at_most:
            return refuse(f"{kind.capitalize()} cannot have more than {at_most} elements.")
        if cluster_of(data) is None:
            return no_cluster()
        status, headers, body = original(data)
        if status != 200 or "TAGS" in data.get("include", []):
            return status, headers, body
        answer = json.loads(body)
        for one in answer[kind]:
            one.pop("tags", None)
        return status, headers, json.dumps(answer).encode()

    return describe


def _update_service(original: Action) -> Action:
    def update(data: Data) -> Any:
        cluster, named = cluster_of(data), ecs._resolve_service_ref(data.get("service", ""))
        if cluster is None:
            return no_cluster()
        service = ecs._services.get(f"{cluster}/{named[0]}") if named else None
        if service and service["status"] != "ACTIVE":
            return refuse("Service was not ACTIVE.", "ServiceNotActiveException")
        return original(data)

    return update


def _list_tasks(original: Action) -> Action:
    """A service that never was is an error, not an empty list; `startedBy` filters alone."""

    def list_tasks(data: Data) -> Any:
        cluster = cluster_of(data)
        if cluster is None:
            return no_cluster()
        if data.get("startedBy") and any(data.get(name) for name in ALONE):
            return refuse("Cannot specify startedBy together with other filters.")
        name = data.get("serviceName")
        if name and f"{cluster}/{name}" not in ecs._services:
            return refuse("Service not found.", "ServiceNotFoundException")
        narrow = [(field, data[field]) for field in ("launchType", "containerInstance") if data.get(field)]
        if not narrow:
            return original(data)
        status, headers, body = original({**data, "maxResults": len(ecs._tasks) + 1, "nextToken": None})
        if status != 200:
            return status, headers, body
        arns = [arn for arn in json.loads(body)["taskArns"] if _is(ecs._tasks.get(arn) or {}, narrow)]
        return responses.json_response({"taskArns": arns})

    return list_tasks


def _is(task: Data, narrow: list[tuple[str, str]]) -> bool:
    """An instance is named by its ARN or by its id alone."""
    arn = str(task.get("containerInstanceArn") or "")
    values: dict[str, list[Any]] = {
        "launchType": [task.get("launchType")],
        "containerInstance": [arn, arn.rsplit("/", 1)[-1]],
    }
    return all(wanted in values[field] for field, wanted in narrow)


def _tag(original: Action) -> Action:
    def tag(data: Data) -> Any:
        new = {str(one.get("key", "")): str(one.get("value", "")) for one in data.get("tags", [])}
        if wrong := tags.complaint(new):
            return refuse(wrong)
        there = {one["key"] for one in ecs._tags.get(data.get("resourceArn", ""), [])}
        if len(there | set(new)) > tags.TAGS_AT_MOST:
            return refuse(f"The maximum number of tags is {tags.TAGS_AT_MOST}.")
        return original(data)

    return tag


def _untag(original: Action) -> Action:
    """An absent resource is an error, as it is when it is tagged; an absent tag is none."""

    def untag(data: Data) -> Any:
        status, headers, body = ecs._tag_resource({"resourceArn": data.get("resourceArn", ""), "tags": []})
        return original(data) if status == 200 else (status, headers, body)

    return untag
