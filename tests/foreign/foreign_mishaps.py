"""What people, programs and machines do to a Dagster while dagstorm is at work on it."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

from dagster import DagsterEventType
from foreign_instance import MAX_RETRIES, VERSION, Document, moving, wait_for
from foreign_records import KEY, STARTED, WRITER, Run, read
from foreign_stage import SOON_S, Stage

LAUNCH = """
mutation ($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}
"""
AGAIN = """
mutation ($params: ReexecutionParams!) {
  launchRunReexecution(reexecutionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}
"""
BACKFILL = """
mutation ($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { launchedRunIds } ... on PythonError { message }
  }
}
"""
SETS = """
query ($selector: RepositorySelector!, $job: String!) {
  partitionSetsOrError(repositorySelector: $selector, pipelineName: $job) {
    ... on PartitionSets { results { name } }
  }
}
"""
TERMINATE = """
mutation ($run: String!) {
  terminateRun(runId: $run) { __typename ... on TerminateRunFailure { message } ... on PythonError { message } }
}
"""
DELETE = "mutation ($run: String!) { deleteRun(runId: $run) { __typename } }"
RELOAD = """
mutation ($location: String!) {
  reloadRepositoryLocation(repositoryLocationName: $location) {
    ... on WorkspaceLocationEntry { locationOrLoadError { __typename } }
  }
}
"""


def own_tags(run: Run) -> dict[str, str]:
    """The tags of a run that are not Dagster's own: what careful people copy."""
    return {tag: value for tag, value in run.tags.items() if not tag.startswith(("dagster/", "."))}


def launch(stage: Stage, job: str, tags: dict[str, str]) -> str:
    params: Document = {
        "selector": {
            "repositoryLocationName": stage.case.location,
            "repositoryName": stage.case.repository,
            "pipelineName": job,
        },
        "runConfigData": {},
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
    }
    return _launched(stage.webserver.ask(LAUNCH, params=params)["launchRun"])


def _launched(answer: Document) -> str:
    assert answer["__typename"] == "LaunchRunSuccess", answer
    run_id: str = answer["run"]["runId"]
    return run_id


def wait_ends(stage: Stage, run_id: str) -> None:
    def has_ended() -> bool:
        run = stage.instance.get_run_by_id(run_id)
        return run is not None and run.is_finished

    wait_for(has_ended, f"run {run_id} ends", SOON_S)


def reexecute(job: str, status: str, strategy: str) -> Callable[[Stage], None]:
    """A person presses the button in Dagster's UI."""

    def mishap(stage: Stage) -> None:
        _reexecute(stage, stage.wait_done(job, status), strategy)

    return mishap


def reexecute_retry(stage: Stage) -> None:
    """The run that is executed again is itself a retry, and has a number: its copy has it too."""
    retry = stage.wait_run("a retry has succeeded", lambda run: run.number == 1 and run.status == "SUCCESS")
    _reexecute(stage, retry, "ALL_STEPS")


def _reexecute(stage: Stage, run: Run, strategy: str) -> None:
    params = {"parentRunId": run.run_id, "strategy": strategy}
    wait_ends(stage, _launched(stage.webserver.ask(AGAIN, params=params)["launchRunReexecution"]))


def launch_copy(job: str) -> Callable[[Stage], None]:
    """A program launches a run with the tags of one that has succeeded."""

    def mishap(stage: Stage) -> None:
        wait_ends(stage, launch(stage, job, own_tags(stage.wait_done("plain"))))

    return mishap


def launch_unplanned(stage: Stage) -> None:
    """A program counts on where dagstorm's plan ends."""
    tags = own_tags(stage.wait_done("plain"))
    tags[KEY] = f"{tags[KEY].rpartition('/')[0]}/99"
    wait_ends(stage, launch(stage, "plain", tags))


