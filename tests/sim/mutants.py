"""Builds known-bad variants of the program, one change of its source each, and lets the simulation find them.

A simulation that cannot fail proves nothing. Each mutant is applied to a copy of the tree, built, and given seeds until
one of them shows a violation. A change whose place is not found, or found elsewhere too, ends everything: whoever moves
that code moves the mutant with it.
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
CAUGHT = "caught by seed "
# Whoever looks for so long, in seconds, hangs.
HANGS = 1_800


@dataclass(frozen=True)
class Mutant:
    """One change: `find` occurs once in `file`, and becomes `replace`. `also`: and so on, in the same file."""

    name: str
    file: str
    find: str
    replace: str
    also: tuple[tuple[str, str], ...] = ()

    def edits(self) -> tuple[tuple[str, str], ...]:
        return ((self.find, self.replace), *self.also)


MUTANTS = [
    Mutant(
        "acts before its intent is durable",
        "src/operator/reconcile/mod.rs",
        "        self.shared.store.append(&self.name, &records).await?;\n",
        "        let (shared, name, written) = (Arc::clone(&self.shared), self.name.clone(), records.clone());\n"
        "        self.call(async move {\n"
        "            let _ = shared.store.append(&name, &written).await;\n"
        "            Answer::Emitted(Outcome::Done(crate::model::Receipt::Published))\n"
        "        });\n",
    ),
    Mutant(
        "goes on after an append that failed",
        "src/operator/reconcile/mod.rs",
        "        self.shared.store.append(&self.name, &records).await?;\n",
        "        let _ = self.shared.store.append(&self.name, &records).await;\n",
    ),
    Mutant(
        "sends again without waiting for what may still arrive",
        "src/decide/submit.rs",
        "if looked.is_some_and(|(asked_at, _)| asked_at >= window) {",
        "if looked.is_some_and(|(asked_at, _)| asked_at >= submission.last_attempt_at) {",
    ),
    Mutant(
        "lets a look count that was asked before the window ended",
        "src/decide/submit.rs",
        "if looked.is_some_and(|(asked_at, _)| asked_at >= window) {",
        "if looked.is_some() && now >= window {",
    ),
    Mutant(
        "takes a failed look for an empty answer",
        "src/operator/reconcile/answers.rs",
        "                    self.observation.merge(*observation);\n",
        "                    let mut observation = *observation;\n"
        "                    let failed = |seen: &&mut crate::model::Timed<_>| seen.answer.fresh().is_none();\n"
        "                    if let Some(seen) = observation.dagster.as_mut().filter(failed) {\n"
        "                        seen.answer = Seen::Fresh(crate::model::DagsterView {\n"
        "                            version: String::new(),\n"
        "                            runs: vec![],\n"
        "                            location: None,\n"
        "                        });\n"
        "                    }\n"
        "                    self.observation.merge(observation);\n",
    ),
    Mutant(
        "takes an unknown outcome for a refusal",
        "src/decide/mod.rs",
        "Outcome::Unknown { reason } => Event::SubmitInDoubt { index: *index, reason },",
        "Outcome::Unknown { reason } => Event::SubmitRefused { index: *index, reason, retry: true },",
    ),
    Mutant(
        "writes a fault and its way back down only once it is known to be in place",
        "src/operator/reconcile/mod.rs",
        "let events: Vec<Event> = notes.into_iter().chain(intents).collect();",
        "let mut events: Vec<Event> = notes.into_iter().chain(intents).collect();\n"
        "            events.retain(|event| !matches!(event, Event::FaultIntended { .. }));",
    ),
    Mutant(
        "calls a fault healed while its last call may still come about",
        "src/decide/inject.rs",
        "let settled = asked_at >= window;",
        "let settled = asked_at >= fault.intended_at;",
    ),
    Mutant(
        "calls a service steady while a task is missing",
        "src/fault/stop_tasks.rs",
        "desired > 0 && alive().count() as u32 >= desired",
        "desired > 0 && alive().count() as u32 + 1 >= desired",
    ),
    Mutant(
        "puts the attempt into the key",
        "src/decide/submit.rs",
        "let key = self.plan.key(index);",
        "let key = self.plan.key(index + 1_000 * (attempt - 1));",
    ),
    Mutant(
        "adopts nothing",
        "src/decide/ready.rs",
        "let adopted = adopted(plan, dagster);",
        "let adopted: Vec<(u32, Event)> = adopted(plan, dagster).into_iter().take(0).collect();",
    ),
    Mutant(
        "adopts without waiting for what its predecessor sent last",
        "src/decide/ready.rs",
        "if !adopted.is_empty() && asked_at < window {",
        "if !adopted.is_empty() && asked_at < state.accepted_at {",
    ),
    Mutant(
        "notes the start before what it adopts",
        "src/decide/ready.rs",
        "    decision.notes.push(Event::Started { at, dagster_version: dagster.version.clone() });\n",
        "    decision.notes.insert(0, Event::Started { at, dagster_version: dagster.version.clone() });\n",
    ),
    Mutant(
        "counts the settle window without the time that a call may wait to be sent",
        "src/decide/submit.rs",
        "state.target.dagster.settle.duration() + SEND_SLACK",
        "state.target.dagster.settle.duration()",
    ),
    Mutant(
        "sends a call however late it is",
        "src/operator/reconcile/mod.rs",
        "} else if shared.clock.now() > due.plus(decide::SEND_SLACK) {",
        "} else if shared.clock.now() > due.plus(decide::SEND_SLACK * 1_000) {",
    ),
    Mutant(
        "goes on although another one took over",
        "src/operator/standby.rs",
        "        confirm()?;\n",
        "        let _ = confirm();\n",
    ),
    Mutant(
        "takes being superseded for a full disk",
        "src/operator/reconcile/trouble.rs",
        "Trouble::Fenced(fenced) => return Err(fenced),",
        "Trouble::Fenced(_) => return self.wait_for_room(error).await,",
    ),
    Mutant(
        "sends what waits for its instant, also after a stop",
        "src/operator/reconcile/mod.rs",
        "let outcome = if is_launch && !sending.load(Ordering::Relaxed) {",
        "let outcome = if is_launch && !sending.load(Ordering::Relaxed) && due == intended_at {",
    ),
    Mutant(
        "ends a stopped generation by a look that does not show all of its runs",
        "src/decide/conclude.rs",
        " && shows_all(state, &view.runs)",
        " && (shows_all(state, &view.runs) || now > stop.at)",
    ),
    Mutant(
        "takes in answers of an earlier generation",
        "src/operator/reconcile/answers.rs",
        "                _ if tenure != self.tenure => {}\n",
        "                _ if tenure > self.tenure => {}\n",
    ),
    Mutant(
        "tells of every run that it is a duplicate",
        "src/decide/notice.rs",
        "|(index, runs)| runs.len() > 1 && ",
        "|(index, runs)| !runs.is_empty() && ",
    ),
    Mutant(
        "never tries whether Dagster answers again",
        "src/decide/breaker.rs",
        "    } else if now < probe_at {\n",
        "    } else if now < probe_at.plus(Duration::from_secs(1_000_000)) {\n",
    ),
    Mutant(
        "takes a location that reloads for one without the job",
        "src/decide/submit.rs",
        "| LocationState::Ready | LocationState::NotLoaded(_) | LocationState::Absent(_) => {\n"
        "            None\n        }\n",
        "| LocationState::Ready | LocationState::Absent(_) => None,\n"
        "        LocationState::NotLoaded(message) => Some(message.clone()),\n",
    ),
    Mutant(
        "hammers a Dagster that takes nothing",
        "src/decide/breaker.rs",
        "const TRIPS_AT: u32 = 5;",
        "const TRIPS_AT: u32 = 5_000;",
    ),
    Mutant(
        "counts a second completion as one",
        "src/audit/executions.rs",
        "    if completions > 1 {\n",
        "    if completions > 9 {\n",
    ),
    Mutant(
        "judges without the quiet period",
        "src/decide/conclude.rs",
        "    let quiet = plan.expect.quiet.duration();\n",
        "    let quiet = std::time::Duration::ZERO;\n",
    ),
    Mutant(
        "keeps the way back only of what was injected for certain",
        "src/journal/fault.rs",
        "        !self.undo.effects.is_empty()\n",
        "        !self.undo.effects.is_empty()\n"
        "            && self.outcomes.iter().all(|one| matches!(one, Some(Outcome::Done(_))))\n",
    ),
    Mutant(
        "takes a fault back without ever waiting for a settle",
        "src/decide/hold.rs",
        "use super::{AWS_SETTLE, Act, Decision, Purpose};\n",
        "use super::{Act, Decision, Purpose};\nconst AWS_SETTLE: Duration = Duration::from_millis(1);\n",
    ),
    Mutant(
        "takes the mark away while an injection may still come about",
        "src/decide/hold.rs",
        "map_or(self.now, |sent_at| sent_at.plus(self.settle()));",
        "map_or(self.now, |sent_at| *sent_at);",
    ),
    Mutant(
        "changes a queue before it marks it",
        "src/fault/deny_queue.rs",
        "vec![Effect::Mark { object, tags }, Effect::DenyQueue { url: view.url.clone() }]",
        "vec![Effect::DenyQueue { url: view.url.clone() }, Effect::Mark { object, tags }]",
    ),
    Mutant(
        "overwrites what somebody else has changed",
        "src/decide/hold.rs",
        "Progress::Foreign(difference) => return self.stall(difference, decision),\n",
        "Progress::Foreign(_) => self.unstall(decision),\n",
    ),
    Mutant(
        "looks for what somebody else has changed before the first step alone",
        "src/decide/hold.rs",
        "            Progress::Foreign(difference) => return self.stall(difference, decision),\n",
        "            Progress::Foreign(_) if number > 0 => {}\n"
        "            Progress::Foreign(difference) => return self.stall(difference, decision),\n",
    ),
    Mutant(
        "injects on, although somebody else changes the object",
        "src/decide/hold.rs",
        "Progress::Foreign(difference) => return self.begin_to_heal(difference, decision),\n",
        "Progress::Foreign(_) => {}\n",
    ),
    Mutant(
        "puts rules back without their descriptions",
        "src/fault/partition/rules.rs",
        "    let back = diff.undo();\n",
        "    let mut back = diff.undo();\n    back.authorize.iter_mut().for_each(|rule| rule.description = None);\n",
        (("    rule.same_content(found) && rule.tags == found.tags\n", "    rule.same_rule(found)\n"),),
    ),
    Mutant(
        "lets two scenarios change one object",
        "src/operator/claims.rs",
        "            None => owner != name,\n",
        "            None => false,\n",
    ),
    Mutant(
        # Either alone keeps the promise wherever a fault has an object.
        "lets a scenario's own faults overlap on one object",
        "src/decide/inject.rs",
        "    plan.faults.iter().any(|other| {\n",
        "    plan.faults[..number].iter().any(|other| {\n",
        ((" if has_one_of(state, &objects) => ", " if has_one_of(state, &objects) && now < started_at => "),),
    ),
    Mutant(
        "takes a failed look for a service that runs what it wants",
        "src/fault/drain_service.rs",
        "            Err(progress) => return progress,\n",
        "            Err(_) => return Progress::Steady,\n",
    ),
    Mutant(
        "copies messages once more when it is not known whether it did",
        "src/model/effect.rs",
        "            Self::LaunchRun { .. } | Self::CopyMessages { .. } => true,\n"
        "            Self::TerminateRun { .. }\n",
        "            Self::LaunchRun { .. } => true,\n"
        "            Self::CopyMessages { .. }\n"
        "            | Self::TerminateRun { .. }\n",
    ),
    Mutant(
        "leaves faults in place when it is told to end",
        "src/decide/hold.rs",
        "        } else if self.observation.leaving {\n",
        "        } else if self.observation.leaving && self.now >= self.ends() {\n",
    ),
    Mutant(
        "takes what a journal knows of for an orphan",
        "src/operator/sweep.rs",
        "is_over && !shared.claims.is_held(&leftover.object)",
        "is_over || !shared.claims.is_held(&leftover.object)",
    ),
    Mutant(
        "never looks for orphans",
        "src/operator/sweep.rs",
        "leftovers.found.iter().filter(|leftover| is_orphan(&shared, leftover))",
        "leftovers.found.iter().filter(|leftover| is_orphan(&shared, leftover) && false)",
    ),
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


def hunt(program: Path, tree: Path, seeds: int) -> str | None:
    """Gives the program seeds until one of them shows a violation. Returns what it said of that, `None`: of none.

    A mutant that hangs has broken something too, but nobody could say by which seed: it is to be reshaped.
    """
    environment = {**os.environ, "SIM_SEEDS": str(seeds), "SIM_HUNT": "1", "RUST_BACKTRACE": "0"}
    for variable in ("SIM_SEED", "SIM_FIRST"):
        environment.pop(variable, None)
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
    parser.add_argument("--only", default="", help="only mutants whose name has this in it")
    parser.add_argument("--first", type=int, default=1, help="the number of the first mutant")
    parser.add_argument("--last", type=int, default=len(MUTANTS), help="the number of the last mutant")
    parser.add_argument("--verbose", action="store_true", help="show the shortest form of each violation")
    asked = parser.parse_args()
    # A folder of their own: for cargo the copy is the same package, and nobody shall run a mutant by mistake.
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve() / "mutants"
    mutants = [mutant for mutant in MUTANTS[asked.first - 1 : asked.last] if asked.only in mutant.name]
    caught = 0
    with tempfile.TemporaryDirectory(prefix="dagstorm-mutants-") as folder:
        tree = Path(folder)
        copy_tree(tree)
        for mutant in MUTANTS:
            for find, _ in mutant.edits():
                if (found := (tree / mutant.file).read_text().count(find)) != 1:
                    sys.exit(f"`{mutant.name}`: its place is in {mutant.file} {found} times instead of once")
        # One name for all, so that each is built from what the last one left.
        said = hunt(build(tree, target), tree, min(asked.seeds, 200))
        if said is not None:
            sys.exit(f"without any mutant a seed fails already: {said}")
        for mutant in mutants:
            path, began = tree / mutant.file, time.monotonic()
            original = path.read_text()
            path.write_text(functools.reduce(lambda text, edit: text.replace(*edit), mutant.edits(), original))
            said = hunt(build(tree, target), tree, asked.seeds)
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
