"""A verdict worked out from Dagster's own records alone.

What the words mean stands in docs/audit.md. The code shares nothing with dagstorm's, and is told nothing that dagstorm
writes but the id of its data folder, which Dagster's runs name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from foreign_records import NEXT, NUMBER, PROMISE, STARTED, WRITER, Run

COUNTS = (
    "planned",
    "acknowledged",
    "adopted",
    "completed",
    "failed",
    "lost",
    "neverStarted",
    "retried",
    "duplicated",
    "otherWriters",
    "copied",
    "unexpected",
    "unfinished",
    "falselyFailed",
    "stepsCompleted",
    "stepsDuplicated",
    "stepsReexecuted",
)
# Dagster knows nothing of an arrival that was not launched: which of these it is, only dagstorm knows.
NOT_LAUNCHED = {"Rejected", "NotSent", "ResolvedAbsent", "Dropped", "Indeterminate"}

Found = tuple[str, str | None, frozenset[str]]


@dataclass(frozen=True)
class Asked:
    """What the manifest says."""

    scenario: str
    planned: int
    jobs: frozenset[str]
    code: str
    # The id of the data folder.
    writer: str
    # The ids of data folders whose runs it took over.
    taken_over: frozenset[str] = frozenset()
    contract: str = "exactlyOnce"
    # So many may fail by their own code; `None`: the manifest has no such threshold.
    most_failures: int | None = None


@dataclass
class Judged:
    """A verdict with everything that it rests on."""

    verdict: str = "Passed"
    counts: Counter[str] = field(default_factory=Counter)
    findings: Counter[Found] = field(default_factory=Counter)
    tolerated: Counter[Found] = field(default_factory=Counter)
    recoveries: Counter[Found] = field(default_factory=Counter)
    copies: Counter[Found] = field(default_factory=Counter)
    gaps: set[str] = field(default_factory=set)
    # Of each run that failed by its own code.
    errors: dict[str, str] = field(default_factory=dict)


@dataclass
class Chain:
    """A launch with Dagster's own retries of it."""

    root: str
    runs: list[Run]
    # Retries of a run that had one already.
    doubled: list[Run] = field(default_factory=list)

    @property
    def end(self) -> Run:
        return self.runs[-1]

    @property
    def is_retried(self) -> bool:
        return self.end.number > 0

    @property
    def waits_for_retry(self) -> bool:
        is_promised = self.end.tags.get(PROMISE) == "true" and not self.end.given_up
        return self.end.status == "FAILURE" and is_promised


def judge(asked: Asked, runs: Iterable[Run], deleted: Iterable[Run] = ()) -> Judged:
    """`deleted`: runs that the test itself has deleted from Dagster, as they were before."""
    judged = Judged()
    judged.counts["planned"] = asked.planned
    by_key: dict[str, list[Run]] = {}
    for run in runs:
        by_key.setdefault(run.key, []).append(run)
    gone = {run.key: run.run_id for run in deleted}
    for key in sorted({*by_key, *gone}):
        _judge_key(asked, key, by_key.get(key, []), gone.get(key), judged)
    missing = asked.planned - judged.counts["acknowledged"]
    judged.counts["missing"] = missing
    if missing:
        judged.gaps.add("NotLaunched")
    if judged.counts["acknowledged"] == 0:
        judged.gaps.add("NothingAcknowledged")
    elif judged.counts["adopted"] == judged.counts["acknowledged"]:
        judged.gaps.add("AllAdopted")
    if asked.most_failures is not None and judged.counts["failed"] > asked.most_failures:
        judged.findings["threshold", None, frozenset()] += 1
    if judged.counts["earlierWriters"]:
        judged.findings["aborted", None, frozenset()] += 1
    judged.verdict = "Failed" if judged.findings else "Unknown" if judged.gaps else "Passed"
    return judged


