"""SIGKILL after every AWS call of every fault kind: whatever is left behind is healed, by a restart or by `heal --all`.

The calls are those that a proxy sees of an operator that injects and heals the fault, so that no list has to be kept.
At each of them the operator is killed in a run of its own, when AWS has done what was asked and before the answer is
heard. Then either an operator is started again on the same data folder, or the folder is deleted and `dagstorm heal
--all` is called. In the end AWS must be as it was: rules by content, description and tags, ACLs, policies, counts.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from cloud import MESSAGES, Cloud, Dagster, Dump, differences, marks, scenario
from killer import Killer, Point

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(
    os.environ.get("DAGSTORM_BIN", Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/dagstorm")
)
HEALED_WITHIN_S = 240.0
SWEPT_WITHIN_S = 3.0  # the last looks after the fault is over
LIVES = 4
LEARNED_WITHIN_S = 60  # a slow machine skips no fault because the load is over
FINAL = ("Healed", "Skipped", "Refused")

KINDS: dict[str, dict[str, Any]] = {
    "stopTasks": {"stopTasks": {"service": "workers", "pick": "2"}},
    "drainService": {"for": "5s", "drainService": {"service": "workers"}},
    "drainInstances": {"for": "5s", "drainInstances": {"pick": "one"}},
    "partition (newConnections)": {"for": "5s", "partition": {"between": "workers", "and": "sqs"}},
    "partition (hard)": {"for": "5s", "partition": {"between": "workers", "and": "sqs", "cut": "hard"}},
    "denyQueue": {"for": "5s", "denyQueue": {}},
    "redeliver": {"redeliver": {"share": "50%"}},
}
WAYS = ("restart", "heal --all")


class Unhealed(Exception):
    """What is not as it should be, for people."""


@dataclass(frozen=True)
class Crash:
    kind: str
    point: Point
    way: str


class Case:
    """One life of an operator on a cloud, in folders of its own."""

    def __init__(
        self, cloud: Cloud, folder: Path, kind: str, lasts_s: int = 12, fault: dict[str, Any] | None = None
    ) -> None:
        self.cloud, self.folder, self.dagster = cloud, folder, Dagster()
        self.data = folder / "data"
        manifests = folder / "manifests"
        manifests.mkdir(parents=True)
        (manifests / "all.yaml").write_text(
            yaml.safe_dump_all(
                [cloud.target(self.dagster.url), scenario(fault or KINDS[kind], lasts_s)], sort_keys=False
            )
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, endpoint: str) -> None:
        command = [str(PROGRAM), "operator", "--manifests", str(self.folder / "manifests"), "--data", str(self.data)]
        environment = os.environ | self.cloud.environment(endpoint)
        with (self.folder / "operator.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stderr=log)

    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.dagster.close()

    def fault(self) -> dict[str, Any]:
        try:
            status = yaml.safe_load((self.data / "status/storm.yaml").read_text())["status"]
        except FileNotFoundError:
            return {}
        faults: list[dict[str, Any]] = status.get("faults") or [{}]
        return faults[0]

    def is_final(self) -> bool:
        return self.fault().get("state") in FINAL

    def tail(self) -> str:
        lines = (self.folder / "operator.log").read_text().splitlines()
        return "\n".join([json.dumps(self.fault(), default=str), *lines[-5:]])


def waits(holds: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def is_back(cloud: Cloud, baseline: Dump, within_s: float = 20.0) -> None:
    """The service needs a moment to start what it wants."""
    if not waits(lambda: cloud.dump() == baseline, within_s):
        raise Unhealed(differences(baseline, cloud.dump()))


def learn(cloud: Cloud, folder: Path, kind: str, baseline: Dump) -> list[Point]:
    """The points of a whole life of the fault, which must do no harm itself."""
    killer, case = Killer(cloud.emulator.port), Case(cloud, folder, kind, LEARNED_WITHIN_S)
    killer.victim = case.pid
    try:
        case.start(killer.url)
        if not waits(case.is_final, HEALED_WITHIN_S):
            raise Unhealed(f"without any crash the fault is not healed: {case.tail()}")
        if case.fault()["state"] != "Healed":
            raise Unhealed(f"without any crash the fault is not injected: {case.tail()}")
        case.stop()
        is_back(cloud, baseline)
        return list(killer.calls.points)
    finally:
        case.close()
        killer.close()


def crash(cloud: Cloud, folder: Path, one: Crash, baseline: Dump) -> None:
    """Kill, heal, compare. Looks that are taken side by side change places: they are waited for in several lives."""
    for number in range(LIVES):
        if has_crashed(cloud, folder / str(number), one, baseline):
            return
    raise Unhealed(f"the call never came in {LIVES} lives")


def has_crashed(cloud: Cloud, folder: Path, one: Crash, baseline: Dump) -> bool:
    """Whether the call came at which to kill; then, all that is to hold holds."""
    cloud.fill()
    killer, case = Killer(cloud.emulator.port, one.point), Case(cloud, folder, one.kind)
    killer.victim = case.pid
    try:
        case.start(killer.url)
        if not waits(lambda: killer.has_struck.is_set() or case.is_final(), HEALED_WITHIN_S):
            raise Unhealed(f"neither killed nor healed: {case.tail()}")
        if not killer.has_struck.wait(SWEPT_WITHIN_S):
            case.stop()
            return False
        assert case.process
        case.process.wait(10)
        if one.way == "restart":
            case.start(cloud.emulator.url)
            if not waits(case.is_final, HEALED_WITHIN_S):
                raise Unhealed(f"not healed by a restart: {case.tail()}")
            case.stop()
        else:
            shutil.rmtree(case.data, ignore_errors=True)
            heal_all(cloud)
        is_back(cloud, baseline)
        most = MESSAGES + MESSAGES // 2
        if (found := cloud.messages()) > most:
            raise Unhealed(f"{found} messages, where {most} are copied once")
        return True
    finally:
        case.close()
        killer.close()


def heal_all(cloud: Cloud) -> None:
    environment = os.environ | cloud.environment(cloud.emulator.url)
    command = [str(PROGRAM), "heal", "--all", "-o", "json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0 or json.loads(done.stdout)["unhealed"] != 0:
        raise Unhealed(f"heal --all ended with {done.returncode}: {done.stdout}{done.stderr}")
    if marks(cloud.dump()):
        raise Unhealed(f"heal --all left a mark: {cloud.dump()}")


class Slots:
    """Clouds side by side; each case has one to itself, and a cloud that is not healed is not used again."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.number = folder, 0
        self.lock = threading.Lock()
        self.clouds: queue.Queue[tuple[Cloud, Dump] | None] = queue.Queue()
        for _ in range(count):
            self.clouds.put(None)

    def use(self, work: Callable[[Cloud, Path, Dump], None]) -> None:
        taken = self.clouds.get()
        try:
            with self.lock:
                self.number += 1
                number = self.number
            if taken is None:
                cloud = Cloud(self.folder / f"cloud-{number}")
                taken = (cloud, cloud.dump())
            work(taken[0], self.folder / f"case-{number}", taken[1])
        except BaseException:
            if taken:
                taken[0].close()
            taken = None
            raise
        finally:
            self.clouds.put(taken)

    def close(self) -> None:
        while not self.clouds.empty():
            if taken := self.clouds.get():
                taken[0].close()


