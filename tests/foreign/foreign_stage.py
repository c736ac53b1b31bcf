"""One scenario carried out: its manifests, `dagstorm run` on them, and what Dagster has in the end."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from dagster import DagsterEventType, DagsterInstance
from foreign_instance import PROGRAM, REPOSITORY, Document, ForeignDagster, wait_for
from foreign_oracle import Asked, Judged, judge
from foreign_records import Run, read

API = "dagstorm.dev/v1alpha1"
# Longer than any run of a test waits on a machine with much else to do.
SOON_S = 400
VERDICT_S = 500
EXIT = {"Passed": 0, "Failed": 1, "Unknown": 3}
ENVIRONMENT = 4


@dataclass(frozen=True)
class Load:
    """Some launches of a job, as a phase of a scenario."""

    job: str
    size: int = 1
    tags: Document = field(default_factory=dict)
    # Whatever else a job of the manifest may have.
    more: Document = field(default_factory=dict)
    # Instead of all at once.
    arrivals: Document = field(default_factory=dict)
    length: str = "1s"

    def phase(self, name: str) -> Document:
        arrivals = self.arrivals or {"burst": {"size": self.size, "every": "10s"}}
        job = {"tags": self.tags, **self.more} if self.tags or self.more else 1
        return {"name": name, "for": self.length, "arrivals": arrivals, "jobs": {self.job: job}}


@dataclass(frozen=True)
class Case:
    """A scenario, what is done to it, and what has to have come of it for the case to have happened at all."""

    name: str
    load: tuple[Load, ...]
    # Of each dagstorm that goes to its end.
    verdict: str | tuple[str, ...]
    # Of what Dagster has in the end: the test proves by them that it tested what it says. `None`: chance decides.
    sees: dict[str, int] | None
    mishap: Callable[[Stage], None] | None = None
    expect: Document = field(default_factory=dict)
    limits: Document = field(default_factory=dict)
    most_failures: int | None = None
    webserver: str = "open"
    location: str = "mine"
    repository: str = REPOSITORY
    # What it needs for itself alone, against the other cases that name the same.
    alone: str | None = None
    since: tuple[int, int] = (1, 8)
    why_since: str = ""
    start_timeout: str = "60s"

    @property
    def planned(self) -> int:
        return sum(load.size for load in self.load)

    def target(self, url: str) -> Document:
        dagster = {"url": f"{url}/graphql", "location": self.location, "repository": self.repository}
        # A webserver on a busy machine answers late.
        times = {"requestTimeout": "6s", "settle": "8s"}
        spec = {"dagster": dagster | times}
        return {"apiVersion": API, "kind": "Target", "metadata": {"name": "foreign"}, "spec": spec}

    def scenario(self) -> Document:
        phases = [load.phase(f"phase-{number}") for number, load in enumerate(self.load)]
        spec: Document = {"target": "foreign", "seed": 7, "load": phases}
        spec["expect"] = {"quiet": "3s"} | self.expect
        if self.limits:
            spec["limits"] = self.limits
        return {"apiVersion": API, "kind": "Scenario", "metadata": {"name": self.name}, "spec": spec}


@dataclass
class Storm:
    """A `dagstorm run` with a data folder of its own."""

    data: Path
    process: subprocess.Popen[bytes]

    @property
    def output(self) -> str:
        return (self.data / "output").read_text()

    @property
    def writer(self) -> str:
        """The id of its data folder, by which Dagster's runs name it."""
        return (self.data / "writer").read_text().strip()

    def report(self, scenario: str) -> Document | None:
        found = list((self.data / "reports" / scenario).glob("*/report.json"))
        assert len(found) < 2, found
        report: Document | None = json.loads(found[0].read_text()) if found else None
        return report

    def wait(self, within_s: float = VERDICT_S) -> int:
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"dagstorm did not end within {within_s} s:\n{self.output}") from None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Stage:
    """What a mishap works on: Dagster, the scenario's runs, and dagstorm itself."""

    def __init__(self, dagster: ForeignDagster, case: Case, folder: Path) -> None:
        self.dagster = dagster
        self.case = case
        self.folder = folder
        self.instance: DagsterInstance = dagster.instance()
        self.webserver = dagster.webservers[case.webserver]
        self.storms: list[Storm] = []
        self.deleted: list[Run] = []
        # Data folders of which another took over the runs.
        self.taken_over: list[Storm] = []

    def start_storm(self) -> Storm:
        data = self.folder / f"data-{len(self.storms)}"
        data.mkdir(parents=True)
        manifest = data.with_suffix(".yaml")
        manifest.write_text(yaml.safe_dump_all([self.case.target(self.webserver.url), self.case.scenario()]))
        command = [str(PROGRAM), "run", str(manifest), "--data", str(data), "--start-timeout", self.case.start_timeout]
        with (data / "output").open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "NO_COLOR": "1"})
        storm = Storm(data, process)
        self.storms.append(storm)
        return storm

    def attempted(self) -> int:
        """Launches that dagstorm has sent, by its own status: to know when, not what."""
        path = self.storms[0].data / "status" / f"{self.case.name}.yaml"
        if not path.exists():
            return 0
        load = yaml.safe_load(path.read_text())["status"].get("load") or {}
        attempted: int = load.get("attempted", 0)
        return attempted

    def open_gate(self) -> None:
        """Lets the runs of `gated` end, and with them the scenario."""
        (self.dagster.gates / self.case.name).touch()

    def runs(self) -> list[Run]:
        """Without their events."""
        return read(self.instance, self.case.name, events=False)

    def wait_run(self, what: str, holds: Callable[[Run], bool]) -> Run:
        """The first run that is as wanted."""

        def look() -> Run | None:
            return next(filter(holds, self.runs()), None)

        try:
            return wait_for(look, what, SOON_S)
        except AssertionError as error:
            seen = "\n".join(f"{run.run_id} {run.job} {run.status} {dict(run.tags)}" for run in self.runs())
            raise AssertionError(f"{error}\n{seen}\n{self.storms[0].output}") from None

    def wait_done(self, job: str, status: str = "SUCCESS") -> Run:
        return self.wait_run(f"a run of {job} is {status}", lambda run: (run.job, run.status) == (job, status))

    def wait_begun(self, job: str) -> Run:
        """A run of which a step is under way."""

        def is_begun(run: Run) -> bool:
            if (run.job, run.status) != (job, "STARTED"):
                return False
            return bool(list(self.instance.all_logs(run.run_id, of_type={DagsterEventType.STEP_START})))

        return self.wait_run(f"a step of {job} has begun", is_begun)

    def asked(self, storm: Storm) -> Asked:
        return Asked(
            scenario=self.case.name,
            planned=self.case.planned,
            jobs=frozenset(load.job for load in self.case.load),
            code=f"{self.case.repository}@{self.case.location}",
            writer=storm.writer,
            taken_over=frozenset(one.writer for one in self.taken_over if one is not storm),
            contract=self.case.expect.get("contract", "exactlyOnce"),
            most_failures=self.case.most_failures,
        )


