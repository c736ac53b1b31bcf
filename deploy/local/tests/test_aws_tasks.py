"""ECS over the wire: tasks are processes, stopping takes its time, services keep their count."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_rig import STUBBORN, Emulator, alive, error_code, eventually, mark, throughout

from dagstorm_local.aws import processes
from dagstorm_local.contract import CLUSTER, WORKERS_GROUP

TELL = (
    "import json,os,time,urllib.request as u\n"
    "m=os.environ['ECS_CONTAINER_METADATA_URI_V4']\n"
    "print(json.dumps([dict(os.environ),json.load(u.urlopen(m)),json.load(u.urlopen(m+'/task'))]),flush=True)\n"
    "time.sleep(60)"
)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = Emulator(tmp_path_factory.mktemp("cloud"))
    yield emulator
    emulator.close()


def test_a_service_runs_as_many_processes_as_it_wants(cloud: Emulator) -> None:
    cloud.service("count", 3, environment=mark("count"))
    cloud.running("count", 3)
    assert len(cloud.pids("count")) == 3
    cloud.ecs.update_service(cluster=CLUSTER, service="count", desiredCount=1)
    eventually(lambda: len(cloud.pids("count")) == 1)
    cloud.ecs.update_service(cluster=CLUSTER, service="count", desiredCount=2)
    eventually(lambda: len(cloud.pids("count")) == 2)
    cloud.delete_service("count")
    eventually(lambda: not cloud.pids("count"))


def test_a_killed_process_stops_its_task_with_137_and_is_replaced_once(cloud: Emulator) -> None:
    cloud.service("killed", 2, environment=mark("killed"))
    before = cloud.running("killed", 2)
    pids = cloud.pids("killed")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: len(set(cloud.pids("killed")) - set(pids)) == 2)
    for task in before:
        stopped = cloud.stopped(task["taskArn"])
        assert stopped["stopCode"] == "EssentialContainerExited"
        assert stopped["containers"][0]["exitCode"] == 137
        assert stopped["tags"] == []
    throughout(lambda: len(cloud.pids("killed")) <= 2, 1.3)  # longer than the scheduler's round
    cloud.delete_service("killed")


def test_stop_task_answers_at_once_and_kills_after_the_stop_timeout(cloud: Emulator) -> None:
    cloud.service("stubborn", 1, STUBBORN, environment=mark("stubborn"), stopTimeout=2)
    task = cloud.running("stubborn", 1)[0]
    pid = cloud.pids("stubborn")[0]
    eventually(lambda: "deaf" in cloud.log(task, "stubborn"))
    assert task["tags"] == [{"key": "team", "value": "storm"}]
    began = time.monotonic()
    answer = cloud.ecs.stop_task(cluster=CLUSTER, task=task["taskArn"], reason="fault 7")["task"]
    assert time.monotonic() - began < 1
    assert (answer["desiredStatus"], answer["lastStatus"], answer["stoppedReason"]) == ("STOPPED", "RUNNING", "fault 7")
    eventually(lambda: set(cloud.pids("stubborn")) - {pid})  # replaced before the old one is gone
    assert alive(pid)
    eventually(lambda: not alive(pid))
    assert time.monotonic() - began > 1.9
    stopped = cloud.stopped(task["taskArn"])
    assert (stopped["stopCode"], stopped["containers"][0]["exitCode"], stopped["tags"]) == ("UserInitiated", 137, [])
    assert cloud.ecs.stop_task(cluster=CLUSTER, task=task["taskArn"])["task"]["stoppedReason"] == "fault 7"
    assert len(cloud.tasks("stubborn")) == 1
    cloud.delete_service("stubborn")


def test_a_task_has_an_interface_that_ecs_manages(cloud: Emulator) -> None:
    cloud.service("seat", 1)
    task = cloud.running("seat", 1)[0]
    details = {one["name"]: one["value"] for one in task["attachments"][0]["details"]}
    assert details["subnetId"] == cloud.topology.tasks_subnet
    eni = details["networkInterfaceId"]
    found = cloud.ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"][0]
    assert found["PrivateIpAddress"] == details["privateIPv4Address"]
    assert found["Groups"] == [{"GroupId": cloud.topology.groups[WORKERS_GROUP], "GroupName": WORKERS_GROUP}]
    assert found["RequesterManaged"]
    change = {"NetworkInterfaceId": eni, "Groups": [cloud.topology.groups["sg-database"]]}
    assert error_code(lambda: cloud.ec2.modify_network_interface_attribute(**change)) == "OperationNotPermitted"
    assert error_code(lambda: cloud.ec2.delete_network_interface(NetworkInterfaceId=eni)) == "OperationNotPermitted"
    cloud.delete_service("seat")
    by_id = {"NetworkInterfaceIds": [eni]}
    gone = "InvalidNetworkInterfaceID.NotFound"
    eventually(lambda: error_code(lambda: cloud.ec2.describe_network_interfaces(**by_id)) == gone)


def test_a_task_knows_itself_and_its_destinations(cloud: Emulator) -> None:
    environment = [{"name": "STACK_DESTINATIONS", "value": "sqs,dagster"}, {"name": "MINE", "value": "1"}]
    cloud.service("tell", 1, [sys.executable, "-c", TELL], environment=environment)
    task = cloud.running("tell", 1)[0]
    told = eventually(lambda: cloud.log(task, "tell"))
    variables, container, itself = json.loads(told)
    assert (variables["MINE"], variables["AWS_ACCESS_KEY_ID"], variables["AWS_REGION"]) == ("1", "test", "us-east-1")
    paths = cloud.paths(task["taskArn"])
    assert sorted(paths) == ["dagster", "sqs"]
    assert variables["AWS_ENDPOINT_URL_SQS"] == f"http://127.0.0.1:{paths['sqs']['port']}"
    assert variables["STACK_DAGSTER_URL"] == f"http://127.0.0.1:{paths['dagster']['port']}"
    assert "AWS_ENDPOINT_URL" not in variables
    assert container["Name"] == "tell"
    assert (itself["TaskARN"], itself["Family"], itself["Revision"]) == (task["taskArn"], "tell", "1")
    assert itself["Cluster"].endswith("cluster/demo")
    cloud.delete_service("tell")


def test_a_command_that_cannot_be_spawned_fails_to_start_and_is_not_retried_hotly(cloud: Emulator) -> None:
    cloud.service("absent", 1, ["/nonexistent/program"])
    task = eventually(lambda: cloud.tasks("absent", "STOPPED"))[0]
    assert (task["stopCode"], task["containers"]) == ("TaskFailedToStart", [])
    assert "nonexistent" in task["stoppedReason"]
    throughout(lambda: len(cloud.tasks("absent", "STOPPED")) < 6, 1.5)
    cloud.delete_service("absent")


def test_a_new_revision_replaces_the_old_one(cloud: Emulator) -> None:
    cloud.service("rolled", 2, environment=mark("old"))
    cloud.running("rolled", 2)
    definition = cloud.ecs.describe_task_definition(taskDefinition="rolled")["taskDefinition"]["containerDefinitions"]
    definition[0]["environment"] = mark("new")
    cloud.ecs.register_task_definition(family="rolled", networkMode="awsvpc", containerDefinitions=definition)
    cloud.ecs.update_service(cluster=CLUSTER, service="rolled", taskDefinition="rolled")
    eventually(lambda: len(cloud.pids("new")) == 2 and not cloud.pids("old"))
    cloud.delete_service("rolled")


def test_output_reaches_cloudwatch_logs(cloud: Emulator) -> None:
    options = {"awslogs-group": "/ecs/said", "awslogs-create-group": "true", "awslogs-stream-prefix": "ecs"}
    log = {"logDriver": "awslogs", "options": options | {"awslogs-region": "us-east-1"}}
    cloud.service("said", 1, ["sh", "-c", "echo hello; sleep 60"], logConfiguration=log)
    logs = cloud.client("logs")

    def messages() -> list[str]:
        if error_code(lambda: logs.describe_log_streams(logGroupName="/ecs/said")):
            return []
        return [event["message"] for event in logs.filter_log_events(logGroupName="/ecs/said")["events"]]

    eventually(lambda: "hello" in messages())
    cloud.delete_service("said")


PROTECTED = (  # protects itself through the agent, and waits
    "import json,os,time,urllib.request as u\n"
    "a=os.environ['ECS_AGENT_URI']+'/task-protection/v1/state'\n"
    "u.urlopen(u.Request(a,b'{\"ProtectionEnabled\": true, \"ExpiresInMinutes\": 5}',method='PUT'))\n"
    "print(json.dumps(json.load(u.urlopen(a))),flush=True)\n"
    "time.sleep(60)"
)


def test_scale_in_passes_over_a_protected_task(cloud: Emulator) -> None:
    cloud.service("held", 2)
    idle = {task["taskArn"] for task in cloud.running("held", 2)}
    definition = cloud.ecs.register_task_definition(
        family="busy",
        networkMode="awsvpc",
        containerDefinitions=[{"name": "busy", "image": "x", "command": [sys.executable, "-c", PROTECTED]}],
    )["taskDefinition"]["taskDefinitionArn"]
    task = cloud.ecs.run_task(cluster=CLUSTER, taskDefinition=definition)["tasks"][0]
    eventually(lambda: cloud.task(task["taskArn"])["lastStatus"] == "RUNNING")
    told = json.loads(eventually(lambda: cloud.log(task, "busy")))["protection"]
    assert (told["TaskArn"], told["ProtectionEnabled"]) == (task["taskArn"], True)
    cloud.ecs.stop_task(cluster=CLUSTER, task=task["taskArn"])  # protection is from scale-in alone
    cloud.stopped(task["taskArn"])

    newest = max(cloud.running("held", 2), key=lambda task: task["createdAt"])["taskArn"]
    ask = {"cluster": CLUSTER, "tasks": [newest]}
    answer = cloud.ecs.update_task_protection(**ask, protectionEnabled=True, expiresInMinutes=5)
    assert [one["taskArn"] for one in answer["protectedTasks"]] == [newest]
    assert answer["protectedTasks"][0]["expirationDate"].timestamp() > time.time() + 250
    cloud.ecs.update_service(cluster=CLUSTER, service="held", desiredCount=1)
    cloud.stopped((idle - {newest}).pop())
    assert [task["taskArn"] for task in cloud.running("held", 1)] == [newest]
    cloud.ecs.update_service(cluster=CLUSTER, service="held", desiredCount=0)
    throughout(lambda: len(cloud.tasks("held")) == 1, 1.3)  # longer than the scheduler's round
    cloud.ecs.update_task_protection(**ask, protectionEnabled=False)
    assert not cloud.ecs.get_task_protection(**ask)["protectedTasks"][0]["protectionEnabled"]
    cloud.stopped(newest)
    cloud.delete_service("held")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_task_outlives_the_emulator(tmp_path: Path, number: int) -> None:
    emulator = Emulator(tmp_path)
    name = f"orphans-{number}"
    grandchildren = ["sh", "-c", "sleep 1000 & sleep 1000"]
    emulator.service("orphans", 2, grandchildren, environment=mark(name))
    emulator.running("orphans", 2)
    eventually(lambda: len(emulator.pids(name)) == 6)
    emulator.process.send_signal(number)
    emulator.process.wait(10)
    eventually(lambda: not emulator.pids(name), 5)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_task_outlives_an_emulator_that_ends_while_it_starts_them(tmp_path: Path, number: int) -> None:
    emulator = Emulator(tmp_path)
    name = f"rising-{number}-{tmp_path}"
    emulator.service("rising", 2, STUBBORN, environment=mark(name))
    emulator.running("rising", 2)
    emulator.ecs.update_service(cluster=CLUSTER, service="rising", desiredCount=30)
    eventually(lambda: len(emulator.pids(name)) > 4)
    for pid in emulator.pids(name)[:2]:
        os.kill(pid, signal.SIGKILL)  # to be replaced
    emulator.process.send_signal(number)
    emulator.process.wait(10)
    eventually(lambda: not emulator.pids(name), 5)
    throughout(lambda: not emulator.pids(name), 0.5)


def test_a_process_that_starts_during_the_teardown_is_ended_and_none_starts_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = processes.ProcessClient(tmp_path, lambda _arn, environment: environment)
    started: list[int] = []
    real = subprocess.Popen

    def slow(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = real(*arguments, **options)
        started.append(process.pid)
        time.sleep(0.5)  # it runs, and its starter does not know of it yet
        return process

    monkeypatch.setattr(subprocess, "Popen", slow)

    def run() -> object:
        return client.run("x", command=STUBBORN, environment={}, labels={})

    starting = threading.Thread(target=run)
    starting.start()
    eventually(lambda: started)
    client.close()
    assert not alive(started[0])
    starting.join()
    with pytest.raises(OSError, match="going down"):
        run()


KILLED_BETWEEN = """
import os, pathlib, signal, subprocess, sys
from dagstorm_local.aws import processes
client = processes.ProcessClient(pathlib.Path(sys.argv[1]), lambda _arn, environment: environment)
real = subprocess.Popen
def last(*arguments, **options):
    print(real(*arguments, **options).pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
subprocess.Popen = last
client.run("x", command=["sleep", "1000"], environment={}, labels={})
"""


def test_a_process_is_ended_that_its_killed_emulator_had_no_time_to_know_of(tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_BETWEEN, str(tmp_path)], capture_output=True, timeout=20, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    eventually(lambda: not alive(int(killed.stdout)), 5)
