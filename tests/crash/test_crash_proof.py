"""A sample of what `make crash-proof` proves whole; and that it would see what is left behind."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cloud import Cloud, differences, marks
from crash_proof import Case, Crash, has_crashed, heal_all, is_back, prove, waits
from killer import Killer, Point


def test_a_sample_of_the_crash_points_is_healed(capsys: pytest.CaptureFixture[str]) -> None:
    assert prove(["partition (newConnections)", "denyQueue"], side_by_side=6, every=8) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(" crash points, 0 unhealed")


def test_what_is_left_behind_is_seen(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path / "cloud")
    baseline = cloud.dump()
    killer, case = Killer(cloud.emulator.port, Point(2, "SetQueueAttributes")), Case(cloud, tmp_path, "denyQueue")
    killer.victim = case.pid
    try:
        case.start(killer.url)
        assert waits(killer.has_struck.is_set, 30), case.tail()
        left = cloud.dump()
        assert marks(left)
        assert left != baseline
        assert "DagstormDenyDataPlane" in differences(baseline, left)
        shutil.rmtree(case.data)
        heal_all(cloud)
        is_back(cloud, baseline)
        assert not has_crashed(
            cloud, tmp_path / "never", Crash("denyQueue", Point(99, "SetQueueAttributes"), "restart"), baseline
        )
    finally:
        case.close()
        killer.close()
        cloud.close()
