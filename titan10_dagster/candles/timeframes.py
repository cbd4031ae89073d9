"""Timeframes: the lengths of candles that divide a UTC day without remainder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

_DAY = 86_400


@dataclass(frozen=True, order=True)
class Timeframe:
    """The length of a candle; `name` is ccxt's. Use `parse` instead of the constructor."""

    seconds: int
    name: str

    @classmethod
    def parse(cls, name: str) -> Timeframe:
        """Return the timeframe called `name`. Raises ValueError, with the allowed names, for any other."""
        found = TIMEFRAMES.get(name)
        if found is None:
            raise ValueError(f"unknown timeframe {name!r}; allowed are {', '.join(TIMEFRAMES)}")
        return found

    @property
    def delta(self) -> timedelta:
        return timedelta(seconds=self.seconds)

    @property
    def ms(self) -> int:
        return self.seconds * 1000

    @property
    def per_day(self) -> int:
        return _DAY // self.seconds

    def __str__(self) -> str:
        return self.name


# A timeframe that is longer than a day, or does not divide it, would not fit into slices of one UTC day.
TIMEFRAMES: Mapping[str, Timeframe] = MappingProxyType(
    {
        timeframe.name: timeframe
        for timeframe in (
            Timeframe(60, "1m"),
            Timeframe(180, "3m"),
            Timeframe(300, "5m"),
            Timeframe(900, "15m"),
            Timeframe(1_800, "30m"),
            Timeframe(3_600, "1h"),
            Timeframe(7_200, "2h"),
            Timeframe(14_400, "4h"),
            Timeframe(21_600, "6h"),
            Timeframe(28_800, "8h"),
            Timeframe(43_200, "12h"),
            Timeframe(_DAY, "1d"),
        )
    }
)
