"""What is made in the emulated cloud: the network, the queues, the services; and changed there later."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from dagstorm_local import contract
from dagstorm_local.aws.topology import READY_TAG, Topology, create
from dagstorm_local.stack.files import CREDENTIALS

DEFAULT_SERVICES = "dagstorm_local.system.services:services"
RUNS_VISIBILITY_S = 30
MAX_RECEIVES = 20
POLL_S = 0.05
TAGS = [{"key": READY_TAG["Key"], "value": READY_TAG["Value"]}]

Say = Callable[[str], None]


class NotSteady(Exception):
    """The services did not become steady in time; the message says which and why."""


@dataclass(frozen=True)
class Cloud:
    """The clients, and what a task must be told about this stack."""

    endpoint: str
    task_environment: dict[str, str]
    ready: Path
    services: str = DEFAULT_SERVICES

    def client(self, name: str) -> Any:
        retries = {"total_max_attempts": 2}
        config = Config(connect_timeout=2, read_timeout=10, retries=retries)  # type: ignore[no-untyped-call]
        session = boto3.session.Session()  # type: ignore[no-untyped-call]  # the default one is not thread-safe
        return session.client(  # type: ignore[no-untyped-call]
            name,
            endpoint_url=self.endpoint,
            region_name=contract.REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            config=config,
        )

    def specs(self, settings: contract.Settings) -> list[contract.ServiceSpec]:
        module, _, function = self.services.partition(":")
        specs: list[contract.ServiceSpec] = getattr(importlib.import_module(module), function)(settings)
        return specs


def deploy(cloud: Cloud, settings: contract.Settings) -> tuple[Topology, dict[str, str]]:
    """Make everything in an empty cloud. Returns the network's ids and the queues' URLs by name."""
    topology = create(cloud.client("ec2"))
    queues = create_queues(cloud.client("sqs"), settings)
    ecs = cloud.client("ecs")
    ecs.create_cluster(clusterName=contract.CLUSTER, tags=TAGS)
    for instance in ecs.list_container_instances(cluster=contract.CLUSTER)["containerInstanceArns"]:
        ecs.tag_resource(resourceArn=instance, tags=TAGS)
    for spec in cloud.specs(settings):
        ecs.create_service(
            cluster=contract.CLUSTER,
            serviceName=spec.name,
            taskDefinition=register(ecs, cloud, spec),
            desiredCount=spec.desired,
            launchType="EC2",
            propagateTags="SERVICE",
            tags=[{"key": key, "value": value} for key, value in spec.tags.items()],
            networkConfiguration={
                "awsvpcConfiguration": {
                    "subnets": [topology.subnet_of(spec.group)],
                    "securityGroups": [topology.groups[spec.group]],
                }
            },
        )
    return topology, queues


def create_queues(sqs: Any, settings: contract.Settings) -> dict[str, str]:
    """The steps' queue, the runs' queue, and the one that both give up to after MAX_RECEIVES deliveries."""
    dead = sqs.create_queue(QueueName=contract.DEAD_LETTERS_QUEUE, tags={READY_TAG["Key"]: READY_TAG["Value"]})[
        "QueueUrl"
    ]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVES})
    queues = {contract.DEAD_LETTERS_QUEUE: str(dead)}
    timeouts = {contract.TASKS_QUEUE: settings.visibility_timeout, contract.RUNS_QUEUE: RUNS_VISIBILITY_S}
    for name, timeout in timeouts.items():
        attributes = {"VisibilityTimeout": str(timeout), "RedrivePolicy": redrive}
        made = sqs.create_queue(QueueName=name, Attributes=attributes, tags={READY_TAG["Key"]: READY_TAG["Value"]})
        queues[name] = str(made["QueueUrl"])
    return queues


def register(ecs: Any, cloud: Cloud, spec: contract.ServiceSpec) -> str:
    """A new revision of the service's task definition. Returns its ARN."""
    environment = {**cloud.task_environment, "STACK_DESTINATIONS": ",".join(spec.destinations), **spec.environment}
    definition = ecs.register_task_definition(
        family=spec.name,
        networkMode="awsvpc",
        requiresCompatibilities=["EC2"],
        cpu="256",
        memory="512",
        containerDefinitions=[
            {
                "name": spec.name,
                "image": f"local/{spec.name}",
                "essential": True,
                "command": spec.command,
                "environment": [{"name": name, "value": value} for name, value in environment.items()],
                "stopTimeout": spec.stop_timeout,
                "versionConsistency": "disabled",
            }
        ],
        tags=[{"key": key, "value": value} for key, value in spec.tags.items()],
    )
    return str(definition["taskDefinition"]["taskDefinitionArn"])


