"""The class `Candles`: candles as columns of numbers.

Candles have this form from the time when an answer or a file is parsed until they are written to the table.
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

from titan10_dagster.candles.frame import COLUMNS, from_columns
from titan10_dagster.candles.slices import Times, to_datetime64
from titan10_dagster.candles.timeframes import Timeframe

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_WIDTH = len(COLUMNS)
# The start of the year 10000. A time in microseconds that is mistaken for milliseconds is above this limit.
END_OF_TIME_MS = 253_402_300_800_000


class MalformedRows(ValueError):
    """An error for rows that do not have the form [time in ms, open, high, low, close, volume]."""


@dataclass(frozen=True, eq=False)
class Candles:
    """Candles in any order. Never change an array, because the result of a method can share its memory.

    times: the starts of the candles, an array of shape (n,) and type datetime64[ms], in UTC without a time zone.
    values: an array of shape (5, n) and type float64. Its rows are open, high, low, close and volume. Each row is
        contiguous in memory. A value that the exchange did not send is NaN.
    """

    times: Times
    values: Floats

    @classmethod
    def empty(cls) -> Candles:
        """Return an object with no candles."""
        return cls(np.empty(0, "datetime64[ms]"), np.empty((_WIDTH - 1, 0)))

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[Any]] | Floats) -> Candles:
        """Return the candles in ccxt's rows [time in ms, open, high, low, close, volume], in the order of the rows.

        `rows`: a sequence of sequences, or a float64 array of shape (n, 6). The values are copied. A missing value
            becomes NaN.

        Raises:
            MalformedRows: a row does not have six values, a value is not a number, or a time is not a whole number of
                milliseconds from 1970 to the year 9999.
        """
        table = _table(rows)
        ms = table[:, 0]
        # A comparison with NaN is false, so a missing time (NaN) does not pass this check either.
        fits = (ms >= 0) & (ms < END_OF_TIME_MS) & (ms == np.floor(ms))
        if not fits.all():
            first, broken = float(ms[~fits][0]), int((~fits).sum())
            raise MalformedRows(
                f"{broken} of {len(ms)} rows have a time that is not a whole number of milliseconds from 1970 to the "
                f"year 9999; the first such time is {first!r}"
            )
        return cls(ms.astype(np.int64).view("datetime64[ms]"), np.array(table[:, 1:].T, order="C"))

    @classmethod
    def joined(cls, *parts: Candles) -> Candles:
        """Return the candles of all parts, in the order of the parts."""
        times = np.concatenate([part.times for part in parts])
        return cls(times, np.concatenate([part.values for part in parts], axis=1))

    def __len__(self) -> int:
        return len(self.times)

    @property
    def bytes(self) -> int:
        """Return the size of the two arrays in bytes."""
        return self.times.nbytes + self.values.nbytes

    @property
    def open(self) -> Floats:
        return self._row(0)

    @property
    def high(self) -> Floats:
        return self._row(1)

    @property
    def low(self) -> Floats:
        return self._row(2)

    @property
    def close(self) -> Floats:
        return self._row(3)

    @property
    def volume(self) -> Floats:
        return self._row(4)

    def _row(self, index: int) -> Floats:
        row: Floats = self.values[index]
        return row

    def where(self, mask: Mask) -> Candles:
        # The code does not use values[:, mask], because numpy does not guarantee contiguous rows for this expression.
        return self if mask.all() else Candles(self.times[mask], np.compress(mask, self.values, axis=1))

    def take(self, order: NDArray[np.intp]) -> Candles:
        return Candles(self.times[order], np.take(self.values, order, axis=1))

    def cut(self, start: int, end: int) -> Candles:
        """Return the candles from position `start` to position `end` (exclusive)."""
        return Candles(self.times[start:end], self.values[:, start:end])

    def sorted(self) -> Candles:
        """Return the candles sorted by time. Candles with the same time keep their order."""
        return self.take(np.argsort(self.times, kind="stable"))

    def between(self, start: datetime, end: datetime) -> Candles:
        """Return the candles that start at `start` or later, and before `end`."""
        return self.where((self.times >= _ceil(start)) & (self.times < _ceil(end)))

    def by_day(self) -> dict[date, Candles]:
        """Return the candles of each UTC day, the oldest day first. The candles of a day keep their order."""
        if not len(self):
            return {}
        day = self.times.astype("datetime64[D]")
        if (day[1:] < day[:-1]).any():
            order = np.argsort(day, kind="stable")
            return self.take(order).by_day()
        bounds = [0, *(np.flatnonzero(day[1:] != day[:-1]) + 1).tolist(), len(day)]
        return {day[a].item(): self.cut(a, b) for a, b in pairwise(bounds)}

    def drop_unfinished(self, timeframe: Timeframe, now: datetime) -> Candles:
        """Return the candles that have ended at `now` (aware, UTC). A candle ends one timeframe after its start.

        Some exchanges also return the unfinished candle, and not always in the last row. Therefore this method compares
        times and does not rely on the position of a row.
        """
        return self.where(self.times <= to_datetime64(now - timeframe.delta))

    def drop_repeats(self) -> Candles:
        """Return the candles sorted by time, without exact repetitions.

        If candles have the same time but different values, all of these candles are kept, in their order. Two NaN
        values count as equal.
        """
        if _is_ascending(self.times):
            return self
        ordered = self.sorted()
        return ordered if _is_ascending(ordered.times) else ordered.take(_first_positions(ordered))

    def to_pandas(self) -> pd.DataFrame:
        """Return the candles as a pandas DataFrame with the columns that `candles.frame` describes."""
        return from_columns(self.times, self.values)


def _table(rows: Sequence[Sequence[Any]] | Floats) -> Floats:
    if len(rows) == 0:
        return np.empty((0, _WIDTH))
    try:
        table = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise MalformedRows(f"some rows do not consist of {_WIDTH} numbers: {error}") from error
    if table.ndim != 2 or table.shape[1] != _WIDTH:
        raise MalformedRows(f"the rows do not consist of {_WIDTH} numbers: the shape of the table is {table.shape}")
    return table


def _ceil(instant: datetime) -> np.datetime64:
    whole = to_datetime64(instant)
    return whole if instant.microsecond % 1000 == 0 else whole + np.timedelta64(1, "ms")


def _is_ascending(times: Times) -> bool:
    return bool((times[1:] > times[:-1]).all())


def _first_positions(candles: Candles) -> NDArray[np.intp]:
    """Return the position of the first occurrence of each distinct candle, in ascending order.

    Two NaN values count as equal, and so do -0.0 and 0.0.
    """
    values = np.where(np.isnan(candles.values), np.nan, candles.values + 0.0)
    rows = np.column_stack([candles.times.view(np.int64), values.view(np.int64).T])
    return np.sort(np.unique(rows, axis=0, return_index=True)[1])
