"""`python -m dagstorm_local.lock IN OUT`: writes the exact versions that pip resolves for a list of requirements.

Nothing is installed. Run it with Python 3.11, the oldest version that is supported.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

HEAD = "# Written by `make lock` from {}: edit that file, not this one.\n"


def resolve(requirements: Path) -> dict[str, str]:
    """Name and version of everything that would be installed in an empty environment."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    command += ["--report", "-", "--requirement", str(requirements)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    packages = (item["metadata"] for item in json.loads(done.stdout)["install"])
    return {re.sub(r"[-_.]+", "-", one["name"]).lower(): one["version"] for one in packages}


def main() -> None:
    requirements, lock = map(Path, sys.argv[1:])
    pins = sorted(f"{name}=={version}\n" for name, version in resolve(requirements).items())
    lock.write_text(HEAD.format(requirements.name) + "".join(pins))
    print(f"{lock}: {len(pins)} packages")


if __name__ == "__main__":
    main()
