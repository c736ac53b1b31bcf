"""A Dagster that we did not set up: stock webservers, daemon and code server on SQLite, in a temporary DAGSTER_HOME.

It runs in the Python that runs the tests: `make foreign-versions` gives it other versions of Dagster.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import yaml
from dagster import DagsterInstance
from dagster import __version__ as dagster_version

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TARGET_FOLDER = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PROGRAM = Path(os.environ.get("DAGSTORM_BIN", TARGET_FOLDER / "debug" / "dagstorm"))
VERSION = tuple(int(part) for part in dagster_version.split(".")[:2])
REPOSITORY = "warehouse"
POLL_S = 0.4
# How often the daemon runs a failed run again, for who does not say otherwise.
MAX_RETRIES = 1
# Code locations of which the code changes while they are in use.
MOVING = ("redeployed", "renamed")
# Tags of runs of which one at a time may run.
NARROW, NARROWER = {"team": "narrow"}, {"team": "narrower"}

Document = dict[str, Any]
T = TypeVar("T")

SELECTOR = {"repositoryLocationName": "mine", "repositoryName": REPOSITORY}
SENSORS = """
query ($selector: RepositorySelector!) {
  sensorsOrError(repositorySelector: $selector) {
    ... on Sensors { results { name sensorState { ticks(limit: 1) { timestamp } } } }
  }
}
"""


def wait_for(look: Callable[[], T | None], what: str, within_s: float) -> T:
    """Look again and again until there is something to see."""
    deadline = time.monotonic() + within_s
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:.0f} s: {what}")
        time.sleep(POLL_S)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Process:
    """A process with its log. It leads a group of its own, so that what it started ends with it."""

    command: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdout=log, stderr=log, start_new_session=True, cwd=self.log.parent
            )

    def kill(self) -> None:
        """As a machine that is taken away."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ask_to_end(self) -> None:
        if self.is_alive():
            self.signal(signal.SIGTERM)

    def end(self, within_s: float = 5) -> None:
        """With all that it started: its runs too. The group is there as long as any of its members is."""
        if self.process is None:
            return
        self.ask_to_end()
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            print(f"{self.command[:3]} did not end by itself")
        self.signal(signal.SIGKILL)
        self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        assert self.process
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


