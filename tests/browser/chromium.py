"""Finds a Chromium for the tests, or fetches one; says what to do where neither is possible."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Playwright

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGES = ("chromium-headless-shell", "chromium")
# No sandbox: as root there is none. The rest keeps the browser itself off the network.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


class NoBrowserError(Exception):
    """There is no Chromium, and none could be fetched."""


def chromium(playwright: Playwright) -> Path:
    """The program to run: named by $CHROMIUM, found on the PATH, Playwright's own, or installed now."""
    named = os.environ.get("CHROMIUM")
    if named:
        if not Path(named).is_file():
            raise NoBrowserError(f"$CHROMIUM names {named}, which is no file")
        return Path(named)
    return on_path() or playwrights_own(playwright) or installed()


def on_path() -> Path | None:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return Path(found) if found else None


def playwrights_own(playwright: Playwright) -> Path | None:
    """The one that `playwright install` has put or puts into its cache, if it can be downloaded."""
    program = Path(playwright.chromium.executable_path)
    if not program.is_file():
        tried = run(sys.executable, "-m", "playwright", "install", "chromium")
        if tried.returncode != 0:
            return None
    return program if program.is_file() else None


def installed() -> Path:
    """As a package of Debian or Ubuntu."""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        raise NoBrowserError(
            ADVICE + ("" if apt is None else f" As root, this would do: apt-get install {PACKAGES[1]}.")
        )
    tried = [run(apt, "update")]
    for package in PACKAGES:
        tried.append(run(apt, "install", "-y", "--no-install-recommends", package))
        found = on_path()
        if tried[-1].returncode == 0 and found is not None:
            return found
    said = "\n".join(done.stdout.strip()[-600:] for done in tried)
    raise NoBrowserError(f"{ADVICE} apt-get said:\n{said}")


ADVICE = (
    "The tests of report.html need Chromium. None is on the PATH, and Playwright could not download its own."
    " Install `chromium` or `google-chrome`, or name one: CHROMIUM=/path/to/chromium."
)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=500, env=environment
    )
