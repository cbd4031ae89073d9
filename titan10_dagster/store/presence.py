"""The presence of processes.

Each process holds an advisory lock, which the server releases when its connection ends for any reason. Processes on
other machines can see by the lock whether a process is alive, even if its machine has vanished or been renamed. After a
connection breaks, a new one takes the lock again within seconds. A process counts as gone only after the lock was free
for longer than that.
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

BEAT = 5.0  # seconds between two checks of the connection by the lock's holder
PATIENCE = 30  # seconds for which a lock is free before its holder counts as gone

_KEY = "hashtextextended('titan10 presence ' || %s, 0)"


@contextmanager
def present(url: str, name: str) -> Iterator[None]:
    """Mark `name` as alive in the database at `url`, as long as the context is open."""
    over = Event()
    # A daemon thread, because a server that does not answer must not keep the process from ending.
    holder = Thread(target=_hold, args=(url, name, over), name="presence", daemon=True)
    holder.start()
    try:
        yield
    finally:
        over.set()
        holder.join(timeout=BEAT)


def is_present(url: str, name: str) -> bool:
    """Return whether `name` is alive. A negative answer takes PATIENCE seconds.

    If the database cannot be reached, return True: a lock that was lost with the database is taken again later.
    """
    try:
        with Database(url).session() as cursor:
            if _is_held(cursor, name):
                return True
            log.info("the presence lock of %s is free: waiting for its holder to take it again", name)
            return any(_is_held(cursor, name) for _ in _seconds(PATIENCE))
    except StoreError:
        return True


def _seconds(count: int) -> Iterator[int]:
    for second in range(count):
        time.sleep(1)
        yield second


def _is_held(cursor: Cursor, name: str) -> bool:
    """A shared lock for this statement only: the test blocks neither the holder nor other tests."""
    cursor.execute(f"SELECT NOT pg_try_advisory_xact_lock_shared({_KEY}) AS held", [name])
    return bool(single_row(cursor).held)


def _hold(url: str, name: str, over: Event) -> None:
    while not over.is_set():
        with suppress(StoreError), Database(url).session() as cursor:
            cursor.execute(f"SELECT pg_advisory_lock({_KEY})", [name])
            while not over.wait(BEAT):
                cursor.execute("SELECT 1")
        over.wait(BEAT)
