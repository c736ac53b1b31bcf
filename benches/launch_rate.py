"""A burst of launches on a real stack: how many a second, and how late each was sent.

It measures the operator and Dagster together, on this machine, with whatever else it does: Dagster's webserver is the
slower of the two by far. The lateness is the operator's own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from dagstorm_local.stack import files
from dagstorm_local.stack.paths import Paths

SCENARIO = """\
apiVersion: dagstorm.dev/v1alpha1
kind: Scenario
metadata: { name: launch-rate }
spec:
  target: local
  load:
    - { name: burst, for: 1s, arrivals: { burst: { size: %d, every: 10s } }, jobs: { fast_job: 1 } }
  expect: { quiet: 3s }
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--size", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dagstorm-bench-") as folder:
        stack = Paths.of(Path(folder) / "stack")
        command = [sys.executable, "-m", "dagstorm_local"]
        ports = ["--port-dagster", "0", "--port-aws", "0", "--workers", "4", "--scale", "0.005"]
        subprocess.run([*command, "up", "--dir", str(stack.root), *ports], check=True)
        try:
            return measure(options.program, stack, Path(folder), options.size)
        finally:
            subprocess.run([*command, "down", "--dir", str(stack.root)], check=True)


def measure(program: Path, stack: Paths, folder: Path, size: int) -> int:
    scenario, data = folder / "launch-rate.yaml", folder / "data"
    scenario.write_text(SCENARIO % size)
    facts = files.read_stack(stack)
    assert facts is not None
    environment = {**os.environ, **files.environment(stack, facts["aws"]["endpoint"])}
    command = [str(program), "run", str(scenario), str(stack.target_file), "--data", str(data)]
    code = subprocess.run(command, env=environment, check=False).returncode
    [path] = data.glob("reports/*/*/report.json")
    report = json.loads(path.read_text())
    journal = records(data)
    first = min(record["at"] for record in journal if "submitIntended" in record["event"])
    last = max(record["at"] for record in journal if "submitted" in record["event"])
    seconds = (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()
    in_doubt = sum("submitInDoubt" in record["event"] for record in journal)
    lateness = report["load"]["lateness"]
    print(f"\n{size} launches of {program} on a stack of {os.cpu_count()} processors; verdict {report['verdict']}")
    print(f"  launches a second  {size / seconds:.1f}  (all of them known after {seconds:.2f} s)")
    print(f"  in doubt           {in_doubt}  (no answer within requestTimeout; looked up by their tags)")
    print(f"  lateness           p50 {lateness['p50']}, p99 {lateness['p99']}, max {lateness['max']}")
    return code


def records(data: Path) -> list[dict[str, Any]]:
    """The journal, oldest first."""
    lines = [line for file in sorted(data.glob("journal/*/*.jsonl")) for line in file.read_text().splitlines()]
    return [line["record"] for line in map(json.loads, lines) if "record" in line]


if __name__ == "__main__":
    sys.exit(main())
