"""Silences: stretches without candles that are too long, or shared by too many series, for a lack of trades.

An answer never contains the reason why a candle is absent. The reason is derived from how often the series usually
trades, from the other series of the exchange, and from other exchanges. Two kinds of silence are not a lack of trades:

Shared silences. Most of the exchange's busy listed series, and at least two, lack the same candles, each confirmed by
two complete answers. These absences together are also too unlikely to be accidental, given how often each series is
usually absent: with two series that trade nearly every minute, one common minute is enough; with two series that miss a
minute in a hundred, it takes six minutes in a row. If a series of another exchange, of any timeframe, has a candle
within the stretch, the exchange was down (outage). Otherwise trading stood still (halted).

Own silences. One series is silent for longer than its usual trading explains, according to the stored days around the
silence. The busier the series, the shorter the silence: 30 minutes at 99.9 % traded minutes, 45 minutes at 90 %. A few
candles within the silence of a busy series do not hide it, if at least four of five candles are absent up to each of
them, and the silence is a quarter longer. For a quiet pair, the silence must also be three times as long as any other
silence on those days. Trading in this market was halted. A silence of a week or longer is called not_listed, because an
exchange does not halt a market for this long but removes it from its list.

These lengths are about eight times those of real trading. The longest run of minutes without trades of BTC/USDT on
Binance.US in March 2023 (97.8 % traded minutes, 21 days) is 4 minutes.

A stretch has one reason from its first to its last candle, also across midnight. The decision depends only on ledger
and gaps, not on the order in which slices were stored. It can therefore be repeated when these change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from math import ceil, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from titan10_dagster.candles.columns import Floats, Mask
from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.timeframes import Timeframe

BUSY = 0.1  # the largest share of absent candles of a busy series, on its best days
FEWEST = 2  # the fewest busy series of a shared silence
NEIGHBOURS = 7  # number of stored days before and after a day from which the trading of a series is estimated
INTERRUPTED = 1.25  # how many times longer than others a silence with candles in it must be
LONGER = 3  # how many times longer than any other silence an own silence of a quiet series must be
NOT_LISTED_AFTER = timedelta(days=7)

_AGAIN = 0.6  # probability that a busy series is absent again in the next minute, because quiet minutes cluster
_PER_CANDLE = 4  # a candle within a silence counts as much as this many absent ones
_MISTAKES_TOGETHER = 1e-3  # accepted number of shared silences that are found by mistake, per exchange and day
_MISTAKES_ALONE = 1e-6  # accepted number of own silences that are found by mistake, per series and day
_UNSEEN = 0.3  # added to the counted absences, because a short sample proves little
_NEVER = 10**9  # candles

Run = tuple[int, int]  # the cells [start, end) of a run of absent candles


@dataclass(frozen=True)
class Sample:
    """The expected and present candles of a series over some days."""

    expected: int
    present: int

    def __add__(self, other: Sample) -> Sample:
        return Sample(self.expected + other.expected, self.present + other.present)

    @property
    def absence(self) -> float:
        """The share of absent candles, never 0; 1.0 if the series has no candle."""
        if self.present <= 0:
            return 1.0
        return min(1.0, (self.expected - self.present + _UNSEEN) / (self.expected + 1))


@dataclass(frozen=True, eq=False)
class SeriesBlock:
    """One series over a block of consecutive days, with one cell for each candle.

    `absent`: the candle was absent from two complete answers. `offered`: the candle has ended and the exchange could
        have returned it, so its absence is evidence. `absence`: the share of candles that the series misses on good
        days, by cell.
    """

    absent: Mask
    offered: Mask
    absence: Floats


@dataclass(frozen=True)
class SharedSilence:
    """A shared silence: the cells [start, end) of a block in which `silent` of `listed` busy series have no candle."""

    start: int
    end: int
    silent: int
    listed: int


@dataclass(frozen=True)
class Silence:
    """A silence of one series: the cells [start, end) of its block, and their reason.

    `shared`: the shared silence to which it belongs.
    """

    start: int
    end: int
    reason: Reason
    absence: float
    shared: SharedSilence | None = None


def absence_on_good_days(samples: Iterable[Sample]) -> float:
    """Return the share of candles that a series misses on its best days.

    There are three samples, the day itself, the days before it and the days after it, because an outage distorts one or
    two of them.
    """
    return min((sample.absence for sample in samples), default=1.0)


def is_busy(absence: float) -> bool:
    """Return whether a series that misses this share of its candles is busy enough to be evidence for others."""
    return absence <= BUSY


def longest_lull(absence: float, timeframe: Timeframe) -> int:
    """Return the longest silence, in candles, that a lack of trades can explain at this share of absences.

    Quiet minutes cluster, but only for minutes: a busy series that misses a candle of five minutes or an hour is hardly
    more likely to miss the next one too.
    """
    together = _AGAIN ** (timeframe.delta / timedelta(minutes=1))
    again = together + (1 - together) * absence
    if again >= 1:
        return _NEVER
    length = 1 + (log(timeframe.per_day / _MISTAKES_ALONE) + log(absence)) / -log(again)
    return min(ceil(length), _NEVER)


def shortest_silence(timeframe: Timeframe) -> int:
    """Return the longest silence, in candles, that is never an own silence, however busy the series is."""
    candles = NEIGHBOURS * timeframe.per_day
    return longest_lull(Sample(candles, candles).absence, timeframe)


def shortest_part(timeframe: Timeframe) -> int:
    """Return how many candles in a row must be absent at least once in a silence with candles in it."""
    return shortest_silence(timeframe) // 3 + 1


def is_too_long(
    length: int, absence: float, longest_other: int, timeframe: Timeframe, *, is_interrupted: bool = False
) -> bool:
    """Return whether a lack of trades does not explain a silence of `length` candles.

    `longest_other`: the longest other silence of the series on the days around it. `is_interrupted`: a few candles are
    stored within the silence; this is never too long for a quiet series.
    """
    lull = longest_lull(absence, timeframe)
    if is_interrupted:
        return is_busy(absence) and length > INTERRUPTED * lull
    if length <= lull:
        return False
    return is_busy(absence) or length > LONGER * longest_other


def interrupted(absent: Sequence[Run], timeframe: Timeframe) -> list[list[Run]]:
    """Group the runs of absent candles between which only a few candles are stored. Each run is in one group.

    From both ends of a group up to any stored candle within it, at least four of five candles are absent. These are the
    maximal segments of a sequence that counts an absent candle as 1 and a stored one as -4 (Ruzzo and Tompa, 1999). A
    run counts at most as much as the shortest silence, so that a long silence does not absorb what follows it. A stored
    candle beside midnight always separates two groups, so that the groups do not depend on which days are read.
    """
    per_day, most = timeframe.per_day, shortest_silence(timeframe)
    groups: list[list[Run]] = []
    open_: list[_Segment] = []  # which a later run may extend
    total, before = 0, 0
    for run in absent:
        start, end = run
        midnight = -(-before // per_day) * per_day
        if midnight <= start:
            groups += [segment.runs for segment in open_]
            open_ = []
        total -= _PER_CANDLE * (start - before)
        segment = _Segment([run], total, total + min(end - start, most))
        total, before = segment.after, end
        while True:
            number = _last_below(open_, segment.before)
            if number is None:  # no later run can extend these either
                groups += [closed.runs for closed in open_]
                open_ = [segment]
                break
            if open_[number].after >= segment.after:
                open_.append(segment)
                break
            parts = open_[number:]
            segment = _Segment(
                [*chain.from_iterable(part.runs for part in parts), *segment.runs], parts[0].before, total
            )
            del open_[number:]
    return groups + [segment.runs for segment in open_]


def shared_silences(blocks: Sequence[SeriesBlock], timeframe: Timeframe) -> list[SharedSilence]:
    """Return the shared silences of the series of one exchange over the same block, by time."""
    if len(blocks) < FEWEST:
        return []
    busy = np.stack([block.absence <= BUSY for block in blocks])
    absent = np.stack([block.absent for block in blocks]) & busy
    offered = np.stack([block.offered for block in blocks]) & busy
    together, listed = absent.sum(axis=0), offered.sum(axis=0)
    most = (together >= FEWEST) & (2 * together > listed)
    surprise = _surprise(absent, np.stack([block.absence for block in blocks]))
    sums = np.concatenate(([0.0], np.cumsum(surprise)))
    found = []
    for start, end in runs(most):
        if sums[end] - sums[start] >= log(timeframe.per_day / _MISTAKES_TOGETHER):
            found.append(SharedSilence(start, end, int(together[start:end].max()), int(listed[start:end].max())))
    return found


def runs(mask: Mask) -> list[Run]:
    """Return the runs [start, end) of True."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    return [(start, end) for start, end in edges.tolist()]


