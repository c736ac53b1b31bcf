"""`make demo`: the stack, the operator, manifests dropped one after another, verdicts; all stopped again.

The exit code is the worst verdict: 0 passed, 1 failed, 3 unknown or interrupted, 4 something did not start.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from dagstorm_local.stack import files, lifecycle
from dagstorm_local.stack.paths import Paths

# Files of manifests/demo, whose scenarios are called `demo-` and the same.
FILES = ("steady-load", "worker-failure")
SCENARIOS = tuple(f"demo-{name}" for name in FILES)
CODES = {"Passed": 0, "Failed": 1}
UNKNOWN, ENVIRONMENT = 3, 4
WORST = (0, UNKNOWN, ENVIRONMENT, 1)  # from good to bad
POLL_S = 0.2
STOP_WITHIN_S = 25
DEMOS_KEPT = 5


class Broken(Exception):
    """Something that the demonstration needs did not start or ended by itself."""


@dataclass(frozen=True)
class Demo:
    """Where everything is, relative to the folder that it is run in."""

    program: Path
    stack: Paths
    folder: Path
    seed: int | None
    """Instead of the manifests' own: Dagster knows their runs from an earlier demonstration, which would be adopted."""

    @property
    def manifests(self) -> Path:
        return self.folder / "manifests"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def status(self, name: str) -> dict[str, Any]:
        try:
            document = yaml.safe_load((self.data / "status" / f"{name}.yaml").read_text())
        except FileNotFoundError:
            return {"phase": "Pending"}
        status: dict[str, Any] = document["status"]
        return status

    def report(self, name: str) -> Path | None:
        generation = self.status(name).get("observedGeneration", "none")
        report = self.data / "reports" / name / generation / "report.html"
        return report if report.exists() else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--stack", type=Path, default=Path(".stack"))
    parser.add_argument("--data", type=Path, default=Path("demo-data"))
    parser.add_argument("--keep", action="store_true", help="leave the stack up")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    began = time.monotonic()
    name = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    stack = Paths.of(options.stack)
    seed = int(name.replace("-", "")) if stack.postgres_data.exists() else None
    demo = Demo(options.program, stack, options.data / name, seed)
    was_up = is_up(demo.stack)
    code = ENVIRONMENT
    try:
        prepare(demo)
        start_stack(demo)
        code = show(demo)
        say(f"\n{conclusion(demo)}\n\nThat took {time.monotonic() - began:.0f} s.")
    except KeyboardInterrupt:
        code = UNKNOWN
        say("\ninterrupted")
    except Broken as error:
        say(f"\nthe demonstration ends here: {error}")
    finally:
        # A second Ctrl-C must not leave half of it running.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        end_stack(demo, leave_it=options.keep or was_up)
    say(next_steps(demo, up=is_up(demo.stack)))
    return code


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def say(text: str) -> None:
    with suppress(OSError):  # the terminal may have been closed: what was started must be stopped all the same
        print(text, flush=True)


def is_up(stack: Paths) -> bool:
    facts = files.read_stack(stack)
    return bool(facts) and lifecycle.supervisor_of(facts or {}) is not None


def prepare(demo: Demo) -> None:
    """A data folder of its own for every demonstration, so that the scenarios run again; the oldest ones go."""
    if not demo.program.is_file():
        raise Broken(f"{demo.program} is missing: run `cargo build`")
    old = sorted(entry for entry in demo.folder.parent.glob("*-*") if entry.is_dir())
    for folder in old[: len(old) - DEMOS_KEPT + 1] if len(old) >= DEMOS_KEPT else []:
        shutil.rmtree(folder)
    demo.manifests.mkdir(parents=True)


def start_stack(demo: Demo) -> None:
    say("\n[1/4] The local stack: Dagster, PostgreSQL, an emulated AWS, TaskIQ workers")
    command = [sys.executable, "-m", "dagstorm_local", "up", "--dir", str(demo.stack.root)]
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode != 0:
        raise Broken("the stack did not come up")


def end_stack(demo: Demo, leave_it: bool) -> None:
    if leave_it or not is_up(demo.stack):
        return
    say("\n[4/4] Stopping everything")
    command = [sys.executable, "-m", "dagstorm_local", "down", "--dir", str(demo.stack.root)]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=False)