@dataclass
class Webserver:
    """A `dagster-webserver` on a port that it keeps when it is started again."""

    process: Process
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait(self) -> None:
        wait_for(self._answers, f"{self.url} answers; see {self.process.log}", 90)

    def _answers(self) -> bool:
        assert self.process.is_alive(), f"the webserver ended: {self.process.log.read_text()[-3000:]}"
        try:
            with urlopen(f"{self.url}/server_info", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def ask(self, query: str, **variables: Any) -> Document:
        """The data of an answer; raises when there is none."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        try:
            with urlopen(request, timeout=60) as answer:
                document: Document = json.load(answer)
        except HTTPError as error:
            raise AssertionError(f"{error}: {error.read().decode()}") from error
        except URLError as error:
            raise ConnectionError(str(error)) from error
        assert "errors" not in document, document["errors"]
        data: Document = document["data"]
        return data


@dataclass
class ForeignDagster:
    """All of its processes, and what they keep on disk."""

    folder: Path
    processes: list[Process] = field(default_factory=list)
    webservers: dict[str, Webserver] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        self.gates = self.folder / "gates"
        for folder in (self.home, self.gates):
            folder.mkdir(parents=True)
        for location in MOVING:
            self.file_of(location).write_text(moving("report"))
        (self.home / "dagster.yaml").write_text(yaml.safe_dump(self.settings()))
        self.code_port = free_port()

    def settings(self) -> Document:
        """`dagster.yaml` as many teams have it."""
        queue: Document = {
            # More than there are runs that wait for a gate: none of them shall keep the others waiting.
            "max_concurrent_runs": 25,
            "dequeue_interval_seconds": 1,
            "dequeue_use_threads": True,
            "dequeue_num_workers": 4,
            "tag_concurrency_limits": [
                {"key": key, "value": value, "limit": 1} for one in (NARROW, NARROWER) for key, value in one.items()
            ],
        }
        settings: Document = {
            "telemetry": {"enabled": False},
            "run_retries": {"enabled": True, "max_retries": MAX_RETRIES},
            "run_coordinator": {
                "module": "dagster._core.run_coordinator",
                "class": "QueuedRunCoordinator",
                "config": queue,
            },
        }
        if VERSION < (1, 9):
            # It refuses run retries on its default SQLite storage, and takes them on this one.
            settings["event_log_storage"] = {
                "module": "dagster._core.storage.event_log",
                "class": "ConsolidatedSqliteEventLogStorage",
                "config": {"base_dir": str(self.home / "events")},
            }
        return settings

    def environment(self) -> dict[str, str]:
        bin_folder = Path(sys.executable).parent
        return {
            **os.environ,
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "DAGSTER_HOME": str(self.home),
            "FOREIGN_GATES": str(self.gates),
            "PYTHONWARNINGS": "ignore",
        }

    def file_of(self, location: str) -> Path:
        """The code of a location that moves."""
        return self.folder / f"{location}.py"

    def process(self, name: str, *command: str) -> Process:
        process = Process(
            [str(Path(sys.executable).parent / command[0]), *command[1:]],
            self.environment(),
            self.folder / f"{name}.log",
        )
        self.processes.append(process)
        return process

    def workspace(self, name: str, *locations: Document) -> Path:
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"load_from": list(locations)}))
        return path

    def start(self) -> None:
        """Three webservers, a daemon, a code server; returns when all of it is at work."""
        # Processes that begin at once would each make the tables, and some would fail.
        with self.instance() as instance:
            assert all((instance.run_storage, instance.event_log_storage, instance.schedule_storage))
        mine = {"grpc_server": {"host": "127.0.0.1", "port": self.code_port, "location_name": "mine"}}
        broken = {"python_file": {"relative_path": str(HERE / "foreign_broken.py"), "location_name": "broken"}}
        moves = [{"python_file": {"relative_path": str(self.file_of(one)), "location_name": one}} for one in MOVING]
        whole, small = self.workspace("workspace", mine, broken, *moves), self.workspace("small", mine)
        jobs = str(HERE / "foreign_jobs.py")
        code = ["dagster", "api", "grpc", "-f", jobs, "-a", REPOSITORY, "-h", "127.0.0.1", "-p", str(self.code_port)]
        self.code_server = self.process("code", *code, "-n", "16")
        self.code_server.start()
        self.wait_for_code_server()
        self.daemon = self.process("daemon", "dagster-daemon", "run", "-w", str(whole))
        self.daemon.start()
        for name, workspace, options in (
            ("open", whole, ()),
            ("victim", small, ()),
            ("locked", small, ("--read-only",)),
        ):
            port = free_port()
            serve = ["dagster-webserver", "-h", "127.0.0.1", "-p", str(port), "-w", str(workspace), *options]
            self.webservers[name] = Webserver(self.process(name, *serve), port)
            self.webservers[name].process.start()
        for webserver in self.webservers.values():
            webserver.wait()
        wait_for(self._sensors_are_at_work, f"the daemon's sensors tick; see {self.daemon.log}", 90)

    def wait_for_code_server(self) -> None:
        def listens() -> bool:
            assert self.code_server.is_alive(), self.code_server.log.read_text()[-3000:]
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.code_port)) == 0

        wait_for(listens, f"the code server listens; see {self.code_server.log}", 90)

    def _sensors_are_at_work(self) -> bool:
        """A sensor that has not ticked yet has not begun to watch: what happened before is nothing to it."""
        assert self.daemon.is_alive(), self.daemon.log.read_text()[-3000:]
        seen = self.open.ask(SENSORS, selector=SELECTOR)["sensorsOrError"]["results"]
        return bool(seen) and all(sensor["sensorState"]["ticks"] for sensor in seen)

    @property
    def open(self) -> Webserver:
        return self.webservers["open"]

    def instance(self) -> DagsterInstance:
        """Dagster's own reader of its own storage."""
        return DagsterInstance.from_config(str(self.home))

    def end(self) -> None:
        """Runs that still wait for a gate end with the code server that started them."""
        for process in self.processes:
            process.ask_to_end()
        for process in self.processes:
            process.end()


MOVES = """
import os, pathlib, time
import dagster as dg

@dg.op
def work(context):
    gate = context.run.tags.get("gate")
    while gate and not pathlib.Path(os.environ["FOREIGN_GATES"], gate).exists():
        time.sleep(0.1)

@dg.job
def {job}():
    work()

@dg.repository(default_executor_def=dg.in_process_executor)
def {repository}():
    return [{job}]
"""


def moving(job: str) -> str:
    """The code of a location that moves: one job, whose runs wait for a gate where a tag names one."""
    return MOVES.format(job=job, repository=REPOSITORY)
