"""Kills process groups after the parent process has ended, even if SIGKILL ended the parent process.

The script keeps a list of process groups. It reads lines from standard input: `+<process group>` adds a group, and
`-<process group>` removes a group. The input ends when the parent process ends. If groups are still in the list at this
time, the script kills these groups and runs the command given in its arguments. The script imports only the standard
library, so that it starts quickly and needs little memory.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys


def send(group: int, what: int) -> bool:
    """Send a signal to a group. Return False if the group no longer has a process."""
    try:
        os.killpg(group, what)
    except ProcessLookupError:
        return False
    except PermissionError:  # raised on macOS if all processes of the group are zombies
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
