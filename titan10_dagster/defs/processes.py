"""Which process executes a run, and whether it still does.

A process of this machine is known by its number and its start. One of another machine (a container made anew is another
one) is known by the lock that it holds in the database of Dagster's runs, which everybody who sees the run can ask.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from titan10_dagster.store.presence import is_present, present

if TYPE_CHECKING:
    from dagster import DagsterInstance

# Tag of a run in a process of its own: host (for people), process id, when that process began, machine.
PROCESS = "titan10/process"


def this_process() -> str:
    """The value of the tag for a run in this process."""
    pid = os.getpid()
    return f"{socket.gethostname()} {pid} {_began(pid)} {_machine()}"


@contextmanager
def shown_alive(instance: DagsterInstance) -> Iterator[None]:
    """Lets other machines see that this process lives, as long as this is open."""
    url = _database(instance)
    with present(url, this_process()) if url else nullcontext():
        yield


def is_alive(tag: str, instance: DagsterInstance) -> bool:
    """Whether the process of a tag lives; it takes half a minute to be sure that one of another machine does not.

    Where the instance keeps its runs elsewhere than in PostgreSQL, those of other machines are taken to live.
    """
    _, pid, began, *machine = tag.split(" ")
    if machine == [_machine()]:
        return is_running(int(pid)) and _began(int(pid)) == began
    url = _database(instance)
    return url is None or is_present(url, tag)


def is_running(pid: int) -> bool:
    """Whether a process of this machine has this number; one that has ended and waits for its parent has not."""
    return has_number(pid) and _stat(pid)[:1] not in (["Z"], ["X"])


def has_number(pid: int) -> bool:
    """Whether the number is taken, be it by one that has ended and waits for its parent."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # by somebody else's
    return True


def _database(instance: DagsterInstance) -> str | None:
    return getattr(instance.run_storage, "postgres_url", None)


def _machine() -> str:
    """What numbers processes: this boot of this system, and the namespace of process ids that we see.

    The name of the host would not do: it changes, and others may bear it. It has to where the system says nothing else.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


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
