"""Timeframes: the possible lengths of a candle. Each timeframe divides a UTC day without remainder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

_DAY = 86_400


@dataclass(frozen=True, order=True)
class Timeframe:
    """The length of a candle. `name`: ccxt's name, for example "1m". Use `parse` instead of the constructor."""

    seconds: int
    name: str

    @classmethod
    def parse(cls, name: str) -> Timeframe:
        """Return the timeframe with this name.

        Raises:
            ValueError: no timeframe has this name. The message lists the allowed names.
        """
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


# Only lengths that divide a day are allowed, because a slice has the candles of one whole UTC day.
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
