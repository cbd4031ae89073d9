"""Audit: compares ledger, candles and gaps with each other, from the rows themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from titan10_dagster.candles.slices import Series, Slice, midnight
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.store.database import Database, all_rows
from titan10_dagster.store.statements import statement


@dataclass(frozen=True)
class Unaccounted:
    """A slice with numbers that contradict each other; all counts are candles.

    `expected` and `present` are the ledger's counts (0 if it has no row of the slice). `stored` is counted in the table
    candles, `in_gaps` in the table gaps. A correct slice has stored = present and stored + in_gaps = expected.
    """

    slice: Slice
    expected: int
    present: int
    stored: int
    in_gaps: int


def unaccounted(db: Database, exchange: str, timeframe: Timeframe, first: date, last: date) -> list[Unaccounted]:
    """Return the slices of these UTC days (both included) that do not add up.

    There are none, unless another program writes to the tables.
    """
    parameters = {
        "exchange": exchange,
        "timeframe": timeframe.name,
        "first": first,
        "last": last,
        "start": midnight(first),
        "end": midnight(last + timedelta(days=1)),
    }
    with db.transaction() as cursor:
        cursor.execute(statement("unaccounted"), parameters)
        return [
            Unaccounted(
                Slice(Series(exchange, row.symbol, timeframe), row.day),
                expected=row.expected,
                present=row.present,
                stored=row.stored,
                in_gaps=row.in_gaps,
            )
            for row in all_rows(cursor)
        ]
