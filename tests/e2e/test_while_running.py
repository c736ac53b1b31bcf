"""What is said, and what ends a scenario, while it still runs."""

from __future__ import annotations

import json
import signal
from typing import Any
from urllib.request import Request, urlopen

import psycopg2
from rig import Document, Operator, Stack, scenario, wait_for

FAST = {"fast_job": 1}
SLOW = {"slow_job": 1}

LAUNCH = """
mutation ($params: ExecutionParams!) {
  launchRun(executionParams: $params) { __typename ... on LaunchRunSuccess { run { runId } } }
}
"""


def launch(stack: Stack, job: str, tags: list[Document]) -> str:
    """Launch a run with these tags, as nobody but dagstorm should."""
    dagster = stack.target()["spec"]["dagster"]
    selector = {
        "repositoryLocationName": dagster["location"],
        "repositoryName": dagster.get("repository", "__repository__"),
        "jobName": job,
    }
    params = {"selector": selector, "runConfigData": {}, "executionMetadata": {"tags": tags}}
    body = json.dumps({"query": LAUNCH, "variables": {"params": params}}).encode()
    request = Request(stack.facts["dagster"]["graphql"], body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=30) as answer:
        launched: Document = json.load(answer)["data"]["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run_id: str = launched["run"]["runId"]
    return run_id


def told(operator: Operator, name: str, reason: str) -> list[Document]:
    lines = (operator.data / "events.jsonl").read_text().splitlines()
    events: list[Document] = [json.loads(line) for line in lines]
    return [event for event in events if (event["scenario"], event["reason"]) == (name, reason)]


def so_far(status: Document) -> dict[str, Any]:
    audit: dict[str, Any] = status.get("audit") or {}
    return audit if audit.get("soFar") else {}


def test_a_second_run_of_a_key_is_told_while_it_runs_and_once(operator: Operator, stack: Stack) -> None:
    operator.drop(scenario("told-twice", {"constant": {"rate": "30/min"}}, "40s", FAST))
    operator.start()
    calm = operator.wait(
        "told-twice", "a first run", lambda status: bool(so_far(status).get("counts", {}).get("succeeded")), 40
    )
    assert so_far(calm)["verdict"] == "NothingWrongSoFar"
    first = stack.runs("told-twice")[-1]
    own = [tag for tag in first["tags"] if tag["key"].startswith("dagstorm/")]
    second = launch(stack, "fast_job", own)
    status = operator.wait("told-twice", "the duplicate", lambda status: bool(so_far(status).get("findings")), 15)
    assert status["phase"] == "Running", "long before the audit"
    assert (so_far(status)["verdict"], so_far(status)["counts"]["duplicated"]) == ("FailedSoFar", 1)
    (finding,) = so_far(status)["findings"]
    assert "was launched 2 times" in finding
    assert second in finding
    assert first["runId"] in finding
    assert [event["type"] for event in told(operator, "told-twice", "DuplicateSeen")] == ["Warning"]

    # Runs that have ended are read step by step meanwhile; none of them did one twice.
    operator.wait("told-twice", "steps that were read", lambda status: bool(so_far(status)["counts"]["stepsRead"]), 25)
    assert so_far(operator.status("told-twice"))["counts"]["stepsDuplicated"] == 0

    # It is in the journal: whoever goes on knows of it, and does not tell it again.
    operator.end(signal.SIGKILL)
    operator.start()
    ended = operator.wait_verdict("told-twice", within_s=120)
    assert ended["phase"] == "Failed", ended
    assert ended["audit"]["counts"]["duplicated"] == 1
    assert "soFar" not in ended["audit"]
    assert len(told(operator, "told-twice", "DuplicateSeen")) == 1


# Another worker's record of the same work, as a system would leave it whose workers do not claim what they do.
DONE_AGAIN = """
INSERT INTO exec_attempts
    (key, run_id, step_key, attempt, worker, receive_count, scenario_key, started, finished, outcome)
SELECT key, run_id, step_key, attempt, 'another worker', 2, scenario_key, started, finished, outcome
FROM exec_attempts a WHERE scenario_key LIKE %s AND outcome = 'completed' AND NOT EXISTS (
    SELECT FROM exec_attempts b WHERE (b.run_id, b.step_key, b.worker) = (a.run_id, a.step_key, 'another worker'))
"""


def test_work_that_was_done_twice_is_told_while_it_runs(operator: Operator, stack: Stack) -> None:
    operator.drop(scenario("done-twice", {"constant": {"rate": "30/min"}}, "40s", FAST))
    operator.start()
    connection = psycopg2.connect(stack.environment()["STACK_POSTGRES_URL"].replace("+psycopg2", ""))
    connection.autocommit = True

    def is_told(status: Document) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(DONE_AGAIN, ("done-twice/%",))
        return bool(so_far(status).get("findings"))

    try:
        status = operator.wait("done-twice", "the duplicate", is_told, 60)
    finally:
        connection.close()
    assert status["phase"] == "Running", "long before the audit"
    assert so_far(status)["counts"]["stepsDuplicated"] >= 1
    assert "was done 2 times in run" in so_far(status)["findings"][0]
    assert told(operator, "done-twice", "StepDuplicateSeen")
    ended = operator.wait_verdict("done-twice", within_s=120)
    assert ended["phase"] == "Failed", ended
    assert ended["audit"]["counts"]["stepsDuplicated"] == 0, "Dagster's log shows each of them once"
    assert ended["audit"]["counts"]["effectsDuplicated"] >= so_far(status)["counts"]["stepsDuplicated"]


def test_a_threshold_ends_it_and_the_rest_is_never_sent(operator: Operator, stack: Stack) -> None:
    patient = {"that": "max < 1h", "abortOnFail": True}
    strict = {"that": "max < 1s", "abortOnFail": True, "grace": "5s", "minSamples": 2}
    expect = {"quiet": "4s", "thresholds": {"runLatency": [patient, strict], "workers": ["min >= 1"]}}
    operator.drop(scenario("too-slow", {"constant": {"rate": "60/min"}}, "60s", SLOW, expect=expect))
    operator.start()
    ended = operator.wait_verdict("too-slow", within_s=150)
    assert ended["phase"] == "Failed", ended
    assert "expect.thresholds: runLatency max < 1s does not hold" in ended["audit"]["message"]
    assert ended["load"]["attempted"] < 50, "it ended long before its load"
    assert wait_for(lambda: len(stack.runs("too-slow")), "runs", 5) == ended["load"]["attempted"]
    results = {result["threshold"]: result for result in ended["audit"]["thresholds"]}
    assert [results[name].get("holds") for name in ("runLatency max < 1h", "runLatency max < 1s")] == [True, False]
    assert results["workers min >= 1"]["samples"] > 0