@dataclass
class Outcome:
    """What came of a case, by dagstorm and by Dagster's records."""

    exit_code: int
    report: Document | None
    output: str
    judged: Judged
    runs: list[Run]
    # The id of the data folder.
    writer: str


def carry_out(dagster: ForeignDagster, case: Case, folder: Path) -> list[Outcome]:
    """One outcome for each dagstorm that went to its end."""
    stage = Stage(dagster, case, folder)
    stage.start_storm()
    try:
        if case.mishap:
            case.mishap(stage)
        stage.open_gate()
        exit_codes = [storm.wait() for storm in stage.storms]
        return [_outcome(stage, storm, code) for storm, code in zip(stage.storms, exit_codes, strict=True) if code >= 0]
    finally:
        stage.open_gate()
        for storm in stage.storms:
            if storm.process.poll() is None:
                storm.kill()
        stage.instance.dispose()


def _outcome(stage: Stage, storm: Storm, exit_code: int) -> Outcome:
    runs = read(stage.instance, stage.case.name)
    judged = judge(stage.asked(storm), runs, stage.deleted)
    return Outcome(exit_code, storm.report(stage.case.name), storm.output, judged, runs, storm.writer)


def described(outcome: Outcome) -> str:
    """For the person who reads a failure."""

    def line(run: Run) -> str:
        tags: dict[str, Any] = {tag: value for tag, value in run.tags.items() if not tag.startswith(".")}
        return f"{run.run_id} {run.job} {run.status} parent {run.parent} root {run.root} {tags}"

    return "\n".join(["Dagster has:", *map(line, outcome.runs), "dagstorm said:", outcome.output])
