"""The real parts, used as a user uses them: the stack's command line, dagstorm's commands, files in folders."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.request import Request, urlopen

import boto3
import yaml

ROOT = Path(__file__).resolve().parents[2]
TARGET_FOLDER = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PROGRAM = Path(os.environ.get("DAGSTORM_BIN", TARGET_FOLDER / "debug" / "dagstorm"))
API = "dagstorm.dev/v1alpha1"
FINAL = ("Passed", "Failed", "Unknown", "Stopped")
POLL_S = 0.05
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")

Document = dict[str, Any]
T = TypeVar("T")

RUNS = """
query ($filter: RunsFilter!) {
  runsOrError(filter: $filter) { __typename ... on Runs { results { runId status tags { key value } } } }
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


def scenario(name: str, arrivals: Document, length: str, jobs: Document, **spec: Any) -> Document:
    """A scenario with one phase. It is quiet after 4 s: the steps of the tests' stack take less."""
    phase = {"name": "base", "for": length, "arrivals": arrivals, "jobs": jobs}
    return {
        "apiVersion": API,
        "kind": "Scenario",
        "metadata": {"name": name},
        "spec": {"target": "local", "seed": 7, "load": [phase], "expect": {"quiet": "4s"}} | spec,
    }


def burst(name: str, size: int, jobs: Document, **spec: Any) -> Document:
    """All arrivals at once."""
    return scenario(name, {"burst": {"size": size, "every": "10s"}}, "1s", jobs, **spec)


def write(path: Path, *documents: Document) -> Path:
    """As an editor or git does it: aside, then into its place."""
    aside = path.with_name(f".{path.name}.aside")
    aside.write_text(yaml.safe_dump_all(documents, sort_keys=False))
    aside.replace(path)
    return path


class Stack:
    """A local stack in a folder of its own, on free ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def command(self, verb: str, *arguments: str, within_s: float = 90) -> str:
        command = [sys.executable, "-m", "dagstorm_local", verb, "--dir", str(self.folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=within_s, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    @property
    def facts(self) -> Document:
        facts: Document = json.loads((self.folder / "stack.json").read_text())
        return facts

    def target(self, name: str = "local") -> Document:
        """The Target that the stack wrote, to be changed at will."""
        target: Document = yaml.safe_load((self.folder / "target.yaml").read_text())
        target["metadata"]["name"] = name
        return target

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "AWS_ENDPOINT_URL": self.facts["aws"]["endpoint"],
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "STACK_POSTGRES_URL": self.facts["postgres"]["url"],
        }

    def runs(self, name: str) -> list[Document]:
        """Every run that Dagster has of a scenario."""
        tags = [{"key": "dagstorm/scenario", "value": name}]
        body = json.dumps({"query": RUNS, "variables": {"filter": {"tags": tags}}}).encode()
        request = Request(self.facts["dagster"]["graphql"], body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=10) as answer:
            results: list[Document] = json.load(answer)["data"]["runsOrError"]["results"]
        return results

    def runs_by_key(self, name: str) -> Counter[str]:
        tags = [{tag["key"]: tag["value"] for tag in run["tags"]} for run in self.runs(name)]
        return Counter(one["dagstorm/key"] for one in tags)

    def client(self, service: str) -> Any:
        return boto3.client(  # type: ignore[no-untyped-call]
            service,
            endpoint_url=self.facts["aws"]["endpoint"],
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )


class Operator:
    """`dagstorm operator` with a watched folder and a data folder. Starts at once and again after it was stopped."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.manifests = folder / "manifests"
        self.data = folder / "data"
        self.log = folder / "operator.log"
        self.manifests.mkdir(parents=True)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        command = [str(PROGRAM), "operator", "--manifests", str(self.manifests), "--data", str(self.data)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=self.stack.environment() | environment, stderr=log)

    def end(self, number: signal.Signals, within_s: float = 20) -> int:
        """Send a signal and wait for the end. Returns the exit code."""
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(within_s)

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def cpu_s(self) -> float:
        """Processor time that the process has used."""
        assert self.process
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def drop(self, document: Document, file: str | None = None) -> None:
        write(self.manifests / (file or f"{document['metadata']['name']}.yaml"), document)

    def delete(self, name: str) -> None:
        (self.manifests / f"{name}.yaml").unlink()

    def status(self, name: str) -> Document:
        """The scenario's status; empty as long as there is none."""
        try:
            document: Document = yaml.safe_load((self.data / "status" / f"{name}.yaml").read_text())
        except FileNotFoundError:
            return {}
        status: Document = document["status"]
        return status

    def intake(self) -> dict[str, Document]:
        try:
            files: list[Document] = yaml.safe_load((self.data / "intake.yaml").read_text())["files"]
        except FileNotFoundError:
            return {}
        return {file["file"]: file for file in files}

    def condition(self, name: str, kind: str) -> Document:
        """One condition; empty as long as there is none."""
        found = (one for one in self.status(name).get("conditions", []) if one["type"] == kind)
        return next(found, {})

    def wait(self, name: str, what: str, holds: Callable[[Document], bool], within_s: float) -> Document:
        """Wait until the status shows something. The last status stands in the error."""
        try:
            return wait_for(lambda: self._shows(name, holds), f"{name}: {what}", within_s)
        except AssertionError as error:
            tail = "".join(self.log.read_text().splitlines(keepends=True)[-15:])
            raise AssertionError(f"{error}\n{yaml.safe_dump(self.status(name))}\n{tail}") from None

    def _shows(self, name: str, holds: Callable[[Document], bool]) -> Document | None:
        assert self.is_alive(), f"the operator ended\n{self.log.read_text()}"
        status = self.status(name)
        return status if status and holds(status) else None

    def wait_phase(self, name: str, *phases: str, within_s: float = 60) -> Document:
        return self.wait(name, f"phase {' or '.join(phases)}", lambda status: status["phase"] in phases, within_s)

    def wait_verdict(self, name: str, within_s: float = 60) -> Document:
        """Wait for any end; the test says which one is right."""
        return self.wait_phase(name, *FINAL, within_s=within_s)

    def wait_condition(self, name: str, kind: str, reason: str, within_s: float = 5) -> Document:
        def holds(_: Document) -> bool:
            return bool(self.condition(name, kind).get("reason") == reason)

        self.wait(name, f"condition {kind} with reason {reason}", holds, within_s)
        return self.condition(name, kind)

    def report(self, name: str) -> Document:
        generation = self.status(name)["observedGeneration"]
        report: Document = json.loads((self.data / "reports" / name / generation / "report.json").read_text())
        return report

    def journal(self, name: str) -> list[Document]:
        """The events, oldest first: of each segment what the newest one's fence lets count, without a torn tail."""
        files = sorted((self.data / "journal" / name).glob("*.jsonl"))
        if not files:
            return []
        newest = files[-1].read_bytes()
        accepted = json.loads(newest.splitlines()[0])["fence"]["accepted"]
        parts = [(files[-1].parent / part["segment"]).read_bytes()[: part["bytes"]] for part in accepted]
        lines = [line for part in [*parts, newest] for line in part.splitlines(keepends=True) if line.endswith(b"\n")]
        return [line["record"]["event"] for line in map(json.loads, lines) if "record" in line]


def run(
    stack: Stack, data: Path, *files: Path, within_s: float = 90, **options: str
) -> subprocess.CompletedProcess[str]:
    """`dagstorm run FILES`; options as in `start_timeout="3s"`."""
    command = [str(PROGRAM), "run", *map(str, files), "--data", str(data)]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", value]
    return subprocess.run(
        command, env=stack.environment(), capture_output=True, text=True, timeout=within_s, check=False
    )


def popen(stack: Stack, data: Path, output: IO[bytes], *files: Path) -> subprocess.Popen[bytes]:
    """`dagstorm run FILES`, not waited for."""
    command = [str(PROGRAM), "run", *map(str, files), "--data", str(data)]
    return subprocess.Popen(command, env=stack.environment(), stdout=output, stderr=subprocess.STDOUT)
