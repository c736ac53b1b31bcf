"""A small process that outlives the emulator by a moment and ends the task processes it left behind.

It reads lines `add PID`, written by each task's process itself, and `del PID` from its standard input. When that ends,
because the emulator closed it or was killed (even with -9) and no process is left that has yet to write its line, every
process group that was added and not deleted is killed. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        verb, _, pid = line.strip().partition(" ")
        if verb == "add":
            groups.add(int(pid))
        else:
            groups.discard(int(pid))
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
