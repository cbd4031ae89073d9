"""Identifies the process that executes a run, and checks whether this process is still alive.

A process of this machine is identified by its id and its start time. A process of another machine holds a lock in the
database of Dagster's runs while it is alive. Every process that can read the runs can check this lock. A recreated
container counts as another machine.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from titan10_dagster.operate.process_ids import is_running, machine, start_time
from titan10_dagster.store.presence import is_present, present

# Tag of a run that a program such as `titan10 backfill` executes in its own process. The value contains the host name
# (for people), the process id, the start time and the machine.
PROCESS_TAG = "titan10/process"


def this_process() -> str:
    """Return the value of PROCESS_TAG for a run that this process executes."""
    pid = os.getpid()
    return f"{socket.gethostname()} {pid} {start_time(pid)} {machine()}"


@contextmanager
def visible_to_other_machines(url: str | None) -> Iterator[None]:
    """Hold a lock while the context is open. The lock shows other machines that this process is alive.

    `url`: the database of Dagster's runs. If the runs are not in PostgreSQL, `url` is None and no lock is held.
    """
    with present(url, this_process()) if url else nullcontext():
        yield


def is_alive(tag: str, url: str | None) -> bool:
    """Return whether a process is alive. `tag`: the value of PROCESS_TAG that describes this process.

    The function needs half a minute to return False for a process of another machine. `url`: see
    `visible_to_other_machines`. If `url` is None, processes of other machines count as alive.
    """
    _, pid, started, *where = tag.split(" ")
    if where == [machine()]:
        return is_running(int(pid)) and start_time(int(pid)) == started
    return url is None or is_present(url, tag)
