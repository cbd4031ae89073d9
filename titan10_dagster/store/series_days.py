"""Holds, as arrays, how many candles a series has on consecutive days according to the ledger.

These numbers are the evidence for silences. A silence is a stretch without candles that a lack of trades does not
explain: see `candles/outages.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from titan10_dagster.candles.gaps import CONFIRMED_ABSENT, Reason
from titan10_dagster.candles.outages import (
    LONG_REACH,
    LONGER,
    NEIGHBOURS,
    Run,
    Sample,
    absence_on_good_days,
    has_long_candles,
    is_busy,
    is_surprising,
    longest_lull,
    shortest_part,
    shortest_silence,
)
from titan10_dagster.candles.slices import Series, midnight
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.store.ledger import LedgerRow

REACH = NEIGHBOURS - 1  # this many days before and after a day are part of the evidence for the day; see `reach_of`
# If the days around a day have fewer candles than this, the days on one side alone prove little.
_FEW_CANDLES = 20
_SHORT_SAMPLE = 4  # the days on one side of a silence count if they have the candles of a quarter of a day
NEVER_OFFERED = (Reason.PRE_LISTING, Reason.DELISTED, Reason.BEYOND_HORIZON)

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Days:
    """Consecutive days, divided into cells. Each candle that the days can have has one cell."""

    first: date
    last: date
    timeframe: Timeframe

    @property
    def count(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def size(self) -> int:
        return self.count * self.timeframe.per_day

    def cells(self, day: date) -> slice:
        start = (day - self.first).days * self.timeframe.per_day
        return slice(start, start + self.timeframe.per_day)

    def day_of(self, cell: int) -> date:
        return self.first + cell // self.timeframe.per_day * _DAY

    def time_of(self, cell: int) -> datetime:
        return midnight(self.first) + cell * self.timeframe.delta


@dataclass
class SeriesDays:
    """One series on consecutive days.

    `rows`: the ledger rows by day. `expected`: for each day, the number of candles that the exchange could have
    offered. `present`: for each day, the number of candles that prove trades.
    """

    series: Series
    rows: dict[date, LedgerRow]
    expected: np.ndarray[Any, np.dtype[np.int64]]
    present: np.ndarray[Any, np.dtype[np.int64]]
    _absences: dict[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, series: Series, rows: dict[date, LedgerRow], span: Days) -> SeriesDays:
        expected, present = np.zeros(span.count, np.int64), np.zeros(span.count, np.int64)
        for day, row in rows.items():
            n = (day - span.first).days
            expected[n] = row.expected - sum(row.missing.get(reason, 0) for reason in NEVER_OFFERED)
            # A broken candle also proves trades.
            broken = row.missing.get(Reason.QUARANTINED, 0) + row.missing.get(Reason.BROKEN_AT_SOURCE, 0)
            present[n] = row.present + broken
        return cls(series, rows, expected, present)

    def sample(self, first: int, last: int) -> Sample:
        """Return the sums of the expected and the present candles on the days with the numbers `first` to `last`.

        Both days are included. Day 0 is the first day of the arrays. Days without a ledger row, and days outside of the
        arrays, do not count.
        """
        part = slice(max(first, 0), max(last + 1, 0))
        return Sample(int(self.expected[part].sum()), int(self.present[part].sum()))

    def absence(self, day: int) -> float:
        """Return the usual share of missing candles around the day with this number.

        Three shares are calculated: for the day itself, for REACH days before, and for REACH days after. The smallest
        share is returned, because an outage can increase the others. If these days have few candles (1d candles), a
        fourth share is calculated for the days before and after together.
        """
        if day not in self._absences:
            before, after = self.sample(day - REACH, day - 1), self.sample(day + 1, day + REACH)
            samples = [self.sample(day, day), before, after]
            if before.expected + after.expected < _FEW_CANDLES:
                samples.append(before + after)
            self._absences[day] = absence_on_good_days(samples)
        return self._absences[day]

    @property
    def is_ever_busy(self) -> bool:
        """Return whether the series is busy on at least one of the days."""
        return any(is_busy(self.absence(number)) for number in range(len(self.present)))

    def absent(self, day: date) -> int:
        """Return the number of candles of the day that two complete answers did not contain."""
        row = self.rows.get(day)
        return 0 if row is None else sum(row.missing.get(reason, 0) for reason in CONFIRMED_ABSENT)

    def is_traded(self, day: int) -> bool:
        """Return whether the day with this number has a candle that proves trades."""
        return 0 <= day < len(self.present) and bool(self.present[day])

    def has(self, day: date, reasons: Collection[Reason]) -> bool:
        row = self.rows.get(day)
        return row is not None and not frozenset(reasons).isdisjoint(row.missing)


def has_long_gap(line: SeriesDays, span: Days, day: date, longest: Mapping[tuple[str, date], int]) -> bool:
    """Return whether the series may have a silence on the day, or a silence that reaches into the day.

    The exact decision needs the gaps. This function only reads numbers of candles, so it sometimes returns True
    although there is no silence.
    """

    def gap(n: int) -> int:
        return longest.get((line.series.symbol, day + n * _DAY), 0)

    number, timeframe = (day - span.first).days, line.series.timeframe
    if has_long_candles(timeframe) and line.absent(day):
        return True
    absence = line.absence(number)
    # A silence may cross midnight, so the longest gap of the day before or of the day after is added.
    length = gap(0) + max(gap(-1), gap(1))
    # A few candles may interrupt the silence of a busy series. Therefore all absent candles of three days are counted.
    if is_busy(absence):
        absent = line.absent(day - _DAY) + line.absent(day) + line.absent(day + _DAY)
        return length >= shortest_part(timeframe) and absent > shortest_silence(timeframe)
    if length <= longest_lull(absence, timeframe):
        return False
    longest_nearby = 0
    for n in range(-REACH, REACH + 1):
        if abs(n) > 1 and line.is_traded(number + n):
            longest_nearby = max(longest_nearby, gap(n))
    return length > LONGER * longest_nearby


def is_surprising_silence(line: SeriesDays, span: Days, silence: Sequence[Run]) -> bool:
    """Return whether the series has long candles and is otherwise nearly complete for months; see `is_surprising`.

    `silence`: runs of cells in order of time. Candles without a final reason do not count, because they may arrive.
    """
    timeframe = line.series.timeframe
    if not has_long_candles(timeframe):
        return False
    first = max(silence[0][0] // timeframe.per_day - LONG_REACH, 0)
    last = min((silence[-1][1] - 1) // timeframe.per_day + LONG_REACH, span.count - 1)
    length = sum(end - start for start, end in silence)
    present = int(line.present[first : last + 1].sum())
    others = sum(line.absent(span.first + n * _DAY) for n in range(first, last + 1)) - length
    return is_surprising(length, Sample(present + others, present), timeframe)


def reach_of(timeframe: Timeframe) -> int:
    """Return the number of days before and after a day that are part of the evidence for the day."""
    return LONG_REACH if has_long_candles(timeframe) else REACH


def around_silence(
    line: SeriesDays, span: Days, silence: Sequence[Run], longest: Mapping[tuple[str, date], int]
) -> tuple[float, int]:
    """Return the usual share of missing candles around a silence, and the longest gap on the days around the silence.

    `silence`: runs of cells in order of time. The candles of these cells do not count.

    One share is calculated for the days before the silence, and one for the days after it. The lower share is returned,
    because a second halt may be the cause of the higher share.

    Some quiet pairs trade only on weekends. If the series is such a pair (not busy on the days with candles), several
    consecutive days without a candle count as one gap. This is decided separately for the days before and after the
    silence.
    """
    per_day = line.series.timeframe.per_day
    samples, other = [], 0
    for side in _sides(line, span, silence):
        sample = traded_days = Sample(0, 0)
        whole_days, longest_whole = 0, 0
        for n in side:
            own = _cells_of_day(silence, n, per_day)
            found = Sample(int(line.expected[n]) - own, int(line.present[n]))
            sample += found
            if not own:
                other = max(other, longest.get((line.series.symbol, span.day_of(n * per_day)), 0))
            if line.is_traded(n):
                traded_days += found
            whole_days = 0 if own or line.is_traded(n) else whole_days + found.expected
            longest_whole = max(longest_whole, whole_days)
        if not is_busy(traded_days.absence):
            other = max(other, longest_whole)
        samples.append(sample)
    return absence_on_good_days(samples), other


def may_be_interrupted(line: SeriesDays, span: Days, silence: Sequence[Run]) -> bool:
    """Return whether runs of absent candles can be one silence although candles are stored between them.

    A pair can also become quiet, for example a new coin after its first week. Then its few candles are not the
    exceptions in a silence. Therefore the series must be busy before the silence and after it, and the silence may last
    at most REACH days. If the days on one side are not stored yet, the silence may last at most a day.
    """
    per_day, length = line.series.timeframe.per_day, silence[-1][1] - silence[0][0]
    samples = []
    for side in _sides(line, span, silence):
        sample = Sample(0, 0)
        for n in side:
            own = _cells_of_day(silence, n, per_day)
            sample += Sample(int(line.expected[n]) - own, int(line.present[n]))
        if sample.expected * _SHORT_SAMPLE >= per_day:
            samples.append(sample)
    if not all(is_busy(sample.absence) for sample in samples):
        return False
    return length <= (REACH if len(samples) > 1 else 1) * per_day


def _sides(line: SeriesDays, span: Days, silence: Sequence[Run]) -> list[range]:
    """Return the numbers of the days before and after the silence: up to REACH days, and the nearest traded day."""
    per_day = line.series.timeframe.per_day
    first, last = silence[0][0] // per_day, (silence[-1][1] - 1) // per_day
    traded = np.flatnonzero(line.present)
    before, after = traded[traded <= first], traded[traded >= last]
    sides: list[range] = []
    if len(before):
        sides.append(range(max(int(before[-1]) - REACH, 0), int(before[-1]) + 1))
    if len(after):
        sides.append(range(int(after[0]), min(int(after[0]) + REACH + 1, span.count)))
    return sides


def _cells_of_day(silence: Sequence[Run], day: int, per_day: int) -> int:
    """Return how many cells of the day with this number are in the silence."""
    return sum(max(0, min(end, (day + 1) * per_day) - max(start, day * per_day)) for start, end in silence)
