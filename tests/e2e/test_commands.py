"""`dagstorm run`: its exit codes and what it says; and the metrics of a run."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from rig import API, PROGRAM, Stack, burst, popen, run, wait_for, write

FAST = {"fast_job": 1}


def test_help() -> None:
    for arguments, words in (
        (["--help"], "operator"),
        (["run", "--help"], "--start-timeout"),
        (["operator", "--help"], "--manifests"),
        (["operator", "--help"], "DAGSTORM_POLL_INTERVAL"),
    ):
        done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=True, timeout=5)
        assert words in done.stdout
        assert done.stderr == ""


def test_how_the_folder_is_followed_is_checked(tmp_path: Path) -> None:
    command = [str(PROGRAM), "operator", "--manifests", str(tmp_path / "manifests"), "--data", str(tmp_path / "data")]
    for arguments, environment, words in (
        (["--watch", "inotify"], {}, "auto, poll"),
        (["--poll-interval", "99ms"], {}, "from 100ms to 10m"),
        (["--poll-interval", "11m"], {}, "from 100ms to 10m"),
        (["--poll-interval", "2"], {}, "is not a duration"),
        ([], {"DAGSTORM_WATCH": "never"}, "auto, poll"),
        ([], {"DAGSTORM_POLL_INTERVAL": "0s"}, "from 100ms to 10m"),
    ):
        done = subprocess.run(
            [*command, *arguments],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("environment", "prunes"), [({}, False), ({"DAGSTORM_PRUNE_EMPTY": "1"}, True)])
def test_a_folder_that_turns_up_empty(tmp_path: Path, environment: dict[str, str], prunes: bool) -> None:
    manifests, data = tmp_path / "manifests", tmp_path / "data"
    manifests.mkdir()
    dagster = {"url": "http://127.0.0.1:9/graphql", "location": "demo"}
    target = {"apiVersion": API, "kind": "Target", "metadata": {"name": "local"}, "spec": {"dagster": dagster}}
    write(manifests / "all.yaml", target, burst("kept", 1, FAST))
    command = [str(PROGRAM), "operator", "--manifests", str(manifests), "--data", str(data), "--watch", "poll"]
    environment = os.environ | {"DAGSTORM_POLL_INTERVAL": "100ms"} | environment
    status, intake = data / "status" / "kept.yaml", data / "intake.yaml"
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, env=environment, stderr=log) as process:
        try:
            wait_for(lambda: status.exists() and "Waiting" in status.read_text(), "the scenario", 10)
            manifests.rename(tmp_path / "away")
            wait_for(lambda: "the folder is missing" in intake.read_text(), "a note on the missing folder", 10)
            manifests.mkdir()
            if prunes:
                wait_for(lambda: "Stopped" in status.read_text(), "the deletion", 10)
                assert yaml.safe_load(intake.read_text()) == {"files": []}
            else:
                wait_for(lambda: "nothing is pruned" in intake.read_text(), "a note on the empty folder", 10)
                assert [file["file"] for file in yaml.safe_load(intake.read_text())["files"]] == ["all.yaml"]
                (tmp_path / "away" / "all.yaml").rename(manifests / "all.yaml")
                wait_for(lambda: "note" not in yaml.safe_load(intake.read_text()), "the note to be over", 10)
                assert "Waiting" in status.read_text()
        finally:
            process.terminate()
    lines = [line for line in (tmp_path / "log").read_text().splitlines() if "nothing is pruned" in line]
    assert len(lines) == (0 if prunes else 1), "said once, at most"


def test_a_bad_manifest_is_refused_before_anything_is_sent(stack: Stack, tmp_path: Path) -> None:
    target = write(tmp_path / "target.yaml", stack.target())
    bad = tmp_path / "bad.yaml"
    write(bad, burst("bad", 1, FAST, seeed=3))
    line = bad.read_text().splitlines().index("  seeed: 3") + 1
    done = run(stack, tmp_path / "data", bad, target, within_s=10)
    assert done.returncode == 2
    assert f"{bad}:{line}:3\n" in done.stderr
    assert "seeed" in done.stderr
    assert not (tmp_path / "data").exists()
    assert run(stack, tmp_path / "data", tmp_path / "absent.yaml", within_s=10).returncode == 2
    assert run(stack, tmp_path / "data", target, within_s=10).returncode == 2, "no scenario in it"


def test_a_dead_target(stack: Stack, tmp_path: Path) -> None:
    target = stack.target()
    target["spec"]["dagster"]["url"] = "http://127.0.0.1:9/graphql"
    file = write(tmp_path / "all.yaml", target, burst("dead", 1, FAST))
    done = run(stack, tmp_path / "data", file, within_s=15, start_timeout="3s")
    assert done.returncode == 4
    assert "DagsterUnreachable" in done.stdout + done.stderr


def test_a_data_folder_that_is_held(stack: Stack, tmp_path: Path) -> None:
    target = stack.target()
    target["spec"]["dagster"]["url"] = "http://127.0.0.1:9/graphql"
    file = write(tmp_path / "all.yaml", target, burst("held", 1, FAST))
    data = tmp_path / "data"
    with (tmp_path / "output").open("wb") as output:
        first = popen(stack, data, output, file)
    try:
        wait_for(lambda: (data / "status").exists() and (data / "epoch").exists(), "the first one to hold it", 10)
        done = run(stack, data, file, within_s=10)
        assert done.returncode == 4
        assert "another dagstorm holds the data folder" in done.stderr
    finally:
        first.terminate()
        first.wait(15)


def test_a_run_passes_and_its_metrics_are_there(stack: Stack, tmp_path: Path) -> None:
    began = datetime.now(UTC) - timedelta(minutes=1)
    files = [write(tmp_path / "target.yaml", stack.target()), write(tmp_path / "s.yaml", burst("measured", 6, FAST))]
    done = run(stack, tmp_path / "data", *files)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "measured: Passed — 6 of 6 acknowledged runs completed exactly once" in done.stdout
    [report] = (tmp_path / "data").glob("reports/measured/*/report.html")
    assert str(report) in done.stdout

    cloudwatch = stack.client("cloudwatch")
    for name, dimension, least in (
        ("QueueDepth", {"Name": "queue", "Value": "taskiq-tasks"}, 0),
        ("WorkerCount", {"Name": "service", "Value": "taskiq-worker"}, 3),
        ("RunLatency", {"Name": "scenario", "Value": "measured"}, 0.1),
    ):
        listed = cloudwatch.list_metrics(Namespace="dagstorm", MetricName=name, Dimensions=[dimension])["Metrics"]
        assert listed, name
        points = cloudwatch.get_metric_statistics(
            Namespace="dagstorm",
            MetricName=name,
            Dimensions=listed[0]["Dimensions"],
            StartTime=began,
            EndTime=datetime.now(UTC) + timedelta(minutes=1),
            Period=60,
            Statistics=["Maximum", "SampleCount"],
        )["Datapoints"]
        assert points, name
        assert max(point["Maximum"] for point in points) >= least, (name, points)