def show(demo: Demo) -> int:
    """The operator in the foreground; manifests are dropped into its folder meanwhile."""
    say(
        f"\n[2/4] The operator watches a folder. As typed:\n"
        f"  {demo.program} operator --progress \\\n"
        f"    --manifests {demo.manifests} \\\n"
        f"    --data {demo.data}\n"
        f"\n[3/4] Into that folder: {FILES[0]}.yaml now, and {FILES[1]}.yaml as\n"
        "  soon as the first has its verdict. Two and a half minutes; Ctrl-C ends it.\n"
        + ("" if demo.seed is None else "  They get a new seed: Dagster has the runs of an earlier demonstration.\n")
    )
    environment = {**os.environ, **files.environment(demo.stack, endpoint(demo))}
    command = [
        str(demo.program),
        "operator",
        "--manifests",
        str(demo.manifests),
        "--data",
        str(demo.data),
        "--progress",
    ]
    # In a group of its own, Ctrl-C reaches us alone, and we end it with one signal: a second one would cut it short.
    operator = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, process_group=0)
    try:
        drop(demo.stack.target_file, demo)
        for file, name in zip(FILES, SCENARIOS, strict=True):
            drop(Path("manifests") / "demo" / f"{file}.yaml", demo)
            wait_for_verdict(demo, name, operator)
    finally:
        end(operator)
    return max((CODES.get(demo.status(name)["phase"], UNKNOWN) for name in SCENARIOS), key=WORST.index)


def endpoint(demo: Demo) -> str:
    facts = files.read_stack(demo.stack)
    if facts is None:
        raise Broken("the stack is gone")
    return str(facts["aws"]["endpoint"])


def drop(manifest: Path, demo: Demo) -> None:
    """Into its place in one step, as git does it. A terminal shows the operator's display, which a line would tear."""
    text = manifest.read_text()
    if demo.seed is not None:
        text = re.sub(r"^  seed: \d+$", f"  seed: {demo.seed}", text, flags=re.MULTILINE)
    files.write_atomically(demo.manifests / manifest.name, text)
    if not sys.stdout.isatty():
        say(f"dropped {manifest.name}")


def wait_for_verdict(demo: Demo, name: str, operator: subprocess.Popen[bytes]) -> None:
    while demo.status(name)["phase"] not in ("Passed", "Failed", "Unknown", "Stopped"):
        if operator.poll() is not None:
            raise Broken(f"the operator ended with exit code {operator.returncode}; see {demo.data}/operator.log")
        time.sleep(POLL_S)


def end(operator: subprocess.Popen[bytes]) -> None:
    operator.terminate()
    try:
        operator.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        operator.kill()
        operator.wait()


def conclusion(demo: Demo) -> str:
    lines = []
    for name in SCENARIOS:
        status = demo.status(name)
        audit = status.get("audit", {})
        lines.append(f"{name}: {status['phase']}, {audit.get('message', 'no verdict')}")
        lines += [f"  - {one}" for key in ("findings", "gaps", "recoveries") for one in audit.get(key, [])]
        lines.append(f"  {demo.report(name)}")
    return "\n".join(lines)


def next_steps(demo: Demo, up: bool) -> str:
    stack = os.path.relpath(demo.stack.root)
    local = f"{os.path.relpath(sys.executable)} -m dagstorm_local"
    stack_is = "" if stack == ".stack" else f" STACK={stack}"
    elsewhere = "" if stack == ".stack" else f" --dir {stack}"
    run = f"{demo.program} run --data {demo.data} {stack}/target.yaml"
    left = (
        "The stack is still up."
        if up
        else f"Nothing is left running. `make stack-up{stack_is}` starts the stack again, in seconds."
    )
    return f"""
What was recorded is in {demo.folder}.
{left} To try next:

  . {stack}/env      # AWS is the emulated one from here on
  {run} \\
    {demo.manifests}/steady-load.yaml
  {local} status{elsewhere}

  # Without the workers' idempotency, steps are completed twice: it must fail.
  {local} configure{elsewhere} \\
    --idempotency off --heartbeat off --visibility-timeout 2
  {run} \\
    {demo.manifests}/worker-failure.yaml

  make stack-down{stack_is}"""


if __name__ == "__main__":
    sys.exit(main())
