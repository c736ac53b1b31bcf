"""The command line of the stack, run as a user runs it, in a folder that is cleaned up. No Dagster unless asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from dagstorm_local.contract import WORKERS_GROUP, ServiceSpec, Settings

SMALL = ("--parts", "postgres,emulator", "--services", "stack_rig:sleepers")


def sleepers(settings: Settings) -> list[ServiceSpec]:
    """Stands for `system.services.services`: one service that does nothing but show its settings."""
    return [
        ServiceSpec(
            name="taskiq-worker",
            command=["sleep", "1000"],
            environment={"MARK": f"stack-{settings.idempotency}-{os.environ.get('STACK_TEST', '')}"},
            desired=settings.workers,
            group=WORKERS_GROUP,
            destinations=("sqs", "postgres"),
        )
    ]


class Stack:
    """One folder and the commands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str, within_s: float = 60) -> subprocess.CompletedProcess[str]:
        here = str(Path(__file__).parent)
        environment = {**os.environ, "PYTHONPATH": here, "STACK_TEST": str(self.folder)}
        verb, *others = arguments
        command = [sys.executable, "-m", "dagstorm_local", verb, "--dir", str(self.folder), *others]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=within_s, check=False)

    def up(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("up", *SMALL, "--port-aws", "0", *arguments)

    @property
    def file(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self.folder / "stack.json").read_text())
        return data

    def status(self) -> tuple[int, dict[str, Any]]:
        done = self.run("status", "-o", "json")
        return done.returncode, json.loads(done.stdout)

    def part(self, name: str) -> dict[str, Any]:
        return next(one for one in self.status()[1]["parts"] if one["name"] == name)

    def pids(self) -> list[int]:
        stack = self.file
        recorded = [part["pid"] for part in stack["parts"].values()]
        return [pid for pid in [*recorded, stack["supervisor"]["pid"]] if pid]

    def workers(self, idempotency: bool = True) -> list[int]:
        """Live worker processes of this stack."""
        wanted = f"MARK=stack-{idempotency}-{self.folder}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    environment = (entry / "environ").read_bytes().split(b"\0")
                    program = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if wanted in environment and program.startswith(b"sleep"):
                    found.append(int(entry.name))
        return found
