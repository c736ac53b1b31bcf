"""The watched folder: drop, edit, delete, break."""

from __future__ import annotations

from pathlib import Path

from rig import Operator, Stack, burst, scenario

SLOWLY = {"constant": {"rate": "2/s"}}
FAST = {"fast_job": 1}


def test_dropped_edited_and_deleted(operator: Operator, stack: Stack) -> None:
    operator.start()
    operator.drop(scenario("followed", SLOWLY, "10m", FAST))
    first = operator.wait("followed", "some runs", lambda status: status["load"]["acknowledged"] >= 2, 10)
    assert first["phase"] == "Running"

    operator.drop(scenario("followed", SLOWLY, "9m", FAST))
    edited = operator.wait(
        "followed",
        "a new generation",
        lambda status: status["observedGeneration"] != first["observedGeneration"],
        15,
    )
    [past] = edited["history"]
    assert (past["generation"], past["verdict"]) == (first["observedGeneration"], "Stopped")
    assert past["message"] == "the manifest was edited"
    operator.wait("followed", "new runs", lambda status: status["load"]["acknowledged"] >= 2, 10)

    operator.delete("followed")
    stopped = operator.wait_phase("followed", "Stopped", within_s=15)
    assert [past["message"] for past in stopped["history"]] == ["the manifest was deleted", "the manifest was edited"]
    assert set(stack.runs_by_key("followed").values()) == {1}
    assert all(run["status"] == "SUCCESS" for run in stack.runs("followed")), "a stop drains, it cancels nothing"


def test_a_broken_one_says_where_and_the_others_go_on(operator: Operator) -> None:
    operator.drop(burst("well", 3, FAST))
    broken = burst("broken", 3, FAST)
    operator.drop(broken)
    broken["spec"]["load"][0]["arrivals"] = {"burst": {"size": "many", "every": "10s"}}
    operator.drop(broken)
    operator.start()
    accepted = operator.wait_condition("broken", "Accepted", "Invalid")
    assert accepted["status"] == "False"
    assert accepted["message"].startswith("broken.yaml:13:15: "), accepted
    intake = operator.intake()
    assert intake["well.yaml"]["accepted"] is True
    assert intake["broken.yaml"]["accepted"] is False
    assert intake["broken.yaml"]["errors"] == [accepted["message"]]

    unreadable: Path = operator.manifests / "unreadable.yaml"
    unreadable.write_text("apiVersion: dagstorm.dev/v1alpha1\nkind: [")
    assert operator.wait_verdict("well")["phase"] == "Passed"
    assert operator.intake()["unreadable.yaml"]["errors"][0].startswith("unreadable.yaml:2:")

    operator.drop(burst("broken", 2, FAST))
    assert operator.wait_phase("broken", "Passed", "Failed", "Unknown")["phase"] == "Passed"
    assert operator.condition("broken", "Accepted")["status"] == "True"
