"""Series, slices and windows. These classes identify candles but do not contain candles.

All instants are aware datetimes in UTC. Arithmetic with a naive datetime raises TypeError. A stretch of time includes
its start and excludes its end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from titan10_dagster.candles.timeframes import Timeframe

Times = NDArray[np.datetime64]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, order=True)
class Series:
    """All candles of one symbol and timeframe on one exchange.

    `exchange`, `symbol`: the names in ccxt ("binance", "BTC/USDT").
    """

    exchange: str
    symbol: str
    timeframe: Timeframe

    def __str__(self) -> str:
        return f"{self.exchange} {self.symbol} {self.timeframe}"


@dataclass(frozen=True, order=True)
class Slice:
    """One series on one UTC day."""

    series: Series
    day: date

    @property
    def start(self) -> datetime:
        return midnight(self.day)

    @property
    def end(self) -> datetime:
        return self.start + _DAY

    @property
    def expected(self) -> int:
        """Return the number of candles in a whole day, for example 1440 if the timeframe is 1m."""
        return self.series.timeframe.per_day

    def grid(self) -> Times:
        """Return the starts of all candles of the day (datetime64[ms]), in ascending order."""
        step = np.timedelta64(self.series.timeframe.ms, "ms")
        return to_datetime64(self.start) + np.arange(self.expected) * step

    def __str__(self) -> str:
        return f"{self.series} {self.day}"


class SliceState(StrEnum):
    """The state of a slice. A slice can change to a state further down in this list, but never back."""

    LIVE = "live"  # live polling fills the slice during its day
    PARTIAL = "partial"  # the slice was fetched, but the exchange did not answer for the whole day
    SETTLED = "settled"  # the slice was fetched completely after the end of its day

    @property
    def rank(self) -> int:
        """Return the position of the state in the list above, from 0. A slice never changes to a lower position."""
        return list(SliceState).index(self)


@dataclass(frozen=True, order=True)
class Window:
    """A stretch of one series that is to be fetched.

    Raises:
        ValueError: the start or the end is not on the grid of the timeframe, or the start is not before the end.
    """

    series: Series
    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        step = self.series.timeframe.delta
        if self.start >= self.end or (self.start - _EPOCH) % step or (self.end - _EPOCH) % step:
            raise ValueError(f"a window must start and end on the {step} grid, and must start before it ends: {self}")

    @property
    def expected(self) -> int:
        return (self.end - self.start) // self.series.timeframe.delta

    def __str__(self) -> str:
        return f"{self.series} {self.start.isoformat()} to {self.end.isoformat()}"


def days(first: date, last: date) -> list[date]:
    """Return every day from `first` to `last`, including both. If `last` is before `first`, the list is empty."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def windows(slices: Iterable[Slice]) -> list[Window]:
    """Return the windows that cover exactly the slices, sorted. Consecutive days of a series become one window."""
    ordered = sorted(set(slices))
    breaks = [n for n, (a, b) in enumerate(pairwise(ordered), 1) if a.series != b.series or b.day - a.day != _DAY]
    bounds = [0, *breaks, len(ordered)] if ordered else []
    return [Window(ordered[a].series, ordered[a].start, ordered[b - 1].end) for a, b in pairwise(bounds)]


def slices_of(window: Window) -> list[Slice]:
    """Return the slices that contain a part of the window, oldest first."""
    last = window.end - window.series.timeframe.delta
    return [Slice(window.series, day) for day in days(window.start.date(), last.date())]


def midnight(day: date) -> datetime:
    """Return the instant at which the UTC day begins."""
    return datetime.combine(day, time(), tzinfo=UTC)


def to_ms(instant: datetime) -> int:
    """Return the milliseconds since 1970 UTC, rounded down."""
    return (instant - _EPOCH) // _MILLISECOND


def from_ms(ms: int) -> datetime:
    """Convert milliseconds since 1970 to an aware UTC datetime. The result is exact, because no float is used."""
    return _EPOCH + timedelta(milliseconds=ms)


def to_datetime64(instant: datetime) -> np.datetime64:
    """Return the instant as numpy's datetime64[ms], rounded down. This type has no time zone; here it means UTC."""
    return np.datetime64(to_ms(instant), "ms")


def from_datetime64(time: np.datetime64) -> datetime:
    """Convert a datetime64[ms], which has no time zone, to an aware UTC datetime."""
    return from_ms(int(time.astype(np.int64)))
