"""Processes of this machine, identified so that a reused process id is not mistaken for the earlier process."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path


def is_running(pid: int) -> bool:
    """Return whether a process of this machine has this id; a zombie does not count."""
    return exists(pid) and _stat(pid)[:1] not in (["Z"], ["X"])


def exists(pid: int) -> bool:
    """Return whether the process id is in use, also by a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # the process belongs to another account
    return True


def start_time(pid: int) -> str:
    """Return the start time of the process, in clock ticks since boot; empty if the system does not report it.

    Two processes that had the same id at different times have different start times.
    """
    return (_stat(pid)[19:20] or [""])[0]


def machine() -> str:
    """Return an identifier of the id space: this boot of this system and our namespace of process ids.

    The host name is not sufficient, because it can change and other machines may have the same one. It is used only if
    the system has no boot id.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat from the third (the state) on; empty if there is no such file."""
    with suppress(OSError):
        # Field 2, the name, is in brackets and may contain spaces; the start time is field 22.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []
