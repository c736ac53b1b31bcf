"""From a manifest in the watched folder to its first launch on the wire, with notifications and with polling alone.

Dagster is a stand-in that answers at once, so the figures are the operator's own: noticing the file, the journal, the
first look, the start. It says what Dagster would say, but a run is a success as soon as it is launched.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TARGET = """\
apiVersion: dagstorm.dev/v1alpha1
kind: Target
metadata: {{ name: stand-in }}
spec: {{ dagster: {{ url: 'http://127.0.0.1:{port}/graphql', location: demo }} }}
"""
SCENARIO = """\
apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: {{ name: {name} }}
spec:
  target: stand-in
  load:
    - {{ name: one, for: 1s, arrivals: {{ constant: {{ rate: 1/s }} }}, jobs: {{ fast_job: 1 }} }}
  expect: {{ quiet: 1s }}
"""
SCENARIO_TAG = "dagstorm/scenario"
LONGEST_WAIT_S = 30.0
# After a change the folder is read once more, a second later: a drop in the midst of that would look too fast.
READ_AGAIN_S = 1.2
# So many operators at a time, each with a folder of its own: one that polls does nothing for most of the time.
POLLING_LANES = 10

Document = dict[str, Any]


class StandIn(ThreadingHTTPServer):
    """Answers the operator's three documents, and notes when a scenario's first launch arrived."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.changed = threading.Condition()
        self.arrived: dict[str, float] = {}
        self.runs: dict[str, list[Document]] = {}

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that breaks when the operator is killed is no news."""

    def launch(self, params: Document, at: float) -> Document:
        tags: list[Document] = params["executionMetadata"]["tags"]
        scenario = next(tag["value"] for tag in tags if tag["key"] == SCENARIO_TAG)
        now = time.time()
        run = {"runId": str(uuid.uuid4()), "jobName": params["selector"]["jobName"], "status": "SUCCESS", "tags": tags}
        with self.changed:
            self.runs.setdefault(scenario, []).append(run | {"startTime": now, "endTime": now})
            self.arrived.setdefault(scenario, at)
            self.changed.notify_all()
        return {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": run["runId"]}}}

    def look(self, variables: Document) -> Document:
        scenario = next(tag["value"] for tag in variables["filter"]["tags"] if tag["key"] == SCENARIO_TAG)
        with self.changed:
            runs = list(self.runs.get(scenario, []))
        if variables["withEvents"]:
            runs = [run | {"eventConnection": events(run)} for run in runs]
        data: Document = {"version": "1.13.0", "runsOrError": {"__typename": "Runs", "results": runs}}
        if variables["withJobs"]:
            data["repositoryOrError"] = {"__typename": "Repository", "jobs": [{"name": "fast_job"}]}
        return data

    def wait(self, scenario: str) -> float:
        """The instant at which the scenario's first launch was received."""
        with self.changed:
            if not self.changed.wait_for(lambda: scenario in self.arrived, LONGEST_WAIT_S):
                raise SystemExit(f"{scenario} was not launched within {LONGEST_WAIT_S:.0f} s")
            return self.arrived[scenario]


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: StandIn

    def do_POST(self) -> None:
        at = time.monotonic()
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        variables = request["variables"]
        is_launch = "launchRun" in request["query"]
        data = self.server.launch(variables["params"], at) if is_launch else self.server.look(variables)
        body = json.dumps({"data": data}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def events(run: Document) -> Document:
    """One step that ran once."""
    kinds = ("STEP_START", "STEP_SUCCESS")
    millis = str(int(run["startTime"] * 1000))
    listed = [{"__typename": kind, "eventType": kind, "stepKey": "only", "timestamp": millis} for kind in kinds]
    return {"cursor": "", "hasMore": False, "events": listed}


@contextmanager
def operator(program: Path, folder: Path, *options: str) -> Iterator[Path]:
    """`dagstorm operator` on a folder with a Target. Gives the watched folder."""
    manifests, data = folder / "manifests", folder / "data"
    command = [str(program), "operator", "--manifests", str(manifests), "--data", str(data), *options]
    with (folder / "operator.log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            deadline = time.monotonic() + LONGEST_WAIT_S
            while not (data / "intake.yaml").exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit((folder / "operator.log").read_text() or "the operator does not start")
                time.sleep(0.01)
            yield manifests
        finally:
            process.kill()


def measure(program: Path, drops: int, pause_s: tuple[float, float], options: list[str]) -> list[float]:
    """Milliseconds from each drop to its launch, one after another, each after another pause."""
    server = StandIn()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    took = []
    with tempfile.TemporaryDirectory(prefix="dagstorm-bench-") as name:
        folder = Path(name)
        (folder / "manifests").mkdir()
        (folder / "manifests" / "target.yaml").write_text(TARGET.format(port=server.server_port))
        with operator(program, folder, *options) as manifests:
            for number in range(drops):
                time.sleep(random.uniform(*pause_s))
                scenario, aside = f"drop-{number}", folder / "aside"
                aside.write_text(SCENARIO.format(name=scenario))
                began = time.monotonic()
                aside.replace(manifests / f"{scenario}.yaml")
                took.append((server.wait(scenario) - began) * 1000)
    server.shutdown()
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--drops", type=int, default=200)
    parser.add_argument("--poll-interval", type=float, default=2.0, help="in seconds")
    options = parser.parse_args()
    program, drops, poll_s = options.program, options.drops, options.poll_interval
    print(f"\nfrom drop to launch, {drops} drops each, {program} on {os.cpu_count()} processors, in ms")
    print(f"  {'watch':<16}{'p50':>8}{'p99':>8}{'max':>8}")
    for watch, label, lanes, pause_s in (
        ("auto", "notifications", 1, (0.05, 0.25)),
        ("poll", f"poll {poll_s:g} s", POLLING_LANES, (READ_AGAIN_S, READ_AGAIN_S + poll_s)),
    ):
        flags = ["--watch", watch, "--poll-interval", f"{round(poll_s * 1000)}ms"]
        shares = [len(range(lane, drops, lanes)) for lane in range(lanes)]
        with ThreadPoolExecutor(lanes) as pool:
            work = [pool.submit(measure, program, share, pause_s, flags) for share in shares]
            took = sorted(one for lane in work for one in lane.result())
        p99 = took[len(took) * 99 // 100]
        print(f"  {label:<16}{statistics.median(took):>8.0f}{p99:>8.0f}{took[-1]:>8.0f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