def _judge_key(asked: Asked, key: str, runs: list[Run], deleted: str | None, judged: Judged) -> None:
    chains, copies = chained(asked, runs)
    judged.counts["copied"] += len(copies)
    for run in copies:
        judged.copies["copied", key, frozenset({run.run_id})] += 1
    rest = [run for run in runs if run not in copies]
    _judge_steps(key, rest, judged)
    if not (rest or deleted):
        return
    index = key.removeprefix(f"{asked.scenario}/").rpartition("/")[2]
    if not (index.isdecimal() and int(index) < asked.planned):
        judged.counts["unexpected"] += len(rest)
        judged.findings["unexpected", key, frozenset(run.run_id for run in rest)] += 1
        return
    own = [chain for chain in chains if chain.runs[0].tags.get(WRITER) in (asked.writer, *asked.taken_over)]
    others = [chain for chain in chains if chain not in own]
    if not own and deleted is None:
        # Somebody else's runs alone are no launch of this data folder.
        judged.counts["unexpected"] += len(rest)
        judged.findings["unexpected", key, frozenset(run.run_id for run in rest)] += 1
        return
    judged.counts["acknowledged"] += 1
    judged.counts["adopted"] += not any(chain.runs[0].tags.get(WRITER) == asked.writer for chain in own) and bool(own)
    for chain in others:
        judged.counts["otherWriters"] += 1
        judged.counts["earlierWriters"] += began(chain) <= min(map(began, own), default="")
        judged.findings["otherWriter", key, frozenset({chain.runs[0].run_id})] += 1
    _judge_often(asked, key, own, rest, judged)
    if not own:
        assert deleted is not None
        _found(asked, judged, "lost", key, [deleted])
    elif any(chain.end.status == "SUCCESS" for chain in own):
        judged.counts["completed"] += 1
    else:
        _judge_end(asked, key, own, judged)


def chained(asked: Asked, runs: list[Run]) -> tuple[list[Chain], list[Run]]:
    """The launches among the runs of a key, and what only carries its tags."""
    by_id = {run.run_id: run for run in runs}
    roots = [run for run in runs if run.is_launched and run.job in asked.jobs and run.code == asked.code]
    # Where the root is gone, its first retry stands for it.
    for gone in sorted({run.root for run in runs if run.number and run.root and run.root not in by_id}):
        roots.append(min((run for run in runs if run.root == gone and run.number), key=lambda run: run.number))
    chains = []
    for root in roots:
        chain = Chain(root.root or root.run_id, [root])
        while retries := [run for run in runs if _is_retry(run, chain.end)]:
            chain.runs.append(retries[0])
            chain.doubled += retries[1:]
        chains.append(chain)
    own = {run.run_id for chain in chains for run in [*chain.runs, *chain.doubled]}
    return chains, [run for run in runs if run.run_id not in own]


def began(chain: Chain) -> str:
    """When the generation of a launch began: of two, the later gives way, and the one that the other one took over."""
    return chain.runs[0].tags.get(STARTED, "")


def _is_retry(run: Run, of: Run) -> bool:
    """Dagster names the retry on the failed run; where it does not (before 1.9), the number tells."""
    if run.parent != of.run_id or NUMBER not in run.tags:
        return False
    named = of.tags.get(NEXT)
    return run.run_id == named or (named is None and run.number > of.number)


def _judge_often(asked: Asked, key: str, own: list[Chain], rest: list[Run], judged: Judged) -> None:
    for chain in own:
        if chain.is_retried:
            judged.counts["retried"] += 1
            judged.recoveries["retried", key, frozenset(run.run_id for run in chain.runs)] += 1
            _judge_done_again(key, chain, judged)
    if len(own) > 1:
        _found(asked, judged, "duplicated", key, [chain.root for chain in own])
    elif any(chain.doubled for chain in own):
        _found(asked, judged, "duplicated", key, [run.run_id for run in rest])


def _judge_done_again(key: str, chain: Chain, judged: Judged) -> None:
    """A retry of all steps does again what had been done."""
    done: dict[str, str] = {}
    for run in chain.runs:
        for name, step in run.steps.items():
            if step.completed and name in done:
                judged.counts["stepsReexecuted"] += 1
                judged.recoveries["reexecuted", key, frozenset({done[name], run.run_id})] += 1
            if step.completed:
                done[name] = run.run_id


def _judge_steps(key: str, runs: list[Run], judged: Judged) -> None:
    for run in runs:
        for step in run.steps.values():
            judged.counts["stepsCompleted"] += step.completed > 0
            if step.completed > 1:
                judged.counts["stepsDuplicated"] += 1
                judged.findings["duplicated", key, frozenset({run.run_id})] += 1
            elif step.begun > 1 + step.to_be_retried:
                judged.counts["stepsReexecuted"] += 1
                judged.recoveries["reexecuted", key, frozenset({run.run_id})] += 1


def _judge_end(asked: Asked, key: str, own: list[Chain], judged: Judged) -> None:
    """No launch of the key has succeeded."""
    ends = [chain.end for chain in own]
    never = [run for run in ends if run.status == "NOT_STARTED"]
    is_open = [chain for chain in own if chain.end.status not in ("FAILURE", "CANCELED", "NOT_STARTED")]
    awaited = [chain for chain in own if chain.waits_for_retry]
    done = [run for run in ends if run.is_done]
    if is_open or awaited:
        judged.counts["unfinished"] += 1
        judged.gaps.add("Unfinished" if is_open else "RetryAwaited")
    elif never:
        _found(asked, judged, "neverStarted", key, [never[0].run_id])
    elif done:
        judged.counts["falselyFailed"] += 1
        judged.findings["falselyFailed", key, frozenset(run.run_id for chain in own for run in chain.runs)] += 1
    elif ends[0].error is not None:
        judged.errors[ends[0].run_id] = ends[0].error
        _found(asked, judged, "failed", key, [ends[0].run_id])
    else:
        _found(asked, judged, "lost", key, [ends[0].run_id])


def _found(asked: Asked, judged: Judged, kind: str, key: str, runs: list[str]) -> None:
    judged.counts[kind] += 1
    is_permitted = {
        "exactlyOnce": False,
        "atLeastOnce": kind == "duplicated",
        "atMostOnce": kind in ("lost", "failed", "neverStarted"),
    }[asked.contract] or (kind == "failed" and asked.most_failures is not None)
    (judged.tolerated if is_permitted else judged.findings)[kind, key, frozenset(runs)] += 1


def differences(judged: Judged, report: Mapping[str, Any]) -> list[str]:
    """Where dagstorm's report says something else."""
    wrong = []

    def compare(what: str, right: object, said: object) -> None:
        if right != said:
            wrong.append(f"{what}: by Dagster's records {right}, by dagstorm {said}")

    compare("verdict", judged.verdict, report["verdict"])
    for name in COUNTS:
        compare(f"counts.{name}", judged.counts[name], report["counts"][name])
    counts = report["counts"]
    unsent = counts["planned"] - counts["acknowledged"]
    compare("arrivals that were not launched", judged.counts["missing"], unsent)
    for name in ("findings", "tolerated", "recoveries", "copies"):
        right: Counter[Found] = getattr(judged, name)
        said = Counter(_named(one) for one in report.get(name, []))
        if right != said:
            wrong.append(f"{name}: dagstorm lacks {dict(right - said)} and has too much {dict(said - right)}")
    gaps = {"NotLaunched" if gap["reason"] in NOT_LAUNCHED else gap["reason"] for gap in report["gaps"]}
    compare("gaps", judged.gaps, gaps)
    messages = {run: one["message"] for one in _told(report) if one["kind"] == "failed" for run in one["runs"]}
    for run, error in judged.errors.items():
        if error not in messages.get(run, ""):
            wrong.append(f"the error of run {run}, {error!r}, is not in {messages.get(run)!r}")
    return wrong


def _told(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [*report["findings"], *report.get("tolerated", [])]


def _named(finding: Mapping[str, Any]) -> Found:
    return finding["kind"], finding.get("key"), frozenset(finding["runs"])
