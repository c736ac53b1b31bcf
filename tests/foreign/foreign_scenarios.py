"""The scenarios: what is launched, what happens to it, and what has to be in Dagster afterwards.

Longest first: they run beside each other, and the last one to begin should be a short one.
"""

from __future__ import annotations

import foreign_mishaps as mishaps
from foreign_instance import NARROW, NARROWER
from foreign_stage import Case, Load

NO_RETRY = {"dagster/max_retries": "0"}
EU = {"dagster/partition": "eu"}
GATED = Load("gated")

# Nobody else does anything to these: what matters is what Dagster itself makes of the runs.
UNDISTURBED = (
    Case("plain", (Load("plain", 2),), "Passed", {"completed": 2, "stepsCompleted": 2}),
    Case(
        "constant-rate",
        (Load("plain", 2, arrivals={"constant": {"rate": "2/s"}}, length="1s"),),
        "Passed",
        {"completed": 2},
    ),
    Case("run-retry", (Load("flaky", 2),), "Passed", {"completed": 2, "retried": 2}),
    Case(
        "run-retry-is-no-duplicate",
        (Load("flaky"),),
        "Passed",
        {"completed": 1, "retried": 1, "duplicated": 0},
        limits={"abortOn": {"duplicate": True}},
    ),
    Case("retries-do-not-help", (Load("failing"),), "Failed", {"failed": 1, "retried": 1}),
    Case("no-retries", (Load("failing", tags=NO_RETRY),), "Failed", {"failed": 1, "retried": 0}),
    Case(
        "second-retry-succeeds",
        (Load("flaky_twice", tags={"dagster/max_retries": "2"}),),
        "Passed",
        {"completed": 1, "retried": 1},
    ),
    Case(
        "retry-from-failure",
        (Load("second_step_flaky"),),
        "Passed",
        {"completed": 1, "retried": 1, "stepsCompleted": 2, "stepsReexecuted": 0},
    ),
    Case(
        "retry-of-all-steps",
        (Load("second_step_flaky", tags={"dagster/retry_strategy": "ALL_STEPS"}),),
        "Passed",
        {"completed": 1, "retried": 1, "stepsCompleted": 3, "stepsReexecuted": 1},
    ),
    Case("op-retry", (Load("op_flaky"),), "Passed", {"completed": 1, "retried": 0, "stepsReexecuted": 0}),
    Case("op-retries-do-not-help", (Load("op_failing", tags=NO_RETRY),), "Failed", {"failed": 1, "retried": 0}),
    Case("dynamic", (Load("dynamic"),), "Passed", {"completed": 1, "stepsCompleted": 5}),
    Case(
        "dynamic-run-retry",
        (Load("dynamic_flaky"),),
        "Passed",
        {"completed": 1, "retried": 1, "stepsCompleted": 5, "stepsReexecuted": 0},
    ),
    Case("assets", (Load("sales"),), "Passed", {"completed": 1, "stepsCompleted": 2}),
    Case("assets-fail", (Load("planning", tags=NO_RETRY),), "Failed", {"failed": 1}),
    Case("partition", (Load("by_region", tags=EU),), "Passed", {"completed": 1}),
    Case("no-partition", (Load("by_region", tags=NO_RETRY),), "Failed", {"failed": 1}),
    Case(
        "partition-with-config",
        (Load("configured_by_region", 1, EU, {"runConfig": {"ops": {"use_region": {"config": {"region": "eu"}}}}}),),
        "Passed",
        {"completed": 1},
    ),
    Case("hook-fails", (Load("hook_fails"),), "Passed", {"completed": 1}),
    Case("hook-of-failure", (Load("hook_of_failure", tags=NO_RETRY),), "Failed", {"failed": 1}),
    Case("output-of-wrong-type", (Load("badly_typed", tags=NO_RETRY),), "Failed", {"failed": 1}),
    Case("resource-fails", (Load("without_database", tags=NO_RETRY),), "Failed", {"failed": 1, "stepsCompleted": 0}),
    Case("worker-dies", (Load("crashing", tags=NO_RETRY),), "Failed", {"failed": 0, "lost": 1}),
    Case("worker-of-step-dies", (Load("crashing_step", tags=NO_RETRY),), "Failed", {"failed": 0, "lost": 1}),
    Case("one-at-a-time", (Load("plain", 2, NARROW),), "Passed", {"completed": 2}),
    Case(
        "failures-permitted",
        (Load("plain"), Load("failing", tags=NO_RETRY)),
        "Passed",
        {"completed": 1, "failed": 1},
        expect={"thresholds": {"failures": ["count < 2"]}},
        most_failures=1,
    ),
    Case(
        "failures-not-permitted",
        (Load("plain"), Load("failing", tags=NO_RETRY)),
        "Failed",
        {"completed": 1, "failed": 1},
        expect={"thresholds": {"failures": ["count < 1"]}},
        most_failures=0,
    ),
    Case(
        "at-most-once",
        (Load("failing", tags=NO_RETRY), Load("plain")),
        "Passed",
        {"completed": 1, "failed": 1},
        expect={"contract": "atMostOnce"},
    ),
)

