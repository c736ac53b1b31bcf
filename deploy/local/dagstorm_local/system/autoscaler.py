"""The autoscaler: keeps the number of workers to the length of the tasks queue.

`python -m dagstorm_local.system.autoscaler`

It only sets the service's desired count; starting, stopping and replacing workers is ECS's. Workers that ended are
logged with their exit codes. A look that fails changes nothing: absence is not zero.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import UTC, datetime
from typing import Any

from dagstorm_local.contract import CLUSTER, TASKS_QUEUE, WORKER_SERVICE
from dagstorm_local.system import logs, runtime
from dagstorm_local.system.logs import Log
from dagstorm_local.system.scaling import Decision, Load, Policy, decide

LOOK_EVERY_S = 2.0
LOOK_ERRORS: tuple[type[Exception], ...] = (*runtime.AWS_ERRORS, LookupError)
REMEMBERED = 1000  # stopped tasks that were told of already


class Watch:
    """Looks at queue and service, through clients of SQS and ECS. An error of AWS is the caller's."""

    def __init__(self, sqs: Any, ecs: Any, log: Log) -> None:
        self._sqs = sqs
        self._ecs = ecs
        self._log = log
        self._queue_url = ""
        self._told: dict[str, None] = {}
        self._began = datetime.now(UTC)

    def load(self) -> Load:
        """One complete look, or an error; never a guess."""
        if not self._queue_url:
            self._queue_url = self._sqs.get_queue_url(QueueName=TASKS_QUEUE)["QueueUrl"]
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._sqs.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=names)["Attributes"]
        services = self._ecs.describe_services(cluster=CLUSTER, services=[WORKER_SERVICE])["services"]
        active = [service for service in services if service.get("status") == "ACTIVE"]
        if not active:
            raise LookupError(f"there is no active service {WORKER_SERVICE}")
        return Load(int(found[names[0]]), int(found[names[1]]), int(active[0]["desiredCount"]))

    def scale(self, desired: int) -> None:
        """Set the desired count."""
        self._ecs.update_service(cluster=CLUSTER, service=WORKER_SERVICE, desiredCount=desired)

    def tell_of_stopped(self) -> None:
        """Log each worker that has stopped since we began, once, with its exit code and ECS's reason."""
        listed = self._ecs.list_tasks(cluster=CLUSTER, serviceName=WORKER_SERVICE, desiredStatus="STOPPED")
        fresh = [arn for arn in listed["taskArns"] if arn not in self._told][:100]
        if not fresh:
            return
        for task in self._ecs.describe_tasks(cluster=CLUSTER, tasks=fresh)["tasks"]:
            if task.get("lastStatus") != "STOPPED":
                continue
            self._told[task["taskArn"]] = None
            if task.get("stoppedAt", self._began) < self._began:
                continue  # told of by the autoscaler before us
            codes = [container.get("exitCode") for container in task.get("containers", [])]
            failed = any(code != 0 for code in codes) or not codes
            write = self._log.warning if failed else self._log.info
            write(
                "A worker failed; the service replaces it" if failed else "A worker stopped",
                worker_task=task["taskArn"],
                exit_codes=codes,
                stop_code=task.get("stopCode"),
                reason=task.get("stoppedReason"),
            )
        while len(self._told) > REMEMBERED:
            del self._told[next(iter(self._told))]


class Autoscaler:
    """One look and one decision a pass."""

    def __init__(self, watch: Watch, policy: Policy, log: Log) -> None:
        self._watch = watch
        self._policy = policy
        self._log = log
        self._changed_at = float("-inf")
        self._blind = False
        self._said = ""

    def step(self, now_s: float) -> bool:
        """False: the look, or the change, failed, and nothing is known to have changed."""
        try:
            load = self._watch.load()
            decision = decide(self._policy, load, now_s - self._changed_at)
            if decision.desired != load.desired:
                self._watch.scale(decision.desired)
                self._changed_at = now_s
            self._tell(load, decision)
            self._watch.tell_of_stopped()
        except LOOK_ERRORS as error:
            if not self._blind:
                self._log.warning("The look failed, leaving all as it is", error=f"{type(error).__name__}: {error}")
            self._blind = True
            return False
        if self._blind:
            self._log.info("Looking succeeds again")
        self._blind = False
        return True

    def _tell(self, load: Load, decision: Decision) -> None:
        """A line for each change of mind, not for each pass."""
        fields = {"waiting": load.waiting, "in_flight": load.in_flight, "desired": load.desired}
        if decision.desired > load.desired:
            self._log.info("Scaling up", to=decision.desired, reason=decision.reason, **fields)
        elif decision.desired < load.desired:
            self._log.info("Scaling down", to=decision.desired, reason=decision.reason, **fields)
        elif decision.reason.rpartition(", ")[2] != self._said:
            self._log.info("Changing nothing", reason=decision.reason, **fields)
        self._said = decision.reason.rpartition(", ")[2]


def main() -> None:
    """Look every two seconds until SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    who = runtime.identity()
    log = logs.configure("autoscaler", who.task_arn)
    watch = Watch(runtime.aws_client("sqs"), runtime.aws_client("ecs"), log)
    scaler = Autoscaler(watch, Policy.of(runtime.settings()), log)
    every_s = float(os.environ.get("STACK_LOOK_EVERY", LOOK_EVERY_S))
    runtime.mark_ready(who)
    log.info("listening", queue=TASKS_QUEUE, service=WORKER_SERVICE)
    waits = runtime.backoff(every_s, 15)
    while not stop.is_set():
        if scaler.step(time.monotonic()):
            waits = runtime.backoff(every_s, 15)
            stop.wait(every_s)
        else:
            stop.wait(next(waits))
    log.info("stopped")


if __name__ == "__main__":
    main()
