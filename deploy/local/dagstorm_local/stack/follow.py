"""Showing log files, each line with the name of its part, and following them as they grow."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from dagstorm_local.stack.parts import tail
from dagstorm_local.stack.paths import Paths

LINES = 40
POLL_S = 0.3


def show(paths: Paths, name: str, follow: bool) -> int:
    """Print the last lines of the part's log, or of all; with `follow`, go on until interrupted."""
    logs = _logs(paths, name)
    if not logs:
        there = sorted({log.stem for log in _logs(paths, "")})
        print(f"there is no log {name!r}; there are {', '.join(there) or 'none'}", file=sys.stderr)
        return 1
    offsets = {}
    for log in logs:
        offsets[log] = log.stat().st_size
        for line in tail(log, LINES):
            _print(log, line)
    while follow:
        time.sleep(POLL_S)
        for log in _logs(paths, name):
            with log.open("rb") as file:
                file.seek(offsets.get(log, 0))
                data = file.read()
            offsets[log] = offsets.get(log, 0) + len(data)
            for line in data.decode(errors="replace").splitlines():
                _print(log, line)
    return 0


def _logs(paths: Paths, name: str) -> list[Path]:
    every = sorted(paths.logs.glob("*.log")) + sorted(paths.task_logs.glob("*.log"))
    exact = [log for log in every if log.stem == name]
    return exact or [log for log in every if log.stem.startswith(name)]


def _print(log: Path, line: str) -> None:
    print(f"{log.stem}| {line}", flush=True)