def reason_of(length: int, timeframe: Timeframe, *, has_witness: bool) -> Reason:
    """Return the reason of a silence of `length` candles that a lack of trades does not explain."""
    if length * timeframe.delta >= NOT_LISTED_AFTER:
        return Reason.NOT_LISTED
    return Reason.OUTAGE if has_witness else Reason.HALTED


def split_run(
    run: Run, shared: Iterable[tuple[SharedSilence, Reason]], absence: float, *, too_long: bool, own: Reason
) -> list[Silence]:
    """Return the parts of one run of absent candles that a lack of trades does not explain.

    A run that is too long for a lack of trades has a single reason: the reason of the shared silences that cover at
    least half of it, otherwise `own`. In all other runs, only the candles in a shared silence get its reason, and those
    between two parts of one silence: another series printed a single candle there.
    """
    start, end = run
    parts: list[Silence] = []
    for silence, reason in shared:
        a, b = max(start, silence.start), min(end, silence.end)
        if a < b:
            parts.append(Silence(a, b, reason, absence, silence))
    if not too_long:
        return _bridged(parts)
    covered = sum(part.end - part.start for part in parts)
    if 2 * covered >= end - start and own is not Reason.NOT_LISTED:
        largest = _largest(parts)
        return [Silence(start, end, largest.reason, absence, largest.shared)]
    return [Silence(start, end, own, absence)]


