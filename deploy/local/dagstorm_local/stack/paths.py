"""Where the stack keeps what: one folder, and a short one for Unix sockets, whose paths are limited to 107 bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """`root` is absolute."""

    root: Path

    @classmethod
    def of(cls, folder: str | Path) -> Paths:
        return cls(Path(folder).expanduser().resolve())

    @property
    def run(self) -> Path:
        """Sockets. The same for the same root, gone after `down`."""
        return Path("/tmp") / f"dagstorm-{hashlib.sha256(str(self.root).encode()).hexdigest()[:10]}"

    @property
    def stack_file(self) -> Path:
        return self.root / "stack.json"

    @property
    def environment_file(self) -> Path:
        return self.root / "env"

    @property
    def target_file(self) -> Path:
        return self.root / "target.yaml"

    @property
    def request_file(self) -> Path:
        """What `up` was asked for: the supervisor reads it at start."""
        return self.root / "request.json"

    @property
    def lock_file(self) -> Path:
        return self.root / "lock"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def task_logs(self) -> Path:
        return self.logs / "tasks"

    def log(self, part: str) -> Path:
        return self.logs / f"{part}.log"

    @property
    def ready(self) -> Path:
        """One file a task that listens, named by the task's id."""
        return self.root / "ready"

    @property
    def dagster_home(self) -> Path:
        return self.root / "dagster"

    @property
    def task_dagster_home(self) -> Path:
        return self.root / "dagster-task"

    @property
    def workspace_file(self) -> Path:
        return self.dagster_home / "workspace.yaml"

    @property
    def emulator_file(self) -> Path:
        return self.root / "emulator.json"

    @property
    def postgres_data(self) -> Path:
        return self.root / "postgres"

    @property
    def control_socket(self) -> Path:
        return self.run / "control.sock"

    @property
    def code_socket(self) -> Path:
        return self.run / "code.sock"

    @property
    def postgres_socket(self) -> Path:
        return self.run / ".s.PGSQL.5432"
