"""An emulator for tests: started on a free port, asked over the wire, gone afterwards with all its tasks."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.exceptions import ClientError

from dagstorm_local import contract
from dagstorm_local.aws import topology

T = TypeVar("T")
SLEEPER = [sys.executable, "-S", "-c", "import time\nwhile True: time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-S",
    "-c",
    "import signal,time\nsignal.signal(15, signal.SIG_IGN)\nprint('deaf', flush=True)\nwhile True: time.sleep(60)",
]


def eventually(look: Callable[[], T], within_s: float = 20.0) -> T:
    """What `look` returns once it is true. Raises AssertionError with its last value after `within_s`."""
    deadline = time.monotonic() + within_s
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s; last seen: {seen!r}")
        time.sleep(0.02)
    return seen


def throughout(look: Callable[[], object], during_s: float) -> None:
    """`look` stays true for so long."""
    deadline = time.monotonic() + during_s
    while time.monotonic() < deadline:
        assert look()
        time.sleep(0.02)


def error_code(call: Callable[[], object]) -> str:
    """The code of the AWS error that the call ends with; empty if it ends well."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def connect(port: int, timeout_s: float = 2.0) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
    connection.settimeout(0.4)
    return connection


def echoes(connection: socket.socket, text: bytes = b"ping") -> bool:
    try:
        connection.sendall(text)
        return connection.recv(100) == text
    except TimeoutError:
        return False


def refused_like_dropped_packets(port: int) -> bool:
    try:
        connect(port, 0.4).close()
    except TimeoutError:
        return True
    return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Echo:
    """A TCP server that sends back what it gets: it stands for Dagster's webserver."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    @staticmethod
    def _echo(connection: socket.socket) -> None:
        while data := connection.recv(4096):
            connection.sendall(data)
        connection.close()


class Emulator:
    """The emulated cloud with the stack's network in it and an echo server as Dagster."""

    def __init__(self, folder: Path, iam: bool = False) -> None:
        self.port, self.echo = free_port(), Echo()
        self.url = f"http://127.0.0.1:{self.port}"
        self.logs = folder / "tasks"
        config = folder / "emulator.json"
        upstreams = {"dagster": {"port": self.echo.port}}
        config.write_text(json.dumps({"port": self.port, "logs": str(self.logs), "upstreams": upstreams}))
        with (folder / "emulator.log").open("wb") as log:
            command = [sys.executable, "-m", "dagstorm_local.aws.emulator", str(config)]
            environment = {**os.environ, "AUTH": str(iam).lower()}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        eventually(self._serves, 20)
        self.ec2, self.ecs = self.client("ec2"), self.client("ecs")
        self.topology = topology.create(self.ec2)
        self.ecs.create_cluster(clusterName=contract.CLUSTER)

    def client(self, name: str, key: str = "test", secret: str = "test") -> Any:
        keys = {"aws_access_key_id": key, "aws_secret_access_key": secret, "region_name": contract.REGION}
        return boto3.client(name, endpoint_url=self.url, **keys)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)

    def service(self, name: str, desired: int, command: list[str] = SLEEPER, **container: Any) -> None:
        self.ecs.register_task_definition(
            family=name,
            networkMode="awsvpc",
            containerDefinitions=[
                {"name": name, "image": "x", "command": command, "versionConsistency": "disabled", **container}
            ],
        )
        self.ecs.create_service(
            cluster=contract.CLUSTER,
            serviceName=name,
            taskDefinition=name,
            desiredCount=desired,
            propagateTags="SERVICE",
            tags=[{"key": "team", "value": "storm"}],
            networkConfiguration={
                "awsvpcConfiguration": {
                    "subnets": [self.topology.tasks_subnet],
                    "securityGroups": [self.topology.groups[contract.WORKERS_GROUP]],
                }
            },
        )

    def delete_service(self, name: str) -> None:
        self.ecs.delete_service(cluster=contract.CLUSTER, service=name, force=True)

    def tasks(self, service: str, status: str = "RUNNING") -> list[dict[str, Any]]:
        wanted = "STOPPED" if status == "STOPPED" else "RUNNING"
        arns = self.ecs.list_tasks(cluster=contract.CLUSTER, serviceName=service, desiredStatus=wanted)["taskArns"]
        return [task for task in map(self.task, arns) if task["lastStatus"] == status]

    def task(self, arn: str) -> dict[str, Any]:
        found = self.ecs.describe_tasks(cluster=contract.CLUSTER, tasks=[arn], include=["TAGS"])["tasks"]
        task: dict[str, Any] = found[0]
        return task

    def running(self, service: str, count: int) -> list[dict[str, Any]]:
        return eventually(lambda: found if len(found := self.tasks(service)) == count else [])

    def stopped(self, arn: str) -> dict[str, Any]:
        """The task, once it is STOPPED."""
        return eventually(lambda: task if (task := self.task(arn))["lastStatus"] == "STOPPED" else {})

    def paths(self, arn: str) -> dict[str, Any]:
        """The task's proxies by destination."""
        with urllib.request.urlopen(f"{self.url}/_stack/tasks", timeout=5) as answer:
            seats = {seat["taskArn"]: seat for seat in json.load(answer)}
        return dict(seats[arn]["destinations"]) if arn in seats else {}

    def pids(self, marker: str) -> list[int]:
        """Live task processes whose environment carries MARK=marker."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    environment = (entry / "environ").read_bytes()
                except OSError:
                    continue
                if f"MARK={marker}".encode() in environment.split(b"\0") and alive(int(entry.name)):
                    found.append(int(entry.name))
        return found

    def log(self, task: dict[str, Any], family: str) -> str:
        return (self.logs / f"{family}-{task['taskArn'].rsplit('/', 1)[-1][:8]}.log").read_text()

    def _serves(self) -> bool:
        assert self.process.poll() is None, "the emulator ended"
        try:
            with urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def mark(value: str) -> list[dict[str, str]]:
    return [{"name": "MARK", "value": value}]
