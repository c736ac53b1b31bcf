"""A history of a million keys and five million step events, audited: time and peak memory, beside DuckDB on the same.

DuckDB does the part that can be said in SQL: it groups the step events by run and step, and names what was completed
more than once. dagstorm computes the whole verdict. Ten steps are completed twice; both must find just those.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

RATE = 1_000  # arrivals a second
PLANTED = 10
START = datetime(2026, 11, 26, tzinfo=UTC)
GENERATION = "0123456789ab-1"
TASK = "arn:aws:ecs:us-east-1:000000000000:task/demo/%032x"

DUPLICATES = """
SELECT run.runId, event.step, count(*) AS completions
FROM (
    SELECT run, unnest(run.events) AS event
    FROM read_json(?, format = 'newline_delimited', maximum_object_size = 1000000, columns = {
        run: 'STRUCT(runId VARCHAR, events STRUCT(step VARCHAR, kind VARCHAR)[])'
    })
    WHERE run IS NOT NULL
)
WHERE event.kind = 'Succeeded'
GROUP BY ALL HAVING count(*) > 1
"""


@dataclass(frozen=True)
class Cost:
    """What a process took."""

    seconds: float
    peak_mb: float
    output: str


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def history(keys: int) -> Iterator[str]:
    """A generation in which every run did its two steps, and some did the second one twice."""
    scenario = {
        "name": "million",
        "deletion": "drain",
        "spec": {
            "target": "local",
            "seed": 0,
            "load": [
                {
                    "name": "base",
                    "for": f"{keys // RATE}s",
                    "arrivals": {"constant": {"rate": f"{RATE}/s"}},
                    "jobs": [{"job": "two_steps", "weight": 1.0}],
                }
            ],
            "expect": {"contract": "exactlyOnce", "quiet": "5s", "thresholds": ["runLatency p95 < 1m"]},
        },
    }
    dagster = {
        "url": "http://127.0.0.1:3000/graphql",
        "location": "demo",
        "repository": "__repository__",
        "requestTimeout": "5s",
        "settle": "15s",
        "maxConcurrentLaunches": 16,
    }
    target = {"name": "local", "dagster": dagster, "guard": {"minHealthy": 0}}
    head = {"version": 1, "scenario": "million", "generation": GENERATION}
    yield json.dumps({"head": head | {"censusAt": at(keys / RATE + 600), "dagsterVersion": "1.13.27"}})
    seq = 0

    def record(seconds: float, event: str) -> str:
        nonlocal seq
        seq += 1
        return f'{{"record":{{"seq":{seq - 1},"at":"{at(seconds)}","epoch":1,"event":{event}}}}}'

    accepted = {"accepted": {"generation": GENERATION, "scenario": scenario, "target": target}}
    yield record(0, json.dumps(accepted))
    yield record(0, json.dumps({"started": {"at": at(0), "dagsterVersion": "1.13.27"}}))
    for index in range(keys):
        due = index / RATE
        yield record(due, f'{{"submitIntended":{{"index":{index},"attempt":1}}}}')
        known = f'"index":{index},"runId":"{run_id(index)}","found":"acknowledged"'
        yield record(due, f'{{"submitted":{{{known}}}}}')
    for index in range(keys):
        yield run(index, twice=index % (keys // PLANTED) == 0)


def run_id(index: int) -> str:
    return f"{index:08x}-0000-4000-8000-{index:012x}"


def run(index: int, *, twice: bool) -> str:
    due = index / RATE
    task = TASK % (index % 50)

    def event(step: str, kind: str, seconds: float, more: str = "") -> str:
        return f'{{"step":"{step}","kind":"{kind}","at":"{at(due + seconds)}"{more}}}'

    events = [
        event("extract", "Claimed", 1.0, f',"task":"{task}"'),
        event("extract", "Started", 1.1),
        event("extract", "Succeeded", 2.0),
        event("load", "Started", 2.1),
        event("load", "Succeeded", 3.0),
    ]
    if twice:
        events.append(event("load", "Succeeded", 3.1))
    return (
        f'{{"run":{{"runId":"{run_id(index)}","key":"million/{GENERATION}/{index}","job":"two_steps","status":"Success",'
        f'"startedAt":"{at(due + 0.5)}","endedAt":"{at(due + 3.5)}","generationStarted":"{at(0)}",'
        f'"events":[{",".join(events)}]}}}}'
    )


def measure(command: list[str]) -> Cost:
    """Run a process to its end; its peak memory is its resident set's."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    output = process.stdout.read()
    _, _, usage = os.wait4(process.pid, 0)
    return Cost(time.monotonic() - began, usage.ru_maxrss / 1024, output)


def duckdb(file: Path) -> None:
    """In a process of its own, so that its memory can be told."""
    import duckdb as peer  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  only `make bench` has it

    rows = peer.execute(DUPLICATES, [str(file)]).fetchall()
    print(len(rows))


def show(name: str, cost: Cost, megabytes: float) -> None:
    rate = megabytes / cost.seconds
    print(f"{name:10} {cost.seconds:7.1f} s  {cost.peak_mb:8.0f} MB at most  {rate:6.0f} MB/s", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", type=Path)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--duckdb", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--keep", type=Path, help="write the history here and keep it")
    options = parser.parse_args()
    if options.duckdb:
        duckdb(options.duckdb)
        return 0
    assert options.program, "--program is missing"
    with tempfile.TemporaryDirectory(prefix="dagstorm-bench-") as folder:
        file = options.keep or Path(folder) / "history.jsonl"
        with file.open("w") as out:
            out.writelines(f"{line}\n" for line in history(options.keys))
        megabytes = file.stat().st_size / 1e6
        print(f"{options.keys} keys, {options.keys * 5 + PLANTED} step events, {megabytes:.0f} MB of history")
        return compare(options.program, file, megabytes)


def compare(program: Path, file: Path, megabytes: float) -> int:
    ours = measure([str(program), "audit", str(file), "-o", "json"])
    show("dagstorm", ours, megabytes)
    peers = measure([sys.executable, __file__, "--duckdb", str(file)])
    show("DuckDB", peers, megabytes)
    found = len(json.loads(ours.output)["findings"])
    print(f"planted {PLANTED}, found by dagstorm {found}, by DuckDB {peers.output.strip()}")
    return 0 if (found, peers.output.strip()) == (PLANTED, str(PLANTED)) else 1


if __name__ == "__main__":
    sys.exit(main())
