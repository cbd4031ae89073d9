"""Find silences.

A silence is a stretch without candles that a lack of trades does not explain: the stretch is too long, or too many
series have no candles at the same time.

An answer never contains the reason why a candle is absent. The reason is derived from how often the series usually
trades, from other series of the exchange, and from other exchanges. A series is busy if it usually has a candle in at
least nine of ten minutes, and quiet otherwise. There are two kinds of silences:

Shared silences. Most of the exchange's busy listed series (at least two) have no candles in the same stretch, and each
absence is confirmed by two complete answers. In addition, it must be very unlikely that all these candles are absent by
accident. This probability is computed from how often each series usually has no candle. If two series trade nearly
every minute, one common minute without candles is enough. If each of two series has no candle in one of a hundred
minutes, six consecutive common minutes are needed. If another exchange has a candle within the stretch, in a series of
any timeframe, the silent exchange was down (`outage`). If no other exchange has a candle within the stretch, trading
was halted (`halted`).

Own silences. A single series has no candles for a long time, and its usual trading on the stored days before and after
does not explain this. The busier the series is, the shorter the minimum length of a silence. It is 30 minutes for a
series that trades in 99.9 % of its minutes, and 45 minutes for a series that trades in 90 % of its minutes. The silence
of a quiet series must also be more than three times as long as every other stretch without candles on the days around
the silence. The reason of an own silence is `halted`.

A candle of four hours or longer is rarely absent for lack of trades if the series usually trades. So for such candles,
a shorter stretch is an own silence too, under two conditions. First, the series has the candles of at least 60 days
among the 60 days before and the 60 days after the stretch. Second, fewer candles are absent on these days than in the
stretch.

An own silence of a busy series can contain a few candles. Then these conditions apply too:

- The series is busy on the days before the silence and on the days after it, and the silence lasts at most six days. If
  the days on one side are not stored, it lasts at most a day. (A busy pair can become quiet, for example a new coin.)
- If the silence is split at any one of these candles, at least four of five candles on each side are absent.
- The minimum length is a quarter longer, and only absent candles count.
- At least one part without candles is as long as `shortest_part` or longer.

If a silence of either kind lasts a week or longer, its reason is `not_listed`, because an exchange does not halt a
market for this long, but removes the market from its list.

The minimum lengths of own silences are about eight times as long as the pauses in real trading. For BTC/USDT on
Binance.US in March 2023 (97.8 % traded minutes, 21 days), the longest run of minutes without trades is 4 minutes.

A silence has one reason from its start to its end, even if it crosses midnight. The decision depends only on
the ledger and the gaps, and not on the order in which slices were stored. Therefore the decision can be repeated when
the ledger or the gaps change.
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

BUSY = 0.1  # a series is busy if at most this share of its candles is absent on good days (`absence_on_good_days`)
FEWEST = 2  # the minimum number of busy series in a shared silence
NEIGHBOURS = 7  # the trading of a series is estimated from this many stored days before and after a day
INTERRUPTED = 1.25  # if a silence contains a few candles, its minimum length is multiplied by this factor
# an own silence of a quiet series must be more than this many times as long as its other stretches without candles
LONGER = 3
NOT_LISTED_AFTER = timedelta(days=7)
LONG_CANDLE = timedelta(hours=4)
# The trading of a series with long candles is also estimated from this many days before and after a silence. A silence
# that is only found in this way needs the candles of at least as many days.
LONG_REACH = 60

_AGAIN = 0.6  # the probability that a busy series has no candle in a minute, after a minute without a candle
_PER_CANDLE = 4  # a silence may contain a few candles, and each of them cancels out this many absent candles
_MISTAKES_TOGETHER = 1e-3  # the accepted number of shared silences that are found by mistake, per exchange and day
_MISTAKES_ALONE = 1e-6  # the accepted number of own silences that are found by mistake, per series and day
# added to the number of absent candles: a sample without absent candles does not prove that candles are never absent
_UNSEEN = 0.3
_NEVER = 10**9  # a number of candles that is larger than any silence

# a run of absent candles: the position of its first candle, and the position after its last candle
Run = tuple[int, int]


@dataclass(frozen=True)
class Sample:
    """The numbers of expected and present candles of a series on one or more days."""

    expected: int
    present: int

    def __add__(self, other: Sample) -> Sample:
        return Sample(self.expected + other.expected, self.present + other.present)

    @property
    def absence(self) -> float:
        """Return the share of absent candles. It is never 0; it is 1.0 if the series has no candle."""
        if self.present <= 0:
            return 1.0
        return min(1.0, (self.expected - self.present + _UNSEEN) / (self.expected + 1))


@dataclass(frozen=True, eq=False)
class SeriesBlock:
    """A series on consecutive days (a block). The arrays have one cell for each candle of these days.

    absent: whether the candle was absent from two complete answers.
    offered: whether the candle has ended and the exchange could have returned it. If so, its absence is evidence.
    absence: the usual share of absent candles of the series at this time; see `absence_on_good_days`.
    """

    absent: Mask
    offered: Mask
    absence: Floats


@dataclass(frozen=True)
class SharedSilence:
    """A silence that most busy series of an exchange have at the same time.

    start, end: the positions, in the `SeriesBlock`, of the first candle in the silence and the first candle after it.
    silent: the largest number of busy series that have no candle at the same time.
    listed: the largest number of busy series of which the exchange could have returned a candle at the same time.
    """

    start: int
    end: int
    silent: int
    listed: int


@dataclass(frozen=True)
class Silence:
    """A silence of one series.

    start, end: the positions, in the `SeriesBlock`, of the first candle in the silence and the first candle after it.
    absence: the usual share of absent candles of the series; see `absence_on_good_days`.
    shared: the shared silence to which this silence belongs; None for an own silence.
    """

    start: int
    end: int
    reason: Reason
    absence: float
    shared: SharedSilence | None = None


def absence_on_good_days(samples: Iterable[Sample]) -> float:
    """Return the smallest share of absent candles in the samples. This is the usual share for a day of the series.

    An outage can make the share too large in one or two of the samples. Therefore the smallest share is used.

    `samples`: for example one sample for the day itself, one for the days before, and one for the days after.
    """
    return min((sample.absence for sample in samples), default=1.0)


def is_busy(absence: float) -> bool:
    """Return whether a series with this share of absent candles is busy. Only busy series can share a silence."""
    return absence <= BUSY


def longest_lull(absence: float, timeframe: Timeframe) -> int:
    """Return the length (in candles) of the longest stretch without candles that a lack of trades can explain.

    Minutes without trades come in clusters, but the clusters last only minutes. So if a series of 1m candles has no
    candle in a minute, its next candle is probably absent too. For series with longer candles, such as 1h, the next
    candle is hardly more likely to be absent than usual.

    `absence`: the usual share of absent candles of the series.
    """
    together = _AGAIN ** (timeframe.delta / timedelta(minutes=1))
    again = together + (1 - together) * absence
    if again >= 1:
        return _NEVER
    length = 1 + (log(timeframe.per_day / _MISTAKES_ALONE) + log(absence)) / -log(again)
    return min(ceil(length), _NEVER)


def shortest_silence(timeframe: Timeframe) -> int:
    """Return a length (in candles) that every own silence exceeds, even in the busiest series.

    The busiest possible series has a candle at all times outside the silence. In this series, a lack of trades can
    explain a stretch without candles up to the returned length.
    """
    candles = NEIGHBOURS * timeframe.per_day
    return longest_lull(Sample(candles, candles).absence, timeframe)


def shortest_part(timeframe: Timeframe) -> int:
    """Return the length (in candles) that at least one run of absent candles in an own silence must have.

    This condition matters for a silence that contains a few candles, because it consists of several runs.
    """
    return shortest_silence(timeframe) // 3 + 1


def is_too_long(
    length: int, absence: float, longest_other: int, timeframe: Timeframe, *, is_interrupted: bool = False
) -> bool:
    """Return whether a stretch without candles is too long to be explained by a lack of trades.

    `length`: the number of absent candles in the stretch.
    `absence`: the usual share of absent candles of the series.
    `longest_other`: the length of the longest other gap of the series on the days around the stretch.
    `is_interrupted`: whether a few candles are stored within the stretch. If so, the result is False for a quiet
        series.
    """
    lull = longest_lull(absence, timeframe)
    if is_interrupted:
        return is_busy(absence) and length > INTERRUPTED * lull
    if length <= lull:
        return False
    return is_busy(absence) or length > LONGER * longest_other


def has_long_candles(timeframe: Timeframe) -> bool:
    """Return whether a candle is so long that it is rarely absent from a series that usually trades."""
    return timeframe.delta >= LONG_CANDLE


def is_surprising(length: int, around: Sample, timeframe: Timeframe) -> bool:
    """Return whether long candles are absent from a series that is otherwise nearly complete for months.

    `length`: the number of absent candles in the stretch.
    `around`: the candles on LONG_REACH days before and after the stretch, without the stretch.
    """
    if not has_long_candles(timeframe) or around.present < LONG_REACH * timeframe.per_day:
        return False
    return around.expected - around.present < length and is_busy(around.absence)


def interrupted(absent: Sequence[Run], timeframe: Timeframe) -> list[list[Run]]:
    """Divide the runs of absent candles into groups. The runs of a group are possibly one silence.

    Such a silence is interrupted by a few stored candles. Each absent candle scores 1, and each stored candle scores
    -4. The groups are the maximal segments (Ruzzo and Tompa, 1999) of these scores. So, if a group is split at one of
    its stored candles, at least four of five candles on each side are absent. The score of a run is never more than
    `shortest_silence`, because a very long run would otherwise be joined with runs that are far away.

    Groups are split at midnight if the last candle before it or the first candle after it is stored. Therefore the
    groups do not depend on which days are read.

    `absent`: the runs of absent candles, in ascending order.
    """
    per_day, most = timeframe.per_day, shortest_silence(timeframe)
    groups: list[list[Run]] = []
    open_: list[_Segment] = []  # the groups so far that a later run of absent candles can still extend
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
            if number is None:  # no later run can extend the segments in `open_`
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
    """Return the shared silences of an exchange's series, in order of time.

    `blocks`: the series of the exchange. All blocks must have the same days.
    """
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
    """Return the runs of True cells, each as the position of its first cell and the position after its last cell."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    return [(start, end) for start, end in edges.tolist()]


