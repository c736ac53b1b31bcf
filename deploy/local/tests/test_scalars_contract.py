"""The operator reads the scalars of a run config as the installed Dagster's launchpad does: by one table for both."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from dagster_shared.yaml_utils import load_run_config_yaml

TABLE = Path(__file__).parents[3] / "tests" / "contract" / "scalars.jsonl"
ROWS = [json.loads(line) for line in TABLE.read_text().splitlines()]


def kind(scalar: str) -> tuple[str, object]:
    """What the launchpad makes of a scalar, in the words of the table."""
    try:
        value: object = load_run_config_yaml(f"key: {scalar}\n")["key"]
    except Exception:  # YAMLError and ValueError alike end in an error in the launchpad
        return "fails", None
    if isinstance(value, float) and math.isnan(value):
        return "nan", None
    if isinstance(value, float) and math.isinf(value):
        return ("inf" if value > 0 else "-inf"), None
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return "beyond 64 bits", None
    return "value", value


@pytest.mark.parametrize("row", ROWS, ids=[row["scalar"] or "empty" for row in ROWS])
def test_dagster_reads_a_scalar_as_the_table_says(row: dict[str, object]) -> None:
    found, value = kind(str(row["scalar"]))
    assert found == row["kind"]
    # A number and a truth value are equal to Python, and `1` and `1.0` too: their types are compared with them.
    assert (type(value), value) == (type(row.get("json")), row.get("json"))


def test_the_table_has_every_kind() -> None:
    assert {row["kind"] for row in ROWS} == {"value", "nan", "inf", "-inf", "beyond 64 bits", "fails"}
    types = {type(row["json"]) for row in ROWS if row["kind"] == "value"}
    assert types == {type(None), bool, int, float, str}
    assert len(ROWS) == len({row["scalar"] for row in ROWS}) > 300
