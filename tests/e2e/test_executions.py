"""Workers that are killed, messages that are delivered twice: what the audit says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rig import Document, Operator, Stack, burst, run, scenario, write

SLOW = {"slow_job": 1}


def test_a_worker_killed_in_mid_step(operator: Operator) -> None:
    # One step more than there are workers: after 3 s each of them is in the middle of one, and it lasts longer than
    # the 2 s that a stopped worker has for it.
    kill = {"name": "kill", "after": "3s", "stopTasks": {"service": "workers", "pick": "one", "includeProtected": True}}
    at_once = {"burst": {"size": 4, "every": "10s"}}
    operator.drop(scenario("stopped-worker", at_once, "4s", SLOW, faults=[kill]))
    operator.start()
    ended = operator.wait_verdict("stopped-worker", within_s=120)
    assert ended["phase"] == "Passed", ended
    assert ended["audit"]["counts"]["stepsReexecuted"] >= 1
    assert ended["faults"][0]["state"] == "Healed"
    assert ended["faults"][0]["targets"]

    report = operator.report("stopped-worker")
    assert report["findings"] == []
    caused = [one for one in report["recoveries"] if one["overlappingFaults"] == ["kill#1"]]
    assert caused, report["recoveries"]
    assert caused[0]["kind"] == "reexecuted"
    assert "kill#1 stopped its worker" in caused[0]["message"]
    assert [attempt["what"] for attempt in caused[0]["attempts"]] == ["started", "started", "completed"]


@pytest.fixture
def short_visibility(stack: Stack) -> Iterator[Stack]:
    """A slow step outlasts its message's visibility, and nothing extends that: it is delivered again and again."""
    settings = stack.facts["settings"]
    stack.command("configure", "--heartbeat", "off", "--visibility-timeout", "2", "--idempotency", "off")
    yield stack
    before = str(settings["visibility_timeout"])
    stack.command("configure", "--heartbeat", "on", "--visibility-timeout", before, "--idempotency", "on")


def test_duplicates_without_idempotency_and_none_with_it(short_visibility: Stack, tmp_path: Path) -> None:
    stack = short_visibility
    target = write(tmp_path / "target.yaml", stack.target())
    twice = write(tmp_path / "delivered-twice.yaml", burst("delivered-twice", 3, SLOW))
    done = run(stack, tmp_path / "off", twice, target, within_s=120)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "delivered-twice: Failed" in done.stdout
    found = findings(tmp_path / "off")
    assert found
    assert {(one["kind"], one["level"]) for one in found} == {("duplicated", "step"), ("duplicated", "effect")}
    assert all(one["step"] == "slow" for one in found)
    assert all(one["attempts"][0]["worker"] for one in found if one["level"] == "effect")

    stack.command("configure", "--idempotency", "on")
    done = run(stack, tmp_path / "on", write(twice, burst("delivered-once", 3, SLOW)), target, within_s=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert findings(tmp_path / "on") == []


def findings(data: Path) -> list[Document]:
    [report] = data.glob("reports/*/*/report.json")
    found: list[Document] = json.loads(report.read_text())["findings"]
    return found
