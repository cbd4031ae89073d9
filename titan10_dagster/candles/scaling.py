"""Convert doubles into integers with a scale, so that `integer / scale` gives exactly the original double.

Candles are stored in this form, because compressed integers take a third of the space of doubles. PostgreSQL and numpy
compute a value in the same way: they convert the integer to a double and divide in IEEE arithmetic. Therefore a result
that is exact in numpy is exact in PostgreSQL too. Each power of ten up to 10^22 is exactly representable as a double,
so the division rounds correctly for every decimal that an exchange sends.

The integer has the digits of the shortest decimal that denotes the double. This decimal is the text that Python and
JSON print for the double. For example, 349.13948757000003 becomes 34913948757000003 / 10^14. Sums of these decimals
(`exact_decimal` in SQL) are therefore sums of the numbers that the exchange sent. If no power of ten fits, the scale is
a power of two. Every double is an integer times a power of two.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from titan10_dagster.candles.columns import Floats, Mask

Rows = NDArray[np.intp]

POWERS_OF_TEN = tuple(10.0**n for n in range(23))

_LIMIT = 2.0**63
# A decimal with up to 15 digits can be recovered from its double: the product of the double and the scale, rounded to
# an integer, has exactly these digits. Longer decimals are rare. Their digits are read from the text of the double,
# which is slow.
_SHORT = 1e15
_MANTISSA_BITS = 53
# If all doubles of a row lie between _SMALLEST and _LARGEST, and the largest is less than _CLOSE times the smallest,
# one power of two can be the scale of the whole row. Reason: a mantissa needs 53 bits, the ratio of the largest to the
# smallest double needs 9 bits, and the integer has 63 bits.
_CLOSE = 2.0**9
_SMALLEST, _LARGEST = 2.0**-900, 2.0**62


@dataclass(frozen=True, eq=False)
class Scaled:
    """The integers and scales of n rows with k values each. A value is its integer divided by the scale of its row.

    integers: an array of shape (k, n). A row of values is a column of this array.
    scales: the scale of each row, an array of shape (n,).
    exact: for each row, whether the integers and the scale give exactly the original values.
    common: the scale of all rows; None if the scales differ.
    """

    integers: NDArray[np.int64]
    scales: Floats
    exact: Mask
    common: float | None


def scale(values: Floats, hint: float = 1.0) -> Scaled:
    """Return the integers and scales of finite doubles. The k values of a row get the same scale.

    If one power of ten turns all values into integers with at most 15 digits, all rows get this power as their scale.
    The scale `hint` is tried first, then the powers of ten from the smallest to the largest.

    Otherwise each row gets its own scale: `hint`, the smallest power of ten that fits, or a power of two. If no scale
    fits a row, the row is not exact. An example is a row with the values 1e15 and 1.234567890123456e-12.

    `values`: an array of shape (k, n). A row of values is a column of this array.
    `hint`: the previous scale of the series, so that the scale usually stays the same from day to day.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        common = _common(values, hint)
        if common is not None:
            rows = values.shape[1]
            integers = np.rint(values * common).astype(np.int64)
            return Scaled(integers, np.full(rows, common), np.ones(rows, np.bool_), common)
        return _per_row(values, hint)


def is_representable(values: Floats) -> Mask:
    """Return a mask of the rows that can be stored exactly. Rows with NaN or infinity cannot be stored exactly.

    `values`: doubles, an array of shape (k, n). A row of values is a column of this array.
    """
    if not values.size:
        return np.ones(values.shape[1], np.bool_)
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = values.min(), values.max()
        if low >= _SMALLEST and high <= _LARGEST and (len(values) == 1 or high < low * _CLOSE):
            return np.ones(values.shape[1], np.bool_)
        sizes = np.abs(values)
        largest = sizes.max(axis=0)
        smallest = np.where(sizes == 0, largest, sizes).min(axis=0)
        plain = (smallest >= _SMALLEST) & (largest <= _LARGEST) & (largest < smallest * _CLOSE)
        representable: Mask = plain | (largest == 0)
    unsure = np.flatnonzero(~representable & np.isfinite(largest))
    if len(unsure):
        representable[unsure] = scale(values[:, unsure]).exact
    return representable


