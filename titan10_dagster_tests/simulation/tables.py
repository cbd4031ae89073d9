"""The tables of a simulation, read with plain SQL.

The oracle uses no reader of the product, because a faulty reader that left out a row would hide other faults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import psycopg2
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from titan10_dagster_tests.simulation.grid import Floats, Mask

Key = tuple[str, str]  # exchange and symbol


class LedgerRow(NamedTuple):
    """The ledger's row of a day. `counts`: the number of missing candles by reason."""

    day: date
    state: str
    expected: int
    present: int
    fetched_at: datetime
    counts: Mapping[str, int]


class Gap(NamedTuple):
    """A run of missing candles, [start, end)."""

    start: datetime
    end: datetime
    candles: int
    reason: str


class Silence(NamedTuple):
    """The evidence for halts, outages and times without a listing in [start, end)."""

    start: datetime
    end: datetime
    reason: str
    witness: str | None


class Filled(NamedTuple):
    """The rows of `ohlcv_filled`: candles as in `SeriesTables`, and two columns with a value for each candle."""

    candles: Floats
    synthetic: Mask
    reasons: NDArray[np.object_]


@dataclass
class SeriesTables:
    """The rows of one series in all tables. Candles are (n, 6): epoch ms, open, high, low, close, volume."""

    candles: Floats
    visible: Floats  # the view `ohlcv`
    filled: Filled
    ledger: Mapping[date, LedgerRow] = field(default_factory=dict)
    gaps: Sequence[Gap] = ()
    silences: Sequence[Silence] = ()
    breaks: Sequence[datetime] = ()
    restated: frozenset[tuple[datetime, tuple[float, ...]]] = frozenset()


_REASONS = (
    "unknown", "no_trades", "outage", "pre_listing", "delisted", "beyond_horizon", "quarantined", "broken_at_source",
    "halted", "not_listed",
)  # fmt: skip

_NUMBERS = ["time", "open", "high", "low", "close", "volume"]

_CANDLES = """
SELECT extract(epoch FROM "time")::double precision * 1000,
    open / price_scale, high / price_scale, low / price_scale, close / price_scale, volume / volume_scale
FROM candles WHERE exchange = %s AND symbol = %s AND timeframe = %s ORDER BY "time"
"""
_VISIBLE = """
SELECT extract(epoch FROM "time")::double precision * 1000, open, high, low, close, volume
FROM ohlcv WHERE exchange = %s AND symbol = %s AND timeframe = %s ORDER BY "time"
"""
_FILLED = """
SELECT extract(epoch FROM "time")::double precision * 1000, open, high, low, close, volume, synthetic, reason
FROM ohlcv_filled(%s, %s, %s, %s, %s) ORDER BY "time"
"""


def read_series(url: str, key: Key, timeframe: str, start: datetime, end: datetime) -> SeriesTables:
    """Return all rows of one series. `ohlcv_filled` is read from `start` to `end`."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SET TIME ZONE 'UTC'")
        series = (*key, timeframe)
        gaps = _of_series(cursor, "gaps", "gap_start, gap_end, candles, reason", series)
        silences = _of_series(cursor, "silences", "silence_start, silence_end, reason, witness", series)
        breaks = _of_series(cursor, "series_breaks", "at", series)
        return SeriesTables(
            candles=_table(cursor, _CANDLES, series),
            visible=_table(cursor, _VISIBLE, series),
            filled=_filled(cursor, (*series, start, end)),
            ledger=_ledger(cursor, series),
            gaps=[Gap(*row) for row in gaps],
            silences=[Silence(*row) for row in silences],
            breaks=[row[0] for row in breaks],
            restated=_restated(cursor, series),
        )


def read_candles(url: str, key: Key, timeframe: str, start: datetime, end: datetime) -> Floats:
    """Return the stored candles of a series in [start, end)."""
    bounds = 'timeframe = %s AND "time" >= %s AND "time" < %s'
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        return _table(cursor, _CANDLES.replace("timeframe = %s", bounds), (*key, timeframe, start, end))


def read_open_slices(url: str) -> set[tuple[str, str, date]]:
    """Return the slices (exchange, symbol, day) that are not settled, or that have a missing candle without a final
    reason.
    """
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        statement = (
            "SELECT exchange, symbol, day FROM slice_ledger WHERE state <> 'settled' OR unknown + quarantined > 0"
        )
        return set(_rows(cursor, statement, ()))


def read_silent_slices(url: str) -> set[tuple[str, str, date]]:
    """Return the slices (exchange, symbol, day) with less than half of their candles."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        return set(_rows(cursor, "SELECT exchange, symbol, day FROM slice_ledger WHERE 2 * present < expected", ()))


