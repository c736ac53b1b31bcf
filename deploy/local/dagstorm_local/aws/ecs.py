"""ECS as AWS does it, over ministack's: tasks are processes with an ENI, stopping takes its time, services keep count.

`install` puts `ProcessClient` in the place of ministack's Docker client and replaces the private functions named in it;
`tests/test_aws_hooks.py` guards each of them.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from dagstorm_local.aws import ecs_answers, instances, protection
from dagstorm_local.aws.hooks import replace
from dagstorm_local.aws.private import concurrency, ecs, ecs_metadata, responses
from dagstorm_local.aws.processes import Container, ProcessClient

logger = logging.getLogger("dagstorm.ecs")

STOP_TIMEOUT_S = 30  # where the container definition does not say
QUICK_DEATH_S = 5.0  # a task that lived shorter counts as failing to start, and is retried ever slower
RETRY_FIRST_S = 0.5
RETRY_MOST_S = 15.0
RECONCILE_EVERY_S = 1.0
SCALING_IN = "Service scaling down"  # ministack's reason for it
KEEP_STOPPED_S = 3600.0  # AWS shows stopped tasks for about an hour


class Network(Protocol):
    """What this module needs of `network.Network`."""

    def attach(self, task: dict[str, Any], configuration: dict[str, Any]) -> None: ...

    def detach(self, task: dict[str, Any]) -> None: ...


class Services:
    """When a service may start tasks again: at once after a task that lived, ever later after ones that did not."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # one reconciliation at a time, or two would both start the missing task
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}

    def may_start(self, key: str) -> bool:
        return time.monotonic() >= self._not_before.get(key, 0.0)

    def note_end(self, key: str, lived_s: float) -> None:
        if lived_s >= QUICK_DEATH_S:
            self._failures.pop(key, None)
            self._not_before.pop(key, None)
            return
        failures = self._failures.get(key, 0) + 1
        self._failures[key] = failures
        wait = 0.0 if failures == 1 else min(RETRY_MOST_S, RETRY_FIRST_S * 2.0 ** (failures - 2))
        self._not_before[key] = time.monotonic() + wait


def install(client: ProcessClient, network: Network, container_instances: int) -> None:
    """Harden ministack's ECS, whose demo cluster gets so many instances. Call once, before the first request."""
    services = Services()
    replace(ecs, "_get_docker", lambda _original: lambda: client)
    replace(ecs, "_run_task", _run_task)
    replace(ecs, "_run_task_worker", lambda original: _worker(original, network))
    replace(ecs, "_mark_task_stopped", lambda original: _mark_stopped(original, network))
    replace(ecs, "_record_service_task_failure", lambda original: _record_failure(original, services))
    replace(ecs, "_reconcile_service_tasks", lambda original: _reconcile(original, services))
    replace(ecs, "_stop_task", lambda _original: lambda data: _stop_task(data, client, network))
    ecs_answers.install()
    protection.install()
    instances.install(container_instances)
    ecs._ACTION_MAP["StopTask"] = _stop_task_by_user
    threading.Thread(target=_reconcile_for_ever, args=(client,), daemon=True, name="ecs-service-scheduler").start()


def service_key(task: dict[str, Any]) -> str | None:
    """`cluster/service` of a task that a service started."""
    group = str(task.get("group", ""))
    if not group.startswith("service:"):
        return None
    return f"{ecs._cluster_name_from_arn(task.get('clusterArn', ''))}/{group.split(':', 1)[1]}"


def _run_task(original: Callable[..., Any]) -> Callable[..., Any]:
    """The request's network configuration and the service's tags travel with the task. A service's task was started
    by its deployment, not by the service's name."""

    def run(data: dict[str, Any]) -> Any:
        overrides = dict(data.get("overrides") or {"containerOverrides": [], "inferenceAcceleratorOverrides": []})
        overrides["_network"] = data.get("networkConfiguration") or {}
        data = {**data, "overrides": overrides}
        group = str(data.get("group", ""))
        if group.startswith("service:") and not data.get("tags"):
            service = ecs._services.get(f"{ecs._resolve_cluster_name(data.get('cluster'))}/{group[8:]}") or {}
            if service.get("propagateTags") == "SERVICE":
                data["tags"] = [dict(tag) for tag in ecs._tags.get(service["serviceArn"], [])]
        if data.get("_deploymentId"):
            data["startedBy"] = data["_deploymentId"]
        return original(data)

    return run