# A person, a program or a sensor does something to the runs, or beside them.
BESIDE = (
    Case(
        "chained-by-sensor",
        (Load("chaining"), GATED),
        "Passed",
        {"completed": 2, "copied": 0},
        mishaps.sensor_follows("chained", "follows"),
    ),
    Case(
        "copied-by-sensor",
        (Load("copied"), GATED),
        "Passed",
        {"completed": 2, "copied": 1},
        mishaps.sensor_follows("follow_up", "copy-of"),
    ),
    Case(
        "copied-to-same-job",
        (Load("copied", tags={"copy-to": "copied"}), GATED),
        "Passed",
        {"completed": 2, "copied": 1, "duplicated": 0},
        mishaps.sensor_follows("copied", "copy-of"),
    ),
    Case(
        "executed-again",
        (Load("plain"), GATED),
        "Passed",
        {"completed": 2, "copied": 1, "duplicated": 0},
        mishaps.reexecute("plain", "SUCCESS", "ALL_STEPS"),
    ),
    Case(
        "executed-again-after-failure",
        (Load("failing", tags=NO_RETRY), GATED),
        "Failed",
        {"completed": 1, "failed": 1, "copied": 1},
        mishaps.reexecute("failing", "FAILURE", "FROM_FAILURE"),
    ),
    Case(
        "saved-by-a-person",
        (Load("flaky", tags=NO_RETRY), GATED),
        "Failed",
        {"completed": 1, "failed": 1, "copied": 1},
        mishaps.reexecute("flaky", "FAILURE", "FROM_FAILURE"),
    ),
    Case(
        "retry-executed-again",
        (Load("flaky"), GATED),
        "Passed",
        {"completed": 2, "retried": 1, "copied": 1, "duplicated": 0},
        mishaps.reexecute_retry,
    ),
    Case(
        "tags-copied-to-another-job",
        (Load("plain"), GATED),
        "Passed",
        {"completed": 2, "copied": 1},
        mishaps.launch_copy("follow_up"),
    ),
    Case(
        "backfill-with-tags",
        (Load("by_region", tags=EU), GATED),
        "Passed",
        {"completed": 2, "copied": 2, "duplicated": 0},
        mishaps.backfill,
    ),
    Case(
        "launched-twice",
        (Load("plain"), GATED),
        "Failed",
        {"completed": 2, "duplicated": 1},
        mishaps.launch_copy("plain"),
    ),
    Case(
        "at-least-once",
        (Load("plain"), GATED),
        "Passed",
        {"completed": 2, "duplicated": 1},
        mishaps.launch_copy("plain"),
        expect={"contract": "atLeastOnce"},
    ),
    Case(
        "never-planned",
        (Load("plain"), GATED),
        "Failed",
        {"completed": 2, "unexpected": 1},
        mishaps.launch_unplanned,
    ),
    Case(
        "later-writer",
        (Load("plain"), GATED),
        "Failed",
        {"completed": 2, "otherWriters": 1, "earlierWriters": 0, "duplicated": 0},
        mishaps.launch_as_another("2100-01-01T00:00:00.000000Z"),
    ),
    Case(
        "earlier-writer",
        (Load("plain"), GATED),
        "Failed",
        {"completed": 2, "otherWriters": 1, "earlierWriters": 1, "duplicated": 0},
        mishaps.launch_as_another("2001-01-01T00:00:00.000000Z"),
    ),
    Case(
        "adopted-by-another",
        (Load("plain"), GATED),
        "Failed",
        {"completed": 2, "otherWriters": 1, "earlierWriters": 1, "duplicated": 0},
        mishaps.launch_as_another(None),
    ),
    Case("deleted", (Load("plain"), GATED), "Failed", {"completed": 1, "lost": 1}, mishaps.delete_done),
    Case(
        "root-deleted",
        (Load("flaky"), GATED),
        "Passed",
        {"completed": 2, "retried": 1, "lost": 0},
        mishaps.delete_retried,
    ),
    Case("terminated", (GATED,), "Failed", {"lost": 1}, mishaps.terminate_running),
    Case(
        "terminated-in-queue",
        (Load("gated", 2, NARROW),),
        "Failed",
        {"completed": 1, "lost": 1},
        mishaps.terminate_queued,
        alone="narrow",
    ),
    Case("worker-killed", (Load("interrupted"),), "Passed", {"completed": 1, "retried": 1}, mishaps.kill_run_worker),
    Case(
        "worker-killed-for-good",
        (Load("interrupted", tags=NO_RETRY),),
        "Failed",
        {"lost": 1, "failed": 0},
        mishaps.kill_run_worker,
    ),
)

