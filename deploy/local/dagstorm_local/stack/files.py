"""What the supervisor writes into the stack's folder: Dagster's homes, the shell environment, the Target, stack.json.

The time-outs add up here. A launch that the client gave up on can still make its run for as long as the webserver's
slowest step takes: a SQL statement at most STATEMENT_TIMEOUT_S, a call to the code server at most GRPC_TIMEOUT_S. So
settle = request time-out + both + a margin (see `settle_s`).
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from dagstorm_local import contract
from dagstorm_local.aws.topology import PEERS
from dagstorm_local.stack.paths import Paths

REQUEST_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 4
GRPC_TIMEOUT_S = 4
SETTLE_MARGIN_S = 2
POSTGRES_VARIABLE = "STACK_POSTGRES_URL"  # the Target names it
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": contract.REGION,
    "AWS_DEFAULT_REGION": contract.REGION,
}


@dataclass(frozen=True)
class Request:
    """What `up` was asked for."""

    settings: contract.Settings
    port_dagster: int
    port_aws: int
    parts: tuple[str, ...]
    services: str  # module:function that tells what to deploy

    def dump(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> Request:
        settings = contract.Settings(**data["settings"])
        return cls(settings, data["port_dagster"], data["port_aws"], tuple(data["parts"]), data["services"])


def settle_s() -> int:
    return REQUEST_TIMEOUT_S + STATEMENT_TIMEOUT_S + GRPC_TIMEOUT_S + SETTLE_MARGIN_S


def write_atomically(path: Path, text: str) -> None:
    """A reader sees the old file or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)


def postgres_url(paths: Paths) -> str:
    """For processes outside the tasks, by the Unix socket. psycopg 2 is named: SQLAlchemy 2.1 would take psycopg 3."""
    options = f"-c%20statement_timeout%3D{STATEMENT_TIMEOUT_S * 1000}"
    return f"postgresql+psycopg2://postgres:@/postgres?host={paths.run}&options={options}"


def write_dagster_homes(paths: Paths) -> None:
    """Two homes: the webserver's, the daemon's and the code server's; and the tasks', whose SQL takes the proxy."""
    storage = {"postgres": {"postgres_url": {"env": "DAGSTORM_POSTGRES_URL"}}}
    launcher = {"module": "dagstorm_local.system.launcher", "class": "TaskiqRunLauncher"}
    for home in (paths.dagster_home, paths.task_dagster_home):
        home.mkdir(parents=True, exist_ok=True)
        config: dict[str, Any] = {
            "storage": storage,
            "run_launcher": launcher,
            "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"},
            "local_artifact_storage": _class("dagster._core.storage.root", "LocalArtifactStorage", home / "storage"),
            "compute_logs": {
                "module": "dagster._core.storage.noop_compute_log_manager",
                "class": "NoOpComputeLogManager",
            },
            "run_monitoring": {"enabled": False},
            "telemetry": {"enabled": False},
            "schedules": {"use_threads": True, "num_workers": 1},
            "sensors": {"use_threads": True, "num_workers": 1},
        }
        write_atomically(home / "dagster.yaml", yaml.safe_dump(config, sort_keys=False))
    workspace = {"load_from": [{"grpc_server": {"socket": str(paths.code_socket), "location_name": contract.LOCATION}}]}
    write_atomically(paths.workspace_file, yaml.safe_dump(workspace, sort_keys=False))


def _class(module: str, name: str, base: Path) -> dict[str, Any]:
    return {"module": module, "class": name, "config": {"base_dir": str(base)}}


def environment(paths: Paths, aws_url: str) -> dict[str, str]:
    """What dagstorm needs to act on the stack, and the AWS CLI to look at it."""
    return {"AWS_ENDPOINT_URL": aws_url, **CREDENTIALS, POSTGRES_VARIABLE: postgres_url(paths)}


def write_environment(paths: Paths, aws_url: str) -> None:
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in environment(paths, aws_url).items()]
    write_atomically(paths.environment_file, "".join(lines))


def target(stack: Mapping[str, Any]) -> dict[str, Any]:
    """The dagstorm Target named `local`."""
    groups = stack["groups"]
    peers = {
        name: {"securityGroup": groups[peer.group], "port": peer.port} for name, peer in PEERS.items() if name != "aws"
    }
    return {
        "apiVersion": "dagstorm.dev/v1alpha1",
        "kind": "Target",
        "metadata": {"name": "local"},
        "spec": {
            "dagster": {
                "url": stack["dagster"]["graphql"],
                "location": contract.LOCATION,
                "requestTimeout": f"{REQUEST_TIMEOUT_S}s",
                "settle": f"{settle_s()}s",
            },
            "ecs": {
                "cluster": contract.CLUSTER,
                "services": {
                    "workers": contract.WORKER_SERVICE,
                    "executor": contract.EXECUTOR_SERVICE,
                    "autoscaler": contract.AUTOSCALER_SERVICE,
                },
            },
            "queues": {"tasks": {"name": contract.TASKS_QUEUE, "deadLetters": contract.DEAD_LETTERS_QUEUE}},
            "network": {"workers": {"securityGroup": groups[contract.WORKERS_GROUP]}, "peers": peers},
            "completions": {"postgres": {"urlFromEnv": POSTGRES_VARIABLE, "table": "exec_attempts"}},
            "metrics": {"namespace": "dagstorm", "dimensions": {"stack": contract.CLUSTER}},
            "guard": {
                "account": contract.ACCOUNT,
                "region": contract.REGION,
                "requireTag": {"dagstorm-ready": "true"},
                "maxAffected": "50%",
                "minHealthy": 1,
            },
        },
    }


def write_target(paths: Paths, stack: Mapping[str, Any]) -> None:
    note = "# Written by `python -m dagstorm_local up`; copy it beside your scenarios.\n"
    write_atomically(paths.target_file, note + yaml.safe_dump(target(stack), sort_keys=False))


def write_stack(paths: Paths, stack: Mapping[str, Any]) -> None:
    write_atomically(paths.stack_file, json.dumps(stack, indent=2) + "\n")


def read_stack(paths: Paths) -> dict[str, Any] | None:
    """None where no stack was ever started in this folder."""
    try:
        data: dict[str, Any] = json.loads(paths.stack_file.read_text())
    except FileNotFoundError:
        return None
    return data
