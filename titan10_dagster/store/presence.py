"""Shows in the database which processes are alive.

Each process holds an advisory lock. The server releases the lock when the process's connection ends for any reason.
Processes on other machines can therefore see whether a process is alive, even if its machine disappeared or was
renamed. If a connection breaks, a new connection takes the lock again within seconds. Therefore a process counts as
gone only if its lock stays free for PATIENCE seconds.
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

BEAT = 5.0  # seconds between two checks of the connection by the process that holds the lock
PATIENCE = 30  # seconds; if the presence lock of a process is free for this long, the process counts as ended

_KEY = "hashtextextended('titan10 presence ' || %s, 0)"


@contextmanager
def present(url: str, name: str) -> Iterator[None]:
    """Mark the process `name` as alive in the database at `url` while the context is open."""
    stopped = Event()
    # This is a daemon thread, because a server that does not answer must not keep the process from ending.
    holder = Thread(target=_hold, args=(url, name, stopped), name="presence", daemon=True)
    holder.start()
    try:
        yield
    finally:
        stopped.set()
        holder.join(timeout=BEAT)


def is_present(url: str, name: str) -> bool:
    """Return whether the process `name` is alive. It takes PATIENCE seconds to return False.

    If the database cannot be reached, return True, because the process will take its lock again later.
    """
    try:
        with Database(url).session() as cursor:
            if _is_held(cursor, name):
                return True
            log.info("the presence lock of %s is free: waiting for this process to take the lock again", name)
            return any(_is_held(cursor, name) for _ in _seconds(PATIENCE))
    except StoreError:
        return True


def _seconds(count: int) -> Iterator[int]:
    for second in range(count):
        time.sleep(1)
        yield second


def _is_held(cursor: Cursor, name: str) -> bool:
    """Return whether a process holds the presence lock of `name`.

    The test takes a shared lock for one statement. The test blocks neither the process `name` nor other tests.
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
