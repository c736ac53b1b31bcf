"""What nobody should write, and somebody will: what `validate` takes for each, of processor time and of memory.

The promise is a second and 100 MB each, for an optimized build on a quiet machine. The manifests, and what each is
answered, are those of `tests/e2e/test_hostile_manifests.py`, which checks the answers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "e2e"))

from test_hostile_manifests import CORPUS, recipes, validate

PROMISED_S = 1.0
SHOWN = 5


def measure(program: Path, path: Path) -> float:
    """Seconds of processor time; more memory than 100 MB is refused, and the program falls."""
    answer = validate(path, program=program)
    assert answer.code in {0, 2}, f"{path.name}: exit {answer.code}"
    return answer.cpu_s


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", type=Path, required=True)
    program = parser.parse_args().program
    with tempfile.TemporaryDirectory() as folder:
        took = []
        for name, content, _, _ in recipes():
            path = Path(folder) / name
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            took.append((measure(program, path), name))
    took += [(measure(program, path), path.name) for path in sorted((CORPUS / "bad").iterdir())]
    for seconds, name in sorted(took, reverse=True)[:SHOWN]:
        print(f"{seconds:6.3f} s  {name}")
    broken = [name for seconds, name in took if seconds >= PROMISED_S]
    print(f"{len(took)} hostile manifests, each with less than 100 MB; {len(broken)} took {PROMISED_S:.0f} s or more")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
