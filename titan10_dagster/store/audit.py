"""Audit: finds slices for which the tables slice_ledger, candles and gaps contradict each other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from titan10_dagster.candles.slices import Series, Slice, midnight
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.store.database import Database
from titan10_dagster.store.statements import statement


@dataclass(frozen=True)
class Unaccounted:
    """A slice for which the tables contain contradictory numbers of candles.

    `expected` and `present` are the numbers in the ledger. They are 0 if the ledger has no row for the slice. `stored`
    is the number of candles in the table candles. `in_gaps` is the number of missing candles in the table gaps. For a
    correct slice, stored = present and stored + in_gaps = expected.
    """

    slice: Slice
    expected: int
    present: int
    stored: int
    in_gaps: int


def unaccounted(db: Database, exchange: str, timeframe: Timeframe, first: date, last: date) -> list[Unaccounted]:
    """Return the slices with contradictory numbers, from the UTC day `first` to the UTC day `last`, both included.

    Titan-10 always changes the tables together. So a contradiction shows that another program has changed a table.
    """
    parameters = {
        "exchange": exchange,
        "timeframe": timeframe.name,
        "first": first,
        "last": last,
        "start": midnight(first),
        "end": midnight(last + timedelta(days=1)),
    }
    rows = db.query(statement("unaccounted"), parameters)
    return [
        Unaccounted(
            Slice(Series(exchange, row.symbol, timeframe), row.day),
            expected=row.expected,
            present=row.present,
            stored=row.stored,
            in_gaps=row.in_gaps,
        )
        for row in rows
    ]
