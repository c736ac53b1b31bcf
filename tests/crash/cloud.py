"""An emulated AWS with something to break, and what it looks like when nothing is broken."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import yaml
from aws_rig import Emulator
from dagstorm_local.contract import ACCOUNT, CLUSTER, ENDPOINTS_GROUP, REGION, WORKERS_GROUP
from killer import Server

Dump = dict[str, Any]
SERVICE = "worker"
QUEUE = "tasks"
MESSAGES = 4
TASKS = 3
API = "dagstorm.dev/v1alpha1"
OURS = "dagstorm:"


class Dagster:
    """As much of Dagster as a scenario with one run needs."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        dagster = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body = json.dumps({"data": dagster.answer(asked["query"], asked.get("variables") or {})}).encode()
                self.send_response_only(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                del format, arguments

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/graphql"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, query: str, variables: dict[str, Any]) -> Any:
        if "launchRun" in query:
            tags = variables["params"]["executionMetadata"]["tags"]
            run = {"runId": f"run-{len(self.runs) + 1}", "jobName": "fast_job", "status": "SUCCESS", "tags": tags}
            self.runs.append({**run, "startTime": 1.0, "endTime": 2.0})
            return {"launchRun": {"__typename": "LaunchRunSuccess", "run": run}}
        events = [
            {"eventType": kind, "stepKey": "one", "timestamp": "1500.0"} for kind in ("STEP_START", "STEP_SUCCESS")
        ]
        page = {"cursor": "", "hasMore": False, "events": events}
        wanted = {tag["key"]: tag["value"] for tag in (variables.get("filter") or {}).get("tags") or []}
        found = [] if variables.get("cursor") else [run for run in self.runs if _has(run, wanted)]
        if "runIdsOrError" in query:
            return {"runIdsOrError": {"__typename": "RunIds", "results": [run["runId"] for run in found]}}
        return {
            "version": "1.13.27",
            "repositoryOrError": {"__typename": "Repository", "jobs": [{"name": "fast_job"}]},
            "runsOrError": {"__typename": "Runs", "results": [{**run, "eventConnection": page} for run in found]},
        }


def _has(run: dict[str, Any], wanted: dict[str, str]) -> bool:
    return wanted.items() <= {tag["key"]: tag["value"] for tag in run["tags"]}.items()


class Cloud:
    """One emulator with a service, a queue and rules that a cut has to split."""

    def __init__(self, folder: Path, iam: bool = False, fifo: bool = False) -> None:
        folder.mkdir(parents=True)
        self.emulator = Emulator(folder, iam)
        self.keys = ("test", "test")
        self.ec2, self.ecs, self.sqs = self.emulator.ec2, self.emulator.ecs, self.emulator.client("sqs")
        self.workers = self.emulator.topology.groups[WORKERS_GROUP]
        self.endpoints = self.emulator.topology.groups[ENDPOINTS_GROUP]
        wide = {
            "IpProtocol": "tcp",
            "FromPort": 400,
            "ToPort": 500,
            "UserIdGroupPairs": [{"GroupId": self.endpoints, "Description": "more than is cut"}],
        }
        tags = [{"ResourceType": "security-group-rule", "Tags": [{"Key": "owner", "Value": "platform"}]}]
        self.ec2.authorize_security_group_egress(GroupId=self.workers, IpPermissions=[wide], TagSpecifications=tags)
        self.emulator.service(SERVICE, TASKS)
        self.emulator.running(SERVICE, TASKS)
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {"Sid": "own", "Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
            ],
        }
        attributes = {"Policy": json.dumps(policy, sort_keys=True)} | ({"FifoQueue": "true"} if fifo else {})
        self.queue_name, self.fifo = f"{QUEUE}.fifo" if fifo else QUEUE, fifo
        made = self.sqs.create_queue(QueueName=self.queue_name, Attributes=attributes, tags={"team": "storm"})
        self.queue = made["QueueUrl"]
        self.fill()

    def close(self) -> None:
        self.emulator.close()

    def fill(self) -> None:
        self.sqs.purge_queue(QueueUrl=self.queue)
        for number in range(MESSAGES):
            ordered = {"MessageGroupId": f"group {number}", "MessageDeduplicationId": str(number)} if self.fifo else {}
            colour = {"colour": {"DataType": "String", "StringValue": "blue"}}
            self.sqs.send_message(
                QueueUrl=self.queue, MessageBody=f"message {number}", MessageAttributes=colour, **ordered
            )

    def permit(self, name: str, policy: dict[str, Any]) -> None:
        """From now on operators may do what the policy says and nothing else. The emulator judges no conditions."""
        plain = [{key: value for key, value in one.items() if key != "Condition"} for one in policy["Statement"]]
        iam = self.emulator.client("iam")
        iam.create_user(UserName=name)
        document = json.dumps({**policy, "Statement": plain})
        iam.put_user_policy(UserName=name, PolicyName="least", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        self.keys = (key["AccessKeyId"], key["SecretAccessKey"])

    def redrive(self, receives: int) -> str:
        """A queue of dead letters for what was received so often; returns its URL."""
        dead = self.sqs.create_queue(QueueName=f"dead-{self.queue_name}")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives})
        self.sqs.set_queue_attributes(QueueUrl=self.queue, Attributes={"RedrivePolicy": policy})
        return str(dead)

    def messages(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def environment(self, endpoint: str) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": self.keys[0],
            "AWS_SECRET_ACCESS_KEY": self.keys[1],
            "AWS_REGION": REGION,
        }

    def target(self, dagster: str) -> dict[str, Any]:
        spec = {
            "dagster": {"url": dagster, "location": "demo", "requestTimeout": "2s", "settle": "3s"},
            "ecs": {"cluster": CLUSTER, "services": {"workers": SERVICE}},
            "queues": {"tasks": {"name": self.queue_name}},
            "network": {
                "workers": {"securityGroup": self.workers},
                "peers": {"sqs": {"securityGroup": self.endpoints, "port": 443}},
            },
            "guard": {"account": ACCOUNT, "region": REGION},
        }
        return {"apiVersion": API, "kind": "Target", "metadata": {"name": "local"}, "spec": spec}

    def dump(self) -> Dump:
        """Everything that a fault can change, rule for rule; without the ids that AWS gives anew."""
        subnets = self.ec2.describe_subnets()["Subnets"]
        instances = self.ecs.list_container_instances(cluster=CLUSTER)["containerInstanceArns"]
        described = self.ecs.describe_container_instances(
            cluster=CLUSTER, containerInstances=instances, include=["TAGS"]
        )["containerInstances"]
        [service] = self.ecs.describe_services(cluster=CLUSTER, services=[SERVICE], include=["TAGS"])["services"]
        policy = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["Policy"]).get("Attributes", {})
        return {
            "groups": sorted(
                ({"id": group["GroupId"], "tags": _tags(group)} for group in self._groups()), key=lambda one: one["id"]
            ),
            "rules": sorted(map(_rule, self.ec2.describe_security_group_rules()["SecurityGroupRules"])),
            "acls": sorted(map(_acl, self.ec2.describe_network_acls()["NetworkAcls"])),
            "subnets": sorted((subnet["SubnetId"], _tags(subnet)) for subnet in subnets),
            "instances": sorted((one["containerInstanceArn"], one["status"], _tags(one)) for one in described),
            "service": [service["desiredCount"], service["runningCount"], _tags(service)],
            "queue": [
                json.loads(policy.get("Policy") or "{}"),
                self.sqs.list_queue_tags(QueueUrl=self.queue).get("Tags", {}),
            ],
        }

    def _groups(self) -> list[dict[str, Any]]:
        groups: list[dict[str, Any]] = self.ec2.describe_security_groups()["SecurityGroups"]
        return groups


