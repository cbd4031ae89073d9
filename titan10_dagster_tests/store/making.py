"""Slices to write, and SQL to read the stored result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.fetched import FetchRecord, JudgedSlice, Source
from titan10_dagster.candles.frame import VALUES, from_columns
from titan10_dagster.candles.rules import judge
from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.store.database import Database

MINUTE = Timeframe.parse("1m")
DAY = date(2024, 1, 10)
FETCHED = datetime(2024, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = timedelta(hours=7)
NO_ROWS = Candles.empty().to_pandas()


@dataclass
class Sql:
    """Run a query in its own transaction, and return its rows."""

    db: Database

    def __call__(self, query: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        with self.db.transaction() as cursor:
            cursor.execute(query, parameters or None)
            return list(cursor.fetchall()) if cursor.description else []

    def one(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        ((value,),) = self(query, parameters)
        return value


def a_slice(symbol: str = "BTC/USDT", day: date = DAY, exchange: str = "binance", timeframe: str = "1m") -> Slice:
    return Slice(Series(exchange, symbol, Timeframe.parse(timeframe)), day)


def candles(slice_: Slice, *, seed: int = 0, price: float = 40_000.0, decimals: int = 2) -> pd.DataFrame:
    """Return a complete slice of valid candles. The same arguments give the same candles."""
    random = np.random.default_rng([seed, *slice_.series.symbol.encode(), slice_.day.toordinal()])
    walk = price * (1 + np.cumsum(random.normal(0, 1e-4, slice_.expected + 1)))
    opens, closes = np.round(walk[:-1], decimals), np.round(walk[1:], decimals)
    tick = 10.0**-decimals
    high = np.round(np.maximum(opens, closes) + tick, decimals)
    low = np.round(np.minimum(opens, closes) - tick, decimals)
    volume = np.round(random.exponential(2.0, slice_.expected), 5)
    return from_columns(slice_.grid(), [opens, high, low, closes, volume])


def judged(slice_: Slice, rows: pd.DataFrame | None = None, **record: Any) -> JudgedSlice:
    """Return the rows as a judged slice. By default, the slice is complete. Keywords replace fields of the record."""
    fetch = replace(FetchRecord(slice_, FETCHED, Source.REST, 3, 0, 0.5, True, None), **record)
    return JudgedSlice(fetch, judge(as_fetched(candles(slice_) if rows is None else rows), slice_, fetch.fetched_at))


def as_fetched(rows: pd.DataFrame) -> Candles:
    """Return a candle frame as a fetched slice."""
    return Candles(rows["time"].to_numpy("datetime64[ms]"), rows[list(VALUES)].to_numpy().T.copy())


def without(rows: pd.DataFrame, *places: int) -> pd.DataFrame:
    return rows.drop(index=list(places)).reset_index(drop=True)


def with_value(rows: pd.DataFrame, place: int, **values: float) -> pd.DataFrame:
    changed = rows.copy()
    for name, value in values.items():
        changed.loc[place, name] = value
    return changed


def versions(sql: Sql, table: str) -> list[Any]:
    """Return the version of each row, which changes when a row is written again, even with equal values."""
    return sql(f"SELECT xmin::text, ctid::text, tableoid::text FROM {table} ORDER BY 1, 2, 3")
