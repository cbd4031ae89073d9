"""Compare the candles of slices from two sources, and estimate the share of differing candles from a sample of days."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.frame import VALUES
from titan10_dagster.candles.slices import Slice, from_datetime64

ABSENT = "candle"  # the value of `Difference.column` if one source does not have the candle
_Z = 1.959963984540054  # quantile of the normal distribution for a confidence of 95 %


@dataclass(frozen=True)
class Difference:
    """A difference between the two sources: a value of a candle differs, or only one source has the candle.

    time: the start of the candle (aware, UTC).
    column: the name of the differing value; "candle" if only one source has the candle.
    archive, rest: the values of the two sources. If only one source has the candle, the value of this source is the
        close, and the value of the other source is None.
    """

    slice: Slice
    time: datetime
    column: str
    archive: float | None
    rest: float | None


@dataclass(frozen=True)
class Comparison:
    """The result of comparing the two sources of one slice.

    candles: the number of candles that at least one source has.
    differing: the number of candles with at least one difference.
    differences: the differences, sorted by time.
    """

    slice: Slice
    candles: int
    differing: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Rate:
    """The share of differing candles in a sample, with a 95 % confidence interval for the population of the sample.

    candles: the number of compared candles.
    differing: the number of compared candles that differ.
    days: the number of compared slices.
    differing_days: the number of compared slices with a difference.
    population: the number of slices from which the sample was drawn.
    """

    candles: int
    differing: int
    days: int
    differing_days: int
    population: int

    @property
    def share(self) -> float:
        """Return the share of the compared candles that differ; 0.0 if no candles were compared."""
        return self.differing / self.candles if self.candles else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Return the two bounds between which the share in the population lies with a confidence of 95 %.

        Differences come in clusters: the 398 known differences in Binance's files are all on two days. Therefore the
        candles of a day are not independent observations, and the size of the sample is its number of slices (days of a
        series).

        The shares of the days vary most if each day differs either completely or not at all. Wilson's interval assumes
        such yes-or-no observations, so it is wide enough for every kind of cluster.

        The sample is a considerable part of the population. The finite population correction takes this into account
        and makes the interval narrower. If all slices were compared, both bounds are equal to the share.
        """
        if self.days >= self.population:
            return self.share, self.share
        observations = self.days / (1 - self.days / self.population)
        return wilson(self.share, observations)


def compare(slice_: Slice, archive: Candles, rest: Candles) -> Comparison:
    """Compare the candles of a slice from two sources.

    The candles of each source must be sorted by time. A source must not have two candles with the same time.
    """
    differences = [_absent(slice_, archive, place, of_archive=True) for place in _only_in(archive, rest)]
    differences += [_absent(slice_, rest, place, of_archive=False) for place in _only_in(rest, archive)]
    common, in_archive, in_rest = np.intersect1d(archive.times, rest.times, assume_unique=True, return_indices=True)
    for row, name in enumerate(VALUES):
        left, right = archive.values[row][in_archive], rest.values[row][in_rest]
        for place in np.flatnonzero(left != right):
            time = from_datetime64(common[place])
            differences.append(Difference(slice_, time, name, float(left[place]), float(right[place])))
    differences.sort(key=lambda difference: difference.time)
    differing = len({difference.time for difference in differences})
    return Comparison(slice_, len(archive) + len(rest) - len(common), differing, tuple(differences))


def _only_in(some: Candles, others: Candles) -> Iterable[int]:
    return map(int, np.flatnonzero(~np.isin(some.times, others.times)))


def _absent(slice_: Slice, candles: Candles, place: int, *, of_archive: bool) -> Difference:
    """Return the `Difference` that describes a candle which only one source has."""
    time, close = from_datetime64(candles.times[place]), float(candles.close[place])
    return Difference(slice_, time, ABSENT, close if of_archive else None, None if of_archive else close)


def rate_of(comparisons: Sequence[Comparison], population: int) -> Rate:
    """Return the rate of differing candles in a sample.

    `population`: the number of slices that the sample represents.
    """
    return Rate(
        candles=sum(comparison.candles for comparison in comparisons),
        differing=sum(comparison.differing for comparison in comparisons),
        days=len(comparisons),
        differing_days=sum(1 for comparison in comparisons if comparison.differing),
        population=population,
    )


def draw(slices: Iterable[Slice], share: float, seed: int) -> list[Slice]:
    """Return a random sample of the slices, in sorted order.

    All slices are drawn with the same probability. The same slices, share and seed always give the same sample.

    `share`: the share of the slices to draw. The number of drawn slices is rounded up.
    """
    ordered = sorted(set(slices))
    size = min(len(ordered), math.ceil(round(share * len(ordered), 9)))
    chosen = np.random.default_rng(seed).choice(len(ordered), size, replace=False) if ordered else ()
    return [ordered[place] for place in sorted(map(int, chosen))]


def wilson(share: float, observations: float) -> tuple[float, float]:
    """Return Wilson's 95 % confidence interval for a share that was measured with independent observations.

    `observations`: the number of observations. If it is 0, the interval is 0.0 to 1.0.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if observations <= 0:
        return 0.0, 1.0
    square = _Z * _Z / observations
    middle = (share + square / 2) / (1 + square)
    half = _Z / (1 + square) * math.sqrt(share * (1 - share) / observations + square / (4 * observations))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