def configure(cloud: Cloud, old: contract.Settings, new: contract.Settings, say: Say) -> None:
    """Change the settings of a running stack: the queue at once, each service by a new revision."""
    if new.visibility_timeout != old.visibility_timeout:
        sqs = cloud.client("sqs")
        url = sqs.get_queue_url(QueueName=contract.TASKS_QUEUE)["QueueUrl"]
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(new.visibility_timeout)})
        say(f"{contract.TASKS_QUEUE}: visibility time-out {new.visibility_timeout} s")
    ecs = cloud.client("ecs")
    before = {spec.name: spec for spec in cloud.specs(old)}
    for spec in cloud.specs(new):
        changes: dict[str, Any] = {"taskDefinition": register(ecs, cloud, spec)}
        if spec.name not in before or before[spec.name].desired != spec.desired:
            changes["desiredCount"] = spec.desired
        ecs.update_service(cluster=contract.CLUSTER, service=spec.name, **changes)
        say(f"{spec.name}: rolling to {changes['taskDefinition'].rsplit('/', 1)[-1]}")


def scale(cloud: Cloud, desired: int) -> None:
    cloud.client("ecs").update_service(cluster=contract.CLUSTER, service=contract.WORKER_SERVICE, desiredCount=desired)


def service_states(ecs: Any) -> list[dict[str, Any]]:
    """Name, desired, running and pending counts of every service, and whether its deployment is done."""
    arns = ecs.list_services(cluster=contract.CLUSTER)["serviceArns"]
    if not arns:
        return []
    found = ecs.describe_services(cluster=contract.CLUSTER, services=arns)["services"]
    return [
        {
            "name": one["serviceName"],
            "desired": one["desiredCount"],
            "running": one["runningCount"],
            "pending": one["pendingCount"],
            "taskDefinition": one["taskDefinition"].rsplit("/", 1)[-1],
            "rolledOut": len(one["deployments"]) == 1 and one["deployments"][0]["rolloutState"] == "COMPLETED",
        }
        for one in found
    ]


def wait_steady(
    cloud: Cloud, timeout_s: float, marks_expected: bool, failed: Callable[[], bool] = lambda: False
) -> None:
    """Until each service runs what it should, no old revision is left, and every task says that it listens.

    Raises NotSteady after `timeout_s`, or as soon as `failed` says so.
    """
    ecs = cloud.client("ecs")
    deadline = time.monotonic() + timeout_s
    while True:
        missing = _missing(ecs, cloud.ready if marks_expected else None)
        if not missing:
            return
        if time.monotonic() > deadline or failed():
            raise NotSteady("; ".join(missing))
        time.sleep(POLL_S)


def _missing(ecs: Any, ready: Path | None) -> list[str]:
    missing = [
        f"{one['name']}: {one['running']} of {one['desired']} run, {one['pending']} pending"
        for one in service_states(ecs)
        if not (one["rolledOut"] and one["running"] == one["desired"])
    ]
    if not missing and ready is not None:
        arns = ecs.list_tasks(cluster=contract.CLUSTER)["taskArns"]
        silent = [arn for arn in arns if not (ready / arn.rsplit("/", 1)[-1]).exists()]
        missing = [f"task {arn.rsplit('/', 1)[-1][:8]} does not listen yet" for arn in silent]
    return missing


def queue_depths(sqs: Any) -> dict[str, dict[str, int]]:
    """Messages waiting and in flight, by queue."""
    names = {"visible": "ApproximateNumberOfMessages", "inFlight": "ApproximateNumberOfMessagesNotVisible"}
    depths = {}
    for queue in (contract.TASKS_QUEUE, contract.RUNS_QUEUE, contract.DEAD_LETTERS_QUEUE):
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names.values()))["Attributes"]
        depths[queue] = {key: int(found[name]) for key, name in names.items()}
    return depths