# Dagster itself, its code or dagstorm goes away for a while, or for good.
PARTS_FAIL = (
    Case(
        "renamed",
        # One at a time: the first begins, and the others are in the queue when the job goes.
        (Load("report", 3, NARROWER | {"gate": "renamed"}),),
        "Failed",
        {"completed": 1, "lost": 2},
        mishaps.rename,
        location="renamed",
    ),
    Case(
        "webserver-killed",
        (Load("plain", 6, arrivals={"constant": {"rate": "2/s"}}, length="3s"),),
        # Whether a run was made and never queued is chance; that one is planted by the next case.
        "Passed",
        None,
        mishaps.kill_webserver,
        webserver="victim",
        alone="victim",
    ),
    Case(
        "never-started",
        (Load("plain", 3),),
        "Failed",
        {"acknowledged": 3, "neverStarted": 3, "completed": 0},
        mishaps.kill_webserver_between,
        webserver="victim",
        alone="victim",
    ),
    Case("daemon-restarted", (Load("flaky", 2),), "Passed", {"completed": 2, "retried": 2}, mishaps.restart_daemon),
    Case(
        "redeployed",
        (Load("report", 6, arrivals={"constant": {"rate": "0.2/s"}}, length="30s"),),
        # All is launched in the end. A run that leaves the queue meanwhile fails, by no fault of anybody's.
        "Any",
        {"acknowledged": 6, "missing": 0},
        mishaps.redeploy,
        location="redeployed",
    ),
    Case(
        "two-dagstorms",
        (Load("plain", 4, arrivals={"constant": {"rate": "0.3/s"}}, length="12s"),),
        ("Passed", "Unusable"),
        {"completed": 4, "duplicated": 0, "otherWriters": 0},
        mishaps.second_storm,
    ),
    Case("adopted", (Load("plain"),), ("Passed", "Unknown"), {"completed": 1, "otherWriters": 0}, mishaps.adopt),
    Case(
        "taken-over",
        (Load("plain", 4, arrivals={"constant": {"rate": "1/s"}}, length="4s"),),
        "Passed",
        {"completed": 4, "duplicated": 0, "otherWriters": 0},
        mishaps.take_over,
    ),
)

# Nothing can be launched, and dagstorm has to say so within its time-out.
UNUSABLE = (
    Case("read-only", (Load("plain", 2),), "Unusable", {"acknowledged": 0}, webserver="locked", start_timeout="3s"),
    Case("broken-location", (Load("plain"),), "Unusable", {"acknowledged": 0}, location="broken", start_timeout="3s"),
    Case(
        "other-repository",
        (Load("plain"),),
        "Unusable",
        {"acknowledged": 0},
        repository="__repository__",
        start_timeout="3s",
    ),
    Case(
        "config-of-partition-missing",
        (Load("configured_by_region"),),
        "Unknown",
        {"acknowledged": 0},
    ),
)

CASES = (*PARTS_FAIL, *BESIDE, *UNDISTURBED, *UNUSABLE)
