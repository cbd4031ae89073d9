"""Retention: deletes old candles and their ledger rows in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from titan10_dagster.candles.slices import midnight
from titan10_dagster.store.database import Cursor, Database, all_rows, single_row
from titan10_dagster.store.locks import lock_exchange
from titan10_dagster.store.policies import is_hypertable
from titan10_dagster.store.statements import statement


@dataclass(frozen=True)
class Dropped:
    """The result of a drop: all candles before the UTC day `before` were deleted.

    `slices`: the number of deleted ledger rows.
    """

    before: date
    slices: int


def drop_before(db: Database, day: date) -> Dropped:
    """Delete the candles before a UTC day, and their rows in ledger, gaps, silences, series and source_stretches.

    Everything is deleted in one transaction. A source file is deleted if no stored candle and no restatement refers to
    it any more.

    A hypertable drops only whole chunks, which is cheap. Therefore days before `day` that share a chunk with later days
    are kept, together with their ledger rows. Quarantine and restatements do not change. Rollups change at their next
    refresh.

    The function waits until all writes that are under way have ended. Otherwise, such a write could record numbers of
    candles that include the deleted candles.
    """
    with db.transaction() as cursor:
        cursor.execute("SELECT DISTINCT exchange FROM series ORDER BY exchange")
        exchanges = [row.exchange for row in all_rows(cursor)]
        for exchange in exchanges:
            lock_exchange(cursor, exchange)
        before = _drop_chunks(cursor, midnight(day)) if is_hypertable(cursor) else _delete(cursor, midnight(day))
        cursor.execute(statement("forget_before"), {"day": before.date(), "instant": before})
        slices = single_row(cursor).slices
        for exchange in exchanges:
            cursor.execute(statement("delete_unused_files"), {"exchange": exchange})
        return Dropped(before.date(), slices)


def _drop_chunks(cursor: Cursor, instant: datetime) -> datetime:
    """Drop the chunks that end at or before the instant.

    Return the instant, or the start of the first remaining chunk if this chunk starts earlier.
    """
    cursor.execute("SELECT drop_chunks('candles', older_than => %s::timestamptz)", [instant])
    cursor.execute(
        "SELECT least(%s, min(range_start)) AS start FROM timescaledb_information.chunks"
        " WHERE hypertable_schema = current_schema() AND hypertable_name = 'candles'",
        [instant],
    )
    start: datetime = single_row(cursor).start
    return start


def _delete(cursor: Cursor, instant: datetime) -> datetime:
    cursor.execute('DELETE FROM candles WHERE "time" < %s', [instant])
    return instant
