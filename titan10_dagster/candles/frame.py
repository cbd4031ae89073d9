"""The candle frame: a pandas DataFrame whose rows are candles.

| column                         | dtype                | meaning                       |
|--------------------------------|----------------------|-------------------------------|
| time                           | datetime64[ms, UTC]  | start of the candle           |
| open, high, low, close, volume | float64              | NaN: the exchange gave none   |

The index is a RangeIndex. Every function here returns a new frame or the one it was given, and changes none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from titan10_dagster.candles.slices import Times, to_datetime64
from titan10_dagster.candles.timeframes import Timeframe

VALUES = ("open", "high", "low", "close", "volume")
COLUMNS = ("time", *VALUES)

_WIDTH = len(COLUMNS)
_TIME = pd.DatetimeTZDtype("ms", "UTC")
_END_OF_TIME_MS = 253_402_300_800_000  # the year 10000; microseconds taken for milliseconds lie beyond it

Floats = NDArray[np.float64]


class MalformedRows(ValueError):
    """Rows that are not [ms, open, high, low, close, volume]."""


@dataclass(frozen=True, eq=False)
class Columns:
    """A candle frame as read-only numpy arrays of equal length; `time` is datetime64[ms], naive UTC."""

    time: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __len__(self) -> int:
        return len(self.time)


def columns(frame: pd.DataFrame) -> Columns:
    """The frame's columns, without a copy."""
    return Columns(times(frame), *(frame[name].to_numpy() for name in VALUES))


def from_columns(time: Times, values: Sequence[Floats]) -> pd.DataFrame:
    """A frame around (n,) datetime64[ms] and five (n,) float64 arrays, which are not copied."""
    data = {"time": pd.array(time, dtype=_TIME), **dict(zip(VALUES, values, strict=True))}
    return pd.DataFrame(data, copy=False)


def empty() -> pd.DataFrame:
    """A frame without candles."""
    return from_rows(())


def from_rows(rows: Sequence[Sequence[Any]] | Floats) -> pd.DataFrame:
    """A frame from ccxt's rows [ms, open, high, low, close, volume], in their order; a missing value is NaN.

    `rows` is a sequence of sequences or an (n, 6) float64 array, which is copied. Raises MalformedRows
    if a row is not six wide, a value is not a number, or a time is not a whole number of milliseconds
    from 1970 to the year 9999.
    """
    table = _table(rows)
    ms = table[:, 0]
    # A comparison with NaN is false, so a missing time fails here too.
    fits = (ms >= 0) & (ms < _END_OF_TIME_MS) & (ms == np.floor(ms))
    if not fits.all():
        first, broken = float(ms[~fits][0]), int((~fits).sum())
        raise MalformedRows(f"not milliseconds since 1970: {first!r}, in {broken} of {len(ms)} rows")
    values = np.array(table[:, 1:].T, order="C")  # a copy, and each column contiguous
    return from_columns(ms.astype(np.int64).view("datetime64[ms]"), list(values))


def _table(rows: Sequence[Sequence[Any]] | Floats) -> Floats:
    if len(rows) == 0:
        return np.empty((0, _WIDTH))
    try:
        table = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise MalformedRows(f"rows are not {_WIDTH} numbers each: {error}") from error
    if table.ndim != 2 or table.shape[1] != _WIDTH:
        raise MalformedRows(f"rows are not {_WIDTH} wide: their shape is {table.shape}")
    return table


def times(frame: pd.DataFrame) -> Times:
    """The starts of the candles: (n,) datetime64[ms], naive UTC."""
    return frame["time"].to_numpy(dtype="datetime64[ms]")


def between(frame: pd.DataFrame, start: datetime, end: datetime) -> pd.DataFrame:
    """The candles that start in [start, end)."""
    time = times(frame)
    return _where(frame, (time >= _ceil(start)) & (time < _ceil(end)))


def by_day(frame: pd.DataFrame) -> dict[date, pd.DataFrame]:
    """The frame cut into UTC days, oldest day first; the candles of a day stay in their order."""
    if frame.empty:
        return {}
    day = times(frame).astype("datetime64[D]")
    if (day[1:] < day[:-1]).any():
        order = np.argsort(day, kind="stable")
        frame, day = _take(frame, order), day[order]
    bounds = [0, *(np.flatnonzero(day[1:] != day[:-1]) + 1).tolist(), len(day)]
    return {day[a].item(): _cut(frame, a, b) for a, b in pairwise(bounds)}


def drop_unfinished(frame: pd.DataFrame, timeframe: Timeframe, now: datetime) -> pd.DataFrame:
    """The candles that are finished: `time + timeframe <= now`.

    Exchanges give the candle that is still growing too, but not all of them and not always as the last row:
    the clock decides, not the position.
    """
    return _where(frame, times(frame) <= to_datetime64(now - timeframe.delta))


def drop_repeats(frame: pd.DataFrame) -> pd.DataFrame:
    """The candles sorted by time, each of them once; candles of one time that differ all stay.

    The order of candles of one time is kept. NaN equals NaN here.
    """
    time = times(frame)
    if (time[1:] > time[:-1]).all():
        return frame
    ordered = _take(frame, np.argsort(time, kind="stable"))
    return _where(ordered, ~ordered.duplicated().to_numpy())


def _ceil(instant: datetime) -> np.datetime64:
    whole = to_datetime64(instant)
    return whole if instant.microsecond % 1000 == 0 else whole + np.timedelta64(1, "ms")


def _where(frame: pd.DataFrame, keep: NDArray[np.bool_]) -> pd.DataFrame:
    return frame if keep.all() else frame[keep].reset_index(drop=True)


def _take(frame: pd.DataFrame, order: NDArray[np.intp]) -> pd.DataFrame:
    return frame.take(order).reset_index(drop=True)


def _cut(frame: pd.DataFrame, start: int, end: int) -> pd.DataFrame:
    return frame.iloc[start:end].reset_index(drop=True)
