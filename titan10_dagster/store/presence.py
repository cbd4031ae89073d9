"""Shows in the database which processes are alive.

Each process holds an advisory lock. When the connection of the process ends for any reason, the server releases the
lock. Processes on other machines can therefore see whether a process is alive, even if its machine disappeared or was
renamed. If the connection of a living process breaks, the process takes the lock again within seconds, with a new
connection. Therefore a process only counts as ended if its lock stays free for PATIENCE seconds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from titan10_dagster.errors import StoreError
from titan10_dagster.store.database import Cursor, Database, single_row

log = logging.getLogger(__name__)

BEAT = 5.0  # seconds; the process that holds the lock checks its connection this often
PATIENCE = 30  # seconds; if the lock of a process stays free for this long, the process counts as ended

_KEY = "hashtextextended('titan10 presence ' || %s, 0)"


@contextmanager
def present(url: str, name: str) -> Iterator[None]:
    """Mark the process `name` as alive in the database at `url` while the context is open."""
    stopped = Event()
    # This is a daemon thread. Otherwise the process could not end if the server does not answer.
    holder = Thread(target=_hold, args=(url, name, stopped), name="presence", daemon=True)
    holder.start()
    try:
        yield
    finally:
        stopped.set()
        holder.join(timeout=BEAT)


def is_present(url: str, name: str) -> bool:
    """Return whether the process `name` is alive. The call takes PATIENCE seconds if the result is False.

    If the database cannot be reached, return True, because the process is possibly alive and takes the lock later.
    """
    try:
        with Database(url).session() as cursor:
            if _is_held(cursor, name):
                return True
            log.info("the presence lock of %s is free: waiting, because that process may take its lock again", name)
            return any(_is_held(cursor, name) for _ in _seconds(PATIENCE))
    except StoreError:
        return True


def _seconds(count: int) -> Iterator[int]:
    for second in range(count):
        time.sleep(1)
        yield second


def _is_held(cursor: Cursor, name: str) -> bool:
    """Return whether a process holds the presence lock of `name`.

    To find out, this function tries to take the lock in shared mode, and releases it after the statement. Several
    processes can do this at the same time, because shared locks do not block each other.
    """
    cursor.execute(f"SELECT NOT pg_try_advisory_xact_lock_shared({_KEY}) AS held", [name])
    return bool(single_row(cursor).held)


def _hold(url: str, name: str, stopped: Event) -> None:
    while not stopped.is_set():
        with suppress(StoreError), Database(url).session() as cursor:
            cursor.execute(f"SELECT pg_advisory_lock({_KEY})", [name])
            while not stopped.wait(BEAT):
                cursor.execute("SELECT 1")
        stopped.wait(BEAT)
