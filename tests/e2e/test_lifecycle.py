"""When scenarios start, wait, stop and start again; what the limits and thresholds make of them."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rig import PROGRAM, Operator, Stack, burst, run, scenario, wait_for, write

FAST = {"fast_job": 1}


def test_a_chain_runs_in_its_order(operator: Operator, stack: Stack) -> None:
    operator.drop(burst("chain-second", 1, FAST, start={"after": ["chain-first"]}))
    operator.start()
    waiting = operator.wait_condition("chain-second", "Ready", "WaitingForScenarios")
    assert "`chain-first`" in waiting["message"]
    assert operator.status("chain-second")["phase"] == "Waiting"
    operator.drop(burst("chain-first", 2, FAST))
    assert operator.wait_verdict("chain-first")["phase"] == "Passed"
    second = operator.wait_verdict("chain-second")
    assert second["phase"] == "Passed"
    first = operator.status("chain-first")
    assert second["startedAt"] >= first["history"][0]["concludedAt"]
    assert second["next"] == {"after": ["chain-first"]}, "it comes again after a newer verdict"
    assert (len(stack.runs("chain-first")), len(stack.runs("chain-second"))) == (2, 1)


def test_a_scenario_starts_at_its_instant_and_again_every_so_often(operator: Operator, stack: Stack) -> None:
    instant = datetime.now(UTC) + timedelta(seconds=6)
    operator.drop(burst("at-once", 1, FAST, start={"at": instant.isoformat()}))
    operator.drop(burst("again", 1, FAST, start={"every": "12s"}))
    operator.start()
    scheduled = operator.wait_condition("at-once", "Ready", "Scheduled")
    assert instant.strftime("%H:%M:%S") in scheduled["message"]
    assert stack.runs("at-once") == []
    assert operator.wait_verdict("at-once")["phase"] == "Passed"
    assert datetime.fromisoformat(operator.status("at-once")["startedAt"]) >= instant
    twice = operator.wait("again", "a second turn", lambda status: len(status.get("history", [])) >= 2, 60)
    generations = [past["generation"].rsplit("-", 1) for past in twice["history"][:2]]
    assert [number for _, number in generations] == ["2", "1"]
    assert generations[0][0] == generations[1][0]
    assert len(stack.runs("at-once")) == 1, "once"


def test_turns_that_may_overlap_run_beside_each_other(operator: Operator, stack: Stack) -> None:
    start = {"every": "6s", "overlap": "allow"}
    operator.drop(scenario("abreast", {"constant": {"rate": "1/s"}}, "15s", FAST, start=start))
    operator.start()
    operator.wait_phase("abreast", "Running", within_s=20)
    second = operator.wait_phase("abreast--2", "Running", within_s=20)
    assert operator.status("abreast")["phase"] == "Running", "the first goes on"
    first = operator.status("abreast")
    begun = [datetime.fromisoformat(status["startedAt"]) for status in (first, second)]
    assert timedelta(seconds=5) < begun[1] - begun[0] < timedelta(seconds=12)
    operator.end(signal.SIGKILL)
    operator.start()
    operator.wait("abreast", "its verdict", lambda status: bool(status.get("history")), 90)
    command(operator, "suspend", "abreast")
    for lane in ("abreast", "abreast--2", "abreast--3"):
        operator.wait_phase(lane, "Suspended", within_s=60)
    assert operator.status("abreast")["history"][-1]["verdict"] == "Passed"
    launched = Counter(key for lane in ("abreast", "abreast--2", "abreast--3") for key in stack.runs_by_key(lane))
    assert set(stack.runs_by_key("abreast").values()) == {1}
    assert len(launched) == sum(len(stack.runs(lane)) for lane in ("abreast", "abreast--2", "abreast--3"))


def test_a_suspended_scenario_stops_and_starts_anew(operator: Operator, stack: Stack) -> None:
    document = scenario("paused", {"constant": {"rate": "1/s"}}, "30s", FAST)
    operator.drop(document)
    operator.start()
    operator.wait("paused", "a launch", lambda status: status["load"]["acknowledged"] >= 2, 30)
    document["spec"]["suspend"] = True
    operator.drop(document)
    operator.wait_phase("paused", "Suspended")
    before = len(stack.runs("paused"))
    document["spec"]["suspend"] = False
    document["spec"]["load"][0]["for"] = "3s"
    operator.drop(document)
    status = operator.wait_verdict("paused")
    assert status["phase"] == "Passed"
    assert [past["verdict"] for past in status["history"]] == ["Passed", "Stopped"]
    assert len(stack.runs("paused")) == before + 3


def test_limits_thresholds_and_triggers_are_judged(stack: Stack, tmp_path: Path) -> None:
    target = write(tmp_path / "target.yaml", stack.target())
    kill = {"name": "kill", "when": "workers >= 1", "stopTasks": {"service": "workers"}}
    thresholds = {"runLatency": ["p50 < 5m", "max < 1ms"], "workers": ["max >= 1"], "submissionErrors": ["count < 1"]}
    judged = scenario(
        "judged",
        {"constant": {"rate": "2/s"}},
        "6s",
        {"slow_job": 1},
        faults=[kill],
        limits={"maxInFlight": 4},
        expect={"quiet": "4s", "thresholds": thresholds},
    )
    done = run(stack, tmp_path / "data", target, write(tmp_path / "judged.yaml", judged), within_s=180)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "runLatency max is" in done.stdout
    assert "the threshold is runLatency max < 1ms" in done.stdout
    assert "submissionErrors count is 8 over 12 samples" in done.stdout
    assert "kill#1 Healed" in done.stdout
    assert len(stack.runs("judged")) == 4, "no more than maxInFlight"


def test_a_chain_survives_a_restart(operator: Operator, stack: Stack) -> None:
    operator.drop(burst("kept-first", 1, FAST))
    operator.drop(burst("kept-second", 1, FAST, start={"after": ["kept-first"]}))
    operator.start()
    operator.wait_verdict("kept-second")
    assert operator.end(signal.SIGTERM) == 0
    operator.start()

    def settled() -> bool:
        return bool(operator.status("kept-second").get("next")) and operator.is_alive()

    assert wait_for(settled, "the chain is known again", 10)
    operator.wait_phase("kept-first", "Passed")
    assert (len(stack.runs("kept-first")), len(stack.runs("kept-second"))) == (1, 1), "nothing runs again"


def test_a_halt_stops_everything_until_it_is_lifted(operator: Operator, stack: Stack) -> None:
    operator.drop(scenario("halted", {"constant": {"rate": "1/s"}}, "20s", FAST))
    operator.start()
    operator.wait("halted", "a launch", lambda status: status["load"]["acknowledged"] >= 2, 30)
    (operator.manifests / "HALT").write_text("an incident\n")
    operator.wait_phase("halted", "Suspended")
    assert operator.status("halted")["history"][0]["message"].startswith("everything was halted: an incident (")
    (operator.manifests / "HALT").unlink()
    operator.wait_phase("halted", "Running")
    assert "halted" in command(operator, "halt", "--reason", "again")
    operator.wait_phase("halted", "Suspended")
    before = len(stack.runs("halted"))
    assert operator.end(signal.SIGTERM) == 0
    operator.start()
    operator.drop(burst("newcomer", 1, FAST))
    operator.wait_phase("newcomer", "Suspended")
    newcomer = operator.condition("newcomer", "Ready")
    assert newcomer["reason"] == "Halted"
    assert newcomer["message"].startswith("everything is halted: again (by "), newcomer
    assert (len(stack.runs("halted")), stack.runs("newcomer")) == (before, [])
    assert "lifted" in command(operator, "halt", "--lift")
    assert operator.wait_verdict("newcomer")["phase"] == "Passed"


def test_one_scenario_is_suspended_and_resumed_by_command(operator: Operator, stack: Stack) -> None:
    operator.drop(burst("bystander", 1, FAST))
    operator.start()
    operator.wait_verdict("bystander")
    command(operator, "suspend", "--allow-unknown", "set-aside")
    operator.drop(burst("set-aside", 1, FAST))
    operator.wait_phase("set-aside", "Suspended")
    assert operator.status("bystander")["phase"] == "Passed"
    assert stack.runs("set-aside") == []
    assert "goes on" in command(operator, "resume", "set-aside")
    assert operator.wait_verdict("set-aside")["phase"] == "Passed"


def test_a_deleted_scenario_ends_its_runs_where_that_is_asked_for(operator: Operator, stack: Stack) -> None:
    operator.drop(burst("terminated", 3, {"slow_job": 1}, deletion="terminate"))
    operator.start()
    operator.wait("terminated", "runs", lambda status: status.get("runs", {}).get("running", 0) >= 1, 60)
    operator.delete("terminated")
    operator.wait_phase("terminated", "Stopped")
    statuses = {run["status"] for run in stack.runs("terminated")}
    assert statuses <= {"CANCELED", "SUCCESS"} and "CANCELED" in statuses, statuses


def command(operator: Operator, verb: str, *arguments: str) -> str:
    asked = [str(PROGRAM), verb, "--data", str(operator.data), *arguments]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
