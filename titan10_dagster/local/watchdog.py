"""Kills process groups when the process that started this one is gone, however it went: SIGKILL cannot be caught.

Reads `+<process group>` and `-<process group>` from standard input, a line each. At its end it kills the groups that
are left and runs the command in its own arguments. A script of the standard library alone, so that it starts in a
blink and weighs little.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys


def send(group: int, what: int) -> bool:
    """Sends a signal to a group; false if it has no process any more."""
    try:
        os.killpg(group, what)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group of zombies
        return False
    return True


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        change = groups.add if line.startswith("+") else groups.discard
        change(int(line[1:]))
    if groups:
        for group in groups:
            send(group, signal.SIGKILL)
        if sys.argv[1:]:
            subprocess.run(sys.argv[1:], check=False)


if __name__ == "__main__":
    main()
