"""What nobody should write, and somebody will: each is answered within a second of processor time and 100 MB.

The second is an optimized build's, on a quiet machine: `make bench` measures it (`benches/hostile.py`). Here a build
that is not optimized may take ten, so that only what grows out of hand fails.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rig import PROGRAM, ROOT

CORPUS = ROOT / "tests" / "manifests"
GOOD = (CORPUS / "good" / "01-least.yaml").read_text()
HEAD = "apiVersion: dagstorm.dev/v1alpha1\nkind: Scenario\nmetadata: { name: a }\nspec:\n  target: local\n"
PHASE = "{{ name: p{}, for: {}, arrivals: {}, jobs: {} }}"
CPU_S = 10.0
# More memory than 100 MB is refused by the system, and the program falls.
BOUNDED = 'ulimit -d 102400 && exec "$@"'
WITHIN_S = 30


@dataclass(frozen=True)
class Answer:
    code: int
    text: str
    cpu_s: float


def validate(*paths: Path, program: Path = PROGRAM) -> Answer:
    """The program's answer, with what it took: `wait4` tells of this very process."""
    process = subprocess.Popen(
        ["sh", "-c", BOUNDED, "sh", str(program), "validate", *map(str, paths)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    deadline = time.monotonic() + WITHIN_S
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    assert time.monotonic() < deadline, "it took too long"
    return Answer(process.returncode, text, usage.ru_utime + usage.ru_stime)


def scenario(*phases: str, more: str = "") -> str:
    return HEAD + "  load:\n" + "".join(f"    - {phase}\n" for phase in phases) + more


def phase(
    name: int = 0, length: str = "10s", arrivals: str = "{ constant: { rate: 1/s } }", jobs: str = "{ j: 1 }"
) -> str:
    return PHASE.format(name, length, arrivals, jobs)


def recipes() -> Iterator[tuple[str, str | bytes, int, str]]:
    """Name, content, exit code, and a word of the answer."""
    deep = 100_000
    yield "nothing.yaml", "", 2, "no manifest"
    yield "comments.yaml", "# nothing\n" * 1_000, 2, "no manifest"
    yield "huge.yaml", GOOD + "# 0123456789\n" * 4_000_000, 2, "at most"
    yield "just-too-large.yaml", GOOD + "#" * ((1 << 20) + 1 - len(GOOD)), 2, "at most"
    yield "just-large-enough.yaml", GOOD + "#" * ((1 << 20) - len(GOOD)), 0, "1 good"
    yield "deep-flow.yaml", "a: " + "[" * deep + "]" * deep, 2, "too deep"
    yield "deep-flow-open.yaml", "[" * deep, 2, "error"
    yield "deep-maps.yaml", "{a: " * deep + "1" + "}" * deep, 2, "too deep"
    yield "deep-block.yaml", "".join(" " * level + "a:\n" for level in range(1_000)), 2, "too deep"
    yield "deep-dashes.yaml", "- " * deep + "1", 2, "error"
    yield "deep-questions.yaml", "? " * deep + "1", 2, "error"
    yield "deep.json", '{"a":' * deep + "1" + "}" * deep, 2, "error"
    config = "{ a: " * 100 + "1" + " }" * 100
    yield "deep-run-config.yaml", scenario(phase(jobs=f"[{{ job: a, runConfig: {config} }}]")), 2, "too deep"
    yield "nul.yaml", GOOD.replace("local", "lo\0cal"), 2, "NUL"
    yield "nul-at-the-end.yaml", GOOD + "\0" * 512, 2, "NUL"
    yield "latin-1.yaml", GOOD.encode() + b"# L\xfcneburg\n", 2, "not UTF-8"
    yield "utf-16.yaml", GOOD.encode("utf-16"), 2, "UTF-16"
    yield "terminal-escape.yaml", GOOD.replace("target: local", 'target: "\\e[31m"'), 2, "not a name"
    yield "newlines.yaml", GOOD + '"a\\nb\\nc": 1\n', 2, "unknown field"
    yield "long-line.yaml", GOOD.replace("target: local", "target: local # " + "x" * 400_000), 0, "1 good"
    yield "long-value.yaml", GOOD.replace("target: local", "target: " + "x" * 400_000), 2, "not a name"
    yield "long-field.yaml", GOOD + '"' + "x" * 1_000 + '": 1\n', 2, "unknown field"
    yield "long-number.yaml", scenario(phase(), more="  seed: " + "9" * 400_000 + "\n"), 2, "error"
    yield from large_recipes()


def large_recipes() -> Iterator[tuple[str, str | bytes, int, str]]:
    """Many of something."""
    labels = ", ".join(f"k{number}: v" for number in range(30_000))
    yield "many-nodes.yaml", GOOD + f"  labels: {{ {labels} }}\n", 2, "too many values"
    jobs = "{ " + ", ".join(f"job_{number}: 1" for number in range(20_000)) + " }"
    yield "many-jobs.yaml", scenario(phase(jobs=jobs)), 0, "1 good"
    yield "many-phases.yaml", scenario(*(phase(number) for number in range(100))), 0, "1 good"
    yield "too-many-phases.yaml", scenario(*(phase(number) for number in range(101))), 2, "the most"
    yield "many-mistakes.yaml", scenario(*(phase(number, length="5") for number in range(90))), 2, "too many errors"
    documents = (GOOD.replace("name: ", f"name: d{number}-", 1) for number in range(1_000))
    yield "many-documents.yaml", "---\n".join(documents), 0, "1000 good"
    yield "many-bad-documents.yaml", "---\n[\n" * 5_000, 2, "more than 1000 documents"
    yield (
        "many-aliases.yaml",
        scenario(phase(jobs="&j { a: 1 }"), *(phase(n, jobs="*j") for n in range(1, 20))),
        2,
        "alias",
    )
    laughs = "a0: &a0 [" + "lol, " * 9 + "]\n"
    laughs += "".join(f"a{level}: &a{level} [{f'*a{level - 1}, ' * 9}]\n" for level in range(1, 12))
    yield "billion-laughs.yaml", GOOD + laughs, 2, "alias"
    text = "x" * 100_000
    blow_up = f"{{ a: &a {text}, b: [{', '.join(['*a'] * 15)}] }}"
    yield "quadratic-blow-up.yaml", scenario(phase(jobs=f"[{{ job: a, runConfig: {blow_up} }}]")), 0, "1 good"
    burst = "{ burst: { size: 100000, every: 1ms } }"
    yield "arrivals-overflow.yaml", scenario(phase(length="366d", arrivals=burst)), 2, "more than 1000000"
    ramp = "{ ramp: { from: 0/s, to: 10000/s } }"
    yield "ramp-overflow.yaml", scenario(phase(length="366d", arrivals=ramp)), 2, "more than 1000000"
    fast = "{ constant: { rate: 10000/s } }"
    yield "a-million.yaml", scenario(phase(length="100s", arrivals=fast)), 0, "1 good"
    yield (
        "a-million-and-one.yaml",
        scenario(phase(length="100s", arrivals=fast), phase(1, "1s")),
        2,
        "more than 1000000",
    )
    late = "{ name: late, after: 366d, for: 366d, arrivals: { constant: { rate: 1/d } }, jobs: { j: 1 } }"
    yield "a-year-late.yaml", scenario(late), 0, "1 good"
    kill = "{ name: k, after: 1s, repeat: { every: 366d, times: 1000 }, stopTasks: { service: workers } }"
    yield "repeat-overflow.yaml", scenario(phase(), more=f"  faults:\n    - {kill}\n"), 2, "the load ends at 10s"


@pytest.mark.parametrize(("name", "content", "code", "words"), list(recipes()), ids=lambda value: str(value)[:40])
def test_hostile(tmp_path: Path, name: str, content: str | bytes, code: int, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    judge(validate(path), code, words, name)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    os.mkfifo(tmp_path / "fifo.yaml")
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "circle").symlink_to(tmp_path)
    sparse = tmp_path / "sparse.yaml"
    sparse.touch()
    os.truncate(sparse, 64 << 30)
    answer = validate(tmp_path)
    judge(answer, 2, "sparse.yaml", "a folder")
    assert "gone.yaml" in answer.text


def test_the_whole_corpus(tmp_path: Path) -> None:
    """The time and memory of each: what each is answered is in its golden."""
    for path in sorted([*(CORPUS / "bad").glob("*.yaml"), *(CORPUS / "bad").glob("*.json")]):
        judge(validate(path), 2, "error", path.name)


def judge(answer: Answer, code: int, words: str, name: str) -> None:
    shown = answer.text[:2_000]
    assert answer.code == code, f"{name}: {answer.code}\n{shown}"
    assert words in answer.text, f"{name}: no `{words}` in\n{shown}"
    assert "panicked" not in answer.text
    assert "\x1b" not in answer.text
    assert len(answer.text) < 100_000, name
    assert answer.cpu_s < CPU_S, f"{name}: {answer.cpu_s} s of processor time"
