"""Retention: deletes old candles, and the ledger rows of their days."""

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
    """The result of `drop_before`: all candles before the UTC day `before` were deleted.

    `slices`: the number of deleted ledger rows.
    """

    before: date
    slices: int


def drop_before(db: Database, day: date) -> Dropped:
    """Delete the candles before a UTC day, and the rows of this time in ledger, gaps, silences and source_stretches.

    Everything is deleted in one transaction. A row of the table series is deleted if the series has no candle any more.
    A row of the table source_files is deleted if no stored candle and no restatement refers to the file any more.
    Quarantine and restatements do not change. Rollups change at their next refresh.

    From a hypertable, only whole chunks are dropped, because this is cheap. Therefore, if a chunk contains days before
    and after `day`, all of its days are kept, together with their ledger rows.

    The function waits until the current writes of all exchanges have ended. Otherwise, one of these writes could record
    numbers of candles that include the deleted candles.
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

    Before the returned time, no candles are left. Usually it is the instant. If the first remaining chunk starts
    earlier, it is the start of this chunk.
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
