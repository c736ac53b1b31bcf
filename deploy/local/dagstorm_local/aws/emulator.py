"""Serve the emulated cloud: `python -m dagstorm_local.aws.emulator CONFIG.json`. Ends its tasks when it is stopped.

The configuration: {"port", "logs", "upstreams": {destination: {"host", "port"} or {"path"}}, "instances"}; `sqs` and
`aws` are the emulator itself and need no entry. Besides AWS it serves `GET /_stack/tasks`: each task's paths, for
people and tests.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from dagstorm_local import contract, json_logs

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Callable[[], Awaitable[dict[str, Any]]], Send], Awaitable[None]]
Agent = Callable[[str, dict[str, Any] | None], tuple[int, dict[str, Any]]]

OFF = {"IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0", "PERSIST_STATE": "0", "BIND_HOST": "127.0.0.1"}
NO_DOCKER = "unix:///nonexistent/docker.sock"


def configure_environment(port: int) -> None:
    """What ministack reads at import. Call before it is imported."""
    os.environ.update(OFF)
    os.environ.update(GATEWAY_PORT=str(port), MINISTACK_REGION=contract.REGION, MINISTACK_HOST="127.0.0.1")
    os.environ["DOCKER_HOST"] = NO_DOCKER
    os.environ.setdefault("LOG_LEVEL", "WARNING")


def serve(config: dict[str, Any]) -> None:
    """Serve until SIGTERM or SIGINT. Every task process is gone when this returns."""
    port = int(config["port"])
    configure_environment(port)
    from hypercorn.asyncio import serve as hypercorn_serve  # noqa: PLC0415
    from hypercorn.config import Config  # noqa: PLC0415
    from ministack.app import app  # noqa: PLC0415

    from dagstorm_local.aws import cloudwatch, ec2, ecs, iam, protection, queues  # noqa: PLC0415
    from dagstorm_local.aws.network import Network  # noqa: PLC0415
    from dagstorm_local.aws.processes import ProcessClient  # noqa: PLC0415
    from dagstorm_local.aws.proxy import Upstream  # noqa: PLC0415

    json_logs.configure("emulator")  # ministack set up its own at import
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("dagstorm").setLevel(logging.INFO)
    upstreams = {"sqs": Upstream(port=port), "aws": Upstream(port=port)}
    upstreams |= {name: Upstream(**address) for name, address in config.get("upstreams", {}).items()}
    network = Network(upstreams, contract.ACCOUNT, contract.REGION, f"http://127.0.0.1:{port}")
    client = ProcessClient(Path(config["logs"]), network.environment)
    ec2.install()
    ecs.install(client, network, int(config.get("instances", contract.INSTANCES)))
    queues.install()
    iam.install()
    cloudwatch.install()

    settings = Config()
    settings.bind = [f"127.0.0.1:{port}"]
    settings.keep_alive_timeout = 75
    settings.graceful_timeout = 0.5
    settings.loglevel = "WARNING"
    try:
        application = _with_agent(_with_tasks_page(app, network.describe), protection.AGENT, protection.agent)
        asyncio.run(_serve_until_signal(hypercorn_serve, application, settings))
    finally:
        client.close()
    os._exit(0)  # ministack's own threads are not all daemons


async def _serve_until_signal(hypercorn_serve: Any, application: Application, settings: Any) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await hypercorn_serve(application, settings, shutdown_trigger=stopped.wait)


def _with_tasks_page(application: Application, describe: Callable[[], list[dict[str, Any]]]) -> Application:
    async def wrapped(scope: Scope, receive: Any, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/_stack/tasks":
            await _answer(send, 200, describe())
            return
        await application(scope, receive, send)

    return wrapped


def _with_agent(application: Application, prefix: str, agent: Agent) -> Application:
    """Serve the ECS agent's endpoint too: tasks ask it for protection from scale-in."""

    async def wrapped(scope: Scope, receive: Any, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(prefix):
            request = json.loads(await _body(receive)) if scope["method"] == "PUT" else None
            await _answer(send, *agent(scope["path"], request))
            return
        await application(scope, receive, send)

    return wrapped


async def _body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


async def _answer(send: Send, status: int, content: object) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    serve(json.loads(Path(sys.argv[1]).read_text()))
