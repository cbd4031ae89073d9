"""Who lives, as the database sees it: each holds a lock that falls with its connection, however it ended.

Others see by it that a process of another machine is gone, also where that machine has vanished or is called otherwise
now. A connection that broke is made anew, and the lock taken again, within seconds; nobody is taken for gone before the
lock was free for longer than that.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from titan10_dagster.errors import StoreError
from titan10_dagster.store.database import Cursor, Database, one

log = logging.getLogger(__name__)

BEAT = 5.0  # seconds between two looks of the holder whether its connection still stands
PATIENCE = 30  # seconds for which a lock is free before its holder is taken for gone

_KEY = "hashtextextended('titan10 presence ' || %s, 0)"


@contextmanager
def present(url: str, name: str) -> Iterator[None]:
    """Lets everybody who asks the database at `url` see that `name` lives, as long as this is open."""
    over = Event()
    # A daemon: a server that does not answer must not keep the process from ending.
    holder = Thread(target=_hold, args=(url, name, over), name="presence", daemon=True)
    holder.start()
    try:
        yield
    finally:
        over.set()
        holder.join(timeout=BEAT)


def is_present(url: str, name: str) -> bool:
    """Whether `name` lives; it takes a while to be sure that it does not.

    Where the database is away nobody is taken for gone: its locks fell with it, and are taken again when it is back.
    """
    try:
        with Database(url).session() as cursor:
            if _is_held(cursor, name):
                return True
            log.info("nobody holds the lock of %s: waiting for it", name)
            return any(_is_held(cursor, name) for _ in _seconds(PATIENCE))
    except StoreError:
        return True


def _seconds(count: int) -> Iterator[int]:
    for second in range(count):
        time.sleep(1)
        yield second


def _is_held(cursor: Cursor, name: str) -> bool:
    """Shared and for this statement only: who looks keeps neither the holder nor others who look from anything."""
    cursor.execute(f"SELECT NOT pg_try_advisory_xact_lock_shared({_KEY})", [name])
    return bool(one(cursor)[0])


def _hold(url: str, name: str, over: Event) -> None:
    while not over.is_set():
        with suppress(StoreError), Database(url).session() as cursor:
            cursor.execute(f"SELECT pg_advisory_lock({_KEY})", [name])
            while not over.wait(BEAT):
                cursor.execute("SELECT 1")
        over.wait(BEAT)
