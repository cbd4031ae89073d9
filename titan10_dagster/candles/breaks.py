"""Breaks of a series: times at which the unit of the prices changes.

Rollups, filled candles and exports do not combine candles from both sides of a break.

At a redenomination, the price jumps and the volume jumps in the opposite direction. Example: LUNA traded at 0.000014,
was silent for 36 hours, and then traded at 0.014 with a thousandth of the volume. Prices of illiquid pairs can jump
without a break. Therefore a price jump alone is usually not a break: the volume must jump too, or there must be a day
without candles before the jump.

| kind | price jumps by | further condition |
|-|-|-|
| redenomination | a factor of 3.5 or more, after at least an hour of silence | volume jumps in the opposite direction |
| redenomination | a factor of 8 or more, after a shorter silence | volume jumps in the opposite direction |
| price_jump | a factor of 10 or more, after at least a day of silence | - |
| price_jump | a factor of 10 or more | the first candle after the jump has no trade, so no trade has moved the price |
| market | any factor | the exchange uses the symbol for a different market (`candles/identity.py`) |

The silence is the time from the last candle before the jump to the first candle after the jump. The factors apply to
rises and to falls. The smallest factor is 3.5. Therefore a redenomination of 4 to 1 is found even if the market moves
the price by an eighth in the opposite direction at the same time.

The volume jumps in the opposite direction if two conditions hold for typical candles before and after the jump. First,
the traded value (price times volume) changes by less than the factor 20. Second, the volume changes by more than half
of the price's factor, or by more than the factor 20. The limits are wide, because the volume of a quiet pair can differ
much between two half hours, even without a break. The typical volume is the median volume of the candles with trades.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.slices import from_datetime64

SAMPLE = 30  # at most this many candles are compared on each side of a jump
_SMALLEST_JUMP = 3.5
_JUMP_WITHOUT_SILENCE = 8.0
_JUMP_WITHOUT_VOLUMES = 10.0
_SAME_VALUE = 20.0
_HOUR = np.timedelta64(3_600_000, "ms")
_DAY = np.timedelta64(86_400_000, "ms")


class BreakKind(StrEnum):
    """The kind of a break.

    Redenominations and price jumps are found by comparing candles. A change of the market is found by comparing market
    lists.
    """

    REDENOMINATION = "redenomination"
    PRICE_JUMP = "price_jump"
    MARKET = "market"


@dataclass(frozen=True)
class Break:
    """A break of a series.

    at: the start of the first candle after the break (aware, UTC).
    price_factor: the first open after the break divided by the last close before the break.
    volume_factor: the typical volume after the break divided by the typical volume before the break; 0 if one of these
        volumes is 0, because the candles have no trades.
    """

    at: datetime
    kind: BreakKind
    price_factor: float
    volume_factor: float


def ends_of(candles: Candles) -> Candles:
    """Return the first and the last `SAMPLE` candles of a slice. They are enough to find breaks between two slices."""
    count = len(candles)
    if count <= 2 * SAMPLE:
        return candles
    return Candles.joined(candles.cut(0, SAMPLE), candles.cut(count - SAMPLE, count))


def breaks_within(candles: Candles) -> list[Break]:
    """Return the breaks between consecutive candles. `candles`: sorted by time."""
    breaks = []
    for index in _jumps(candles):
        found = _break_at(candles, index)
        if found is not None:
            breaks.append(found)
    return breaks


def break_between(before: Candles, after: Candles) -> Break | None:
    """Return the break between the last candle of `before` and the first candle of `after`, or None."""
    joined = Candles.joined(before, after)
    if not len(before) or not len(after) or len(before) not in _jumps(joined):
        return None
    return _break_at(joined, len(before))


def _jumps(candles: Candles) -> list[int]:
    """Return the positions at which the open differs from the previous close by a factor of 3.5 or more."""
    if len(candles) < 2:
        return []
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = candles.open[1:] / candles.close[:-1]
        is_jump = (ratio >= _SMALLEST_JUMP) | (ratio <= 1 / _SMALLEST_JUMP)
    return [int(index) + 1 for index in np.flatnonzero(is_jump & np.isfinite(ratio))]


def _break_at(candles: Candles, index: int) -> Break | None:
    """Return the break at this position; None if the price jump at this position is not a break.

    The decision depends on the size of the price jump, the silence before the jump, and the volumes around the jump.
    """
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
    # If the price falls, the inverse factors are compared, so that one comparison is enough for both directions.
    rise, fall = (price, volume) if price > 1 else (1 / price, 1 / volume)
    return is_same_value and fall < max(2 / rise, 1 / _SAME_VALUE)


def _typical_volume(candles: Candles) -> float:
    """Return the median volume of the candles with trades; 0 if no candle has trades."""
    traded = candles.volume[candles.volume > 0]
    return float(np.median(traded)) if len(traded) else 0.0


def _ratio(new: float, old: float) -> float:
    return new / old if old > 0 else 0.0
