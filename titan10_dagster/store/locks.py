"""The locks that serialize writers.

Writers of one exchange lock its row of the table `write_locks` with `lock_exchange`. This needs the right to change the
table. The other locks are advisory locks, each with a number that no other program may use in this database. Any role
that may connect can take them, unless the server's administrator forbids it (docs/howto/deploy.md).

| lock | held by | for |
|-|-|-|
| MIGRATIONS | a session | bringing the schema up to date, because two processes may start at once |
| ROLLUPS | a session; `compress_rollups` in sql/timescaledb | refreshing rollups, compressing them |
| POLICIES | a transaction | changing the policies of TimescaleDB |
"""

from __future__ import annotations

from datetime import timedelta

import psycopg2

from titan10_dagster.errors import WriteUnderWay
from titan10_dagster.store.database import Cursor

MIGRATIONS = 7_310_424_201
ROLLUPS = 7_310_424_202
POLICIES = 7_310_424_203

NOT_WAITING = 50  # milliseconds; PostgreSQL has no INSERT with NOWAIT


def lock_exchange(cursor: Cursor, exchange: str, *, patience: timedelta | None = None) -> None:
    """Wait until no other transaction writes the exchange, and lock its row until the end of this transaction.

    With `patience` the function does not wait, because a waiting connection is missing in the pool; the caller must try
    again later. The transaction then waits for each other lock for at most `patience`.

    Raises:
        WriteUnderWay: another transaction writes the exchange. Without `patience`, it did so for the whole lock
            timeout.
    """
    try:
        if patience is not None:
            # A row that another transaction has just created cannot be skipped, so the INSERT waits for it for a short
            # time.
            cursor.execute("SET LOCAL lock_timeout = %s", [NOT_WAITING])
        if not _lock_row(cursor, exchange, waiting=patience is None):
            raise WriteUnderWay(f"another write of {exchange} is under way")
        if patience is not None:
            cursor.execute("SET LOCAL lock_timeout = %s", [int(patience.total_seconds() * 1000)])
    except psycopg2.errors.LockNotAvailable as error:
        raise WriteUnderWay(f"another write of {exchange} is under way") from error


def _lock_row(cursor: Cursor, exchange: str, *, waiting: bool) -> bool:
    """Lock the exchange's row, creating it if necessary. Return whether it is locked."""
    select = "SELECT FROM write_locks WHERE exchange = %s FOR UPDATE"
    if not waiting:
        select += " SKIP LOCKED"
    cursor.execute(select, [exchange])
    if cursor.rowcount:
        return True
    cursor.execute("INSERT INTO write_locks VALUES (%s) ON CONFLICT DO NOTHING", [exchange])
    if cursor.rowcount:
        return True  # other transactions wait for a row that is not committed yet
    cursor.execute(select, [exchange])
    return bool(cursor.rowcount)
