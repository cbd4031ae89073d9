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
    return is_running(int(pid)) and _began(int(pid)) == began


def is_running(pid: int) -> bool:
    """Whether a process of this host has this number; one that has ended and waits for its parent has not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it lives, as somebody else
    return _stat(pid)[:1] not in (["Z"], ["X"])


def _tag(pid: int) -> str:
    return f"{socket.gethostname()} {pid} {_began(pid)}"


def _began(pid: int) -> str:
    """What tells a process from a later one of the same id: its start, in clock ticks since boot.

    Empty where the system does not say.
    """
    return (_stat(pid)[19:20] or [""])[0]


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the third on, the state; none where there is no such file."""
    with suppress(OSError):
        # The name, field 2, stands in brackets and may hold spaces; the start is field 22.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []
