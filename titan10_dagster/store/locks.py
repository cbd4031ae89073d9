"""The advisory locks by which writers take turns. Each has a number that no other program may use in this database.

| lock | held by | for |
|-|-|-|
| MIGRATIONS | a session | bringing the schema up to date: two may start at once |
| ROLLUPS | a session; `compress_rollups` in sql/timescaledb | refreshing rollups, compressing them |
| POLICIES | a transaction | setting how TimescaleDB keeps the candles |

Writers of one exchange take turns by `lock_exchange`, whose numbers are hashes of the exchanges' names.
"""

from __future__ import annotations

from datetime import timedelta

import psycopg2

from titan10_dagster.errors import WriteUnderWay
from titan10_dagster.store.database import Cursor, single_row

MIGRATIONS = 7_310_424_201
ROLLUPS = 7_310_424_202
POLICIES = 7_310_424_203


def lock_exchange(cursor: Cursor, exchange: str, *, patience: timedelta | None = None) -> None:
    """Take the exchange's lock, which falls with the transaction; wait until no other transaction writes the exchange.

    With `patience` it does not wait: a connection that waits is missing in the pool, so the caller must try again
    later. Every other lock of this transaction is then waited for no longer than `patience`.

    Raises:
        WriteUnderWay: another transaction writes the exchange; without `patience`, for longer than a session waits.
    """
    if patience is None:
        try:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('titan10 ' || %s, 0))", [exchange])
        except psycopg2.errors.LockNotAvailable as error:
            raise WriteUnderWay(f"another write of {exchange} is under way") from error
        return
    cursor.execute("SET LOCAL lock_timeout = %s", [int(patience.total_seconds() * 1000)])
    cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended('titan10 ' || %s, 0)) AS taken", [exchange])
    if not single_row(cursor).taken:
        raise WriteUnderWay(f"another write of {exchange} is under way")
