"""The process that executes a run, and the check whether it is still alive.

A process of this machine is identified by its id and its start time. A process of another machine (a recreated
container is another machine) is identified by a lock that it holds in the database of Dagster's runs, where every
process that sees the run can check it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from titan10_dagster.operate.process_ids import is_running, machine, start_time
from titan10_dagster.store.presence import is_present, present

# Tag of a run that has its own process. Value: host name (for people), process id, start time, machine.
PROCESS_TAG = "titan10/process"


def this_process() -> str:
    """Return the value of the tag for a run in this process."""
    pid = os.getpid()
    return f"{socket.gethostname()} {pid} {start_time(pid)} {machine()}"


@contextmanager
def visible_to_other_machines(url: str | None) -> Iterator[None]:
    """Hold the lock that shows other machines that this process is alive.

    `url` is the database of Dagster's runs. It is None if they are not in PostgreSQL; then no lock is held.
    """
    with present(url, this_process()) if url else nullcontext():
        yield


def is_alive(tag: str, url: str | None) -> bool:
    """Return whether the process of a tag is alive.

    It takes half a minute to be sure that a process of another machine is gone. Without `url`, processes of other
    machines count as alive.
    """
    _, pid, started, *where = tag.split(" ")
    if where == [machine()]:
        return is_running(int(pid)) and start_time(int(pid)) == started
    return url is None or is_present(url, tag)