class _Segment(NamedTuple):
    """Some runs of absent candles, and the sum of the counts before the first of them and after the last of them."""

    runs: list[Run]
    before: int
    after: int


def _last_below(segments: Sequence[_Segment], count: int) -> int | None:
    """Return the number of the last segment that begins at a lower count, None if there is none."""
    for number in range(len(segments) - 1, -1, -1):
        if segments[number].before < count:
            return number
    return None


def _bridged(parts: Iterable[Silence]) -> list[Silence]:
    """Join neighbouring parts of one run with at most as many candles between them as in the shorter part."""
    joined: list[Silence] = []
    for part in sorted(parts, key=lambda part: part.start):
        before = joined[-1] if joined else None
        if before is not None and part.start - before.end <= min(before.end - before.start, part.end - part.start):
            largest = _largest((before, part))
            joined[-1] = Silence(before.start, part.end, largest.reason, part.absence, largest.shared)
        else:
            joined.append(part)
    return joined


def _largest(parts: Iterable[Silence]) -> Silence:
    return max(parts, key=lambda part: part.end - part.start)


def _surprise(absent: NDArray[np.bool_], shares: Floats) -> Floats:
    """Return the negative logarithm of the probability that the absences of each cell are accidental: (cells,)."""
    before = np.pad(absent[:, :-1], ((0, 0), (1, 0)))
    surprise: Floats = np.where(absent, np.where(before, -log(_AGAIN), -np.log(shares)), 0.0).sum(axis=0)
    return surprise
