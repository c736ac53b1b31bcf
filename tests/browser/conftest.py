"""One browser, and the pages that the real renderer makes of made-up histories."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chromium import FLAGS, chromium
from histories import History, large, small
from playwright.sync_api import Browser, sync_playwright
from screen import Screen

ROOT = Path(__file__).parents[2]
PROGRAM = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "dagstorm"
KEYS = 100_000
FAILED = 1

Opener = Callable[..., Screen]


def render(history: History, folder: Path) -> Path:
    """As a user would, years later: from the history alone."""
    assert PROGRAM.is_file(), f"{PROGRAM} is missing: run `cargo build` first"
    source = folder / "history.jsonl"
    with source.open("w") as out:
        out.writelines(history.lines())
    page = folder / "report.html"
    done = subprocess.run([PROGRAM, "audit", source, "--html", page], capture_output=True, text=True, check=False)
    assert done.returncode == FAILED, done.stderr
    return page


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten keys, one of each kind of finding."""
    return render(small(), tmp_path_factory.mktemp("few"))


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred thousand keys."""
    return render(large(KEYS), tmp_path_factory.mktemp("many"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(playwright), args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Opener]:
    """Opens a page; when the test is over, nothing may have been fetched, and no script may have complained."""
    opened: list[Screen] = []

    def opener(file: Path, **options: object) -> Screen:
        opened.append(Screen(browser, file, **options))
        return opened[-1]

    yield opener
    for screen in opened:
        screen.close()
