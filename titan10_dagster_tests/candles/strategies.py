"""Strategies of the property tests. They draw usual and unusual slices, instants and candles."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.slices import Series, Slice, to_ms
from titan10_dagster.candles.timeframes import TIMEFRAMES, Timeframe

HOURLY = Slice(Series("binance", "BTC/USDT", Timeframe.parse("1h")), date(2024, 2, 29))
MINUTELY = Slice(Series("binance", "BTC/USDT", Timeframe.parse("1m")), date(2024, 2, 29))
LATER = datetime(2024, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)

timeframes = st.sampled_from(list(TIMEFRAMES.values()))
days = st.dates(date(2009, 1, 3), date(2040, 12, 31))
series = st.builds(
    Series,
    st.sampled_from(["binance", "kraken"]),
    st.sampled_from(["BTC/USDT", "ETH/BTC", "BTC/USDT:USDT"]),
    timeframes,
)
slices = st.builds(Slice, series, days)
instants = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001

# Any float. It includes NaN, infinities, both zeros, and the largest and smallest float.
awkward_floats = st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True)


@st.composite
def raw_candles(draw: st.DrawFn, slice_: Slice = HOURLY, max_size: int = 12) -> Candles:
    """Draw rows in any order and with any values.

    Rows can be repeated, contradict each other, be off the grid, or belong to the days around the slice.
    """
    size = draw(st.integers(0, max_size))
    half_steps = draw(hnp.arrays(np.int64, size, elements=st.integers(-4, 2 * slice_.expected + 4)))
    ms = to_ms(slice_.start) + half_steps * slice_.series.timeframe.ms // 2
    few = st.sampled_from([1.0, 2.0, 3.0, float("nan")])
    values = draw(hnp.arrays(np.float64, (size, 5), elements=few | awkward_floats))
    return Candles.from_rows(np.column_stack([ms.astype(np.float64), values]))


def whole_slice(slice_: Slice = HOURLY) -> Candles:
    """All candles of the slice; no candle breaks a rule."""
    starts = slice_.grid().astype(np.int64).astype(np.float64)
    price = np.full(len(starts), 100.0)
    return Candles.from_rows(np.column_stack([starts, price, price + 2, price - 2, price + 1, price]))


def after(slice_: Slice, **span: float) -> datetime:
    return slice_.start + timedelta(**span)


def real_candles(folder: Path, name: str) -> Candles:
    """A file of real candles; its first column is the time, with a time zone."""
    table = pd.read_csv(folder / name)
    time = pd.to_datetime(table.iloc[:, 0], utc=True).astype("datetime64[ms, UTC]").astype("int64")
    values = table[["open", "high", "low", "close", "volume"]].to_numpy()
    return Candles.from_rows(np.column_stack([time.to_numpy().astype(np.float64), values]))


def assert_same(one: Candles, other: Candles) -> None:
    """Check that both have the same candles in the same order, with the shapes and types of `Candles`.

    NaN equals NaN.
    """
    for candles in (one, other):
        assert candles.times.dtype == np.dtype("datetime64[ms]")
        assert (candles.values.dtype, candles.values.shape) == (np.float64, (5, len(candles)))
        assert all(column.flags.c_contiguous for column in candles.values)
    np.testing.assert_array_equal(one.times, other.times)
    np.testing.assert_array_equal(one.values, other.values)
