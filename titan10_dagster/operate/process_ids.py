"""Functions that identify processes of this machine.

After a process has ended, the system can give the same id to a new process. The start times then differ.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path


def is_running(pid: int) -> bool:
    """Return whether a process with this id is running on this machine. A zombie process does not count."""
    return exists(pid) and _stat(pid)[:1] not in (["Z"], ["X"])


def exists(pid: int) -> bool:
    """Return whether a process with this id exists on this machine. A zombie process counts too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # the process belongs to another account
    return True


def start_time(pid: int) -> str:
    """Return the start time of the process in clock ticks since boot, or "" if the system does not report it.

    If two processes have had the same id at different times, their start times differ.
    """
    return (_stat(pid)[19:20] or [""])[0]


def machine() -> str:
    """Return an identifier of the machine: the boot id of the system, and the namespace of the process ids.

    If two running processes have the same machine identifier, their process ids differ. A host name does not guarantee
    this, because host names can change, and other machines can have the same name. The host name is used only if the
    system does not report the boot id and the namespace.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat from the third field (the state).

    If there is no such file, the list is empty.
    """
    with suppress(OSError):
        # Field 2, the name, is in parentheses and can contain spaces. Field 22 is the start time.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []
