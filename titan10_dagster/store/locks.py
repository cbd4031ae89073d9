"""The advisory locks by which whoever writes takes turns: a number each, that nobody else in the database may use.

| lock | held by | for |
|-|-|-|
| MIGRATIONS | a session | bringing the schema up to date: two may start at once |
| ROLLUPS | a session; `compress_rollups` in sql/timescaledb | refreshing rollups, compressing them |
| POLICIES | a transaction | setting how TimescaleDB keeps the candles |

Writers of an exchange take turns by `lock_exchange`, whose numbers are made of the exchanges' names.
"""

from __future__ import annotations

from datetime import timedelta

import psycopg2

from titan10_dagster.errors import WriteUnderWay
from titan10_dagster.store.database import Cursor

MIGRATIONS = 7_310_424_201
ROLLUPS = 7_310_424_202
POLICIES = 7_310_424_203


def lock_exchange(cursor: Cursor, exchange: str, *, patience: timedelta | None = None) -> None:
    """Waits until nobody else writes the exchange; the lock falls with the transaction.

    `patience` is how long this transaction waits for this lock and for every other one, None: as long as the session.
    Raises WriteUnderWay if that is over.
    """
    if patience is not None:
        cursor.execute("SET LOCAL lock_timeout = %s", [int(patience.total_seconds() * 1000)])
    try:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('titan10 ' || %s, 0))", [exchange])
    except psycopg2.errors.LockNotAvailable as error:
        raise WriteUnderWay(f"another write of {exchange} is under way") from error
