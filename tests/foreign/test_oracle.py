"""The judge of the judge: what the oracle says of hand-made runs, and that it sees where a report differs."""

from __future__ import annotations

from typing import Any

import pytest
from foreign_oracle import COUNTS, Asked, Judged, differences, judge
from foreign_records import Run, Step

KEY = "night/abc-1/0"
ASKED = Asked("night", 1, frozenset({"load"}), "warehouse@mine", "aaaaaaaaaaaa")
DONE, BROKEN, OPEN = Step(begun=1, completed=1), Step(begun=1, failed=1), Step(begun=1)


def run(name: str, status: str = "SUCCESS", step: Step | None = DONE, **more: Any) -> Run:
    """A run that dagstorm launched, unless `more` says otherwise; `tags` are added."""
    tags = {"dagstorm/key": KEY, "dagstorm/writer": ASKED.writer, "dagstorm/started": "2026"} | more.pop("tags", {})
    fields: dict[str, Any] = {"job": "load", "code": ASKED.code, "parent": None, "root": None, "created": 0.0}
    steps = {} if step is None else {"one": step}
    return Run(run_id=name, status=status, tags=tags, steps=steps, **(fields | more))


def retry(name: str, of: str, number: int, status: str = "SUCCESS", step: Step = DONE, **more: Any) -> Run:
    tags = {"dagster/retry_number": str(number)} | more.pop("tags", {})
    return run(name, status, step, parent=of, root=more.pop("root", of), tags=tags, **more)


def failed(name: str, **more: Any) -> Run:
    return run(name, "FAILURE", BROKEN, error="ValueError: no", **more)


NAMED = {"dagster/auto_retry_run_id": "r2", "dagster/will_retry": "true"}
PROMISED = {"dagster/will_retry": "true"}
BY_HAND: dict[str, Any] = {"parent": "r1", "root": "r1"}

STORIES: dict[str, tuple[list[Run], str, dict[str, int]]] = {
    "one run": ([run("r1")], "Passed", {"completed": 1, "stepsCompleted": 1}),
    "nothing": ([], "Unknown", {"acknowledged": 0, "missing": 1}),
    "an error of its own": ([failed("r1")], "Failed", {"failed": 1, "lost": 0}),
    "a death": ([run("r1", "FAILURE", OPEN)], "Failed", {"failed": 0, "lost": 1}),
    "canceled": ([run("r1", "CANCELED", OPEN)], "Failed", {"lost": 1}),
    "failed, and all done": ([run("r1", "FAILURE")], "Failed", {"falselyFailed": 1, "lost": 0}),
    "never started": ([run("r1", "NOT_STARTED", None)], "Failed", {"neverStarted": 1}),
    "under way": ([run("r1", "STARTED", OPEN)], "Unknown", {"unfinished": 1}),
    "a retry": ([failed("r1", tags=NAMED), retry("r2", "r1", 1)], "Passed", {"retried": 1, "completed": 1}),
    "a retry by its number": ([failed("r1"), retry("r2", "r1", 1)], "Passed", {"retried": 1, "completed": 1}),
    "a retry that fails": (
        [failed("r1", tags=NAMED), retry("r2", "r1", 1, "FAILURE", BROKEN, error="ValueError: no")],
        "Failed",
        {"retried": 1, "failed": 1},
    ),
    "a retry awaited": ([failed("r1", tags=PROMISED)], "Unknown", {"unfinished": 1, "failed": 0}),
    "a retry given up": ([failed("r1", tags=PROMISED, given_up=True)], "Failed", {"unfinished": 0, "failed": 1}),
    "a retry whose root is gone": ([retry("r2", "r1", 1)], "Passed", {"retried": 1, "acknowledged": 1}),
    "two retries of one run": (
        [failed("r1"), retry("r2", "r1", 1), retry("r3", "r1", 2)],
        "Failed",
        {"retried": 1, "duplicated": 1},
    ),
    "all steps again": (
        [run("r1", "FAILURE", DONE, tags=NAMED), retry("r2", "r1", 1)],
        "Passed",
        {"retried": 1, "stepsReexecuted": 1, "stepsCompleted": 2},
    ),
    "two launches": ([run("r1"), run("r2")], "Failed", {"duplicated": 1, "completed": 1}),
    "executed again by hand": ([run("r1"), run("r2", **BY_HAND)], "Passed", {"copied": 1, "duplicated": 0}),
    "saved by hand": ([failed("r1"), run("r2", **BY_HAND)], "Failed", {"copied": 1, "failed": 1}),
    "a retry executed again by hand": (
        [failed("r1", tags=NAMED), retry("r2", "r1", 1), retry("r3", "r2", 1, root="r1")],
        "Passed",
        {"copied": 1, "retried": 1, "duplicated": 0},
    ),
    "a sensor": ([run("r1"), run("r2", tags={"dagster/sensor_name": "s"})], "Passed", {"copied": 1}),
    "a backfill": ([run("r1"), run("r2", tags={"dagster/backfill": "b"})], "Passed", {"copied": 1}),
    "another job": ([run("r1"), run("r2", job="other")], "Passed", {"copied": 1}),
    "another location": ([run("r1"), run("r2", code="warehouse@other")], "Passed", {"copied": 1}),
    "a later writer": (
        [run("r1"), run("r2", tags={"dagstorm/started": "2100", "dagstorm/writer": "ffffffffffff"})],
        "Failed",
        {"otherWriters": 1, "earlierWriters": 0, "duplicated": 0},
    ),
    "a writer that took over": (
        [run("r1"), run("r2", tags={"dagstorm/writer": "000000000000"})],
        "Failed",
        {"otherWriters": 1, "earlierWriters": 1, "duplicated": 0},
    ),
    "an earlier writer": (
        [run("r1"), run("r2", tags={"dagstorm/started": "2025", "dagstorm/writer": "ffffffffffff"})],
        "Failed",
        {"otherWriters": 1, "earlierWriters": 1},
    ),
    "a key beyond the plan": (
        [run("r1"), run("r2", tags={"dagstorm/key": "night/abc-1/1"})],
        "Failed",
        {"unexpected": 1, "completed": 1},
    ),
    "a step completed twice": ([run("r1", step=Step(2, 2))], "Failed", {"stepsDuplicated": 1}),
    "a step begun twice": ([run("r1", step=Step(2, 1))], "Passed", {"stepsReexecuted": 1}),
    "a step with a declared retry": ([run("r1", step=Step(2, 1, 0, 1))], "Passed", {"stepsReexecuted": 0}),
}


