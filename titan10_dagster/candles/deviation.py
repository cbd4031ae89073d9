"""A comparison of an exchange's closes with the median of all exchanges that trade the symbol.

Only equal symbols are compared, BTC/USDT with BTC/USDT: if a dollar token loses its peg, the exchange is not at fault.
At least three exchanges are needed: if two differ, it is not known which of them is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FEWEST_EXCHANGES = 3
EVERY_MINUTES = 5  # compare every fifth minute: enough for the share of a day, at a third of the cost
FEWEST_MINUTES = 30  # compared minutes; with fewer the share is not meaningful


@dataclass(frozen=True)
class Distance:
    """The deviation of one symbol on one UTC day.

    `compared` counts the minutes in which the exchange and enough others traded. `deviating` counts those with a close
    further from the median than the limit. `typical` (the median) and `largest` are distances in basis points.
    """

    symbol: str
    compared: int
    deviating: int
    typical: float
    largest: float

    @property
    def share(self) -> float:
        """The share of compared minutes that deviate, 0.0 to 1.0."""
        return self.deviating / self.compared if self.compared else 0.0


def comparable(distances: Iterable[Distance]) -> list[Distance]:
    """Return the distances with at least FEWEST_MINUTES compared minutes."""
    return [distance for distance in distances if distance.compared >= FEWEST_MINUTES]


def over_deviation_limit(distances: Iterable[Distance], most: float) -> list[Distance]:
    """Return the comparable distances of which a larger share than `most` deviates."""
    return [distance for distance in comparable(distances) if distance.share > most]
