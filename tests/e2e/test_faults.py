"""Faults on the real parts: they bite, they heal, and what they meet is executed once."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from dagstorm_local.contract import AUTOSCALER_SERVICE, CLUSTER, WORKER_SERVICE
from dagstorm_local.stack.paths import Paths
from rig import PROGRAM, Document, Operator, Stack, burst, popen, run, scenario, wait_for, write

FAST = {"fast_job": 1}
SLOW = {"slow_job": 1}


def rules(stack: Stack) -> list[str]:
    """All rules of all groups by their content, and the marks of the workers' group."""
    ec2 = stack.client("ec2")
    found = []
    for rule in ec2.describe_security_group_rules()["SecurityGroupRules"]:
        content = {key: rule[key] for key in rule if key not in ("SecurityGroupRuleId", "SecurityGroupRuleArn")}
        found.append(json.dumps(content, sort_keys=True))
    return sorted(found)


def acls(stack: Stack) -> list[str]:
    """All ACLs with their subnets."""
    found = []
    for acl in stack.client("ec2").describe_network_acls()["NetworkAcls"]:
        subnets = sorted(one["SubnetId"] for one in acl["Associations"])
        found.append(json.dumps([acl["NetworkAclId"], acl["Entries"], subnets, acl.get("Tags", [])], sort_keys=True))
    return sorted(found)


def marks(stack: Stack) -> list[str]:
    """The tags of faults on groups, subnets, ACLs and services."""
    ec2 = stack.client("ec2")
    described = [
        *ec2.describe_security_groups()["SecurityGroups"],
        *ec2.describe_subnets()["Subnets"],
        *ec2.describe_network_acls()["NetworkAcls"],
    ]
    return [tag["Key"] for one in described for tag in one.get("Tags", []) if tag["Key"].startswith("dagstorm:")]


