"""What the two halves of the stack agree on: the names of things, the variables a task finds, what a service is.

`stack` and `aws` (the emulated cloud and its supervisor) import this; so does `system` (the system under test:
Dagster's code location, the TaskIQ executor, the workers, the autoscaler). Neither half imports the other,
but for `system.services.services()`, which tells the supervisor what to deploy.
"""

from __future__ import annotations

from dataclasses import dataclass, field

REGION = "us-east-1"
ACCOUNT = "000000000000"
CLUSTER = "demo"
INSTANCES = 2  # container instances of the cluster, which tasks are said to be on
LOCATION = "demo"  # the Dagster code location's name

WORKER_SERVICE = "taskiq-worker"  # executes steps
EXECUTOR_SERVICE = "run-executor"  # executes runs: hands their steps to the queue and waits for them
AUTOSCALER_SERVICE = "autoscaler"

TASKS_QUEUE = "taskiq-tasks"  # one message a step
RUNS_QUEUE = "taskiq-runs"  # one message a run
DEAD_LETTERS_QUEUE = "taskiq-dead"

WORKERS_GROUP = "sg-workers"  # names of the security groups; their ids are in stack.json
ENDPOINTS_GROUP = "sg-endpoints"  # SQS and the other AWS endpoints live here, port 443
DAGSTER_GROUP = "sg-dagster"  # the webserver, port 3000
DATABASE_GROUP = "sg-database"  # PostgreSQL, port 5432
AUTOSCALER_GROUP = "sg-autoscaler"

# Destinations that a task may name. The emulator gives the task a TCP proxy for each and tells its address in the
# variable; the proxy lets a connection through only while the rules of the task's security groups and subnet ACL do.
DESTINATIONS = {
    "sqs": "AWS_ENDPOINT_URL_SQS",  # http://127.0.0.1:PORT
    "aws": "AWS_ENDPOINT_URL",  # http://127.0.0.1:PORT: every other AWS API (ECS, CloudWatch …)
    "postgres": "STACK_POSTGRES",  # 127.0.0.1:PORT
    "dagster": "STACK_DAGSTER_URL",  # http://127.0.0.1:PORT
}


@dataclass(frozen=True)
class Settings:
    """What a user chooses at `up` (or later, with `configure`). Durations in seconds."""

    scale: float = 0.05  # every op's duration is multiplied by it: 0.05 makes 20 s one second
    seed: int = 7  # op durations are drawn from it, the run's key and the step's key
    idempotency: bool = True  # off: the workers ignore claims, so that duplicates can really happen
    heartbeat: bool = True  # off: a step longer than the visibility time-out is delivered again
    forget_every: int = 0  # a worker drops the record of every n-th step that it completes: the audit must see it
    visibility_timeout: int = 8
    workers: int = 2
    min_workers: int = 2
    max_workers: int = 20
    scale_up_at: float = 5.0  # messages a worker
    scale_down_at: float = 2.0
    cooldown: float = 60.0
    executor_tasks: int = 1
    schedule: bool = False  # Dagster's ten-minute schedule: on or off at start


@dataclass(frozen=True)
class ServiceSpec:
    """One ECS service to deploy, made by `system.services.services()`."""

    name: str
    command: list[str]
    environment: dict[str, str]
    desired: int
    group: str  # security group's name
    destinations: tuple[str, ...]  # keys of DESTINATIONS
    stop_timeout: int = 10  # seconds between SIGTERM and SIGKILL
    tags: dict[str, str] = field(default_factory=lambda: {"dagstorm-ready": "true"})
