"""Builds known-bad variants of the program, one change of its source each, and lets the simulation find them.

A simulation that cannot fail proves nothing. Each mutant is applied to a copy of the tree, built, and given seeds until
one of them shows a violation. The mutants are listed in `mutants.json`; `tests/docs.rs` reads the same list and fails
when the text that a mutant replaces is not found exactly once. Whoever moves that code moves the mutant with it.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("mutants.json")
CAUGHT = "caught by seed "
# Seconds after which a hunt is taken to hang.
HANGS = 1_800


@dataclass(frozen=True)
class Edit:
    """`find` occurs exactly once in the mutant's file, and becomes `replace`."""

    find: str
    replace: str


@dataclass(frozen=True)
class Mutant:
    """A variant that breaks one promise, by edits of one file. `mishap`: every seed has it, where few would."""

    name: str
    file: str
    edits: tuple[Edit, ...]
    mishap: str | None


def read_mutants() -> list[Mutant]:
    """The mutants of `mutants.json`. Its texts are lists of lines."""
    return [
        Mutant(
            mutant["name"],
            mutant["file"],
            tuple(Edit("\n".join(edit["find"]), "\n".join(edit["replace"])) for edit in mutant["edits"]),
            mutant.get("mishap"),
        )
        for mutant in json.loads(LIST.read_text())
    ]


def copy_tree(into: Path) -> None:
    """Everything that git knows or would know, as it is now, and newer than what was built of it before."""
    command = [
        "git",
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "-z",
        "src",
        "tests",
        "benches",
        "Cargo.*",
    ]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, into / name)


def build(tree: Path, target: Path) -> Path:
    """Builds the simulation. Returns its program."""
    cargo = os.environ.get("CARGO", "cargo")
    command = [cargo, "test", "--locked", "--test", "sim", "--no-run", "--message-format=json"]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target), "CARGO_INCREMENTAL": "1"}
    built = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if built.returncode != 0:
        sys.exit(f"it cannot be built:\n{built.stderr}")
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    programs = [
        message["executable"]
        for message in messages
        if message.get("reason") == "compiler-artifact" and message["target"]["name"] == "sim" and message["executable"]
    ]
    return Path(programs[-1])


def hunt(program: Path, tree: Path, seeds: int, mishap: str | None = None) -> str | None:
    """Gives the program seeds until one of them shows a violation. Returns what it said of that, `None`: of none.

    A mutant that hangs has broken something too, but nobody could say by which seed: it is to be reshaped.
    """
    environment = {**os.environ, "SIM_SEEDS": str(seeds), "SIM_HUNT": "1", "RUST_BACKTRACE": "0"}
    for variable in ("SIM_SEED", "SIM_FIRST", "SIM_MISHAP"):
        environment.pop(variable, None)
    if mishap:
        environment["SIM_MISHAP"] = mishap
    command = [str(program), "--exact", "every_seed_holds_the_invariants", "--nocapture"]
    try:
        ran = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, check=False, timeout=HANGS
        )
    except subprocess.TimeoutExpired:
        sys.exit(f"the simulation did not end within {HANGS} s")
    if ran.returncode == 0:
        return None
    _, found, said = ran.stdout.partition(CAUGHT)
    if not found:
        sys.exit(f"the simulation failed otherwise than by a violation:\n{ran.stdout}\n{ran.stderr}")
    return said.split(f"\n{seeds} seeds, ")[0].strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2_000, help="how many seeds each mutant is given at most")
    parser.add_argument("--only", action="append", help="only mutants whose name has this in it; may be repeated")
    parser.add_argument("--first", type=int, default=1, help="the number of the first mutant")
    parser.add_argument("--last", type=int, default=None, help="the number of the last mutant")
    parser.add_argument("--verbose", action="store_true", help="show the shortest form of each violation")
    asked = parser.parse_args()
    # A folder of their own: for cargo the copy is the same package, and nobody shall run a mutant by mistake.
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve() / "mutants"
    everything = read_mutants()
    words = asked.only or [""]
    mutants = [
        mutant for mutant in everything[asked.first - 1 : asked.last] if any(word in mutant.name for word in words)
    ]
    if not mutants:
        sys.exit("no mutant has such a number or name")
    caught = 0
    with tempfile.TemporaryDirectory(prefix="dagstorm-mutants-") as folder:
        tree = Path(folder)
        copy_tree(tree)
        for mutant in everything:
            for edit in mutant.edits:
                if (found := (tree / mutant.file).read_text().count(edit.find)) != 1:
                    sys.exit(f"`{mutant.name}`: its place is in {mutant.file} {found} times instead of once")
        # One name for all, so that each is built from what the last one left.
        said = hunt(build(tree, target), tree, min(asked.seeds, 200))
        if said is not None:
            sys.exit(f"without any mutant a seed fails already: {said}")
        for mutant in mutants:
            path, began = tree / mutant.file, time.monotonic()
            original = path.read_text()
            path.write_text(
                functools.reduce(lambda text, edit: text.replace(edit.find, edit.replace), mutant.edits, original)
            )
            said = hunt(build(tree, target), tree, asked.seeds, mutant.mishap)
            path.write_text(original)
            caught += said is not None
            first, *more = (said or f"NOT caught by {asked.seeds} seeds").splitlines()
            print(f"{mutant.name}: {CAUGHT if said else ''}{first} ({time.monotonic() - began:.0f} s)", flush=True)
            if asked.verbose:
                print("\n".join(f"    {line}" for line in more), flush=True)
    print(f"{caught} of {len(mutants)} mutants caught")
    return 0 if caught == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
