"""The locks by which writers take turns.

Writers of one exchange lock its row of the table `write_locks`: `lock_exchange`. Only roles that may change the table
can do that. The other locks are advisory locks, each with a number that no other program may use in this database. Any
role that may connect can take them, unless the server's administrator forbids it (docs/howto/deploy.md).

| lock | held by | for |
|-|-|-|
| MIGRATIONS | a session | bringing the schema up to date: two may start at once |
| ROLLUPS | a session; `compress_rollups` in sql/timescaledb | refreshing rollups, compressing them |
| POLICIES | a transaction | setting how TimescaleDB keeps the candles |
"""

from __future__ import annotations

from datetime import timedelta

import psycopg2

from titan10_dagster.errors import WriteUnderWay
from titan10_dagster.store.database import Cursor

MIGRATIONS = 7_310_424_201
ROLLUPS = 7_310_424_202
POLICIES = 7_310_424_203

NOT_WAITING = 50  # milliseconds; PostgreSQL has no insert that does not wait


def lock_exchange(cursor: Cursor, exchange: str, *, patience: timedelta | None = None) -> None:
    """Lock the exchange's row, until the end of the transaction; wait until no other transaction writes the exchange.

    With `patience` it does not wait: a connection that waits is missing in the pool, so the caller must try again
    later. Every other lock of this transaction is then waited for no longer than `patience`.

    Raises:
        WriteUnderWay: another transaction writes the exchange; without `patience`, for longer than a session waits.
    """
    try:
        if patience is not None:
            # A row that another transaction has just created cannot be skipped: an insert waits for it, but not long.
            cursor.execute("SET LOCAL lock_timeout = %s", [NOT_WAITING])
        if not _lock_row(cursor, exchange, waiting=patience is None):
            raise WriteUnderWay(f"another write of {exchange} is under way")
        if patience is not None:
            cursor.execute("SET LOCAL lock_timeout = %s", [int(patience.total_seconds() * 1000)])
    except psycopg2.errors.LockNotAvailable as error:
        raise WriteUnderWay(f"another write of {exchange} is under way") from error


def _lock_row(cursor: Cursor, exchange: str, *, waiting: bool) -> bool:
    """Lock the exchange's row, and create it before its first lock; return whether it is locked."""
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