def launch_as_another(began: str | None) -> Callable[[Stage], None]:
    """As a dagstorm of another data folder that began then; `None`: one that has taken over what this one began."""

    def mishap(stage: Stage) -> None:
        tags = own_tags(stage.wait_done("plain")) | {WRITER: "ffffffffffff"}
        wait_ends(stage, launch(stage, "plain", tags | ({STARTED: began} if began else {})))

    return mishap


def backfill(stage: Stage) -> None:
    """Another tool's backfill, with the labels of a run."""
    tags = own_tags(stage.wait_done("by_region"))
    selector = {"repositoryLocationName": "mine", "repositoryName": stage.case.repository}
    sets = stage.webserver.ask(SETS, selector=selector, job="by_region")["partitionSetsOrError"]["results"]
    params: Document = {
        "selector": {"partitionSetName": sets[0]["name"], "repositorySelector": selector},
        "partitionNames": ["eu", "us"],
        "tags": [{"key": key, "value": value} for key, value in tags.items()],
        "forceSynchronousSubmission": True,
    }
    answer = stage.webserver.ask(BACKFILL, params=params)["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    assert len(answer["launchedRunIds"]) == 2, answer
    for run_id in answer["launchedRunIds"]:
        wait_ends(stage, run_id)


def sensor_follows(job: str, tag: str) -> Callable[[Stage], None]:
    """Waits for the run that a sensor launches after one of ours."""

    def mishap(stage: Stage) -> None:
        def is_there() -> bool:
            runs = stage.instance.get_runs()
            mine = {run.run_id for run in stage.runs()}
            return any(run.job_name == job and run.tags.get(tag) in mine and run.is_finished for run in runs)

        wait_for(is_there, f"a sensor has launched {job}", SOON_S)

    return mishap


def terminate_running(stage: Stage) -> None:
    _terminate(stage, stage.wait_begun("gated"))


def terminate_queued(stage: Stage) -> None:
    """One run of the narrow tag is under way; the other waits for it."""
    stage.wait_begun("gated")
    _terminate(stage, stage.wait_run("a run waits", lambda run: run.status == "QUEUED"))


def _terminate(stage: Stage, run: Run) -> None:
    answer = stage.webserver.ask(TERMINATE, run=run.run_id)["terminateRun"]
    assert answer["__typename"] == "TerminateRunSuccess", answer
    wait_ends(stage, run.run_id)


def delete_done(stage: Stage) -> None:
    run = stage.wait_done("plain")
    _delete(stage, run)
    stage.deleted.append(run)


def delete_retried(stage: Stage) -> None:
    """The failed run is deleted; its retry stays, with a root that is gone."""
    retry = stage.wait_done("flaky")
    _delete(stage, next(run for run in stage.runs() if run.run_id == retry.root))


def _delete(stage: Stage, run: Run) -> None:
    answer = stage.webserver.ask(DELETE, run=run.run_id)["deleteRun"]
    assert answer["__typename"] == "DeletePipelineRunSuccess", answer


def kill_run_worker(stage: Stage) -> None:
    """The process of a run dies in mid-step."""
    run = stage.wait_begun("interrupted")
    entries = stage.instance.all_logs(run.run_id, of_type={DagsterEventType.ENGINE_EVENT})
    data = [entry.dagster_event.engine_event_data for entry in entries if entry.dagster_event]
    pids: list[Any] = [one.metadata["pid"].value for one in data if "pid" in one.metadata]
    assert pids, "Dagster says which process carries out a run"
    os.kill(int(pids[0]), signal.SIGKILL)
    wait_ends(stage, run.run_id)


def kill_webserver(stage: Stage) -> None:
    """In mid-load, as a deployment or a lack of memory does; another one takes its place at once."""
    wait_for(lambda: len(stage.runs()) >= 2, "some runs are launched", SOON_S)
    stage.webserver.process.kill()
    stage.webserver.process.start()
    stage.webserver.wait()


def kill_webserver_between(stage: Stage) -> None:
    """It has made the runs and dies before it queues them: a lock on the event log holds it there.

    A run is made in Dagster's table of runs, and queued by an event.
    """
    home = stage.dagster.home
    folder = home / "events" if VERSION < (1, 9) else home / "history" / "runs"
    log = next(path for name in ("event_log.db", "index.db") for path in folder.glob(name))
    with closing(sqlite3.connect(log, isolation_level=None, timeout=20)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:

            def are_made() -> bool:
                return [run.status for run in stage.runs()] == ["NOT_STARTED"] * stage.case.planned

            wait_for(are_made, "all runs are made", SOON_S)
            stage.webserver.process.kill()
        finally:
            connection.execute("ROLLBACK")
    stage.webserver.process.start()
    stage.webserver.wait()


def restart_daemon(stage: Stage) -> None:
    """Nothing leaves the queue meanwhile, and no run is run again.

    It ends as a deployment ends it: killed, it would leave runs of other scenarios in STARTING for ever.
    """
    wait_for(lambda: len(stage.runs()) == stage.case.planned, "all is launched", SOON_S)
    stage.dagster.daemon.signal(signal.SIGTERM)
    wait_for(lambda: not stage.dagster.daemon.is_alive(), "the daemon ends", SOON_S)
    stage.dagster.daemon.end()
    stage.dagster.daemon.start()


def reload(stage: Stage, text: str) -> bool:
    """Another version of the code is deployed. Returns whether it can be loaded."""
    stage.dagster.file_of(stage.case.location).write_text(text)
    entry = stage.webserver.ask(RELOAD, location=stage.case.location)["reloadRepositoryLocation"]
    return bool(entry["locationOrLoadError"]["__typename"] == "RepositoryLocation")


def redeploy(stage: Stage) -> None:
    """The code location cannot be loaded for a while, and some of the load comes meanwhile."""
    stage.wait_run("the load has begun", lambda run: True)
    assert not reload(stage, "raise ImportError('half of the files are copied')\n")
    # What was sent before has a run by now, or within a moment: two more are not for nothing.
    launched = len(stage.runs())
    wait_for(lambda: stage.attempted() >= launched + 2, "launches have met the broken location", SOON_S)
    assert len(stage.runs()) <= launched + 1
    assert reload(stage, moving("report"))


def rename(stage: Stage) -> None:
    """The job has another name in the next version, and stays so: what waits in the queue cannot start any more.

    Dagster announces to run it again, and then finds that it cannot.
    """
    stage.wait_begun("report")
    assert reload(stage, moving("report_v2"))
    stage.open_gate()

    def are_over() -> bool:
        runs = read(stage.instance, stage.case.name)
        retried = {run.parent for run in runs}

        def is_over(run: Run) -> bool:
            has_failed = run.status == "FAILURE" and (run.number >= MAX_RETRIES or run.run_id in retried)
            return run.status == "SUCCESS" or run.given_up or has_failed

        return len(runs) >= stage.case.planned and all(map(is_over, runs))

    wait_for(are_over, "Dagster is done with the runs of the job that is gone", SOON_S)


def second_storm(stage: Stage) -> None:
    """Another dagstorm begins on the same scenario while this one launches: it must keep away."""
    stage.wait_run("the first dagstorm has launched", lambda run: True)
    stage.start_storm()


def adopt(stage: Stage) -> None:
    """Another dagstorm begins when this one has ended: it takes the runs for its own, and has launched none."""
    stage.storms[0].wait()
    stage.start_storm()
    stage.taken_over.append(stage.storms[0])


def take_over(stage: Stage) -> None:
    """The dagstorm that began is gone for good, with its disk; another goes on."""
    wait_for(lambda: len(stage.runs()) >= 2, "some runs are launched", SOON_S)
    stage.storms[0].kill()
    stage.taken_over.append(stage.storms[0])
    stage.start_storm()