def read_keys(url: str, timeframe: str) -> set[Key]:
    """Return every series with a row in any table."""
    found: set[Key] = set()
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        for table in ("candles", "slice_ledger", "gaps", "silences", "quarantine", "restatements"):
            found |= set(
                _rows(cursor, f"SELECT DISTINCT exchange, symbol FROM {table} WHERE timeframe = %s", (timeframe,))
            )
    return found


def _ledger(cursor: Any, series: tuple[str, str, str]) -> dict[date, LedgerRow]:
    columns = f"day, state, expected, present, fetched_at, {', '.join(_REASONS)}"
    found = {}
    for day, state, expected, present, fetched_at, *counts in _of_series(cursor, "slice_ledger", columns, series):
        found[day] = LedgerRow(day, state, expected, present, fetched_at, dict(zip(_REASONS, counts, strict=True)))
    return found


def _restated(cursor: Any, series: tuple[str, str, str]) -> frozenset[tuple[datetime, tuple[float, ...]]]:
    columns = '"time", old_open, old_high, old_low, old_close, old_volume'
    return frozenset((row[0], tuple(row[1:])) for row in _of_series(cursor, "restatements", columns, series))


def _filled(cursor: Any, parameters: tuple[Any, ...]) -> Filled:
    table = _columns(cursor, _FILLED, parameters, texts=("synthetic", "reason"))
    return Filled(_candles(table), table["synthetic"].to_numpy() == "t", table["reason"].to_numpy())


def _of_series(cursor: Any, table: str, columns: str, series: tuple[str, str, str]) -> list[tuple[Any, ...]]:
    """Return columns of the rows of one series, in the order of the first column."""
    condition = "exchange = %s AND symbol = %s AND timeframe = %s"
    return _rows(cursor, f"SELECT {columns} FROM {table} WHERE {condition} ORDER BY 1", series)


def _table(cursor: Any, statement: str, parameters: tuple[Any, ...]) -> Floats:
    return _candles(_columns(cursor, statement, parameters))


def _columns(cursor: Any, statement: str, parameters: tuple[Any, ...], texts: Sequence[str] = ()) -> pa.Table:
    """Return the rows of a query for candles, with columns of text after the numbers.

    A week has hundreds of thousands of rows. Reading them as CSV takes a tenth of the CPU time of reading them as
    tuples. The values are exact: PostgreSQL writes enough digits to identify each double, and Arrow rounds correctly.
    """
    file = BytesIO()
    query = cursor.mogrify(statement, parameters).decode()
    cursor.copy_expert(f"COPY ({query}) TO STDOUT (FORMAT csv)", file)
    types = {**dict.fromkeys(_NUMBERS, pa.float64()), **dict.fromkeys(texts, pa.string())}
    if not file.tell():
        return pa.schema(types).empty_table()
    file.seek(0)
    return csv.read_csv(
        file,
        csv.ReadOptions(column_names=list(types), use_threads=False),
        convert_options=csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=True),
    )


def _candles(table: pa.Table) -> Floats:
    return np.column_stack([table[name].to_numpy() for name in _NUMBERS])


def _rows(cursor: Any, statement: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    cursor.execute(statement, parameters)
    return list(cursor.fetchall())
