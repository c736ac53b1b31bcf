"""`dagstorm plan` on the real stack: what it sees, how it ends, and that it changes nothing."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from rig import PROGRAM, Document, Stack, burst, run, scenario, write

FAST = {"fast_job": 1}
KILL = {"name": "kill", "after": "1s", "stopTasks": {"service": "workers", "pick": "30%"}}
CUT = {"name": "cut", "after": "2s", "for": "3s", "partition": {"between": "workers", "and": "sqs"}}
DENIED = """<?xml version="1.0" encoding="UTF-8"?>
<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized to perform: \
ec2:RevokeSecurityGroupEgress</Message></Error></Errors><RequestID>00000000-example</RequestID></Response>"""


def faulty(name: str, *faults: Document, jobs: Document | None = None, **spec: Any) -> Document:
    return scenario(name, {"constant": {"rate": "1/s"}}, "10s", jobs or FAST, faults=list(faults), **spec)


def plan(stack: Stack, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROGRAM), "plan", *arguments],
        env=stack.environment() | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def seen(done: subprocess.CompletedProcess[str]) -> Document:
    """The one target of a report."""
    assert done.stderr == "", done.stderr
    [target] = json.loads(done.stdout)["targets"]
    return dict(target)


@dataclass(frozen=True)
class World:
    """Everything that a plan could change by mistake."""

    rules: list[str]
    tags: list[str]
    tasks: list[str]
    desired: list[int]
    runs: list[str]


def look(stack: Stack, name: str) -> World:
    ec2, ecs = stack.client("ec2"), stack.client("ecs")
    services = list(stack.target()["spec"]["ecs"]["services"].values())
    described = ecs.describe_services(cluster="demo", services=services)["services"]
    return World(
        rules=sorted(
            json.dumps(one, sort_keys=True) for one in ec2.describe_security_group_rules()["SecurityGroupRules"]
        ),
        tags=sorted(json.dumps(one, sort_keys=True) for one in ec2.describe_tags()["Tags"]),
        tasks=sorted(ecs.list_tasks(cluster="demo")["taskArns"]),
        desired=[one["desiredCount"] for one in described],
        runs=[run["runId"] for run in stack.runs(name)],
    )


@dataclass
class Proxy:
    """Stands before the emulated AWS, notes what is asked, and denies every dry run if it shall."""

    url: str = ""
    denies: bool = False
    bodies: list[bytes] = field(default_factory=list)


@contextmanager
def proxy(behind: str) -> Iterator[Proxy]:
    facts = Proxy()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            facts.bodies.append(body)
            if facts.denies and b"DryRun=true" in body:
                return self.answer(403, "text/xml", DENIED.encode())
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            try:
                with urlopen(Request(behind + self.path, body, headers), timeout=10) as answer:
                    return self.answer(answer.status, answer.headers.get("Content-Type", ""), answer.read())
            except HTTPError as error:
                return self.answer(error.code, error.headers.get("Content-Type", ""), error.read())

        def answer(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    facts.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield facts
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def target(stack: Stack, tmp_path: Path) -> str:
    return str(write(tmp_path / "target.yaml", stack.target()))


def test_everything_is_looked_at_and_nothing_is_changed(stack: Stack, tmp_path: Path, target: str) -> None:
    file = str(write(tmp_path / "s.yaml", faulty("planned", KILL, CUT, jobs={"fast_job": 1, "slow_job": 1})))
    before = look(stack, "planned")
    done = plan(stack, "--online", "-o", "json", target, file)
    shown = plan(stack, "--online", target, file)
    assert look(stack, "planned") == before
    assert before.runs == []
    assert (done.returncode, shown.returncode, shown.stderr) == (0, 0, ""), done.stdout + shown.stdout

    found = seen(done)
    assert (found["problems"], found["unreached"], found["notes"]) == ([], [], [])
    assert found["dagster"]["version"].startswith("1.13.")
    assert (found["dagster"]["location"], found["dagster"]["jobs"]) == ("demo", ["fast_job", "slow_job"])
    assert (found["identity"]["account"], found["identity"]["region"]) == ("000000000000", "us-east-1")
    assert found["queue"]["name"] == "taskiq-tasks"

    services = {one["role"]: one for one in found["services"]}
    assert set(services) == set(stack.target()["spec"]["ecs"]["services"])
    assert (services["workers"]["desired"], services["workers"]["running"]) == (3, 3)
    arns = stack.client("ecs").list_tasks(cluster="demo", serviceName="taskiq-worker")["taskArns"]
    tasks = services["workers"]["tasks"]
    assert sorted(one["id"] for one in tasks) == sorted(arn.rsplit("/", 1)[1] for arn in arns)
    assert all(one["permitted"] and one["tags"]["dagstorm-ready"] == "true" for one in tasks)
    assert all("tasks" not in one for role, one in services.items() if role != "workers")

    faults = {one["fault"]: one for one in found["faults"]}
    assert faults["kill"]["tasks"] == 1
    assert "30% of 3 running = 1, maxAffected 50% allows 2, minHealthy 1 allows 2 → 1" in faults["kill"]["would"]
    peer = stack.target()["spec"]["network"]["peers"]["sqs"]["securityGroup"]
    rules = faults["cut"]["rules"]
    assert [rule.split(' "')[0] for rule in rules["revoke"]] == [f"egress tcp 443 to {peer}"]
    assert rules["authorize"] == []
    assert [(one["call"], one["permitted"]) for one in rules["dryRuns"]] == [
        ("RevokeSecurityGroupEgress", True),
        ("AuthorizeSecurityGroupEgress, to heal", True),
    ]
    for words in (f"- egress tcp 443 to {peer}", "✓ dry run of RevokeSecurityGroupEgress: permitted", "→ 1"):
        assert words in shown.stdout


def test_what_cannot_work_ends_with_4(stack: Stack, tmp_path: Path, target: str) -> None:
    def changed(path: str, value: object) -> Document:
        """The target with one field changed."""
        document = stack.target()
        place = document["spec"]
        *above, last = path.split(".")
        for name in above:
            place = place.setdefault(name, {})
        place[last] = value
        return document

    absent = {"workers": "taskiq-worker", "ghosts": "no-such-service"}
    ghosts = {**KILL, "stopTasks": {"service": "ghosts"}}
    cases: list[tuple[str, Document, Document, str]] = [
        ("no-job", stack.target(), faulty("no-job", jobs={"no_such_job": 1}), "has no job `no_such_job`"),
        ("no-service", changed("ecs.services", absent), faulty("no-service", ghosts), "no-such-service"),
        ("no-location", changed("dagster.location", "elsewhere"), faulty("no-location"), "elsewhere"),
        ("account", changed("guard.account", "111111111111"), faulty("account"), "names account 111111111111"),
        ("tag", changed("guard.requireTag", {"x": "y"}), faulty("tag", KILL), "is permitted by the guard"),
        ("self", changed("network.self", {"cidr": "0.0.0.0/0"}), faulty("self", CUT), "may cut its own path"),
        ("no-queue", changed("queues.tasks.name", "nowhere"), faulty("no-queue"), "nowhere"),
    ]
    for name, document, one, words in cases:
        before = look(stack, name)
        done = plan(stack, "-o", "json", str(write(tmp_path / f"{name}.yaml", document, one)))
        assert done.returncode == 4, done.stdout
        problems = seen(done)["problems"]
        assert len(problems) == 1, problems
        assert words in problems[0]
        assert look(stack, name) == before
    # A service that no scenario needs is no reason against it.
    document = changed("ecs.services", absent)
    done = plan(stack, "-o", "json", str(write(tmp_path / "unused.yaml", document, faulty("unused", KILL))))
    assert done.returncode == 0, done.stdout
    [note] = seen(done)["notes"]
    assert "no-such-service" in note


def test_runs_that_dagster_holds_already_are_said(stack: Stack, tmp_path: Path, target: str) -> None:
    file = write(tmp_path / "s.yaml", burst("held", 1, FAST))
    assert seen(plan(stack, "-o", "json", target, str(file)))["notes"] == []
    assert run(stack, tmp_path / "data", Path(target), file).returncode == 0
    done = plan(stack, "-o", "json", target, str(file))
    [note] = seen(done)["notes"]
    assert done.returncode == 0
    assert note.startswith("Dagster holds 1 run of held/"), note


def test_a_denied_dry_run_ends_with_4(stack: Stack, tmp_path: Path, target: str) -> None:
    file = str(write(tmp_path / "s.yaml", faulty("denied", CUT)))
    before = look(stack, "denied")
    with proxy(stack.facts["aws"]["endpoint"]) as aws:
        aws.denies = True
        done = plan(stack, "-o", "json", target, file, AWS_ENDPOINT_URL_EC2=aws.url)
    assert done.returncode == 4, done.stdout
    found = seen(done)
    [cut] = found["faults"]
    assert [one["permitted"] for one in cut["rules"]["dryRuns"]] == [False, False]
    assert all("not authorized to perform: ec2:RevokeSecurityGroupEgress" in one for one in found["problems"])
    changes = [body for body in aws.bodies if b"Action=Describe" not in body]
    assert len(changes) == len(found["problems"]) == 2
    assert all(b"DryRun=true" in body for body in changes)
    assert look(stack, "denied") == before


def test_offline_and_policy_contact_nothing(stack: Stack, tmp_path: Path, target: str) -> None:
    document = stack.target()
    with proxy(stack.facts["aws"]["endpoint"]) as aws:
        document["spec"]["dagster"]["url"] = f"{aws.url}/graphql"
        file = str(write(tmp_path / "s.yaml", document, faulty("quiet", KILL, CUT)))
        for option in ("--offline", "--policy"):
            done = plan(stack, option, file, AWS_ENDPOINT_URL=aws.url)
            assert (done.returncode, done.stderr) == (0, "")
        assert aws.bodies == []
        # The same with what may look: the proxy is where it would have been noticed.
        assert plan(stack, file, AWS_ENDPOINT_URL=aws.url).returncode == 4
        assert any(b"GetCallerIdentity" in body for body in aws.bodies)
    policy = json.loads(done.stdout)
    assert {one["Effect"] for one in policy["Statement"]} == {"Allow"}
    assert "ecs:StopTask" in {action for one in policy["Statement"] for action in one["Action"]}
