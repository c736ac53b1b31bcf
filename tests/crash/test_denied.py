"""The policy that `plan --policy` prints is enough for a fault; without one of its actions, nothing is half done."""

from __future__ import annotations

import json
import os
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cloud import Cloud, differences
from crash_proof import HEALED_WITHIN_S, KINDS, PROGRAM, Case, in_threads, waits

# What each kind cannot do without: its change itself, and the mark before it.
LACKING: dict[str, tuple[str, ...]] = {
    "stopTasks": ("ecs:StopTask",),
    "drainService": ("ecs:UpdateService", "ecs:TagResource"),
    "drainInstances": ("ecs:UpdateContainerInstancesState", "ecs:TagResource"),
    "partition (newConnections)": ("ec2:RevokeSecurityGroupEgress", "ec2:CreateTags"),
    "partition (hard)": ("ec2:ReplaceNetworkAclAssociation", "ec2:CreateNetworkAclEntry"),
    "denyQueue": ("sqs:SetQueueAttributes", "sqs:TagQueue"),
    "redeliver": ("sqs:ReceiveMessage",),
}
SIDE_BY_SIDE = 7

Lived = tuple[dict[str, Any], str]  # the fault's end, and what is not as it was


def least(case: Case) -> dict[str, Any]:
    command = [str(PROGRAM), "plan", str(case.folder / "manifests" / "all.yaml"), "--policy"]
    environment = os.environ | case.cloud.environment(case.cloud.emulator.url)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    policy: dict[str, Any] = json.loads(done.stdout)
    return policy


def without(policy: dict[str, Any], action: str) -> dict[str, Any]:
    kept = [{**one, "Action": [name for name in one["Action"] if name != action]} for one in policy["Statement"]]
    return {**policy, "Statement": [one for one in kept if one["Action"]]}


def live(folder: Path, kind: str, lacking: str, lives: dict[tuple[str, str], Lived]) -> None:
    """The life of a fault under the least policy but for one action."""
    cloud = Cloud(folder / "cloud", iam=True)
    baseline = cloud.dump()
    case = Case(cloud, folder / "case", kind)
    try:
        policy = least(case)
        assert not lacking or policy != without(policy, lacking), f"{lacking} is not in the policy"
        cloud.permit("operator", without(policy, lacking))
        case.start(cloud.emulator.url)
        assert waits(case.is_final, HEALED_WITHIN_S), case.tail()
        case.stop()
        waits(lambda: cloud.dump() == baseline, 20)
        lives[kind, lacking] = (case.fault(), differences(baseline, cloud.dump()))
    finally:
        case.close()
        cloud.close()


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Lived]:
    """All of them side by side: each takes half a minute, and most of that is waiting."""
    found: dict[tuple[str, str], Lived] = {}
    folder = tmp_path_factory.mktemp("lives")
    wanted = [(kind, "") for kind in KINDS] + [
        (kind, action) for kind, actions in LACKING.items() for action in actions
    ]
    works = [partial(live, folder / str(number), *one, found) for number, one in enumerate(wanted)]
    in_threads(works, SIDE_BY_SIDE)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_least_policy_is_enough(lives: dict[tuple[str, str], Lived], kind: str) -> None:
    fault, different = lives[kind, ""]
    assert fault["state"] == "Healed", fault
    assert different == "{}\n"


@pytest.mark.parametrize(("kind", "action"), [(kind, one) for kind, actions in LACKING.items() for one in actions])
def test_what_the_policy_lacks_is_said_and_nothing_is_half_done(
    lives: dict[tuple[str, str], Lived], kind: str, action: str
) -> None:
    fault, different = lives[kind, action]
    assert fault["state"] == "Refused", fault
    assert any(word in fault["reason"] for word in ("AccessDenied", "UnauthorizedOperation")), fault
    assert different == "{}\n"
