"""Histories as dagstorm writes them: a small one with every kind of finding, and one of a hundred thousand keys.

What is written here is read by the real `dagstorm audit --html`, which refuses whatever it does not know.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
GENERATION = "0123456789ab-1"
HOSTILE = "</script><script>document.title='owned'</script><!--<img src=x onerror=\"document.title='owned'\">\u2028"
CLUSTER = "arn:aws:ecs:eu-central-1:123456789012:task/demo/"
QUEUE = "https://sqs.eu-central-1.amazonaws.com/123456789012/taskiq-tasks"
TARGET = {
    "name": "staging",
    "dagster": {
        "url": "https://dagster.example.com/graphql",
        "location": "demo",
        "repository": "__repository__",
        "requestTimeout": "5s",
        "settle": "40s",
        "headersFromEnv": {"Dagster-Cloud-Api-Token": "DAGSTER_TOKEN"},
    },
    "ecs": {"cluster": "demo", "services": {"workers": "taskiq-worker", "autoscaler": "autoscaler"}},
    "queue": {"name": "taskiq-tasks", "deadLetters": "taskiq-dead"},
    "guard": {"account": "123456789012", "region": "eu-central-1", "minHealthy": 1},
}

Json = dict[str, Any]


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def task(name: str) -> str:
    return CLUSTER + name


def run_id(number: int) -> str:
    return f"{number * 2654435761 % 2**32:08x}-0000-4000-8000-{number:012x}"


@dataclass
class History:
    """What is to be written, in any order of time."""

    scenario: str
    every: float
    arrivals: int
    jobs: list[Json]
    faults: list[Json] = field(default_factory=list)
    thresholds: list[str] = field(default_factory=list)
    events: list[tuple[float, Json]] = field(default_factory=list)
    runs: list[Json] = field(default_factory=list)
    records: list[Json] = field(default_factory=list)
    reads_records: bool = False
    starts: bool = True

    def key(self, index: int) -> str:
        return f"{self.scenario}/{GENERATION}/{index}"

    def due(self, index: int) -> float:
        return index * self.every

    def sent(self, index: int) -> None:
        due = self.due(index)
        self.events.append((due, {"submitIntended": {"index": index, "attempt": 1}}))
        self.events.append(
            (due + 0.04, {"submitted": {"index": index, "runId": run_id(index), "found": "acknowledged"}})
        )

    def run(
        self,
        index: int,
        steps: list[tuple[str, str, float, str | None]],
        *,
        status: str = "Success",
        identity: str | None = None,
        job: str | None = None,
        ended: bool = True,
    ) -> Json:
        """A run whose step events are (step, kind, seconds after it was due, task)."""
        due = self.due(index)
        shown = [
            {"step": step, "kind": kind, "at": at(due + seconds)} | ({"task": task(by)} if by else {})
            for step, kind, seconds, by in steps
        ]
        last = max((seconds for _, _, seconds, _ in steps), default=1.0)
        made: Json = {
            "runId": identity or run_id(index),
            "key": self.key(index),
            "job": job or self.jobs[0]["job"],
            "status": status,
            "startedAt": at(due + 0.4),
            "endedAt": at(due + last + 0.3) if ended else None,
            "generationStarted": at(0),
            "events": shown,
        }
        self.runs.append(made)
        return made

    def recorded(self, index: int, began: float, ended: float, worker: str, outcome: str = "completed") -> None:
        """What a worker wrote down of the step `work` of the key's run."""
        due = self.due(index)
        named: Any = {"completed": "Completed"}.get(outcome, {"Other": outcome})
        self.records.append(
            {
                "runId": run_id(index),
                "step": "work",
                "key": self.key(index),
                "worker": f"pid 7 on {worker}",
                "task": task(worker),
                "started": at(due + began),
                "finished": at(due + ended),
                "outcome": named,
            }
        )

    def sample(self, metric: str, seconds: float, value: float) -> None:
        self.events.append((seconds, {"sampled": {"metric": metric, "askedAt": at(seconds), "value": value}}))

    def kill(self, name: str, seconds: float, victim: str, back: float) -> None:
        """A worker is stopped, and its service is whole again after a while."""
        view = {"arn": task(victim), "running": True, "stopping": False}
        effect = {"stopTask": {"task": task(victim), "reason": f"dagstorm {name}"}}
        intent = {
            "fault": name,
            "targets": [view],
            "inject": [effect],
            "undo": {"effects": [], "steady": "taskiq-worker"},
        }
        self.events += [
            (seconds, {"faultIntended": intent}),
            (seconds + 0.1, {"injectTried": {"fault": name, "effect": 0, "outcome": {"done": "stopping"}}}),
            (seconds + 1, {"faultSeen": {"fault": name, "askedAt": at(seconds + 1)}}),
            (seconds + back, {"faultSteady": {"fault": name, "askedAt": at(seconds + back)}}),
            (seconds + back + 6, {"healed": {"fault": name, "askedAt": at(seconds + back + 6)}}),
            (
                seconds + 1,
                {"tasksChanged": {"service": "taskiq-worker", "askedAt": at(seconds + 1), "left": [task(victim)]}},
            ),
        ]

    def deny(self, name: str, seconds: float, length: float) -> None:
        """The queue's data plane is denied for a while."""
        done = {"done": "changed"}
        intent = {
            "fault": name,
            "targets": [],
            "objects": [{"queue": QUEUE}],
            "inject": [{"denyQueue": {"url": QUEUE}}],
            "undo": {"effects": [{"allowQueue": {"url": QUEUE}}]},
        }
        over = seconds + length
        self.events += [
            (seconds, {"faultIntended": intent}),
            (seconds + 0.2, {"injectTried": {"fault": name, "effect": 0, "outcome": done}}),
            (seconds + 1, {"faultSeen": {"fault": name, "askedAt": at(seconds + 1)}}),
            (over, {"healBegan": {"fault": name, "reason": "its time is over"}}),
            (over, {"healIntended": {"fault": name, "effect": 0}}),
            (over + 0.2, {"healTried": {"fault": name, "effect": 0, "outcome": done}}),
            (over + 2, {"faultSteady": {"fault": name, "askedAt": at(over + 2)}}),
            (over + 16, {"healed": {"fault": name, "askedAt": at(over + 16)}}),
        ]

    def lines(self) -> Iterator[str]:
        length = self.arrivals * self.every
        spec: Json = {
            "target": TARGET["name"],
            "seed": 7,
            "load": [
                {
                    "name": "base",
                    "for": f"{round(length * 1000)}ms",
                    "arrivals": {"constant": {"rate": f"{round(60 / self.every)}/min"}},
                    "jobs": self.jobs,
                }
            ],
            "expect": {"contract": "exactlyOnce", "quiet": "30s", "thresholds": self.thresholds},
        }
        if self.faults:
            spec["faults"] = self.faults
        scenario = {"name": self.scenario, "deletion": "drain", "spec": spec}
        head: Json = {"version": 1, "scenario": self.scenario, "generation": GENERATION}
        head |= {"censusAt": at(length + 600), "dagsterVersion": "1.13.27"}
        if self.reads_records:
            head["completions"] = {"source": "table exec_attempts"}
        yield line({"head": head})
        begin: list[tuple[float, Json]] = [
            (-1.0, {"accepted": {"generation": GENERATION, "scenario": scenario, "target": TARGET}}),
        ]
        if self.starts:
            begin.append((0.0, {"started": {"at": at(0), "dagsterVersion": "1.13.27"}}))
        ordered = sorted(self.events, key=lambda event: event[0])
        for seq, (seconds, event) in enumerate(begin + ordered):
            yield line({"record": {"seq": seq, "at": at(seconds), "epoch": 1, "event": event}})
        yield from (line({"run": run}) for run in self.runs)
        yield from (line({"completion": record}) for record in self.records)


