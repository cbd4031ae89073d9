"""Letting old candles go, and the ledger with them: what it says is always true of what is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from titan10_dagster.candles.slices import midnight
from titan10_dagster.store.database import Cursor, Database, one
from titan10_dagster.store.locks import lock_exchange
from titan10_dagster.store.policies import is_hypertable
from titan10_dagster.store.statements import statement


@dataclass(frozen=True)
class Dropped:
    """What went: everything before the UTC day `before`. `slices` are rows of the ledger."""

    before: date
    slices: int


def drop_before(db: Database, day: date) -> Dropped:
    """Removes the candles before the UTC day, and what ledger, gaps and series say of them, in one transaction.

    A hypertable drops whole chunks, which costs nothing: days before `day` that share a chunk with later ones stay,
    in the ledger too. Quarantine and restatements stay as they are. Rollups follow when they are refreshed next.
    Writes that are under way are waited for: they say of candles what was true when they looked.
    """
    with db.transaction() as cursor:
        cursor.execute("SELECT DISTINCT exchange FROM series ORDER BY exchange")
        for (exchange,) in cursor.fetchall():
            lock_exchange(cursor, exchange)
        before = _drop_chunks(cursor, midnight(day)) if is_hypertable(cursor) else _delete(cursor, midnight(day))
        cursor.execute(statement("forget_before"), {"day": before.date(), "instant": before})
        return Dropped(before.date(), one(cursor)[0])


def _drop_chunks(cursor: Cursor, instant: datetime) -> datetime:
    """Drops the chunks that end by the instant; where the candles that are left may begin."""
    cursor.execute("SELECT drop_chunks('candles', older_than => %s::timestamptz)", [instant])
    cursor.execute(
        "SELECT least(%s, min(range_start)) FROM timescaledb_information.chunks"
        " WHERE hypertable_schema = current_schema() AND hypertable_name = 'candles'",
        [instant],
    )
    begin: datetime = one(cursor)[0]
    return begin


def _delete(cursor: Cursor, instant: datetime) -> datetime:
    cursor.execute('DELETE FROM candles WHERE "time" < %s', [instant])
    return instant
