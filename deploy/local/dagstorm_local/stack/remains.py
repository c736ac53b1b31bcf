"""Finding every process of one stack, recorded or not, and ending it.

A process is of the stack if its environment has the stack's mark, which each inherits from the supervisor, or if it is
PostgreSQL in the stack's data folder: PostgreSQL writes its title over its environment. Never by a name alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from dagstorm_local.aws.processes import MARKER
from dagstorm_local.stack.paths import Paths
from dagstorm_local.stack.processes import Identity

LOOK_S = 0.05
LOOKS = 2  # so many in a row must find nothing: one may miss a process between fork and exec
SETTLE_S = 1.0  # what is ending already, such as the watchdog, may do so by itself
GRACE_S = 3.0  # between SIGTERM and SIGKILL
GIVE_UP_S = 15.0


class StillRunning(RuntimeError):
    """Processes of the stack that even SIGKILL did not end, or that belong to another user."""


def sweep(paths: Paths) -> list[str]:
    """End what is left of this stack but this process and its ancestors; say what that was.

    Returns only when nothing is left. Raises StillRunning if that takes too long.
    """
    began = time.monotonic()
    ended: dict[Identity, str] = {}
    quiet = 0
    while quiet < LOOKS:
        left = find(paths)
        quiet = 0 if left else quiet + 1
        waited = time.monotonic() - began
        if left and waited > GIVE_UP_S:
            raise StillRunning(f"still running: {', '.join(left.values())}")
        if waited > SETTLE_S:
            for identity, name in left.items():
                number = signal.SIGKILL if waited > SETTLE_S + GRACE_S else signal.SIGTERM
                if number == signal.SIGKILL or identity not in ended:
                    _signal(identity, number)
                ended[identity] = name
        time.sleep(LOOK_S)
    return list(ended.values())


def find(paths: Paths) -> dict[Identity, str]:
    """The live processes of this stack, described, but this one and its ancestors."""
    found = {}
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for pid in _marked(paths):
        identity = Identity.of(pid) if pid not in mine else None
        process = identity.process() if identity else None
        if identity and process:
            with contextlib.suppress(psutil.Error):
                found[identity] = f"{pid} ({' '.join(process.cmdline())[:80]})"
    return found


def _marked(paths: Paths) -> Iterator[int]:
    mark = os.fsencode(f"{MARKER}={paths.root}")
    data = paths.postgres_data
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            marked = mark in (entry / "environ").read_bytes().split(b"\0")
            database = (entry / "cwd").readlink() == data and (entry / "exe").readlink().name == "postgres"
        except OSError:  # gone, or another user's
            continue
        if marked or database:
            yield int(entry.name)


def _signal(identity: Identity, number: int) -> None:
    process = identity.process()
    if process is not None:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
