"""Does an exchange agree with the others? Its closes held against the median of all that trade the symbol.

Symbols are compared as they are, BTC/USDT with BTC/USDT only: when a dollar token loses its peg, that is no fault of
the exchange. Fewer than three say nothing: of two that differ nobody knows which one is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FEWEST_EXCHANGES = 3
EVERY_MINUTES = 5  # one in so many is compared: enough for a share of a day, at a third of the cost
FEWEST_MINUTES = 30  # compared; below it a share is chance


@dataclass(frozen=True)
class Distance:
    """A symbol on one UTC day: minutes compared, in which the exchange and enough others traded, and how many of its
    closes lay further from the median than the limit. `typical` (the median) and `largest`: distances in basis points.
    """

    symbol: str
    compared: int
    strayed: int
    typical: float
    largest: float

    @property
    def share(self) -> float:
        """Of the minutes compared, 0.0 to 1.0."""
        return self.strayed / self.compared if self.compared else 0.0


def comparable(distances: Iterable[Distance]) -> list[Distance]:
    """Those with minutes enough to say anything."""
    return [one for one in distances if one.compared >= FEWEST_MINUTES]


def astray(distances: Iterable[Distance], most: float) -> list[Distance]:
    """Those of which a larger share than `most` strays."""
    return [one for one in comparable(distances) if one.share > most]
