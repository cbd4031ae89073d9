"""Outages: the stretches in which an exchange stood still, told from the minutes in which merely nobody traded.

No answer says which of the two it was, and one series alone cannot tell: all series of the exchange together can, with
other exchanges as witnesses. A candle is one of an outage if

1. most of the exchange's busy series that were listed then lack it, two at least, each of them absent from two good
   answers. A series is busy if it trades nearly always: that a quiet pair misses a minute is no evidence, neither is
   what is not known yet;
2. so many would not be absent together by accident, going by how often each is absent otherwise: two of the busiest
   pairs that miss one minute suffice, of two that miss a minute in a hundred it takes six in a row;
3. another exchange has a candle of that time.

It says nothing of an exchange with a single busy series: its market may have been halted alone. Timeframes are not
mixed. Everything follows from ledger and gaps, whatever came first, so it can be decided again whenever these change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import log

import numpy as np
from numpy.typing import NDArray

from titan10_dagster.candles.columns import Mask
from titan10_dagster.candles.gaps import CONFIRMED_ABSENT, Gap, Reason, within
from titan10_dagster.candles.slices import Slice
from titan10_dagster.candles.timeframes import Timeframe

BUSY = 0.1  # the largest share of absent candles that a busy series has on its best day
FEWEST = 2
AGAIN = 0.6  # how likely a busy series is absent again right after: quiet minutes come together
MISTAKES = 1e-3  # outages that would be seen in a day of an exchange that has none

_NO_EVIDENCE = frozenset({Reason.PRE_LISTING, Reason.DELISTED, Reason.BEYOND_HORIZON})
_SAMPLE = 24  # candles from which it can be told how often a series is absent


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of a slice: its first `expected` candles are over, and those in `gaps` are missing.

    `absence`: the share of candles that the series misses on a good day, from `absence`; 1.0: not known.
    """

    slice: Slice
    expected: int
    gaps: Sequence[Gap] = field(default_factory=tuple)
    absence: float = 1.0


@dataclass(frozen=True)
class Sample:
    """How many candles a series should have in some days, and how many of them it has."""

    expected: int
    present: int


def days_around(timeframe: Timeframe) -> int:
    """How many days before and after a day tell how often a series trades: one, or as many as have enough candles."""
    return -(-_SAMPLE // timeframe.per_day)


def absence(samples: Iterable[Sample]) -> float:
    """The share of candles that a series misses on its best day; never 0, for a short sample proves little.

    The samples are the day itself, the days before it and the days after: an outage spoils one or two of them.
    """
    return min(((one.expected - one.present + 1) / (one.expected + 1) for one in samples), default=1.0)


def is_busy(share: float) -> bool:
    """Whether a series that misses this share of its candles bears witness."""
    return share <= BUSY


def silences(own: Sequence[Known], size: int) -> Mask:
    """Where the slices of one exchange, timeframe and day suggest that it stood still: (size,) bool."""
    busy = [one for one in own if is_busy(one.absence)]
    if len(busy) < FEWEST:
        return np.zeros(size, np.bool_)
    absent = np.stack([within(one.gaps, one.slice, CONFIRMED_ABSENT) for one in busy])
    listed = np.stack([_over(one) & ~within(one.gaps, one.slice, _NO_EVIDENCE) for one in busy])
    together = absent.sum(axis=0)
    most = (together >= FEWEST) & (2 * together > listed.sum(axis=0))
    return _beyond_chance(most, _surprise(absent, [one.absence for one in busy]))


def traded(others: Sequence[Known], size: int) -> Mask:
    """Which candles of the day at least one of the slices, of other exchanges, has: (size,) bool."""
    mask = np.zeros(size, np.bool_)
    for one in others:
        mask |= _over(one) & ~within(one.gaps, one.slice)
    return mask


def _over(one: Known) -> Mask:
    return np.arange(one.slice.expected) < one.expected


def _surprise(absent: NDArray[np.bool_], shares: Sequence[float]) -> NDArray[np.float64]:
    """How unlikely the absences of each candle are by accident, as a negative logarithm: (candles,)."""
    before = np.pad(absent[:, :-1], ((0, 0), (1, 0)))
    first = -np.log(shares)[:, None]
    surprise: NDArray[np.float64] = np.where(absent, np.where(before, -log(AGAIN), first), 0.0).sum(axis=0)
    return surprise


def _beyond_chance(mask: Mask, surprise: NDArray[np.float64]) -> Mask:
    """The runs of `mask` that are too unlikely, taken together, to happen by accident on any minute of a day."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    sums = np.concatenate(([0.0], np.cumsum(surprise)))
    told = np.zeros_like(mask)
    for start, end in edges[sums[edges[:, 1]] - sums[edges[:, 0]] >= log(len(mask) / MISTAKES)]:
        told[start:end] = True
    return told
