"""Doubles as integers with a scale, exactly: `integer / scale` is the double again, bit for bit.

That is how candles are stored (facts: a third of the size of doubles once compressed). PostgreSQL computes bigint to
double precision and then the division in IEEE arithmetic, as numpy does here, so what is checked here holds there.
A power of ten up to 10^22 is a double without error, which makes the division round correctly for every decimal that
an exchange sends. What no such scale fits gets a power of two, for every double is an integer times one of those.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from titan10_dagster.candles.columns import Floats, Mask

POWERS_OF_TEN = tuple(10.0**n for n in range(23))

_LIMIT = 2.0**63
_MANTISSA_BITS = 53


@dataclass(frozen=True, eq=False)
class Scaled:
    """`integers` (k, n) over `scales` (n,) are the values, where `exact` (n,) is True.

    `common` is the scale of all rows, None where they differ.
    """

    integers: NDArray[np.int64]
    scales: Floats
    exact: Mask
    common: float | None


def scale(values: Floats, hint: float = 1.0) -> Scaled:
    """Scales (k, n) finite doubles, the k values of a row with one scale.

    All rows get one scale where one power of ten fits them all: `hint`, the one that the series had before (so that
    it stays the same from day to day), else the smallest. Otherwise each row gets its own: hint, the smallest power
    of ten, or a power of two. A row that even this does not fit (1e15 beside 1.234567890123456e-12) is not exact.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        common, rows = _common(values, hint), values.shape[1]
        if common is not None:
            integers = np.rint(values * common).astype(np.int64)
            return Scaled(integers, np.full(rows, common), np.ones(rows, np.bool_), common)
        scales = _per_row(values, hint)
        exact: Mask = np.all(_fits(values, scales), axis=0)
        integers = np.where(exact, np.rint(values * scales), 0.0).astype(np.int64)
    return Scaled(integers, scales, exact, None)


def _common(values: Floats, hint: float) -> float | None:
    if not values.any():
        return hint
    # A hint far larger than what the first rows need came from an odd candle some days ago: it is forgotten.
    if _fits(values, hint).all() and not _fits(values[:, :16], hint / 1000).all():
        return hint
    return next((power for power in POWERS_OF_TEN if _fits(values, power).all()), None)


def _per_row(values: Floats, hint: float) -> Floats:
    scales = _binary_scales(values)
    undecided = np.arange(values.shape[1])
    for candidate in (hint, *POWERS_OF_TEN):
        fits = _fits(values[:, undecided], candidate).all(axis=0)
        scales[undecided[fits]] = candidate
        undecided = undecided[~fits]
    return scales


def _fits(values: Floats, scales: Floats | float) -> Mask:
    scaled = np.rint(values * scales)
    fits: Mask = (scaled / scales == values) & (np.abs(scaled) < _LIMIT)
    return fits


def _binary_scales(values: Floats) -> Floats:
    """For each row the smallest power of two that makes all its values whole; 1 for a row of zeros."""
    fraction, exponent = np.frexp(values)
    mantissa = np.ldexp(fraction, _MANTISSA_BITS).astype(np.int64)
    _, lowest_bit = np.frexp((mantissa & -mantissa).astype(np.float64))
    lowest = np.where(values == 0, 0, exponent - _MANTISSA_BITS + lowest_bit - 1)
    scales: Floats = np.ldexp(1.0, -lowest.min(axis=0))
    return scales
