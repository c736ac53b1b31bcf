"""ECS containers as OS process groups, behind the few methods of a Docker client that ministack's ECS calls.

The leader of the group stands for the container's PID 1: its exit is the container's exit, its status becomes the exit
code (137 for kill -9), and whatever it left running is killed. Output goes to one file a container. A watchdog process
ends the groups if this process dies, however and whenever it dies: a group is recorded there by its own leader, before
the leader becomes the task's command, and the watchdog's input stays open for as long as a leader has yet to do so.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

MARKER = "DAGSTORM_PART_OF"  # in the environment of every process of a stack: the stack's folder
INHERITED = (MARKER, "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
TASK_LABEL = "com.amazonaws.ecs.task-arn"
FAMILY_LABEL = "com.amazonaws.ecs.task-definition-family"
KILL_GRACE_S = 2.0
POLL_S = 0.02
LOG_POLL_S = 0.25

# $$ is the leader of the new group. Who cannot be recorded (no watchdog: SIGPIPE) does not start.
RECORD_AND_BECOME = ("/bin/sh", "-c", 'echo "add $$" >&0 && exec "$@" </dev/null', "task")

Prepare = Callable[[str, dict[str, str]], dict[str, str]]


class Container:
    """One process group. `status` is `running` or `exited`, as Docker says it."""

    def __init__(
        self, process: subprocess.Popen[bytes], labels: Mapping[str, str], log: Path, gone: Callable[[], None]
    ):
        self.id = uuid.uuid4().hex * 2
        self.pid = process.pid
        self.labels = dict(labels)
        self.attrs: dict[str, Any] = {"Labels": self.labels, "State": {}, "NetworkSettings": {"Networks": {}}}
        self.log = log
        self._process = process
        self._gone = gone
        self._lock = threading.Lock()
        self._swept = False

    @property
    def status(self) -> str:
        return "running" if self.exit_code() is None else "exited"

    def exit_code(self) -> int | None:
        """As Docker counts: 128 + signal for a killed process. None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        self._sweep()
        return code if code >= 0 else 128 - code

    def reload(self) -> None:
        """Nothing to do: `status` always looks."""

    def wait(self) -> dict[str, int]:
        self._process.wait()
        return {"StatusCode": self.exit_code() or 0}

    def signal(self, number: int) -> None:
        """Signal the leader only, as Docker signals PID 1. A leader that is gone is no error."""
        self._process.send_signal(number)

    def stop(self, timeout: float = 10) -> None:
        """SIGTERM, and SIGKILL to the whole group after `timeout` seconds. Returns when the leader is gone."""
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait(KILL_GRACE_S)
        self.exit_code()

    def remove(self, **_options: object) -> None:
        """End it, if it still runs. The log file stays."""
        if self._process.poll() is None:
            self.kill()
            self._process.wait(KILL_GRACE_S)
        self.exit_code()

    def logs(self, stream: bool = False, follow: bool = False, tail: int = 0, **_options: object) -> Any:
        """The output: bytes, or an iterator of bytes that ends when the container has exited and all was read."""
        if stream:
            return self._follow(follow)
        data = self.log.read_bytes()
        return b"\n".join(data.splitlines()[-tail:]) if tail else data

    def _follow(self, follow: bool) -> Iterator[bytes]:
        with self.log.open("rb") as file:
            while True:
                running = self._process.poll() is None
                data = file.read()
                if data:
                    yield data
                elif not running or not follow:
                    return
                else:
                    time.sleep(LOG_POLL_S)

    def kill(self) -> None:
        """SIGKILL to the whole group. Does not wait."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _sweep(self) -> None:
        """The leader is gone: so must the rest of its group be, as with the last process of a PID namespace."""
        with self._lock:
            if not self._swept:
                self._swept = True
                self.kill()
                self._gone()


class ProcessClient:
    """Stands where ministack expects a Docker client: `containers` and `images` are itself.

    `prepare(task ARN, environment)` returns the environment that the process gets in place of the given one.
    """

    def __init__(self, logs: Path, prepare: Prepare) -> None:
        self.containers = self
        self.images = _Images()
        self._logs = logs
        self._prepare = prepare
        self._known: dict[str, Container] = {}
        self._open = True
        self._starting = threading.Lock()  # held from the look at `_open` until the new process is known
        self._watchdog = subprocess.Popen(
            [sys.executable, "-S", "-E", str(Path(__file__).with_name("watchdog.py"))],
            stdin=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
        logs.mkdir(parents=True, exist_ok=True)

    def run(
        self,
        _image: str,
        *,
        command: Sequence[str] | None,
        environment: dict[str, str],
        labels: dict[str, str],
        **_: object,
    ) -> Container:
        """Start the command of the task definition. Raises OSError if it cannot be spawned, or after `close`."""
        if not command:
            raise OSError("the container definition has no command: a process needs one, there is no image to ask")
        arn = labels.get(TASK_LABEL, "")
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        environment = {**inherited, **self._prepare(arn, environment)}
        log = self._logs / f"{labels.get(FAMILY_LABEL, 'task')}-{arn.rsplit('/', 1)[-1][:8]}.log"
        with log.open("ab") as output, self._starting:
            if not self._open:
                raise OSError("the emulator is going down: no task is started")
            process = self._spawn(command, environment, output)
            container = Container(process, labels, log, lambda: self._forget_group(process.pid))
            self._known[container.id] = container
        return container

    def get(self, container_id: str) -> Container:
        """The container, also after its exit. Raises KeyError for an unknown id."""
        return self._known[container_id]

    def list(self, **_options: object) -> Sequence[Container]:
        return tuple(self._known.values())

    def forget(self, container_id: str) -> None:
        self._known.pop(container_id, None)

    def of_task(self, arn: str) -> Sequence[Container]:
        return [container for container in self.list() if container.labels.get(TASK_LABEL) == arn]

    def close(self) -> None:
        """End every group at once, and start none from now on. The watchdog ends what this one could not."""
        with self._starting:
            self._open = False
        for container in self.list():
            if container.exit_code() is None:
                container.kill()
        for container in self.list():
            with contextlib.suppress(subprocess.TimeoutExpired):
                container.remove()
        assert self._watchdog.stdin is not None
        self._watchdog.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._watchdog.wait(KILL_GRACE_S)

    def _spawn(self, command: Sequence[str], environment: dict[str, str], output: BinaryIO) -> subprocess.Popen[bytes]:
        if shutil.which(command[0], path=environment.get("PATH", os.defpath)) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
        return subprocess.Popen(
            [*RECORD_AND_BECOME, *command],
            env=environment,
            stdin=self._watchdog.stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _forget_group(self, pid: int) -> None:
        assert self._watchdog.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):  # ValueError: closed
            self._watchdog.stdin.write(f"del {pid}\n".encode())


class _Images:
    """Every image is there: nothing is pulled, a digest is made of the name."""

    def pull(self, image: str, **_options: object) -> _Images:
        return self

    def get(self, image: str) -> _Images:
        return self

    def tag(self, *_names: str, **_options: object) -> bool:
        return True

    def get_registry_data(self, image: str, **_options: object) -> Any:
        digest = hashlib.sha256(image.encode()).hexdigest()
        return type("RegistryData", (), {"id": f"sha256:{digest}"})()
