"""The operator ends in the middle, gently or not, and is started again."""

from __future__ import annotations

import signal

from rig import Operator, Stack, burst, scenario

BURST = 20


def test_killed_in_the_middle_of_a_burst(operator: Operator, stack: Stack) -> None:
    operator.drop(burst("killed", BURST, {"fast_job": 1}))
    operator.start()
    operator.wait("killed", "some launches", lambda status: 0 < status["load"]["acknowledged"] < BURST, 10)
    operator.end(signal.SIGKILL)
    before = sum("submitted" in event for event in operator.journal("killed"))
    assert before < BURST, "it was killed too late to prove anything"

    operator.start()
    ended = operator.wait_verdict("killed", within_s=90)
    keys = stack.runs_by_key("killed")
    assert len(keys) == BURST
    assert set(keys.values()) == {1}, keys
    assert ended["phase"] == "Passed", ended
    assert ended["audit"]["counts"]["completed"] == BURST
    assert ended["history"][0]["generation"] == ended["observedGeneration"]


def test_terminated_and_continued(operator: Operator, stack: Stack) -> None:
    operator.drop(scenario("continued", {"constant": {"rate": "2/s"}}, "12s", {"fast_job": 1}))
    operator.start()
    operator.wait("continued", "some launches", lambda status: status["load"]["acknowledged"] >= 3, 10)
    assert operator.end(signal.SIGTERM, within_s=8) == 0
    events = operator.journal("continued")
    assert sum("submitIntended" in event for event in events) == sum("submitted" in event for event in events)
    assert operator.status("continued")["phase"] == "Running"

    operator.start()
    ended = operator.wait_verdict("continued")
    assert ended["phase"] == "Passed", ended
    assert operator.journal("continued")[: len(events)] == events
    assert sum("accepted" in event for event in operator.journal("continued")) == 1
    assert set(stack.runs_by_key("continued").values()) == {1}