def reason_of(length: int, timeframe: Timeframe, *, has_witness: bool) -> Reason:
    """Return the reason of a silence.

    `length`: the length of the silence in candles.
    `has_witness`: whether another exchange has a candle within a shared silence. For own silences, the value is always
        False.
    """
    if length * timeframe.delta >= NOT_LISTED_AFTER:
        return Reason.NOT_LISTED
    return Reason.OUTAGE if has_witness else Reason.HALTED


def split_run(
    run: Run, shared: Iterable[tuple[SharedSilence, Reason]], absence: float, *, too_long: bool, own: Reason
) -> list[Silence]:
    """Return the silences in a run of absent candles.

    If the run is too long to be explained by a lack of trades, the whole run is one silence. Usually its reason is
    `own`. Exception: if shared silences cover at least half of the run, and `own` is not `not_listed`, the run gets the
    reason of the shared silence that covers the largest part of the run.

    If the run is not too long, only its parts in shared silences are returned. If two of these parts are close to each
    other, they are joined, together with the candles between them. These candles are probably outside of the shared
    silences only because another series had a few candles there.

    `shared`: shared silences, each with its reason. Only those that overlap the run count.
    `absence`: the usual share of absent candles of the series.
    `too_long`: whether a lack of trades cannot explain the run, or the own silence to which the run belongs.
    `own`: the reason of the own silence to which the run belongs. It is not used if the run is not too long.
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
    """Consecutive runs of absent candles, and a running total before and after these runs.

    The total is 0 before the first candle of the days. It grows by 1 for each absent candle, and falls by 4 for each
    stored candle. A run adds at most `shortest_silence` to the total.

    before: the total directly before the first run.
    after: the total at the end of the last run.
    """

    runs: list[Run]
    before: int
    after: int


def _last_below(segments: Sequence[_Segment], count: int) -> int | None:
    """Return the position of the last segment with `before` less than `count`; None if there is no such segment."""
    for number in range(len(segments) - 1, -1, -1):
        if segments[number].before < count:
            return number
    return None


def _bridged(parts: Iterable[Silence]) -> list[Silence]:
    """Join neighbouring parts of a run if the distance between them is at most the length of the shorter part.

    The joined part gets the reason of the longer part.
    """
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
    """Return, for each cell, how surprising its absent candles are. Present candles do not count.

    The result is the negative logarithm of the probability that these candles are absent by accident.

    `absent`: for each series and cell, whether the candle is absent.
    `shares`: for each series and cell, the usual share of absent candles of the series.
    """
    before = np.pad(absent[:, :-1], ((0, 0), (1, 0)))
    surprise: Floats = np.where(absent, np.where(before, -log(_AGAIN), -np.log(shares)), 0.0).sum(axis=0)
    return surprise
