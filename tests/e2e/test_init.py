"""`dagstorm init` finds the stack out, and ready-made scenarios run from flags against what it wrote."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml
from rig import PROGRAM, Document, Stack

QUICK = ("--rate", "2/s", "--for", "3s", "--mix", "fast_job=70,parallel_fast_job=30", "--quiet", "4s")


def dagstorm(stack: Stack, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROGRAM), *arguments],
        env=stack.environment() | environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def documents(*paths: Path) -> list[Document]:
    found: list[Document] = [yaml.safe_load(path.read_text()) for path in paths]
    return found


def everything(stack: Stack) -> list[Any]:
    """What `init` looks at and must not change."""
    ecs, ec2, sqs = stack.client("ecs"), stack.client("ec2"), stack.client("sqs")
    services = ecs.describe_services(cluster="demo", services=["taskiq-worker", "autoscaler", "run-executor"])
    return [
        [(one["serviceName"], one["taskDefinition"], one["networkConfiguration"]) for one in services["services"]],
        ec2.describe_security_group_rules()["SecurityGroupRules"],
        sorted(sqs.list_queues()["QueueUrls"]),
    ]


def test_init_finds_the_stack_and_changes_nothing(stack: Stack, tmp_path: Path) -> None:
    before, url = everything(stack), stack.facts["dagster"]["graphql"]
    folder = tmp_path / "made"
    done = dagstorm(stack, "init", str(folder), DAGSTER_GRAPHQL_URL=url)
    assert (done.returncode, done.stderr) == (0, ""), "everything was found out"
    assert sorted(path.name for path in folder.iterdir()) == ["scenario.yaml", "target.yaml"]
    target, scenario = documents(folder / "target.yaml", folder / "scenario.yaml")
    ours = stack.target("mine")["spec"]
    assert target["spec"]["dagster"] == {"url": url, "location": ours["dagster"]["location"]}
    services = {role: ours["ecs"]["services"][role] for role in ("workers", "autoscaler")}
    assert target["spec"]["ecs"] == {"cluster": ours["ecs"]["cluster"], "services": services}
    assert target["spec"]["queues"] == ours["queues"]
    assert target["spec"]["network"]["workers"] == ours["network"]["workers"]
    assert target["spec"]["guard"] == ours["guard"]
    # The ends of the rules are offered, each with its port.
    text = (folder / "target.yaml").read_text()
    for name in ("sqs", "dagster", "postgres"):
        peer = ours["network"]["peers"][name]
        assert f"#   {name}: {{ securityGroup: {peer['securityGroup']}, port: {peer['port']} }}" in text
    [phase] = scenario["spec"]["load"]
    assert (phase["for"], phase["jobs"]) == ("1m", {"fast_job": 1})
    assert "faults" not in scenario["spec"]
    validated = dagstorm(stack, "validate", str(folder))
    assert validated.stdout == "2 files, 2 manifests: 2 good, 0 bad\n", validated.stdout
    assert everything(stack) == before
    assert stack.runs("first-load") == []


def test_init_says_what_flags_would_give(stack: Stack, tmp_path: Path) -> None:
    url = stack.facts["dagster"]["graphql"]
    arguments = ("--dagster-url", url, "--location", "elsewhere", "--workers", "nobody")
    done = dagstorm(stack, "init", str(tmp_path / "made"), *arguments)
    assert done.returncode == 0, done.stderr
    assert "Dagster has no code location `elsewhere`: the server has: demo" in done.stderr
    assert "no ECS service is called `nobody`; there are: demo/autoscaler, demo/run-executor" in done.stderr
    assert "give --workers-group" in done.stderr
    [target] = documents(tmp_path / "made" / "target.yaml")
    assert "ecs" not in target["spec"]
    assert "network" not in target["spec"]
    assert dagstorm(stack, "validate", str(tmp_path)).returncode == 0


def test_a_scenario_from_flags_passes(stack: Stack, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    url = stack.facts["dagster"]["graphql"]
    assert dagstorm(stack, "init", str(folder), DAGSTER_GRAPHQL_URL=url).returncode == 0
    flags = (*QUICK, "--name", "from-flags", "--target", str(folder / "target.yaml"))
    printed = dagstorm(stack, "run", "steady-load", *flags, "--print")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert stack.runs("from-flags") == [], "showing is not running"

    done = dagstorm(stack, "run", "steady-load", *flags, "--data", str(tmp_path / "data"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "from-flags: Passed — 6 of 6 acknowledged runs completed exactly once" in done.stdout
    assert set(stack.runs_by_key("from-flags").values()) == {1}
    assert len(stack.runs_by_key("from-flags")) == 6
    # What ran is what was printed: the same spec has the same digest.
    [report] = (tmp_path / "data" / "reports" / "from-flags").glob("*/report.json")
    file = tmp_path / "printed.yaml"
    file.write_text(printed.stdout)
    again = dagstorm(stack, "run", str(file), str(folder / "target.yaml"), "--data", str(tmp_path / "data"))
    assert again.returncode == 0, again.stdout + again.stderr
    generations = sorted(path.parent.name for path in report.parents[1].glob("*/report.json"))
    digest = report.parent.name.removesuffix("-1")
    assert generations == [f"{digest}-1", f"{digest}-2"]


def test_a_scenario_without_any_file(stack: Stack, tmp_path: Path) -> None:
    target = stack.target()["spec"]
    where = ("--dagster-url", target["dagster"]["url"], "--location", target["dagster"]["location"])
    ecs = ("--cluster", target["ecs"]["cluster"], "--workers", target["ecs"]["services"]["workers"])
    # The load outlasts the kill: a fault that meets no run in flight proves nothing.
    load = ("--rate", "2/s", "--for", "8s", "--mix", "fast_job=50,slow_job=50", "--quiet", "6s")
    kill = ("--pick", "one", "--kill-after", "4s", "--kills", "1", "--threshold", "none", "--name", "no-file")
    arguments = ("run", "worker-failure", *where, *ecs, *load, *kill, "--data", str(tmp_path / "data"))
    done = dagstorm(stack, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no-file: Passed — 16 of 16 acknowledged runs completed exactly once" in done.stdout
    status = yaml.safe_load((tmp_path / "data" / "status" / "no-file.yaml").read_text())["status"]
    [fault] = status["faults"]
    assert (fault["state"], len(fault["targets"])) == ("Healed", 1)
    assert set(stack.runs_by_key("no-file").values()) == {1}
