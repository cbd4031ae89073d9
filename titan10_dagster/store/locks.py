"""The locks of the database. Only one process at a time can hold each of them.

Each write of an exchange calls `lock_exchange`, which locks the exchange's row in the table `write_locks`. Only a role
that has the right to change this table can lock a row.

The other locks are advisory locks. Each advisory lock has a number. Other programs must not use these numbers for their
own locks in this database. By default, any role that can connect can take an advisory lock. docs/howto/deploy.md shows
how to forbid this.

| lock | held by | purpose |
|-|-|-|
| MIGRATIONS | a session | if several processes start at the same time, only one of them migrates the schema |
| ROLLUPS | a session; `compress_rollups` in sql/timescaledb | one process at a time refreshes or compresses rollups |
| POLICIES | a transaction | two processes do not change the policies of TimescaleDB at the same time |
"""

from __future__ import annotations

from datetime import timedelta

import psycopg2

from titan10_dagster.errors import WriteUnderWay
from titan10_dagster.store.database import Cursor

MIGRATIONS = 7_310_424_201
ROLLUPS = 7_310_424_202
POLICIES = 7_310_424_203

# In ms. PostgreSQL has no INSERT with NOWAIT. A write that must not wait therefore uses this short lock timeout.
NOT_WAITING = 50


def lock_exchange(cursor: Cursor, exchange: str, *, patience: timedelta | None = None) -> None:
    """Lock the exchange until the end of this transaction, so that no other transaction writes data of the exchange.

    `patience`: if None, the function waits for this lock until the lock timeout of the session. Otherwise, it waits at
        most 50 ms, because this wait occupies a connection that other writes may need. After that, `patience` is the
        lock timeout for the rest of the transaction.

    Raises:
        WriteUnderWay: another transaction still has the lock after the wait. The caller can try again later.
    """
    try:
        if patience is not None:
            # SKIP LOCKED does not skip a row that another transaction has created but not committed. The INSERT waits
            # for such a row, so this wait must be short.
            cursor.execute("SET LOCAL lock_timeout = %s", [NOT_WAITING])
        if not _lock_row(cursor, exchange, waiting=patience is None):
            raise WriteUnderWay(f"another write of {exchange} is under way")
        if patience is not None:
            cursor.execute("SET LOCAL lock_timeout = %s", [int(patience.total_seconds() * 1000)])
    except psycopg2.errors.LockNotAvailable as error:
        raise WriteUnderWay(f"another write of {exchange} is under way") from error


def _lock_row(cursor: Cursor, exchange: str, *, waiting: bool) -> bool:
    """Lock the exchange's row, and create the row if necessary. Return whether this transaction now has the lock."""
    select = "SELECT FROM write_locks WHERE exchange = %s FOR UPDATE"
    if not waiting:
        select += " SKIP LOCKED"
    cursor.execute(select, [exchange])
    if cursor.rowcount:
        return True
    cursor.execute("INSERT INTO write_locks VALUES (%s) ON CONFLICT DO NOTHING", [exchange])
    if cursor.rowcount:
        return True  # a new row that is not committed yet has the same effect as a lock
    cursor.execute(select, [exchange])
    return bool(cursor.rowcount)
