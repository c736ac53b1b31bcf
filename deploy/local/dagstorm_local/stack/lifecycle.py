"""Starting the supervisor and following it until the stack is up; ending everything, whatever state it is in."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagstorm_local.aws.processes import MARKER
from dagstorm_local.stack import files, remains
from dagstorm_local.stack.paths import Paths
from dagstorm_local.stack.processes import Identity, stop

POLL_S = 0.1
START_WITHIN_S = 180.0
SUPERVISOR_GRACE_S = 30.0
PART_GRACE_S = 8.0
STOP_ORDER = ("emulator", "daemon", "webserver", "code-server", "postgres")
EXIT_NOT_STARTED = 4
EXIT_STILL_RUNNING = 5


def up(paths: Paths, request: files.Request) -> int:
    """Start what is not running. Returns when the stack is healthy (0) or everything is torn down again (4)."""
    paths.root.mkdir(parents=True, exist_ok=True)
    with _alone(paths):
        stack = files.read_stack(paths)
        if stack and supervisor_of(stack) is not None:
            if stack["state"] == "up":
                print("the stack is up already")
                print(addresses(paths, stack))
                return 0
            print("another `up` is starting the stack; see `status`", file=sys.stderr)
            return EXIT_NOT_STARTED
        _end_left_overs(paths, stack)
        files.write_atomically(paths.request_file, json.dumps(request.dump(), indent=2))
        paths.logs.mkdir(parents=True, exist_ok=True)
        log = paths.log("supervisor")
        began, offset = time.monotonic(), log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            supervisor = subprocess.Popen(
                [sys.executable, "-m", "dagstorm_local.stack.supervisor", str(paths.root)],
                env={**os.environ, MARKER: str(paths.root)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        print(f"starting the stack in {paths.root}", flush=True)
        try:
            code = _follow_start(paths, supervisor, offset, began)
        except KeyboardInterrupt:
            print("interrupted: stopping what was started", file=sys.stderr)
            _end(supervisor)
            remains.sweep(paths)
            raise
        if code != 0:
            remains.sweep(paths)
            print("nothing is left running", file=sys.stderr)
        return code


def down(paths: Paths, wipe: bool) -> int:
    """Stop everything by recorded id and start time, in order; then look for what is left by its mark. Idempotent."""
    try:
        return _down(paths, wipe)
    except remains.StillRunning as error:
        print(error, file=sys.stderr)
        return EXIT_STILL_RUNNING


def _down(paths: Paths, wipe: bool) -> int:
    stack = files.read_stack(paths)
    if stack is None:
        remains.sweep(paths)
        print("there is no stack here" if not paths.root.exists() else "the stack was never started")
    else:
        supervisor = supervisor_of(stack)
        running = supervisor is not None
        if supervisor is not None:
            print("stopping", flush=True)
            stop(supervisor, signal.SIGTERM, SUPERVISOR_GRACE_S)
            stack = files.read_stack(paths) or stack
        ended = _end_left_overs(paths, stack)
        print(
            f"ended {', '.join(ended)}, left by a supervisor that is gone"
            if ended
            else "stopped"
            if running
            else "nothing was running"
        )
        if stack["state"] != "down":
            stack["state"] = "down"
            for part in stack["parts"].values():
                part.update(state="stopped", pid=None, started=None)
            files.write_stack(paths, stack)
        shutil.rmtree(paths.run, ignore_errors=True)
    if wipe and paths.root.exists():
        shutil.rmtree(paths.root)
        print(f"removed {paths.root}")
    return 0


def supervisor_of(stack: dict[str, Any]) -> Identity | None:
    """The live supervisor that wrote this file, if it lives."""
    identity = Identity(stack["supervisor"]["pid"], stack["supervisor"]["started"])
    return identity if identity.alive else None


def addresses(paths: Paths, stack: dict[str, Any]) -> str:
    lines = {
        "Dagster": stack["dagster"]["ui"],
        "GraphQL": stack["dagster"]["graphql"],
        "AWS": f"{stack['aws']['endpoint']}  (. {paths.environment_file})",
        "Target": str(paths.target_file),
        "Logs": stack["logs"],
    }
    return "\n".join(f"  {name:<9}{value}" for name, value in lines.items())


def _end_left_overs(paths: Paths, stack: dict[str, Any] | None) -> list[str]:
    """Parts that outlived their supervisor, then whatever else is of this stack.

    The emulator ends the tasks, or its watchdog does; that nothing is left is looked for, not assumed.
    """
    ended = []
    for name in STOP_ORDER:
        part = (stack or {}).get("parts", {}).get(name)
        if not part or not part["pid"]:
            continue
        identity = Identity(part["pid"], part["started"])
        if stop(identity, signal.SIGINT if name == "postgres" else signal.SIGTERM, PART_GRACE_S):
            ended.append(name)
    return ended + remains.sweep(paths)


def _follow_start(paths: Paths, supervisor: subprocess.Popen[bytes], offset: int, began: float) -> int:
    """Print what the supervisor says until it is ready or gone."""
    deadline = began + START_WITHIN_S
    with paths.log("supervisor").open() as log:
        log.seek(offset)
        while True:
            for event in _events(log.readlines()):
                if event.get("event") == "progress":
                    took = f" ({event['seconds']} s)" if "seconds" in event else ""
                    print(f"  {time.monotonic() - began:5.1f} s  {event['message']}{took}", flush=True)
                elif event.get("event") == "ready":
                    print(f"the stack is up after {time.monotonic() - began:.1f} s")
                    print(addresses(paths, files.read_stack(paths) or {}))
                    return 0
                elif event.get("event") == "failed":
                    _say_failed(paths, event)
            if supervisor.poll() is not None:
                return EXIT_NOT_STARTED
            if time.monotonic() > deadline:
                print(f"not up after {START_WITHIN_S:.0f} s: giving up", file=sys.stderr)
                _end(supervisor)
                return EXIT_NOT_STARTED
            time.sleep(POLL_S)


def _end(supervisor: subprocess.Popen[bytes]) -> None:
    identity = Identity.of(supervisor.pid)
    if identity is not None:
        stop(identity, signal.SIGTERM, SUPERVISOR_GRACE_S)


def _say_failed(paths: Paths, event: dict[str, Any]) -> None:
    print(f"could not start: {event['why']}", file=sys.stderr)
    for line in event["tail"]:
        print(f"    {line}", file=sys.stderr)
    print(f"  all of it: {paths.log(event['part']) if event['part'] in STOP_ORDER else paths.logs}", file=sys.stderr)


def _events(lines: list[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            print(line.rstrip(), file=sys.stderr)  # a traceback of a supervisor that did not even start
            continue
        yield event


@contextmanager
def _alone(paths: Paths) -> Iterator[None]:
    """One `up` at a time in a folder."""
    with paths.lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
