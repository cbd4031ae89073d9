"""Candles out of the database, as a candle frame."""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from titan10_dagster.candles.frame import from_columns
from titan10_dagster.candles.slices import Series
from titan10_dagster.store import binary
from titan10_dagster.store.database import Database
from titan10_dagster.store.statements import key, statement

_CANDLE = ("M8[ms]", "f8", "f8", "f8", "f8", "f8")


def candles(db: Database, series: Series, start: datetime, end: datetime) -> pd.DataFrame:
    """The stored candles of the series that start in [start, end), by time; bounds are aware instants."""
    exchange, symbol, timeframe = key(series)
    parameters = {"exchange": exchange, "symbol": symbol, "timeframe": timeframe, "start": start, "end": end}
    with db.transaction() as cursor:
        query = cursor.mogrify(statement("read_candles"), parameters).decode()
        times, *values = binary.copy_out(cursor, query, _CANDLE)
    return from_columns(times, values)
