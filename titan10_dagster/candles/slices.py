"""Series, slices and windows: identifiers of candles, without the candles themselves.

All instants are aware and UTC; arithmetic on a naive instant raises TypeError. Stretches of time are half-open,
[start, end).
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
    """All candles of one symbol and timeframe on an exchange.

    `exchange` and `symbol` are ccxt's ("binance", "BTC/USDT").
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
        """The number of candles in a whole day: 1440 at 1m."""
        return self.series.timeframe.per_day

    def grid(self) -> Times:
        """Return the start of every candle of the day: (expected,) datetime64[ms], ascending."""
        step = np.timedelta64(self.series.timeframe.ms, "ms")
        return to_datetime64(self.start) + np.arange(self.expected) * step

    def __str__(self) -> str:
        return f"{self.series} {self.day}"


class SliceState(StrEnum):
    """The state of a slice. It only rises, in the order below."""

    LIVE = "live"  # filled by live polling during its day
    PARTIAL = "partial"  # fetched, but the exchange did not answer for all of it
    SETTLED = "settled"  # fetched completely after the end of its day

    @property
    def rank(self) -> int:
        """The position of the state in the order of the states."""
        return list(SliceState).index(self)


@dataclass(frozen=True, order=True)
class Window:
    """A stretch of one series to fetch. Raises ValueError if its start or end is not on the grid."""

    series: Series
    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        step = self.series.timeframe.delta
        if self.start >= self.end or (self.start - _EPOCH) % step or (self.end - _EPOCH) % step:
            raise ValueError(f"a window must start and end on the {step} grid, the start first: {self}")

    @property
    def expected(self) -> int:
        return (self.end - self.start) // self.series.timeframe.delta

    def __str__(self) -> str:
        return f"{self.series} {self.start.isoformat()} to {self.end.isoformat()}"


def days(first: date, last: date) -> list[date]:
    """Return every day from `first` to `last`, both included; empty if `last` is before `first`."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def windows(slices: Iterable[Slice]) -> list[Window]:
    """Join the slices into sorted windows: contiguous days of a series become one window."""
    ordered = sorted(set(slices))
    breaks = [n for n, (a, b) in enumerate(pairwise(ordered), 1) if a.series != b.series or b.day - a.day != _DAY]
    bounds = [0, *breaks, len(ordered)] if ordered else []
    return [Window(ordered[a].series, ordered[a].start, ordered[b - 1].end) for a, b in pairwise(bounds)]


def slices_of(window: Window) -> list[Slice]:
    """Return the slices that the window touches, oldest first."""
    last = window.end - window.series.timeframe.delta
    return [Slice(window.series, day) for day in days(window.start.date(), last.date())]


def midnight(day: date) -> datetime:
    """Return the instant at which the UTC day begins."""
    return datetime.combine(day, time(), tzinfo=UTC)


def to_ms(instant: datetime) -> int:
    """Return milliseconds since 1970; parts of a millisecond are cut off, towards the past."""
    return (instant - _EPOCH) // _MILLISECOND


def from_ms(ms: int) -> datetime:
    """Return the aware UTC instant, exact (no float is involved)."""
    return _EPOCH + timedelta(milliseconds=ms)


def to_datetime64(instant: datetime) -> np.datetime64:
    """Return the instant as numpy's datetime64[ms], which is naive and means UTC."""
    return np.datetime64(to_ms(instant), "ms")


def from_datetime64(time: np.datetime64) -> datetime:
    """Return the aware UTC instant of a naive datetime64[ms]."""
    return from_ms(int(time.astype(np.int64)))