def marks(dump: Dump) -> bool:
    return OURS in json.dumps(dump)


def differences(baseline: Dump, now: Dump) -> str:
    """What is not as it was, for people."""
    parts = [name for name in baseline if baseline[name] != now[name]]
    return yaml.safe_dump({name: {"was": _plain(baseline[name]), "is": _plain(now[name])} for name in parts})


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _tags(thing: dict[str, Any]) -> list[str]:
    found = thing.get("Tags") or thing.get("tags") or []
    return sorted(f"{tag.get('Key', tag.get('key'))}={tag.get('Value', tag.get('value'))}" for tag in found)


def _rule(rule: dict[str, Any]) -> str:
    fields = {key: value for key, value in rule.items() if key not in ("SecurityGroupRuleId", "SecurityGroupRuleArn")}
    return json.dumps({**fields, "Tags": _tags(rule)}, sort_keys=True)


def _acl(acl: dict[str, Any]) -> str:
    entries = sorted(json.dumps(entry, sort_keys=True) for entry in acl["Entries"])
    subnets = sorted(association["SubnetId"] for association in acl["Associations"])
    return json.dumps([acl["NetworkAclId"], acl["IsDefault"], entries, subnets, _tags(acl)])


def scenario(fault: dict[str, Any], lasts_s: int) -> dict[str, Any]:
    """One run, and a fault that may be injected for as long as the load lasts."""
    burst = {"size": 1, "every": f"{lasts_s + 1}s"}
    load = {"name": "one", "for": f"{lasts_s}s", "arrivals": {"burst": burst}, "jobs": {"fast_job": 1}}
    spec = {
        "target": "local",
        "load": [load],
        "faults": [{"name": "f", "after": "0s", **fault}],
        "expect": {"quiet": "1s"},
    }
    return {"apiVersion": API, "kind": "Scenario", "metadata": {"name": "storm"}, "spec": spec}
