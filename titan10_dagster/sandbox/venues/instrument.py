"""The record of a spot pair as an exchange lists it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

Spell = tuple[int, int | None]
"""A period of trading, [first, end) in epoch milliseconds. The end is None if the period has not ended."""


class MarketName(NamedTuple):
    """The spelling of a symbol on an exchange."""

    market_id: str
    base_id: str
    quote_id: str


@dataclass(frozen=True)
class Instrument:
    """A spot pair of an exchange. The numbers of decimals count the digits after the decimal point.

    `spells`: the periods of trading, in ascending order. Between two periods the pair is delisted. `quiet`: the share
    of minutes without a trade.
    """

    exchange: str
    symbol: str
    name: MarketName
    price_decimals: int
    volume_decimals: int
    spells: tuple[Spell, ...]
    quiet: float = 0.0

    @property
    def listed_ms(self) -> int:
        return self.spells[0][0]

    @property
    def delisted_ms(self) -> int | None:
        """Return the end of the last period of trading; None if this period has not ended."""
        return self.spells[-1][1]

    def is_known(self, now_ms: int) -> bool:
        """Return whether the exchange has listed the pair by this time. A delisted pair stays known."""
        return now_ms >= self.listed_ms

    def is_delisted(self, now_ms: int) -> bool:
        """Return whether the pair is known but not traded at this time."""
        if not self.is_known(now_ms):
            return False
        return not any(first <= now_ms and (end is None or now_ms < end) for first, end in self.spells)

    @property
    def base(self) -> str:
        return self.symbol.split("/")[0]

    @property
    def quote(self) -> str:
        return self.symbol.split("/")[1]