@pytest.mark.parametrize("story", STORIES)
def test_the_oracle_tells_stories_apart(story: str) -> None:
    runs, verdict, counts = STORIES[story]
    judged = judge(ASKED, runs)
    assert (judged.verdict, {name: judged.counts[name] for name in counts}) == (verdict, counts), judged


def test_what_the_test_deleted_is_lost() -> None:
    judged = judge(ASKED, [], [run("r1")])
    assert (judged.verdict, judged.counts["lost"]) == ("Failed", 1)
    assert list(judged.findings) == [("lost", KEY, frozenset({"r1"}))]


def test_contracts_permit_what_they_say() -> None:
    twice, broken = [run("r1"), run("r2")], [failed("r1")]
    for contract, runs, verdict in (
        ("atLeastOnce", twice, "Passed"),
        ("atLeastOnce", broken, "Failed"),
        ("atMostOnce", twice, "Failed"),
        ("atMostOnce", broken, "Passed"),
    ):
        asked = Asked("night", 1, ASKED.jobs, ASKED.code, ASKED.writer, contract=contract)
        judged = judge(asked, runs)
        assert (judged.verdict, bool(judged.tolerated)) == (verdict, verdict == "Passed"), contract


def test_failures_are_permitted_up_to_their_number() -> None:
    def verdict(most: int) -> str:
        asked = Asked("night", 1, ASKED.jobs, ASKED.code, ASKED.writer, most_failures=most)
        return judge(asked, [failed("r1")]).verdict

    assert (verdict(1), verdict(0)) == ("Passed", "Failed")


def test_what_was_all_launched_by_another_proves_nothing() -> None:
    asked = Asked("night", 1, ASKED.jobs, ASKED.code, "bbbbbbbbbbbb", taken_over=frozenset({ASKED.writer}))
    judged = judge(asked, [run("r1")])
    assert (judged.verdict, judged.gaps, judged.counts["adopted"]) == ("Unknown", {"AllAdopted"}, 1)


def report(judged: Judged) -> dict[str, Any]:
    """What dagstorm has to write."""

    def listed(name: str) -> list[dict[str, Any]]:
        found = getattr(judged, name).elements()
        return [
            {"kind": kind, "key": key, "runs": sorted(runs), "message": "ValueError: no"} for kind, key, runs in found
        ]

    counts = {name: judged.counts[name] for name in COUNTS}
    lists = {name: listed(name) for name in ("findings", "tolerated", "recoveries", "copies")}
    gaps = [{"reason": "Rejected" if gap == "NotLaunched" else gap} for gap in judged.gaps]
    return {"verdict": judged.verdict, "counts": counts, "gaps": gaps, **lists}


@pytest.mark.parametrize("story", STORIES)
def test_the_right_report_differs_in_nothing(story: str) -> None:
    judged = judge(ASKED, STORIES[story][0])
    assert differences(judged, report(judged)) == []


@pytest.mark.parametrize("name", COUNTS)
def test_each_count_is_compared(name: str) -> None:
    judged = judge(ASKED, [run("r1")])
    wrong = report(judged)
    wrong["counts"][name] += 1
    assert any(f"counts.{name}" in line for line in differences(judged, wrong))


def test_verdict_gaps_findings_and_errors_are_compared() -> None:
    judged = judge(ASKED, [failed("r1", tags=NAMED), retry("r2", "r1", 1, "FAILURE", BROKEN, error="ValueError: no")])
    finding = {"kind": "lost", "key": KEY, "runs": ["r2"], "message": "ValueError: no"}
    nameless = {"kind": "failed", "key": KEY, "runs": ["r2"], "message": "it failed"}
    for part, value, word in (
        ("verdict", "Passed", "verdict"),
        ("gaps", [{"reason": "NotSent"}], "gaps"),
        ("findings", [], "findings"),
        ("findings", [finding], "findings"),
        ("findings", [nameless], "the error of run r2"),
        ("recoveries", [], "recoveries"),
        ("copies", [finding], "copies"),
        ("tolerated", [finding], "tolerated"),
    ):
        said = report(judged) | {part: value}
        assert any(line.startswith(word) for line in differences(judged, said)), (part, value)