def _worker(original: Callable[..., Any], network: Network) -> Callable[..., Any]:
    def work(task: dict[str, Any], *others: Any) -> None:
        with responses.request_scope(*others[-2:]):
            network.attach(task, (task.get("overrides") or {}).get("_network") or {})
        original(task, *others)

    return work


def _mark_stopped(original: Callable[..., Any], network: Network) -> Callable[..., Any]:
    """A task that ended by itself: its ENI goes, its tags go, and one that never started has no containers."""

    def mark(arn: str, task: dict[str, Any], reason: str, code: str, exit_code: int | None = None) -> bool:
        if code == "TaskFailedToStart":
            task["containers"] = []
        if not original(arn, task, reason, code, exit_code=exit_code):
            return False
        network.detach(task)
        ecs._tags.pop(arn, None)
        task["tags"] = []
        logger.info("task stopped", extra={"task": arn, "reason": reason, "stop_code": code, "exit_code": exit_code})
        return True

    return mark


def _record_failure(original: Callable[..., Any], services: Services) -> Callable[..., Any]:
    def record(task: dict[str, Any], digest_resolution_failed: bool = False) -> None:
        key = service_key(task)
        if key is not None:
            services.note_end(key, time.monotonic() - task.get("_attached_at", time.monotonic()))
        original(task, digest_resolution_failed)

    return record


def _reconcile(original: Callable[..., Any], services: Services) -> Callable[..., Any]:
    def reconcile(cluster: str, key: str) -> None:
        service = ecs._services.get(key)
        if service and service.get("desiredCount", 0) > 0 and not services.may_start(key):
            ecs._refresh_service_state(cluster, f"service:{service['serviceName']}")
            return
        with services.lock:
            instances.leave(cluster, key)
            original(cluster, key)

    return reconcile


def _reconcile_for_ever(client: ProcessClient) -> None:
    """The service scheduler looks at every service each second, whatever events were missed; forgets old tasks."""
    while True:
        time.sleep(RECONCILE_EVERY_S)
        for (account, region, key), service in ecs._services.all_items():
            if service.get("status") != "ACTIVE":
                continue
            try:
                with responses.request_scope(account, region):
                    ecs._reconcile_service_tasks(key.split("/", 1)[0], key)
            except Exception:
                logger.exception("reconciling a service failed", extra={"service": key})
        _forget_old_tasks(client)


def _forget_old_tasks(client: ProcessClient) -> None:
    for (account, region, arn), task in ecs._tasks.all_items():
        ended = task.get("_ended_at")
        if task.get("lastStatus") == "STOPPED" and ended is None:
            task["_ended_at"] = time.monotonic()
        elif ended is not None and time.monotonic() - ended > KEEP_STOPPED_S:
            for container in client.of_task(arn):
                client.forget(container.id)
            with responses.request_scope(account, region):
                ecs._tasks.pop(arn, None)


def _stop_task_by_user(data: dict[str, Any]) -> Any:
    """StopTask over the wire: stops the task, and has its service start another one right away."""
    answer = ecs._stop_task(data)
    cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
    task = ecs._resolve_task(data.get("task", ""), cluster) if cluster else None
    key = service_key(task) if task else None
    if key is not None:
        ecs._reconcile_service_tasks(cluster, key)
    return answer


