"""The long-running processes of the stack, each started by an argument vector and known to be ready by a look."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dagstorm_local import contract
from dagstorm_local.stack.processes import Identity, kill_group

LOOK_EVERY_S = 0.1
TAIL_LINES = 15
HEARTBEAT_QUERY = "{ instance { daemonHealth { allDaemonStatuses { required healthy lastHeartbeatTime } } } }"
LOCATION_QUERY = (
    "{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError { __typename } } } } }"
)
RELOAD = f'mutation {{ reloadRepositoryLocation(repositoryLocationName: "{contract.LOCATION}") {{ __typename }} }}'


class PartFailed(Exception):
    """A part ended or did not become ready; `part` says which."""

    def __init__(self, part: str, why: str) -> None:
        super().__init__(f"{part}: {why}")
        self.part = part


@dataclass
class Part:
    """How to start one process, and what it is now. Started again by hand only, never by itself."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    look: Callable[[float], Awaitable[bool]]  # given the start time: True when it serves; an exception means not yet
    needs: tuple[str, ...] = ()
    stop_signal: int = signal.SIGTERM
    grace_s: float = 5.0
    ready_within_s: float = 60.0
    process: subprocess.Popen[bytes] | None = None
    identity: Identity | None = None
    state: str = "stopped"  # starting, running, failed, stopped
    ended: str = ""  # how it ended, for a failed one
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False  # the stack is going down: never started again

    def spawn(self) -> None:
        """Raises PartFailed if the stack is going down."""
        if self.closed:
            raise PartFailed(self.name, "the stack is going down")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.ready.clear()
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.identity = Identity.of(self.process.pid)
        self.state, self.ended = "starting", ""

    async def wait_ready(self) -> float:
        """Seconds until it served. Raises PartFailed if it ended before, or took too long."""
        began = time.monotonic()
        while True:
            if not self.watch():
                raise PartFailed(self.name, self.ended or "was stopped")
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, asyncio.TimeoutError):
                if await asyncio.wait_for(self.look(self.identity.started if self.identity else 0.0), 5):
                    break
            if time.monotonic() - began > self.ready_within_s:
                raise PartFailed(self.name, f"not ready after {self.ready_within_s:.0f} s")
            await asyncio.sleep(LOOK_EVERY_S)
        self.state = "running"
        self.ready.set()
        return time.monotonic() - began

    def watch(self) -> bool:
        """False if the process is not there; a process that ended by itself is `failed` from then on."""
        if self.process is None or self.state in ("failed", "stopped"):
            return False
        code = self.process.poll()
        if code is None:
            return True
        self.state = "failed"
        self.ended = f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return False

    async def stop(self) -> None:
        """Signal, wait, and kill its group after the grace. Idempotent."""
        process, self.state = self.process, "stopped"
        self.ready.clear()
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(self.stop_signal)
            try:
                await asyncio.to_thread(process.wait, self.grace_s)
            except subprocess.TimeoutExpired:
                if self.identity is not None:
                    kill_group(self.identity)
                process.kill()
                await asyncio.to_thread(process.wait)
        self.process = self.identity = None

    def describe(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "pid": self.identity.pid if self.identity else None,
            "started": self.identity.started if self.identity else None,
            "ended": self.ended,
            "log": str(self.log),
        }


def tail(log: Path, lines: int = TAIL_LINES) -> list[str]:
    """The last lines of a log file; none if there is no file."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 64 * 1024))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def script(name: str) -> str:
    """A console script of the same environment as ours."""
    return str(Path(sys.executable).with_name(name))


async def http_ok(url: str) -> bool:
    def get() -> bool:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)

    return await asyncio.to_thread(get)


async def graphql(url: str, query: str) -> dict[str, Any]:
    """The `data` of the answer. Raises OSError or KeyError where there is none."""

    def post() -> dict[str, Any]:
        body = json.dumps({"query": query}).encode()
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=4) as answer:
            data: dict[str, Any] = json.load(answer)["data"]
        return data

    return await asyncio.to_thread(post)


async def location_loaded(url: str) -> bool:
    """True when the webserver has the code location; has it loaded again where the first try failed."""
    entries = (await graphql(url, LOCATION_QUERY))["workspaceOrError"]["locationEntries"]
    kinds = {entry["name"]: (entry["locationOrLoadError"] or {}).get("__typename") for entry in entries}
    kind = kinds.get(contract.LOCATION)
    if kind == "PythonError":
        await graphql(url, RELOAD)
    return kind == "RepositoryLocation"


async def daemons_healthy(url: str, since: float) -> bool:
    """True when every daemon that the instance needs has told of itself after `since`."""
    statuses = (await graphql(url, HEARTBEAT_QUERY))["instance"]["daemonHealth"]["allDaemonStatuses"]
    return all(one["healthy"] and one["lastHeartbeatTime"] >= since for one in statuses if one["required"])


async def socket_answers(path: Path) -> bool:
    _, writer = await asyncio.open_unix_connection(str(path))
    writer.close()
    return True