def attempts(stack: Stack, name: str) -> list[datetime]:
    """When each execution of a step started."""
    query = "SELECT started FROM exec_attempts WHERE scenario_key LIKE %s ORDER BY started"
    with (
        psycopg2.connect(host=str(Paths(stack.folder).run), user="postgres", dbname="postgres") as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(query, (f"{name}/%",))
        return [started for (started,) in cursor.fetchall()]


def fault(status: Document, number: int = 0) -> Document:
    found: Document = (status.get("faults") or [{}])[number]
    return found


def unanswered(data: Path, name: str) -> list[int]:
    """The arrivals whose last launch has no answer in the journal."""
    open_launches: set[int] = set()
    for path in sorted((data / "journal" / name).glob("*.jsonl")):
        for line in path.read_text().splitlines():
            event = json.loads(line).get("record", {}).get("event", {})
            for kind, content in event.items() if isinstance(event, dict) else []:
                if kind == "submitIntended":
                    open_launches.add(content["index"])
                elif kind in ("submitted", "submitRefused", "submitInDoubt", "submitAbsent"):
                    open_launches.discard(content["index"])
    return sorted(open_launches)


def is_in_place(status: Document) -> bool:
    return fault(status).get("state") == "InPlace"


def test_a_hard_partition_stops_the_workers_and_nothing_is_executed_twice(operator: Operator, stack: Stack) -> None:
    before = (rules(stack), acls(stack))
    # Each of the three workers is in the middle of a slow step then, and two steps wait.
    cut = {"name": "cut", "after": "4s", "for": "14s", "partition": {"between": "workers", "and": "sqs", "cut": "hard"}}
    operator.drop(scenario("hard-cut", {"burst": {"size": 5, "every": "60s"}}, "22s", SLOW, faults=[cut]))
    operator.start()
    operator.wait("hard-cut", "the cut in place", is_in_place, 30)
    assert acls(stack) != before[1]
    assert marks(stack)
    ended = operator.wait_verdict("hard-cut", within_s=120)
    assert ended["phase"] == "Passed", ended
    seen, healing = (datetime.fromisoformat(fault(ended)[at]) for at in ("seenAt", "healBeganAt"))
    # What was received before the cut is worked off; after that nobody gets anything.
    executed = attempts(stack, "hard-cut")
    assert len(executed) == 5
    assert [one for one in executed if seen < one < healing] == []
    assert len([one for one in executed if one > healing]) == 2, "and then they go on"
    # They could not delete what they had completed: it came back when its visibility time-out was over.
    logs = "".join(path.read_text() for path in Paths(stack.folder).task_logs.glob("taskiq-worker-*.log"))
    assert "The step is completed already, nothing to execute" in logs
    assert (rules(stack), acls(stack)) == before
    assert marks(stack) == []


def test_new_connections_are_cut_and_the_rules_come_back(operator: Operator, stack: Stack) -> None:
    before = rules(stack)
    cut = {"name": "cut", "after": "3s", "for": "8s", "partition": {"between": "workers", "and": "sqs"}}
    operator.drop(scenario("soft-cut", {"constant": {"rate": "1/s"}}, "14s", FAST, faults=[cut]))
    operator.start()
    status = operator.wait("soft-cut", "the cut in place", is_in_place, 30)
    assert rules(stack) != before
    assert "newConnections" in fault(status)["what"]
    ended = operator.wait_verdict("soft-cut", within_s=120)
    assert ended["phase"] == "Passed", ended
    assert rules(stack) == before
    assert marks(stack) == []


@pytest.fixture
def without_idempotency(stack: Stack) -> Iterator[Stack]:
    stack.command("configure", "--idempotency", "off")
    yield stack
    stack.command("configure", "--idempotency", "on")


REDELIVER = {"name": "twice", "when": "queueDepth > 5", "redeliver": {"share": "100%"}}


def test_a_message_that_is_delivered_twice_is_executed_twice_without_idempotency(
    without_idempotency: Stack, operator: Operator
) -> None:
    operator.drop(scenario("twice", {"burst": {"size": 10, "every": "30s"}}, "20s", SLOW, faults=[REDELIVER]))
    operator.start()
    ended = operator.wait_verdict("twice", within_s=240)
    assert ended["phase"] == "Failed", ended
    found = operator.report("twice")["findings"]
    assert {(one["kind"], one["level"]) for one in found} == {("duplicated", "step"), ("duplicated", "effect")}
    assert all(one["key"]["index"] < 10 if isinstance(one["key"], dict) else one["key"] for one in found)
    assert "step slow was completed 2 times" in ended["audit"]["findings"][0]


def test_a_message_that_is_delivered_twice_is_executed_once_with_idempotency(operator: Operator) -> None:
    operator.drop(scenario("twice-once", {"burst": {"size": 10, "every": "30s"}}, "20s", SLOW, faults=[REDELIVER]))
    operator.start()
    ended = operator.wait_verdict("twice-once", within_s=240)
    assert ended["phase"] == "Passed", ended
    assert fault(ended)["changes"][0].startswith("copy "), fault(ended)


def test_thirty_percent_of_five_are_two_and_the_recovery_is_measured(operator: Operator, stack: Stack) -> None:
    stack.command("configure", "--workers", "5", "--min-workers", "5")
    try:
        kill = {"pick": "30%", "service": "workers", "includeProtected": True}
        faults = [{"name": "kill", "after": "4s", "stopTasks": kill}]
        expect = {"quiet": "4s", "thresholds": {"recoveryTime": ["max < 60s"]}}
        operator.drop(scenario("two-of-five", {"constant": {"rate": "2/s"}}, "12s", FAST, faults=faults, expect=expect))
        operator.start()
        ended = operator.wait_verdict("two-of-five", within_s=120)
    finally:
        stack.command("configure", "--workers", "3", "--min-workers", "3")
    assert ended["phase"] == "Passed", ended
    assert len(fault(ended)["targets"]) == 2
    [threshold] = ended["audit"]["thresholds"]
    assert threshold["samples"] == 1
    assert threshold["holds"] is True
    recovered = datetime.fromisoformat(fault(ended)["recoveredAt"]) - datetime.fromisoformat(fault(ended)["intendedAt"])
    assert 0 < recovered.total_seconds() < 60


def test_a_protected_worker_is_left_alone(operator: Operator, stack: Stack) -> None:
    # More steps than workers: each of them is busy, and says so.
    faults = [{"name": "kill", "after": "3s", "stopTasks": {"service": "workers", "pick": "all"}}]
    operator.drop(scenario("busy", {"burst": {"size": 6, "every": "30s"}}, "5s", SLOW, faults=faults))
    operator.start()
    ended = operator.wait_verdict("busy", within_s=120)
    assert ended["phase"] == "Unknown", ended
    assert fault(ended)["state"] == "Skipped"
    assert "under scale-in protection" in fault(ended)["reason"]


def test_a_service_is_drained_and_comes_back(operator: Operator, stack: Stack) -> None:
    target = stack.target()
    target["spec"]["guard"] |= {"minHealthy": 0, "maxAffected": "100%"}
    operator.drop(target, "target.yaml")
    drain = {"name": "drain", "after": "2s", "for": "6s", "drainService": {"service": "autoscaler"}}
    operator.drop(scenario("drained", {"constant": {"rate": "1/s"}}, "10s", FAST, faults=[drain]))
    operator.start()
    operator.wait("drained", "nobody there", is_in_place, 30)
    ecs = stack.client("ecs")

    def service() -> Any:
        return ecs.describe_services(cluster=CLUSTER, services=[AUTOSCALER_SERVICE], include=["TAGS"])["services"][0]

    assert service()["desiredCount"] == 0
    ended = operator.wait_verdict("drained", within_s=120)
    assert ended["phase"] == "Passed", ended
    assert service()["desiredCount"] == 1
    assert not [tag for tag in service()["tags"] if tag["key"].startswith("dagstorm:")]


def test_a_queue_that_denies_is_opened_again(operator: Operator, stack: Stack) -> None:
    deny = {"name": "deny", "after": "3s", "for": "6s", "denyQueue": {}}
    operator.drop(scenario("denied", {"constant": {"rate": "1/s"}}, "14s", FAST, faults=[deny]))
    operator.start()
    status = operator.wait("denied", "the denial in place", is_in_place, 30)
    url = fault(status)["objects"][0]["queue"]
    sqs = stack.client("sqs")
    policy = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    assert "DagstormDenyDataPlane" in policy
    ended = operator.wait_verdict("denied", within_s=180)
    assert ended["phase"] == "Passed", ended
    assert not sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes", {}).get("Policy")


LONG_CUT = {"name": "cut", "after": "1s", "for": "5m", "partition": {"between": "workers", "and": "postgres"}}


def long_cut(name: str) -> Document:
    return scenario(name, {"constant": {"rate": "6/min"}}, "6m", FAST, faults=[LONG_CUT])


def test_an_end_heals_first(operator: Operator, stack: Stack) -> None:
    before = rules(stack)
    operator.drop(long_cut("ending"))
    operator.start()
    operator.wait("ending", "the cut in place", is_in_place, 30)
    began = time.monotonic()
    assert operator.end(signal.SIGTERM, within_s=30) == 0
    assert time.monotonic() - began < 28
    assert rules(stack) == before
    operator.delete("ending")
    operator.start()
    ended = operator.wait_phase("ending", "Stopped", within_s=60)
    assert fault(ended)["state"] == "Healed"
    assert marks(stack) == []


def test_heal_needs_no_data_folder(operator: Operator, stack: Stack) -> None:
    before = rules(stack)
    operator.drop(long_cut("orphan"))
    operator.start()
    operator.wait("orphan", "the cut in place", is_in_place, 30)
    operator.end(signal.SIGKILL)
    shutil.rmtree(operator.data)
    command = [str(PROGRAM), "heal", "--all"]
    dry = subprocess.run([*command, "--dry-run"], env=stack.environment(), capture_output=True, text=True, check=False)
    assert dry.returncode == 1, dry.stdout + dry.stderr
    assert "1 left behind; nothing was changed" in dry.stdout
    assert rules(stack) != before
    done = subprocess.run(command, env=stack.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 left behind, 1 healed, 0 unhealed" in done.stdout
    assert rules(stack) == before
    assert marks(stack) == []
    again = subprocess.run(command, env=stack.environment(), capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout.strip()) == (0, "no fault left anything behind")


def test_a_run_heals_what_another_run_has_left(stack: Stack, tmp_path: Path) -> None:
    before = rules(stack)
    target = write(tmp_path / "target.yaml", stack.target())
    left = write(tmp_path / "left.yaml", long_cut("left-behind"))
    with (tmp_path / "left.log").open("wb") as log, popen(stack, tmp_path / "data", log, target, left) as process:
        wait_for(lambda: rules(stack) != before, "the cut", 30)
        process.kill()
    other = write(tmp_path / "other.yaml", burst("other-run", 1, FAST))
    done = run(stack, tmp_path / "data", target, other, within_s=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert rules(stack) == before
    assert marks(stack) == []


def test_what_somebody_else_changed_is_not_overwritten(operator: Operator, stack: Stack) -> None:
    before = rules(stack)
    ec2 = stack.client("ec2")
    group = stack.target()["spec"]["network"]["workers"]["securityGroup"]
    operator.drop(long_cut("meddled"))
    operator.start()
    status = operator.wait("meddled", "the cut in place", is_in_place, 30)
    [removed] = [line for line in before if line not in rules(stack)]
    rule = json.loads(removed)
    pair = {"GroupId": rule["ReferencedGroupInfo"]["GroupId"], "Description": "mended by hand"}
    permission = {
        "IpProtocol": rule["IpProtocol"],
        "FromPort": rule["FromPort"],
        "ToPort": rule["ToPort"],
        "UserIdGroupPairs": [pair],
    }
    assert status["phase"] == "Running"
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[permission])
    try:
        stalled = operator.wait_condition("meddled", "Stalled", "ChangedBySomebodyElse", within_s=30)
        assert "mended by hand" in stalled["message"]
        assert any("mended by hand" in line for line in rules(stack)), "it is left as it is"
    finally:
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[permission])
    operator.wait("meddled", "healed", lambda status: fault(status).get("state") == "Healed", 60)
    assert rules(stack) == before
    assert marks(stack) == []


def test_a_later_run_goes_by_what_it_sees_itself(stack: Stack, tmp_path: Path) -> None:
    """Somebody's change in the way of a fault's way back ends a `run`; once it is mended, the next one goes on."""
    before = rules(stack)
    ec2 = stack.client("ec2")
    group = stack.target()["spec"]["network"]["workers"]["securityGroup"]
    target = write(tmp_path / "target.yaml", stack.target())
    cut = {"name": "cut", "after": "2s", "for": "25s", "partition": {"between": "workers", "and": "sqs"}}
    load = scenario("meddled-run", {"constant": {"rate": "1/s"}}, "30s", FAST, faults=[cut])
    file = write(tmp_path / "meddled.yaml", load)
    with (tmp_path / "run.log").open("wb") as log, popen(stack, tmp_path / "data", log, target, file) as process:
        wait_for(lambda: rules(stack) != before, "the cut", 30)
        [removed] = [line for line in before if line not in rules(stack)]
        rule = json.loads(removed)
        pair = {"GroupId": rule["ReferencedGroupInfo"]["GroupId"], "Description": "mended by hand"}
        permission = {
            "IpProtocol": rule["IpProtocol"],
            "FromPort": rule["FromPort"],
            "ToPort": rule["ToPort"],
            "UserIdGroupPairs": [pair],
        }
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[permission])
        try:
            assert process.wait(60) == 4
            again = run(stack, tmp_path / "data", target, file)
            assert again.returncode == 4, "it still stands in the way"
            assert "ChangedBySomebodyElse" in again.stdout
        finally:
            ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[permission])
    assert "ChangedBySomebodyElse" in (tmp_path / "run.log").read_text()
    assert unanswered(tmp_path / "data", "meddled-run") == [], "the answers of what was sent were waited for"
    done = run(stack, tmp_path / "data", target, file, within_s=180)
    assert "ChangedBySomebodyElse" not in done.stdout.splitlines()[-1], done.stdout
    assert done.returncode in (0, 3), done.stdout
    assert rules(stack) == before
    assert marks(stack) == []


