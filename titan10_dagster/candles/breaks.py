"""Breaks of a series: times at which the unit of its prices changes.

Rollups, filled candles and exports do not cross them.

A redenomination shows as a jump of the price with the opposite jump of the volume: LUNA traded at 0.000014, was silent
for 36 hours, and went on at 0.014 with a thousandth of the volume. Without a jump of the volume, a price jump is a
break only after a day of silence, because prices of illiquid pairs can jump.

| kind | jump of the price | and |
|-|-|-|
| redenomination | at least 3.5 times, after an hour of silence or more | volumes jump the other way |
| redenomination | at least 8 times, after less | volumes jump the other way |
| price_jump | at least 10 times, after a day of silence or more | - |
| price_jump | at least 10 times | the first candle after it has no trade, and only trades move a price |
| market | - | the exchange uses the symbol for a different market (`candles/identity.py`) |

Jumps count in both directions. The smallest jump leaves room for a redenomination of 4 to 1 with a price that moved by
an eighth meanwhile. "The other way": the typical traded value (price times volume) of the candles before and
after differs by less than the factor 20, while the volume differs by more than half of the price's factor, or by more
than the factor 20: volumes of a quiet pair differ by themselves from one half hour to the next. The typical volume is
the median of the candles with trades.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.slices import from_datetime64

SAMPLE = 30  # number of candles before and after a jump that are compared
_SMALLEST_JUMP = 3.5
_JUMP_WITHOUT_SILENCE = 8.0
_JUMP_WITHOUT_VOLUMES = 10.0
_SAME_VALUE = 20.0
_HOUR = np.timedelta64(3_600_000, "ms")
_DAY = np.timedelta64(86_400_000, "ms")


class BreakKind(StrEnum):
    """The reason of a break. The first two kinds are found in the candles."""

    REDENOMINATION = "redenomination"
    PRICE_JUMP = "price_jump"
    MARKET = "market"


@dataclass(frozen=True)
class Break:
    """A series before and after `at`, the start of its first candle after the break (aware, UTC).

    Factors are the new value divided by the old one.
    """

    at: datetime
    kind: BreakKind
    price_factor: float
    volume_factor: float


def ends_of(candles: Candles) -> Candles:
    """Return the first and last candles of a slice, as many as a comparison with its neighbours needs."""
    count = len(candles)
    if count <= 2 * SAMPLE:
        return candles
    return Candles.joined(candles.cut(0, SAMPLE), candles.cut(count - SAMPLE, count))


def breaks_within(candles: Candles) -> list[Break]:
    """Return the breaks between consecutive candles; `candles` are in ascending order."""
    breaks = []
    for index in _jumps(candles):
        found = _break_at(candles, index)
        if found is not None:
            breaks.append(found)
    return breaks


def break_between(before: Candles, after: Candles) -> Break | None:
    """Return the break between the last candle of `before` and the first candle of `after`, if there is one."""
    joined = Candles.joined(before, after)
    if not len(before) or not len(after) or len(before) not in _jumps(joined):
        return None
    return _break_at(joined, len(before))


def _jumps(candles: Candles) -> list[int]:
    """Return the positions of candles with an open far from the previous close."""
    if len(candles) < 2:
        return []
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = candles.open[1:] / candles.close[:-1]
        is_jump = (ratio >= _SMALLEST_JUMP) | (ratio <= 1 / _SMALLEST_JUMP)
    return [int(index) + 1 for index in np.flatnonzero(is_jump & np.isfinite(ratio))]


def _break_at(candles: Candles, index: int) -> Break | None:
    """Classify the jump at this position by the silence before it and by the volumes around it."""
    before, after = candles.cut(max(index - SAMPLE, 0), index), candles.cut(index, index + SAMPLE)
    price = float(after.open[0] / before.close[-1])
    volume = _ratio(_typical_volume(after), _typical_volume(before))
    silence = after.times[0] - before.times[-1]
    jump = max(price, 1 / price)
    kind = None
    if _volumes_jump_the_other_way(price, volume) and (silence >= _HOUR or jump >= _JUMP_WITHOUT_SILENCE):
        kind = BreakKind.REDENOMINATION
    elif jump >= _JUMP_WITHOUT_VOLUMES and (silence >= _DAY or after.volume[0] == 0):
        kind = BreakKind.PRICE_JUMP
    return None if kind is None else Break(from_datetime64(after.times[0]), kind, price, volume)


def _volumes_jump_the_other_way(price: float, volume: float) -> bool:
    if volume <= 0:
        return False
    value = price * volume
    is_same_value = 1 / _SAME_VALUE < value < _SAME_VALUE
    # Treat a fall of the price with a rise of the volume as the reverse of a rise of the price.
    rise, fall = (price, volume) if price > 1 else (1 / price, 1 / volume)
    return is_same_value and fall < max(2 / rise, 1 / _SAME_VALUE)


def _typical_volume(candles: Candles) -> float:
    """Return the median volume of the candles with trades; 0 if there are none."""
    traded = candles.volume[candles.volume > 0]
    return float(np.median(traded)) if len(traded) else 0.0


def _ratio(new: float, old: float) -> float:
    return new / old if old > 0 else 0.0