def _common(values: Floats, hint: float) -> float | None:
    if not values.any():
        return hint
    # The hint (the previous scale of the series) is not used if it is far larger than the first rows need. A hint that
    # is too large usually comes from an unusual candle some days ago.
    if _fits(values, hint, _SHORT).all() and not _fits(values[:, :16], hint / 1000, _SHORT).all():
        return hint
    return next((power for power in POWERS_OF_TEN if _fits(values, power, _SHORT).all()), None)


def _per_row(values: Floats, hint: float) -> Scaled:
    count = values.shape[1]
    scaled = Scaled(np.zeros(values.shape, np.int64), np.ones(count), np.ones(count, np.bool_), None)
    rows = _try_powers(scaled, values, np.arange(count), (hint, *POWERS_OF_TEN), _SHORT)
    rows = _try_shortest_decimals(scaled, values, rows)
    rows = _try_powers(scaled, values, rows, POWERS_OF_TEN, _LIMIT)
    for row in rows.tolist():
        rows = _try_powers(scaled, values, np.array([row]), (_binary_scale(values[:, row]),), _LIMIT)
        scaled.exact[rows] = False
    return scaled


def _try_powers(scaled: Scaled, values: Floats, rows: Rows, powers: Iterable[float], limit: float) -> Rows:
    """Scale each row by the first power that fits the row. Return the rows for which no power fits."""
    for power in powers:
        if not len(rows):
            break
        fits = _fits(values[:, rows], power, limit).all(axis=0)
        fitting = rows[fits]
        scaled.integers[:, fitting] = np.rint(values[:, fitting] * power).astype(np.int64)
        scaled.scales[fitting] = power
        rows = rows[~fits]
    return rows


def _try_shortest_decimals(scaled: Scaled, values: Floats, rows: Rows) -> Rows:
    """Scale rows with values of more than 15 digits. The integers get the digits of the shortest decimal of each value.

    Return the rows that have no exact result.
    """
    done = np.zeros(len(rows), np.bool_)
    for n, row in enumerate(rows.tolist()):
        decimals = [Decimal(repr(number)).normalize() for number in values[:, row].tolist()]
        places = max(0, *(-int(decimal.as_tuple().exponent) for decimal in decimals))
        if places >= len(POWERS_OF_TEN):
            continue
        integers = [int(decimal.scaleb(places)) for decimal in decimals]
        if max(map(abs, integers)) < _LIMIT:
            scaled.integers[:, row] = integers
            scaled.scales[row] = POWERS_OF_TEN[places]
            done[n] = True
    # PostgreSQL converts the integer to a double before the division, and this conversion can round the integer. So the
    # same computation is done here.
    done &= (scaled.integers[:, rows].astype(np.float64) / scaled.scales[rows] == values[:, rows]).all(axis=0)
    return rows[~done]


def _fits(values: Floats, scales: float, limit: float) -> Mask:
    scaled = np.rint(values * scales)
    fits: Mask = (scaled / scales == values) & (np.abs(scaled) < limit)
    return fits


def _binary_scale(numbers: Floats) -> float:
    """Return the smallest power of two that turns all values of a row into whole numbers; 1 for a row of zeros."""
    fraction, exponent = np.frexp(numbers)
    mantissa = np.ldexp(fraction, _MANTISSA_BITS).astype(np.int64)
    _, lowest_bit = np.frexp((mantissa & -mantissa).astype(np.float64))
    lowest = np.where(numbers == 0, 0, exponent - _MANTISSA_BITS + lowest_bit - 1)
    return float(np.ldexp(1.0, -int(lowest.min())))
