"""Faults over a wire that loses, breaks and refuses calls: they are injected and healed all the same."""

from __future__ import annotations

import random
import threading
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cloud import MESSAGES, Cloud, differences
from crash_proof import KINDS, Case, in_threads, waits
from killer import Killer, Mischief

DISTURBED = 0.3
WITHIN_S = 240.0
LASTS_S = 60  # a fault whose looks fail again and again is not skipped because the load is over
Lived = tuple[dict[str, Any], str, Counter[Mischief]]  # the fault, what is not as it was, what was done to calls


def live(folder: Path, kind: str, lives: dict[str, Lived]) -> None:
    cloud = Cloud(folder / "cloud")
    baseline = cloud.dump()
    dice, lock = random.Random(kind), threading.Lock()

    def disturb(_: str) -> Mischief | None:
        with lock:
            return dice.choice(list(Mischief)) if dice.random() < DISTURBED else None

    killer = Killer(cloud.emulator.port, disturb=disturb)
    case = Case(cloud, folder / "case", kind, LASTS_S)
    try:
        case.start(killer.url)
        assert waits(case.is_final, WITHIN_S), case.tail()
        case.stop()
        waits(lambda: cloud.dump() == baseline, 20)
        lives[kind] = (case.fault(), differences(baseline, cloud.dump()), killer.done)
    finally:
        case.close()
        killer.close()
        cloud.close()


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Lived]:
    found: dict[str, Lived] = {}
    folder = tmp_path_factory.mktemp("wires")
    in_threads([partial(live, folder / str(number), kind, found) for number, kind in enumerate(KINDS)], len(KINDS))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_over_a_bad_wire_is_healed(lives: dict[str, Lived], kind: str) -> None:
    fault, different, done = lives[kind]
    # Copies that may have been sent are not sent again: it may be that none was.
    assert fault["state"] in (("Healed", "Skipped") if kind == "redeliver" else ("Healed",)), fault
    assert different == "{}\n"
    assert sum(done.values()) > 5, done


def test_a_bad_wire_was_bad_in_every_way(lives: dict[str, Lived]) -> None:
    total: Counter[Mischief] = Counter()
    for _, _, done in lives.values():
        total.update(done)
    assert set(total) == set(Mischief), total


def bodies(cloud: Cloud, url: str) -> Counter[str]:
    """What a consumer gets until there is no more."""
    found: Counter[str] = Counter()
    while messages := cloud.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            found[message["Body"]] += 1
            cloud.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def test_a_queue_whose_messages_may_be_received_once_is_left_alone(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path / "cloud")
    dead = cloud.redrive(1)
    case = Case(cloud, tmp_path / "case", "redeliver")
    try:
        case.start(cloud.emulator.url)
        assert waits(case.is_final, 60), case.tail()
        case.stop()
        assert case.fault()["state"] == "Skipped", case.fault()
        assert "maxReceiveCount: 1" in case.fault()["reason"], case.fault()
        assert bodies(cloud, cloud.queue) == {f"message {number}": 1 for number in range(MESSAGES)}
        assert bodies(cloud, dead) == {}
    finally:
        case.close()
        cloud.close()


def test_a_message_that_had_its_last_receive_is_no_proof(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path / "cloud")
    dead = cloud.redrive(2)
    # Somebody tried the first message before, and failed.
    [tried] = cloud.sqs.receive_message(QueueUrl=cloud.queue, MaxNumberOfMessages=1)["Messages"]
    cloud.sqs.change_message_visibility(QueueUrl=cloud.queue, ReceiptHandle=tried["ReceiptHandle"], VisibilityTimeout=0)
    case = Case(cloud, tmp_path / "case", "redeliver", fault={"redeliver": {"share": "100%"}})
    try:
        case.start(cloud.emulator.url)
        assert waits(case.is_final, 60), case.tail()
        case.stop()
        copies = case.fault()["copies"]
        assert case.fault()["state"] == "Healed", case.fault()
        assert (copies["messages"], copies["spent"], copies["received"]) == (MESSAGES - 1, 1, MESSAGES), copies
        found = bodies(cloud, cloud.queue)
        assert found.pop(tried["Body"]) == 1
        assert found == {f"message {number}": 2 for number in range(MESSAGES) if f"message {number}" != tried["Body"]}
        assert bodies(cloud, dead) == {tried["Body"]: 1}
    finally:
        case.close()
        cloud.close()


def test_copies_in_a_fifo_queue_are_delivered(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path / "cloud", fifo=True)
    case = Case(cloud, tmp_path / "case", "redeliver")
    try:
        case.start(cloud.emulator.url)
        assert waits(case.is_final, 60), case.tail()
        case.stop()
        assert case.fault()["state"] == "Healed", case.fault()
        assert case.fault()["copies"]["messages"] == MESSAGES // 2, case.fault()
        assert cloud.messages() == MESSAGES + MESSAGES // 2
        received: Counter[tuple[str, str, str]] = Counter()
        while sum(received.values()) < MESSAGES + MESSAGES // 2:
            answer = cloud.sqs.receive_message(
                QueueUrl=cloud.queue, MaxNumberOfMessages=10, AttributeNames=["All"], MessageAttributeNames=["All"]
            )
            for message in answer.get("Messages", []):
                colour = message["MessageAttributes"]["colour"]["StringValue"]
                received[message["Body"], message["Attributes"]["MessageGroupId"], colour] += 1
                cloud.sqs.delete_message(QueueUrl=cloud.queue, ReceiptHandle=message["ReceiptHandle"])
        assert sorted(received.values()) == [1, 1, 2, 2]
        assert set(received) == {(f"message {number}", f"group {number}", "blue") for number in range(MESSAGES)}
    finally:
        case.close()
        cloud.close()
