"""Real candles from a file, served in place of computed candles.

The file is CSV, CSV.gz or Parquet. Its columns may have any order, because they are found by name. A CSV file whose
first line contains only numbers is read as a file of Kraken's OHLCVT archive (epoch seconds, open, high, low, close,
volume, trades). The timeframe of the file is the smallest difference between the times of two candles. Candles of
longer timeframes are aggregated. Candles that are not in the file are absent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from titan10_dagster.errors import Titan10Error
from titan10_dagster.sandbox.truth import DAY_MS, RawCandles

_TIME_NAMES = ("open_time", "opentime", "timestamp", "datetime", "date", "time", "start", "unix_timestamp", "unix")
_VALUE_NAMES = ("open", "high", "low", "close", "volume")
_KRAKEN = ["time", *_VALUE_NAMES, "trades"]


class UnreadableReplay(Titan10Error):
    """An error: a file contains no candles in a known format. The message says what is missing."""


class Replay:
    """The candles of a file.

    `seconds`: the timeframe. `first_ms`, `last_ms`: the times of the first and the last candle in epoch ms.
    """

    def __init__(self, path: Path) -> None:
        frame = _read(path)
        times, values = _times(frame, path), _values(frame, path)
        order = np.argsort(times, kind="stable")
        self.times, self.values = times[order], values[order]
        if len(times) == 0:
            raise UnreadableReplay(f"{path.name} contains no candle")
        steps = np.diff(self.times)
        self.seconds = int(steps[steps > 0].min()) // 1_000 if (steps > 0).any() else 60
        self.first_ms, self.last_ms = int(self.times[0]), int(self.times[-1])

    def day(self, day: int) -> RawCandles:
        first, last = np.searchsorted(self.times, [day * DAY_MS, (day + 1) * DAY_MS])
        return RawCandles(self.times[first:last], self.values[first:last])


def _read(path: Path) -> pd.DataFrame:
    """Return the table of the file.

    The cells of a CSV file stay texts. `_values` converts prices and volumes to the nearest float64.
    """
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    first = pd.read_csv(path, nrows=1, header=None, dtype=str)
    if pd.to_numeric(first.iloc[0], errors="coerce").notna().all():
        return pd.read_csv(path, header=None, names=_KRAKEN[: first.shape[1]], dtype=str)
    return pd.read_csv(path, dtype=str)


def _times(frame: pd.DataFrame, path: Path) -> npt.NDArray[np.int64]:
    """Return the times in epoch milliseconds. The file has texts, datetimes or epoch numbers (in s, ms, us or ns).

    Times without a time zone are UTC.
    """
    names = {str(name).strip().lower(): name for name in frame.columns}
    found = next((names[name] for name in _TIME_NAMES if name in names), None)
    if found is None:
        raise UnreadableReplay(
            f"{path.name} has no column of times; rename its time column to {' or '.join(_TIME_NAMES)}"
        )
    column = frame[found]
    if pd.api.types.is_datetime64_any_dtype(column):
        return _instants_ms(column)
    numbers = pd.to_numeric(column, errors="coerce")
    return _epoch_ms(numbers.to_numpy()) if numbers.notna().all() else _instants_ms(column)


def _instants_ms(column: pd.Series[Any]) -> npt.NDArray[np.int64]:
    instants = pd.to_datetime(column, utc=True, format=None if column.dtype.kind == "M" else "mixed")
    return instants.dt.tz_localize(None).to_numpy().astype("datetime64[ms]").astype(np.int64)


def _epoch_ms(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Convert epoch numbers to milliseconds. The largest number shows the unit of all numbers (s, ms, us or ns)."""
    whole = numbers.astype(np.int64)
    largest = int(whole.max(initial=0))
    if largest < 10**11:
        return whole * 1_000
    return whole // next(unit for unit in (1, 1_000, 1_000_000) if largest // unit < 10**14)


def _values(frame: pd.DataFrame, path: Path) -> npt.NDArray[np.float64]:
    names = {str(name).strip().lower(): name for name in frame.columns}
    missing = [name for name in _VALUE_NAMES if name not in names]
    if missing:
        raise UnreadableReplay(f"{path.name} has no column {', '.join(missing)}")
    return frame[[names[name] for name in _VALUE_NAMES]].to_numpy(dtype=np.float64)
