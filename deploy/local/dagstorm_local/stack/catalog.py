"""Which parts the stack has, and how each is started."""

from __future__ import annotations

import asyncio
import json
import signal

import psycopg2

from dagstorm_local.stack import parts
from dagstorm_local.stack.files import CREDENTIALS, GRPC_TIMEOUT_S, STATEMENT_TIMEOUT_S, Request, postgres_url
from dagstorm_local.stack.parts import Part, python, script
from dagstorm_local.stack.paths import Paths

NAMES = ("postgres", "emulator", "code-server", "webserver", "daemon")
SERVICES = "services"  # not a process of ours, but started and waited for like a part


def make(paths: Paths, request: Request, port_dagster: int, port_aws: int) -> dict[str, Part]:
    """The parts that the request names."""
    aws_url = f"http://127.0.0.1:{port_aws}"
    graphql = f"http://127.0.0.1:{port_dagster}/graphql"
    dagster = dagster_environment(paths, request, aws_url)

    def part(name: str, command: list[str], **options: object) -> Part:
        return Part(name, command, log=paths.log(name), **options)  # type: ignore[arg-type]

    every = [
        part(
            "postgres",
            python("-m", "dagstorm_local.stack.postgres", str(paths.postgres_data), str(paths.run)),
            environment={},
            look=lambda _since: postgres_answers(paths),
            stop_signal=signal.SIGINT,
        ),
        part(
            "emulator",
            python("-m", "dagstorm_local.aws.emulator", str(paths.emulator_file)),
            environment={},
            look=lambda _since: parts.http_ok(f"{aws_url}/_ministack/health"),
            grace_s=8.0,
        ),
        part(
            "code-server",
            [
                script("dagster"),
                "api",
                "grpc",
                "-s",
                str(paths.code_socket),
                "-m",
                "dagstorm_local.system.definitions",
                "--location-name",
                "demo",
                "--log-format",
                "json",
            ],
            environment=dagster,
            look=lambda _since: parts.socket_answers(paths.code_socket),
        ),
        part(
            "webserver",
            [
                script("dagster-webserver"),
                "-w",
                str(paths.workspace_file),
                "-h",
                "127.0.0.1",
                "-p",
                str(port_dagster),
                "--db-statement-timeout",
                str(STATEMENT_TIMEOUT_S * 1000),
                "--log-format",
                "json",
            ],
            environment=dagster,
            look=lambda _since: parts.location_loaded(graphql),
            needs=("postgres", "emulator"),
        ),
        part(
            "daemon",
            [script("dagster-daemon"), "run", "-w", str(paths.workspace_file), "--log-format", "json"],
            environment=dagster,
            look=lambda since: parts.daemons_healthy(graphql, since),
            needs=("postgres", "emulator", "code-server"),
            grace_s=3.0,
        ),
    ]
    return {one.name: one for one in every if one.name in request.parts}


def dagster_environment(paths: Paths, request: Request, aws_url: str) -> dict[str, str]:
    """For the code server, the webserver and the daemon, which are not ECS tasks: no proxy between them and AWS."""
    from dagstorm_local.system.settings import to_environment  # noqa: PLC0415

    return {
        **CREDENTIALS,
        **to_environment(request.settings),
        "AWS_ENDPOINT_URL": aws_url,
        "AWS_ENDPOINT_URL_SQS": aws_url,
        "DAGSTER_HOME": str(paths.dagster_home),
        "DAGSTORM_POSTGRES_URL": postgres_url(paths),
        "DAGSTER_GRPC_TIMEOUT_SECONDS": str(GRPC_TIMEOUT_S),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "PYTHONUNBUFFERED": "1",
    }


def task_environment(paths: Paths) -> dict[str, str]:
    """For the tasks: what they need to know of this stack beyond their own settings and their proxies."""
    return {
        "DAGSTER_HOME": str(paths.task_dagster_home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "STACK_POSTGRES_DB": "postgres",
        "STACK_READY_DIR": str(paths.ready),
    }


def write_emulator_config(paths: Paths, port_aws: int, port_dagster: int) -> None:
    upstreams = {"dagster": {"port": port_dagster}, "postgres": {"path": str(paths.postgres_socket)}}
    config = {"port": port_aws, "logs": str(paths.task_logs), "upstreams": upstreams}
    paths.emulator_file.write_text(json.dumps(config))


async def postgres_answers(paths: Paths) -> bool:
    def ask() -> bool:
        try:
            psycopg2.connect(host=str(paths.run), user="postgres", dbname="postgres", connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True

    return await asyncio.to_thread(ask)
