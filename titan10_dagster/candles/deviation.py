"""Compare the closes of an exchange with the median close of all exchanges (including this one) that trade the symbol.

Only equal symbols are compared, for example BTC/USDT with BTC/USDT but not with BTC/USD. A comparison of BTC/USDT with
BTC/USD would report an error of the exchange if USDT loses its peg to the dollar. At least three exchanges are needed,
because a difference between two exchanges does not show which of the two is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FEWEST_EXCHANGES = 3
# Only every fifth minute is compared. This takes a third of the time of a comparison of all minutes, and is enough to
# estimate the share of deviating minutes.
EVERY_MINUTES = 5
FEWEST_MINUTES = 30  # if fewer minutes than this were compared, the share is not meaningful


@dataclass(frozen=True)
class Distance:
    """The price deviation of one symbol on one UTC day.

    compared: the number of compared minutes. A minute is compared if this exchange and enough others traded in it.
    deviating: the number of compared minutes in which the distance between close and median is above the limit.
    typical: the median of the distances, in basis points.
    largest: the largest distance, in basis points.
    """

    symbol: str
    compared: int
    deviating: int
    typical: float
    largest: float

    @property
    def share(self) -> float:
        """Return the share of the compared minutes that deviate, from 0.0 to 1.0."""
        return self.deviating / self.compared if self.compared else 0.0


def comparable(distances: Iterable[Distance]) -> list[Distance]:
    """Return the distances with at least FEWEST_MINUTES compared minutes."""
    return [distance for distance in distances if distance.compared >= FEWEST_MINUTES]


def over_deviation_limit(distances: Iterable[Distance], most: float) -> list[Distance]:
    """Return the distances with enough compared minutes and a share of deviating minutes above `most`."""
    return [distance for distance in comparable(distances) if distance.share > most]