def _stop_task(data: dict[str, Any], client: ProcessClient, network: Network) -> Any:
    """Answer at once with desiredStatus STOPPED and the lastStatus as it was; end the processes in the background.

    Tags are gone from now on. Stopping a task twice changes nothing. To scale in, ministack names the newest task;
    where that is protected, another is stopped, or none: the scheduler tries again.
    """
    cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
    if cluster is None:
        return responses.error_response_json("ClusterNotFoundException", "Cluster not found.", 400)
    task = ecs._resolve_task(data.get("task", ""), cluster)
    if not task:
        return responses.error_response_json("InvalidParameterException", "The referenced task was not found.", 400)
    if data.get("reason") == SCALING_IN:
        task = _to_scale_in(task, cluster)
        if task is None:
            return responses.json_response({})
    arn = task["taskArn"]
    with concurrency.resource_lock("ecs-task", arn):
        first = task["lastStatus"] != "STOPPED" and task["desiredStatus"] != "STOPPED"
        if first:
            ecs._bump_task_version(task)
            task["desiredStatus"] = "STOPPED"
            task["stoppingAt"] = ecs._iso()
            task["stoppedReason"] = data.get("reason", "Task stopped by user")
            task["stopCode"] = "UserInitiated" if "reason" not in data else _stop_code(data["reason"])
            ecs._tags.pop(arn, None)
            task["tags"] = []
        answer = responses.json_response({"task": ecs._sanitize(task)})
        if first:
            task["lastStatus"] = "STOPPING"
    if first:
        ecs_metadata.set_task_status(arn, desired_status="STOPPED")
        concurrency.spawn_background(
            _end_task, task, client, network, responses.get_account_id(), responses.get_region(), thread_name="ecs-stop"
        )
        ecs._refresh_service_state(cluster, task.get("group", ""))
    return answer


def _to_scale_in(task: dict[str, Any], cluster: str) -> dict[str, Any] | None:
    """The task to stop in the place of the one that ministack chose, if any may be."""
    service = ecs._services.get(service_key(task) or "")
    if service and service["desiredCount"] and instances.is_moving(service, cluster):
        return None  # more than desired for as long as others are on draining instances
    return protection.other_to_stop(task) if protection.is_protected(task) else task


def _stop_code(reason: str) -> str:
    ours = (SCALING_IN, "Service deleted", "Deployment completed", "Task definition updated", instances.DRAINED)
    return "ServiceSchedulerInitiated" if reason in (*ours, "Deployment capacity limit") else "UserInitiated"


def _end_task(task: dict[str, Any], client: ProcessClient, network: Network, account: str, region: str) -> None:
    """SIGTERM to each container, SIGKILL after its stopTimeout, then STOPPED."""
    with responses.request_scope(account, region):
        arn = task["taskArn"]
        containers = client.of_task(arn)
        definition = ecs._task_defs.get(ecs._resolve_td_key(task["taskDefinitionArn"])) or {}
        timeouts = [int(c.get("stopTimeout") or STOP_TIMEOUT_S) for c in definition.get("containerDefinitions", [])]
        codes = _stop_all(containers, timeouts)
        with concurrency.resource_lock("ecs-task", arn):
            now = ecs._iso()
            ecs._bump_task_version(task)
            task.update(lastStatus="STOPPED", stoppedAt=now, executionStoppedAt=now, _docker_ids=[])
            for index, container in enumerate(task.get("containers", [])):
                container["lastStatus"] = "STOPPED"
                container["exitCode"] = codes[index] if index < len(codes) else None
            tokens = list(task.pop("_metadata_tokens", []) or [])
        for token in tokens:
            ecs_metadata.unregister_token(token)
        network.detach(task)
        cluster = ecs._cluster_name_from_arn(task["clusterArn"])
        ecs._recount_cluster(cluster)
        ecs._refresh_service_state(cluster, task.get("group", ""))
        logger.info("task stopped", extra={"task": arn, "reason": task["stoppedReason"], "exit_codes": codes})


def _stop_all(containers: Any, timeouts: list[int]) -> list[int]:
    def stop(container: Container, timeout: int) -> None:
        with contextlib.suppress(OSError):
            container.stop(timeout)

    threads = [
        threading.Thread(target=stop, args=(container, timeouts[i] if i < len(timeouts) else STOP_TIMEOUT_S))
        for i, container in enumerate(containers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [container.exit_code() or 0 for container in containers]