def test_dagstorms_own_task_is_no_target(operator: Operator, stack: Stack, tmp_path: Path) -> None:
    ecs = stack.client("ecs")
    arns = sorted(ecs.list_tasks(cluster=CLUSTER, serviceName=WORKER_SERVICE)["taskArns"])
    served = tmp_path / "metadata" / "v4"
    served.mkdir(parents=True)
    (served / "task").write_text(json.dumps({"Cluster": CLUSTER, "TaskARN": arns[0]}))
    command = [
        sys.executable,
        "-u",
        "-m",
        "http.server",
        "0",
        "--bind",
        "127.0.0.1",
        "--directory",
        str(tmp_path / "metadata"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout
            port = server.stdout.readline().split(" port ")[1].split()[0]
            target = stack.target()
            target["spec"]["guard"] |= {"minHealthy": 0, "maxAffected": "100%"}
            operator.drop(target, "target.yaml")
            everyone = {"service": "workers", "pick": "all", "includeProtected": True}
            faults = [{"name": "kill", "after": "2s", "stopTasks": everyone}]
            operator.drop(scenario("not-me", {"constant": {"rate": "1/s"}}, "6s", FAST, faults=faults))
            operator.start(ECS_CONTAINER_METADATA_URI_V4=f"http://127.0.0.1:{port}/v4")
            ended = operator.wait_verdict("not-me", within_s=120)
        finally:
            server.terminate()
    stopped = sorted(task["arn"] for task in fault(ended)["targets"])
    assert stopped == arns[1:], ended


def alarm(stack: Stack, state: str) -> None:
    cloudwatch = stack.client("cloudwatch")
    cloudwatch.set_alarm_state(AlarmName="dagster-5xx", StateValue=state, StateReason=f"a test says {state}")


def test_an_alarm_ends_it_and_everything_heals(operator: Operator, stack: Stack) -> None:
    before = rules(stack)
    stack.client("cloudwatch").put_metric_alarm(
        AlarmName="dagster-5xx",
        Namespace="Test",
        MetricName="Errors",
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        Period=60,
        Statistic="Sum",
        Threshold=1.0,
    )
    alarm(stack, "ALARM")
    document = long_cut("alarmed")
    document["spec"]["limits"] = {"abortOn": {"alarm": "dagster-5xx"}}
    operator.drop(document)
    operator.start()
    waiting = operator.wait_condition("alarmed", "Ready", "AlarmRings", within_s=20)
    assert "a test says ALARM" in waiting["message"]
    alarm(stack, "OK")
    operator.wait("alarmed", "the cut in place", is_in_place, 40)
    alarm(stack, "ALARM")
    ended = operator.wait_verdict("alarmed", within_s=90)
    alarm(stack, "OK")
    assert ended["phase"] == "Failed", ended
    assert "limits.abortOn: alarm dagster-5xx is in ALARM: a test says ALARM" in ended["audit"]["message"]
    assert fault(ended)["state"] == "Healed"
    assert rules(stack) == before
    assert wait_for(lambda: marks(stack) == [], "no mark", 10)
