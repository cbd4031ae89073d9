"""Which process executes a run, and whether it still does."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

PROCESS = "titan10/process"  # tag of a run in a process of its own: host, process id, when that process began


def this_process() -> str:
    """The value of the tag for a run in this process."""
    return _tag(os.getpid())


def is_alive(tag: str) -> bool:
    """Whether the process of a tag lives; those of other hosts are taken to."""
    host, pid, began = tag.split(" ")
    if host != socket.gethostname():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it lives, as somebody else
    return _began(int(pid)) == began


def _tag(pid: int) -> str:
    return f"{socket.gethostname()} {pid} {_began(pid)}"


def _began(pid: int) -> str:
    """What tells a process from a later one of the same id: its start, in clock ticks since boot.

    Empty for a process that has ended and waits for its parent, and where the system does not say.
    """
    with suppress(OSError):
        # The name, field 2 of /proc/<pid>/stat, stands in brackets and may hold spaces; the start is field 22.
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" else fields[18]
    return ""
