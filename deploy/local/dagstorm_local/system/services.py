"""What the supervisor deploys: the three ECS services of the system under test."""

from __future__ import annotations

import math
import sys

from dagstorm_local.contract import (
    AUTOSCALER_GROUP,
    AUTOSCALER_SERVICE,
    DAGSTER_GROUP,
    EXECUTOR_SERVICE,
    WORKER_SERVICE,
    WORKERS_GROUP,
    ServiceSpec,
    Settings,
)
from dagstorm_local.system.durations import FAST
from dagstorm_local.system.settings import to_environment


def services(settings: Settings) -> list[ServiceSpec]:
    """The services as they should be with these settings; deploy them in this order."""
    environment = {**to_environment(settings), "PYTHONUNBUFFERED": "1"}
    return [
        ServiceSpec(
            name=EXECUTOR_SERVICE,
            command=_module("run_executor"),
            environment=environment,
            desired=settings.executor_tasks,
            group=DAGSTER_GROUP,
            destinations=("sqs", "aws", "postgres"),
            stop_timeout=5,
        ),
        ServiceSpec(
            name=WORKER_SERVICE,
            command=_module("worker"),
            environment=environment,
            desired=settings.workers,
            group=WORKERS_GROUP,
            destinations=("sqs", "postgres"),
            stop_timeout=worker_stop_timeout(settings),
        ),
        ServiceSpec(
            name=AUTOSCALER_SERVICE,
            command=_module("autoscaler"),
            environment=environment,
            desired=1,
            group=AUTOSCALER_GROUP,
            destinations=("sqs", "aws"),
            stop_timeout=5,
        ),
    ]


def worker_stop_timeout(settings: Settings) -> int:
    """Seconds that a stopped worker has: enough to finish any fast op (31 s unscaled, ECS's own default is 30),
    not a slow one, whose step then comes back to the queue and is executed again. ECS allows 2 to 120."""
    return min(120, max(2, math.ceil(FAST.longest_s * settings.scale) + 1))


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", f"dagstorm_local.system.{name}"]
