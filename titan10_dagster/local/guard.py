"""Ends process groups when the process that started this one is gone, however it went; SIGKILL cannot be
caught.

Reads `+<process group>` and `-<process group>` from standard input, a line each. At its end it stops the
groups that are left and runs the command in its own arguments. A script of the standard library alone, so
that it starts in a blink and weighs little.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable

GRACE_SECONDS = 5.0


def stop_groups(groups: Iterable[int], grace: float = GRACE_SECONDS) -> None:
    """SIGTERM to every process of the groups, and SIGKILL to what is left after `grace` seconds."""
    left = [group for group in groups if send(group, signal.SIGTERM)]
    deadline = time.monotonic() + grace
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [group for group in left if send(group, 0)]
    for group in left:
        send(group, signal.SIGKILL)


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
        stop_groups(groups)
        if sys.argv[1:]:
            subprocess.run(sys.argv[1:], check=False)


if __name__ == "__main__":
    main()
