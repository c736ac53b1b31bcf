"""One real stack for all tests, and an operator for each."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rig import PROGRAM, Operator, Stack

# Steps are short (a fast one 0.6 s, a slow one 5.4 to 12.6 s), and what a killed worker held returns soon.
SETTINGS = ("--scale", "0.03", "--visibility-timeout", "4", "--workers", "3", "--min-workers", "3")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    assert PROGRAM.is_file(), f"{PROGRAM} is missing: run `cargo build` first"
    stack = Stack(tmp_path_factory.mktemp("stack"))
    stack.command("up", "--port-dagster", "0", "--port-aws", "0", *SETTINGS)
    yield stack
    stack.command("down")


@pytest.fixture
def operator(stack: Stack, tmp_path: Path) -> Iterator[Operator]:
    """Not started yet; its folder holds the stack's target."""
    operator = Operator(stack, tmp_path)
    operator.drop(stack.target(), "target.yaml")
    yield operator
    if operator.is_alive() and operator.process:
        operator.process.kill()
        operator.process.wait()
    # What a test that failed has left broken shall not fail the others.
    subprocess.run([str(PROGRAM), "heal", "--all"], env=stack.environment(), stdout=subprocess.DEVNULL, check=False)
