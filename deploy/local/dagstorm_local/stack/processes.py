"""Recognising a process again: by its id and its start time, so that a recycled id is never signalled."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass

import psutil

POLL_S = 0.02
SAME_START_S = 0.5


@dataclass(frozen=True)
class Identity:
    """A process that was seen running. `started` is the kernel's start time, seconds since the epoch."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return None

    def process(self) -> psutil.Process | None:
        """The live process itself; None if it is gone, a zombie, or another one has its id."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < SAME_START_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    @property
    def alive(self) -> bool:
        return self.process() is not None


def stop(identity: Identity, number: int, grace_s: float) -> bool:
    """Signal the process and wait; after `grace_s` kill its whole group. False if it was gone already."""
    if not identity.alive:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(identity.pid, number)
    if not wait_gone(identity, grace_s):
        kill_group(identity)
        wait_gone(identity, grace_s)
    return True


def kill_group(identity: Identity) -> None:
    """SIGKILL to the group that the process leads, or to the process alone where it leads none."""
    if not identity.alive:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(identity.pid) == identity.pid:
            os.killpg(identity.pid, signal.SIGKILL)
        else:
            os.kill(identity.pid, signal.SIGKILL)


def wait_gone(identity: Identity, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while identity.alive:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True