def line(value: Json) -> str:
    return json.dumps(value, separators=(",", ":")) + "\n"


def work(
    worker: str, began: float = 0.6, took: float = 2.0, step: str = "work"
) -> list[tuple[str, str, float, str | None]]:
    return [(step, "Claimed", began, worker), (step, "Started", began, None), (step, "Succeeded", began + took, None)]


def small() -> History:
    """Ten keys, one of each kind of finding; a worker killed, a queue denied; a job with a hostile name."""
    kill = {
        "name": "kill",
        "trigger": {"after": "1m2s"},
        "fault": {"stopTasks": {"tasks": {"service": "workers"}, "pick": "one"}},
    }
    deny = {"name": "deny", "trigger": {"after": "25s"}, "for": "12s", "fault": {"denyQueue": {"queue": "tasks"}}}
    all_of = History(
        "every-finding",
        10,
        10,
        [{"job": "fast_job", "weight": 9.0}, {"job": HOSTILE, "weight": 1.0}],
        [kill, deny],
        ["runLatency p95 < 5s", "queueDepth max < 500", "recoveryTime max < 1m"],
        reads_records=True,
    )
    workers = ["3b1f0c9d77e24a51", "9c02ee4415b34d0f", "e1d7a6630f9c4b28"]
    came = {"service": "taskiq-worker", "askedAt": at(0.5), "came": [task(worker) for worker in workers]}
    all_of.events.append((0.5, {"tasksChanged": came}))
    all_of.deny("deny#1", 25, 12)
    all_of.kill("kill#1", 62, workers[0], 9)
    for index in range(10):
        all_of.sent(index)
    ten_keys(all_of, workers)
    for second in range(110):
        waiting = 2 if 25 <= second < 44 else 0
        all_of.sample("queueDepth", second, waiting + (second // 10 == second / 10))
        all_of.sample("workers", second, 2 if 63 <= second < 71 else 3)
    return all_of


def uneventful(*, starts: bool) -> History:
    """Three keys, each done once, and nothing else; or a scenario that never began."""
    calm = History("uneventful", 2, 3, [{"job": "fast_job", "weight": 1.0}], starts=starts)
    for index in range(3 if starts else 0):
        calm.sent(index)
        calm.run(index, work("3b1f0c9d77e24a51"))
    return calm


def ten_keys(all_of: History, workers: list[str]) -> None:
    one, two, three = workers
    all_of.run(0, work(one))  # as it should be
    all_of.recorded(0, 0.6, 2.5, one)
    # 1: Dagster has no such run
    failed = [*work(two)[:2], ("work", "Failed", 3.0, None)]
    all_of.run(2, failed, status="Failure")
    all_of.recorded(2, 0.6, 2.9, two, "error")
    all_of.run(3, work(three, took=14.0), status="Failure", job=HOSTILE)  # it says so falsely
    all_of.recorded(3, 0.6, 14.5, three)
    all_of.run(4, work(one))  # launched twice
    all_of.recorded(4, 0.6, 2.5, one)
    again = all_of.run(4, work(two, began=3.0), identity="again-0000-4000-8000-000000000004")
    all_of.recorded(4, 3.0, 5.0, two)
    all_of.records[-1]["runId"] = again["runId"]
    all_of.run(5, work(one) + work(two, began=3.1))  # its step completed twice
    all_of.recorded(5, 0.6, 2.5, one)
    all_of.recorded(5, 3.1, 5.0, two)
    cut = [("work", "Claimed", 0.6, one), ("work", "Started", 0.6, None)]
    all_of.run(6, cut + work(two, began=11.0))  # killed in the middle, and done elsewhere: a recovery
    all_of.recorded(6, 11.0, 12.9, two)
    all_of.run(7, work(two))  # Dagster saw one completion, the workers wrote two
    all_of.recorded(7, 0.6, 2.5, two)
    all_of.recorded(7, 1.2, 3.1, three)
    all_of.run(8, work(three))  # Dagster saw a completion that no worker wrote
    all_of.run(9, work(one)[:2], status="Started", ended=False)  # not ended
    unexpected = all_of.run(40, work(two), identity="stray-0000-4000-8000-000000000040")
    unexpected["startedAt"], unexpected["endedAt"] = at(77), at(80)
    unexpected["events"] = [event | {"at": at(78 + place)} for place, event in enumerate(unexpected["events"])]


def large(keys: int) -> History:
    """So many keys at 250 a second: latency that grows under two kills, some re-executed, a few lost and duplicated."""
    dice = random.Random(7)
    rate = 250
    length = keys / rate
    kills = [round(length * share) for share in (0.3, 0.6)]
    kill = {
        "name": "kill",
        "trigger": {"after": f"{kills[0]}s"},
        "repeat": {"every": f"{kills[1] - kills[0]}s", "times": 2},
        "fault": {"stopTasks": {"tasks": {"service": "workers"}, "pick": "30%", "includeProtected": True}},
    }
    names = ("ingest_orders", "refresh_marts", "score_customers")
    jobs: list[Json] = [{"job": name, "weight": 1.0} for name in names]
    load = History("nightly-load", 1 / rate, keys, jobs, [kill], ["runLatency p95 < 30s", "workers min >= 20"])
    for number, second in enumerate(kills):
        load.events.append(
            (
                second - 1,
                {
                    "tasksChanged": {
                        "service": "taskiq-worker",
                        "askedAt": at(second - 1),
                        "came": [task(f"victim{number}")],
                    }
                },
            )
        )
        load.kill(f"kill#{number + 1}", second, f"victim{number}", 25)
    for index in range(keys):
        load.sent(index)
        due = load.due(index)
        slow = max((max(0.0, 22 - abs(due - second - 18)) for second in kills), default=0.0)
        wait = 0.4 + dice.expovariate(2.0) + slow * dice.uniform(0.4, 1.0)
        took = dice.lognormvariate(0.4, 0.5)
        if index % 4999 == 17:
            continue  # lost
        steps = work(f"w{index % 40:02}", wait, took, "extract")
        if index % 1999 == 23:
            steps = work("victim0", wait, 0.1, "extract")[:2] + work("w00", wait + 12, took, "extract")
        if index % 9001 == 5:
            steps += work("w01", wait + took + 2, took, "extract")
        load.run(index, steps, job=names[index % 3], status="Failure" if index % 7001 == 3 else "Success")
    for second in range(0, int(length) + 60):
        slow = max((max(0.0, 30 - abs(second - kill_at - 20)) for kill_at in kills), default=0.0)
        load.sample("queueDepth", second, round(dice.gauss(300, 30) + slow * 120))
        load.sample("workers", second, 28 if any(0 <= second - kill_at < 25 for kill_at in kills) else 40)
    return load