def in_threads(works: Sequence[Callable[[], None]], side_by_side: int) -> None:
    pending = queue.SimpleQueue[Callable[[], None]]()
    for work in works:
        pending.put(work)

    def drain() -> None:
        while True:
            try:
                work = pending.get_nowait()
            except queue.Empty:
                return
            work()

    threads = [threading.Thread(target=drain) for _ in range(side_by_side)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def crashes(kind: str, points: list[Point]) -> list[Crash]:
    """A change is followed by both ways; a look changes nothing, so that the ways take turns."""
    found = []
    for number, point in enumerate(points):
        ways = WAYS if point.is_change else (WAYS[number % 2],)
        found += [Crash(kind, point, way) for way in ways]
    return found


def prove(kinds: list[str], side_by_side: int, every: int) -> int:
    """Prints a line a kind and one for each that is not healed. Returns how many are not."""
    total, unhealed = 0, []
    with tempfile.TemporaryDirectory(prefix="dagstorm-crash-") as name:
        slots = Slots(Path(name), side_by_side)
        try:
            learned: dict[str, list[Point]] = {}
            failed: list[tuple[str, str]] = []

            def learning(kind: str) -> None:
                def work(cloud: Cloud, folder: Path, baseline: Dump) -> None:
                    learned[kind] = learn(cloud, folder, kind, baseline)

                try:
                    slots.use(work)
                except Exception as error:  # whatever it was, nothing is proved
                    failed.append((kind, str(error) or repr(error)))

            in_threads([partial(learning, kind) for kind in kinds], side_by_side)
            unhealed += [f"{kind}: {reason}" for kind, reason in failed]
            all_crashes = {kind: crashes(kind, points)[::every] for kind, points in learned.items()}
            bad: dict[str, int] = dict.fromkeys(kinds, 0)

            def crashing(one: Crash) -> None:
                try:
                    slots.use(lambda cloud, folder, baseline: crash(cloud, folder, one, baseline))
                except Exception as error:  # whatever it was, nothing is proved
                    bad[one.kind] += 1
                    unhealed.append(f"{one.kind}, {one.point}, {one.way}: {str(error) or repr(error)}")
                    print(f"UNHEALED {unhealed[-1]}", flush=True)

            works = [partial(crashing, one) for found in all_crashes.values() for one in found]
            in_threads(works, side_by_side)
            for kind in kinds:
                found = all_crashes.get(kind, [])
                changes = sum(point.is_change for point in learned.get(kind, []))
                total += len(found)
                print(f"{kind}: {len(found)} crash points ({changes} changes), {bad[kind]} unhealed", flush=True)
        finally:
            slots.close()
    for kind, reason in failed:
        print(f"{kind}: {reason}")
    print(f"{total} crash points, {len(unhealed)} unhealed", flush=True)
    return len(unhealed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="only this kind of fault; may be repeated")
    parser.add_argument("--side-by-side", type=int, default=12, help="how many operators at once")
    parser.add_argument("--every", type=int, default=1, help="only every n-th crash point")
    arguments = parser.parse_args()
    if not PROGRAM.is_file():
        print(f"{PROGRAM} is missing: run `cargo build` first", file=sys.stderr)
        return 4
    return 1 if prove(arguments.kind or list(KINDS), arguments.side_by_side, arguments.every) else 0


if __name__ == "__main__":
    sys.exit(main())
