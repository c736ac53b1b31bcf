"""The detached process that starts the parts, watches and stops them: `python -m dagstorm_local.stack.supervisor DIR`.

Whatever happens is a JSON line in logs/supervisor.log; `up` follows that file. A part that ends by itself is noticed
within LOOK_S, written to stack.json as failed, and not started again: a crash must be seen, not smoothed over. Exits
by SIGTERM, having stopped everything; exits by itself, likewise, if a part does not come up.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import signal
import socket
import sys
import time
from typing import Any

from dagstorm_local import contract, json_logs
from dagstorm_local.stack import catalog, control, deploy, files, remains
from dagstorm_local.stack.parts import Part, PartFailed, tail
from dagstorm_local.stack.paths import Paths
from dagstorm_local.stack.processes import Identity

logger = logging.getLogger("dagstorm.supervisor")

LOOK_S = 0.3
STEADY_WITHIN_S = 90.0
EXIT_PART_FAILED = 4


class Supervisor:
    """One stack. Everything runs in one event loop, but for blocking AWS calls."""

    def __init__(self, paths: Paths, request: files.Request) -> None:
        self._paths = paths
        self._request = request
        self._settings = request.settings
        self._port_dagster = free_port(request.port_dagster)
        self._port_aws = free_port(request.port_aws)
        self._aws_url = f"http://127.0.0.1:{self._port_aws}"
        self._parts = catalog.make(paths, request, self._port_dagster, self._port_aws)
        self._cloud = deploy.Cloud(
            self._aws_url, catalog.task_environment(paths), paths.ready, request.services or deploy.DEFAULT_SERVICES
        )
        self._stack: dict[str, Any] = {}
        self._stop = asyncio.Event()
        self._changes = asyncio.Lock()  # one change of the stack at a time

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self._prepare()
        code = 0
        began = time.monotonic()
        server = None
        try:
            starting = asyncio.create_task(self._start())
            stopping = asyncio.create_task(self._stop.wait())
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
            else:
                await starting
                server = await control.serve(self._paths.control_socket, self._answer)
                self._write("up")
                logger.info("ready", extra={"event": "ready", "seconds": round(time.monotonic() - began, 1)})
                await self._watch()
        except Exception as error:
            code = EXIT_PART_FAILED
            self._say_failed(first_failure(error))
        finally:
            if server is not None:
                server.close()
            await self._shut_down()
        return code

    def _prepare(self) -> None:
        for folder in (self._paths.run, self._paths.logs, self._paths.task_logs, self._paths.ready):
            folder.mkdir(parents=True, exist_ok=True)
        self._paths.run.chmod(0o777)  # PostgreSQL may run as another user
        for left in (*self._paths.ready.iterdir(), *self._paths.run.iterdir()):
            left.unlink()
        files.write_dagster_homes(self._paths)
        files.write_environment(self._paths, self._aws_url)
        catalog.write_emulator_config(self._paths, self._port_aws, self._port_dagster)
        for wanted, got, variable in (
            (self._request.port_dagster, self._port_dagster, "--port-dagster"),
            (self._request.port_aws, self._port_aws, "--port-aws"),
        ):
            if wanted not in (0, got):
                logger.info("port %d is taken: %s is %d", wanted, variable, got, extra={"event": "progress"})
        self._write("starting")

    async def _start(self) -> None:
        """All parts at once, each when what it needs is ready; the services as soon as the emulator is there."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._start_part(part)) for part in self._parts.values()]
            if "emulator" in self._parts:
                tasks.append(group.create_task(self._start_services()))
            tasks.append(group.create_task(self._notice_early_end(list(tasks))))

    async def _notice_early_end(self, others: list[asyncio.Task[None]]) -> None:
        """A part that was ready and ends while others still start fails the start too."""
        while not all(task.done() for task in others):
            for part in self._parts.values():
                if part.state == "running" and not part.watch():
                    raise PartFailed(part.name, part.ended)
            await asyncio.sleep(LOOK_S)

    async def _start_part(self, part: Part) -> None:
        for need in part.needs:
            if need in self._parts:
                await self._parts[need].ready.wait()
        part.spawn()
        self._write("starting")
        seconds = await part.wait_ready()
        self._write("starting")
        logger.info(
            "%s is ready", part.name, extra={"event": "progress", "part": part.name, "seconds": round(seconds, 1)}
        )

    async def _start_services(self) -> None:
        for name in ("emulator", "postgres"):
            if name in self._parts:
                await self._parts[name].ready.wait()
        began = time.monotonic()
        topology, queues = await asyncio.to_thread(deploy.deploy, self._cloud, self._settings)
        self._stack |= {
            "vpc": topology.vpc,
            "subnet": topology.tasks_subnet,
            "acl": topology.tasks_acl,
            "groups": topology.groups,
            "queues": queues,
        }
        self._write("starting")
        files.write_target(self._paths, self._stack)
        await self._wait_steady()
        extra = {"event": "progress", "part": catalog.SERVICES, "seconds": round(time.monotonic() - began, 1)}
        logger.info("ECS services are steady and listen", extra=extra)

    async def _wait_steady(self) -> None:
        marks = self._cloud.services == deploy.DEFAULT_SERVICES
        try:
            await asyncio.to_thread(
                deploy.wait_steady, self._cloud, STEADY_WITHIN_S, marks, lambda: self._stop.is_set() or self._broken()
            )
        except deploy.NotSteady as error:
            raise PartFailed(catalog.SERVICES, str(error)) from error

    def _broken(self) -> bool:
        return any(part.state == "failed" for part in self._parts.values())

    async def _watch(self) -> None:
        """Until told to stop: look at every process."""
        while not self._stop.is_set():
            for part in self._parts.values():
                if part.state in ("running", "starting") and not part.watch():
                    extra = {"event": "crashed", "part": part.name, "why": part.ended, "tail": tail(part.log)}
                    logger.error("%s %s", part.name, part.ended, extra=extra)
                    self._write("up")
            try:
                await asyncio.wait_for(self._stop.wait(), LOOK_S)
            except TimeoutError:
                continue

    async def _shut_down(self) -> None:
        """The emulator first, for it ends the tasks; PostgreSQL last. Nothing may start any more, nothing is left."""
        logger.info("stopping", extra={"event": "stopping"})
        for part in self._parts.values():
            part.closed = True
        order = [name for name in ("emulator", "daemon", "webserver", "code-server") if name in self._parts]
        await asyncio.gather(*(self._parts[name].stop() for name in order))
        if "postgres" in self._parts:
            await self._parts["postgres"].stop()
        swept = await asyncio.to_thread(remains.sweep, self._paths)
        if swept:
            logger.warning("ended what no part had ended: %s", ", ".join(swept), extra={"event": "swept"})
        for left in self._paths.run.iterdir():
            left.unlink(missing_ok=True)
        self._paths.run.rmdir()
        self._write("down")
        logger.info("stopped", extra={"event": "stopped"})

    async def _answer(self, request: dict[str, Any], say: control.Say) -> dict[str, Any]:
        async with self._changes:
            verb = request["verb"]
            if verb == "part":
                await self._change_part(request["action"], request["name"], say)
            elif verb == "configure":
                await self._configure(request["settings"], say)
            elif verb == "scale":
                await asyncio.to_thread(deploy.scale, self._cloud, int(request["workers"]))
                say(f"{contract.WORKER_SERVICE}: {request['workers']} wanted")
                await self._wait_steady()
            else:
                raise ValueError(f"unknown request {verb!r}")
            self._write("up")
            return {"end": 0}

    async def _change_part(self, action: str, name: str, say: control.Say) -> None:
        part = self._parts.get(name)
        if part is None:
            raise ValueError(f"there is no part {name!r}; there are {', '.join(self._parts)}")
        if action == "stop":
            await part.stop()
            logger.info("%s was stopped by request", name, extra={"event": "part", "part": name})
            say(f"{name} is stopped")
        elif part.watch():
            say(f"{name} is running already")
        else:
            part.spawn()
            seconds = await part.wait_ready()
            if name == "emulator":
                await self._start_services()
            logger.info("%s was started by request", name, extra={"event": "part", "part": name})
            say(f"{name} is ready after {seconds:.1f} s")

    async def _configure(self, changes: dict[str, Any], say: control.Say) -> None:
        new = dataclasses.replace(self._settings, **changes)
        await asyncio.to_thread(deploy.configure, self._cloud, self._settings, new, say)
        self._settings = new
        self._request = dataclasses.replace(self._request, settings=new)
        environment = catalog.dagster_environment(self._paths, self._request, self._aws_url)
        for name in ("code-server", "webserver", "daemon"):
            if name in self._parts:
                self._parts[name].environment = environment  # from its next start on
        await self._wait_steady()
        say("all services are steady")

    def _say_failed(self, failure: BaseException) -> None:
        name = failure.part if isinstance(failure, PartFailed) else "supervisor"
        part = self._parts.get(name)
        lines = tail(part.log) if part else self._task_tails()
        extra = {"event": "failed", "part": name, "why": str(failure), "tail": lines}
        unexpected = None if isinstance(failure, PartFailed) else failure
        logger.error("%s", failure, extra=extra, exc_info=unexpected)

    def _task_tails(self) -> list[str]:
        logs = sorted(self._paths.task_logs.glob("*.log"), key=lambda log: log.stat().st_mtime)
        return [line for log in logs[-2:] for line in (f"-- {log.name}", *tail(log, 8))]

    def _write(self, state: str) -> None:
        me = Identity.of(os.getpid())
        self._stack |= {
            "state": state,
            "supervisor": {"pid": os.getpid(), "started": me.started if me else 0.0},
            "parts": {name: part.describe() for name, part in self._parts.items()},
            "settings": dataclasses.asdict(self._settings),
            "cluster": contract.CLUSTER,
            "region": contract.REGION,
            "account": contract.ACCOUNT,
            "aws": {"endpoint": self._aws_url},
            "dagster": {
                "ui": f"http://127.0.0.1:{self._port_dagster}",
                "graphql": f"http://127.0.0.1:{self._port_dagster}/graphql",
                "location": contract.LOCATION,
                "settle": files.settle_s(),
            },
            "postgres": {
                "socket": str(self._paths.run),
                "user": "postgres",
                "database": "postgres",
                "url": files.postgres_url(self._paths),
            },
            "logs": str(self._paths.logs),
        }
        files.write_stack(self._paths, self._stack)


def free_port(wanted: int) -> int:
    """The wanted port if nothing has it, else a free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("there is no free port")


def first_failure(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def main(folder: str) -> int:
    json_logs.configure("supervisor")
    paths = Paths.of(folder)
    request = files.Request.load(json.loads(paths.request_file.read_text()))
    return asyncio.run(Supervisor(paths, request).run())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
