"""The verdict on real parts: three levels, and systems that are known to be bad."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from rig import PROGRAM, Document, Stack, burst, run, scenario, wait_for, write

FAST = {"fast_job": 1, "parallel_fast_job": 1}
RECORDS = "SELECT to_jsonb(t)::text FROM exec_attempts t WHERE scenario_key LIKE %s"


def report_folder(data: Path) -> Path:
    [report] = data.glob("reports/*/*/report.json")
    return report.parent


def report(data: Path) -> Document:
    found: Document = json.loads((report_folder(data) / "report.json").read_text())
    return found


def ask_again(stack: Stack, history: Path) -> tuple[int, Document]:
    """`dagstorm audit --ask-again`: its exit code and what it says."""
    done = subprocess.run(
        [str(PROGRAM), "audit", str(history), "--ask-again", "-o", "json"],
        env=stack.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout, done.stderr
    found: Document = json.loads(done.stdout)
    return done.returncode, found


def with_target(history: Path, name: str, change: Any) -> Path:
    """The same history, as if it had been recorded with another target."""
    lines = []
    for line in history.read_text().splitlines():
        document = json.loads(line)
        event = document.get("record", {}).get("event")
        if isinstance(event, dict) and "accepted" in event:
            change(event["accepted"]["target"])
        lines.append(json.dumps(document))
    changed = history.with_name(name)
    changed.write_text("\n".join(lines) + "\n")
    return changed


def records(stack: Stack, name: str) -> list[str]:
    connection = psycopg2.connect(stack.environment()["STACK_POSTGRES_URL"].replace("+psycopg2", ""))
    with connection, connection.cursor() as cursor:
        cursor.execute(RECORDS, (f"{name}/%",))
        rows = [str(row[0]) for row in cursor.fetchall()]
    connection.close()
    return rows


def test_all_is_well_at_every_level_however_the_records_are_read(stack: Stack, tmp_path: Path) -> None:
    target = write(tmp_path / "target.yaml", stack.target())
    file = write(tmp_path / "all-well.yaml", burst("all-well", 6, FAST))
    done = run(stack, tmp_path / "data", file, target)
    assert done.returncode == 0, done.stdout + done.stderr
    found = report(tmp_path / "data")
    counts = found["counts"]
    assert counts["effectsCompleted"] == counts["stepsCompleted"] >= 6
    assert any("read from table exec_attempts" in one for one in found["assumptions"]), found["assumptions"]

    history = report_folder(tmp_path / "data") / "history.jsonl"
    code, again = ask_again(stack, history)
    assert (code, again["same"]) == (0, True), again

    def of_the_event_log(target: Document) -> None:
        target["dagster"]["eventLog"] = "STACK_POSTGRES_URL"

    code, again = ask_again(stack, with_target(history, "event-log.jsonl", of_the_event_log))
    assert (code, again["same"]) == (0, True), again

    lines = records(stack, "all-well")
    folder = tmp_path / "records" / "worker-1"
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_text("\n".join(lines[::2]) + "\n")
    (folder.parent / "b.jsonl").write_text("\n".join(lines[1::2]) + "\n")

    def of_files(target: Document) -> None:
        target["completions"]["source"] = {"jsonl": {"path": str(folder.parent)}}

    _, again = ask_again(stack, with_target(history, "files.jsonl", of_files))
    assert (again["verdict"], again["counts"]) == ("Passed", counts), again

    sqs = stack.client("sqs")
    url = sqs.create_queue(QueueName="completions")["QueueUrl"]
    for line in lines:
        sqs.send_message(QueueUrl=url, MessageBody=line)
    sqs.send_message(QueueUrl=url, MessageBody=lines[0])  # the sender tried again

    def of_a_queue(target: Document) -> None:
        target["completions"]["source"] = {"queue": {"name": "completions"}}

    for _ in range(2):  # it takes nothing away
        _, again = ask_again(stack, with_target(history, "queue.jsonl", of_a_queue))
        assert (again["verdict"], again["counts"]) == ("Passed", counts), again
    sqs.delete_queue(QueueUrl=url)


@pytest.fixture
def forgetful(stack: Stack) -> Iterator[Stack]:
    """Every worker drops the record of every second step that it completes."""
    stack.command("configure", "--forget-every", "2")
    yield stack
    stack.command("configure", "--forget-every", "0")


def test_a_worker_that_drops_its_completion_fails(forgetful: Stack, tmp_path: Path) -> None:
    stack = forgetful
    target = write(tmp_path / "target.yaml", stack.target())
    file = write(tmp_path / "dropped.yaml", burst("dropped", 8, {"fast_job": 1}))
    done = run(stack, tmp_path / "data", file, target)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "no worker has recorded it" in done.stdout
    found = report(tmp_path / "data")["findings"]
    assert {(one["kind"], one["level"]) for one in found} == {("lost", "effect")}
    lost = {one["key"] for one in found}
    open_keys = {json.loads(line)["scenario_key"] for line in records(stack, "dropped") if '"outcome": null' in line}
    assert lost == open_keys
    assert all(one["attempts"][0]["worker"] for one in found)


def test_an_audit_that_is_too_early_is_unknown(stack: Stack, tmp_path: Path) -> None:
    target = write(tmp_path / "target.yaml", stack.target())
    # Its steps take 5 s and more; it is judged after 6 s at the latest.
    document = scenario("too-early", {"burst": {"size": 6, "every": "10s"}}, "1s", {"slow_job": 1})
    document["spec"]["limits"] = {"maxDuration": "6s"}
    done = run(stack, tmp_path / "data", write(tmp_path / "too-early.yaml", document), target)
    assert done.returncode == 3, done.stdout + done.stderr
    found = report(tmp_path / "data")
    assert found["findings"] == []
    assert "Unfinished" in {gap["reason"] for gap in found["gaps"]}
    # Each key is named with what it waits for: its step and who is at it, once somebody is.
    assert len({one["key"] for one in found["unfinished"]}) == found["counts"]["unfinished"] > 0
    at_work = [one for one in found["unfinished"] if one["level"] == "step"]
    assert all(one["attempts"][0]["what"] == "started" for one in at_work), at_work
    # Asked again when they have ended, the same records pass.
    history = report_folder(tmp_path / "data") / "history.jsonl"

    def passes() -> tuple[int, Document] | None:
        code, again = ask_again(stack, history)
        return (code, again) if again["verdict"] == "Passed" else None

    code, again = wait_for(passes, "asked again, it passes", 90)
    assert (code, again["same"]) == (1, False), "it is not what was found then"


def test_records_that_cannot_be_read_hold_up_the_start(stack: Stack, tmp_path: Path) -> None:
    file = write(tmp_path / "unread.yaml", burst("unread", 1, {"fast_job": 1}))
    for source, words in (
        ({"postgres": {"urlFromEnv": "NO_SUCH_VARIABLE", "table": "exec_attempts"}}, "no variable NO_SUCH_VARIABLE"),
        ({"postgres": {"urlFromEnv": "STACK_POSTGRES_URL", "table": "nowhere"}}, "no table nowhere"),
        ({"postgres": {"urlFromEnv": "STACK_POSTGRES_URL", "table": "exec_claims"}}, "no column `run_id`"),
        ({"jsonl": {"path": str(tmp_path / "nowhere")}}, "cannot be read"),
        ({"queue": {"name": "nowhere"}}, "nowhere"),
    ):
        target = stack.target()
        target["spec"]["completions"] = source
        where = write(tmp_path / "target.yaml", target)
        done = run(stack, tmp_path / f"data-{words[-5:]}", file, where, start_timeout="3s")
        assert done.returncode == 4, done.stdout + done.stderr
        assert words in done.stdout + done.stderr, done.stdout + done.stderr
    assert stack.runs("unread") == []
