"""Protection of tasks from scale-in: the ECS API's two actions, and the ECS agent's endpoint for a task itself.

A protected task is passed over when its service has too many. StopTask does not ask, as with AWS; nor do deployments,
which with AWS wait for the protected.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from dagstorm_local.aws.ecs_answers import cluster_of, no_cluster, refuse
from dagstorm_local.aws.private import ecs, responses

AGENT = "/_stack/agent/"  # + task id: what ECS_AGENT_URI points at
STATE = "/task-protection/v1/state"
MINUTES = 120  # where the request does not say
MINUTES_AT_MOST = 2880
TASKS_AT_MOST = 10  # in one update


def install() -> None:
    """Answer the two actions of the API. Call once, before the first request."""
    ecs._ACTION_MAP["UpdateTaskProtection"] = _update
    ecs._ACTION_MAP["GetTaskProtection"] = _get


def is_protected(task: dict[str, Any]) -> bool:
    return float(task.get("_protected_until", 0)) > time.time()


def other_to_stop(task: dict[str, Any]) -> dict[str, Any] | None:
    """The newest task of the same service that runs and is not protected."""
    siblings = [
        other
        for _, other in ecs._tasks.items()
        if (other.get("group"), other.get("clusterArn")) == (task.get("group"), task.get("clusterArn"))
        and other.get("desiredStatus") == "RUNNING"
        and not is_protected(other)
    ]
    return max(siblings, key=lambda other: str(other.get("createdAt", "")), default=None)


def agent(path: str, request: dict[str, Any] | None) -> tuple[int, dict[str, Any]]:
    """The agent's answer to a GET, or to a PUT of `request`."""
    task_id, _, rest = path.removeprefix(AGENT).partition("/")
    found = [task for (_, _, arn), task in ecs._tasks.all_items() if arn.rsplit("/", 1)[-1] == task_id]
    if f"/{rest}" != STATE or not found:
        return 404, {"error": {"Code": "ResourceNotFoundException", "Message": "not found"}}
    if request is not None:
        _protect(found[0], bool(request["ProtectionEnabled"]), request.get("ExpiresInMinutes"))
    state = _state(found[0])
    return 200, {"protection": {name[0].upper() + name[1:]: value for name, value in state.items()}}


def _protect(task: dict[str, Any], enabled: bool, minutes: float | None) -> None:
    task["_protected_until"] = time.time() + 60 * float(minutes or MINUTES) if enabled else 0


def _state(task: dict[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = {"taskArn": task["taskArn"], "protectionEnabled": is_protected(task)}
    return state | ({"expirationDate": task["_protected_until"]} if is_protected(task) else {})


def _update(data: dict[str, Any]) -> Any:
    minutes = data.get("expiresInMinutes")
    if minutes is not None and not 1 <= int(minutes) <= MINUTES_AT_MOST:
        return refuse(f"expiresInMinutes must be between 1 and {MINUTES_AT_MOST}.")
    if not 1 <= len(data.get("tasks", [])) <= TASKS_AT_MOST:
        return refuse(f"tasks must have 1 to {TASKS_AT_MOST} elements.")
    return _answer(data, lambda task: _protect(task, bool(data["protectionEnabled"]), minutes))


def _get(data: dict[str, Any]) -> Any:
    return _answer(data, lambda _task: None)


def _answer(data: dict[str, Any], act: Callable[[dict[str, Any]], None]) -> Any:
    """Act on the service's tasks that the request names; a failure for each other one."""
    cluster = cluster_of(data)
    if cluster is None:
        return no_cluster()
    done, failures = [], []
    for name in data.get("tasks", []):
        task = ecs._resolve_task(name, cluster)
        if not task:
            failures.append({"arn": name, "reason": "MISSING"})
        elif not str(task.get("group", "")).startswith("service:") or task["desiredStatus"] == "STOPPED":
            detail = "Task protection is for running tasks of services."
            failures.append({"arn": task["taskArn"], "reason": "TASK_NOT_VALID", "detail": detail})
        else:
            act(task)
            done.append(_state(task))
    return responses.json_response({"protectedTasks": done, "failures": failures})
