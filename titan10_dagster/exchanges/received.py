"""Keep the received rows of one series, grouped by UTC day, until the slice of the day is ready for the landing zone.

This module does no I/O.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import numpy as np

from titan10_dagster.candles.slices import Slice, from_ms, to_ms
from titan10_dagster.exchanges.retries import Effort
from titan10_dagster.exchanges.rows import Instants, Rows

DAY_MS = 86_400_000
_NAMED = 5  # a note lists at most this many candles, and only counts the others
# If the answers differ in at most this many candles of a day, the exchange has probably corrected these candles, and
# the last answer is used for them. If the answers differ in more candles, they contradict each other.
_MOST_CORRECTED = 5


@dataclass
class _Day:
    """The data that were received for one day so far.

    parts: the rows of each answer.
    effort: the cost of the answers (requests, retries and seconds).
    requested_at: the time of the earliest request for the day (aware, UTC); None if there was no request.
    """

    parts: list[Rows] = field(default_factory=list)
    effort: Effort = field(default_factory=Effort)
    requested_at: datetime | None = None
    # for each candle that the exchange closed early, as in a halt: its start (ms) and its real end (ms)
    cut_short: dict[int, int] = field(default_factory=dict)
    dropped: int = 0  # the number of rows without a time
    untimed: set[int] = field(default_factory=set)  # the minutes (ms) to which the dropped rows most likely belong
    contradicted: int = 0  # the number of candles with different values in different answers

    @property
    def note(self) -> str | None:
        """Return a note about unusual rows of the day; None if there are no unusual rows."""
        notes: list[str] = []
        if self.cut_short:
            notes.append(_cut_short_note(self.cut_short))
        if self.dropped:
            notes.append(f"{self.dropped} received rows had no time and were dropped")
        if self.contradicted > _MOST_CORRECTED:
            notes.append(f"the exchange's answers contradict each other about {self.contradicted} candles")
        return "; ".join(notes) or None


@dataclass(frozen=True, eq=False)
class DayReceived:
    """The complete data of one day, from which a file of the landing zone is made.

    rows: the rows sorted by time, without repetitions.
    effort: the cost of the answers (requests, retries and seconds).
    requested_at: the time of the earliest request (aware, UTC).
    note: a note about unusual rows.
    """

    rows: Rows
    effort: Effort
    requested_at: datetime | None
    note: str | None = None


class ReceivedDays:
    """The received rows of the wanted days of one series.

    first, last: the starts of the first and the last candle that were received so far (ms since 1970 UTC).
    """

    def __init__(self, slices: Sequence[Slice]) -> None:
        self._wanted = {slice_.day for slice_ in slices}
        self._days: dict[date, _Day] = {}
        self.first: int | None = None
        self.last: int | None = None

    def keep(self, rows: Rows) -> None:
        """Keep the rows that belong to wanted days. `rows`: sorted by time."""
        times, begin = rows[:, 0], 0
        while begin < len(rows):
            start = int(times[begin])
            midnight = start // DAY_MS * DAY_MS + DAY_MS
            finish = int(np.searchsorted(times, midnight))
            part, begin = rows[begin:finish], finish
            day, end = from_ms(start).date(), int(part[-1, 0])
            if day in self._wanted:
                self._day(day).parts.append(part)
                self.first = start if self.first is None else min(self.first, start)
                self.last = end if self.last is None else max(self.last, end)

    def add_effort(self, day: date, effort: Effort) -> None:
        self._day(day).effort.add(effort)

    def note_request(self, start: int, end: int, requested_at: datetime) -> None:
        """Record that the candles from `start` to `end` (ms) were requested at `requested_at`."""
        for midnight in range(start // DAY_MS * DAY_MS, end, DAY_MS):
            day = self._day(from_ms(midnight).date())
            day.requested_at = min(requested_at, day.requested_at or requested_at)

    def note_cut_short(self, candles: Instants) -> None:
        """Record candles that the exchange closed early. `candles`: their starts and ends in ms, of shape (n, 2)."""
        for start, end in candles.tolist():
            day = from_ms(start).date()
            if day in self._wanted:
                self._day(day).cut_short[start] = end

    def note_dropped(self, day: date, rows: int, minutes: Instants) -> None:
        """Record rows without a time in an answer to a request for the day.

        `rows`: the number of these rows.
        `minutes`: the minutes (ms) to which these rows most likely belong.
        """
        if rows:
            self._day(day).dropped += rows
        for minute in minutes.tolist():
            day = from_ms(minute).date()
            if day in self._wanted:
                self._day(day).untimed.add(minute)

    def last_of(self, day: date) -> int | None:
        """Return the start of the last received candle of the day (ms); None if the day has no candle so far."""
        ends = [int(part[-1, 0]) for part in self._day(day).parts]
        return max(ends) if ends else None

    def silent_until(self, slice_: Slice, end: datetime) -> int:
        """Return the end (ms) of the silence at the beginning of the slice.

        The silence lasts until the first received candle of the series, but at most until `end`. If this candle is
        before the slice, there is no silence, and the result is the start of the slice. If no candle was received, the
        result is `end`.

        `end`: the end of the slice, or the start of the fetch if the slice has not ended by then.
        """
        if self.first is None:
            return to_ms(end)
        return max(min(self.first, to_ms(end)), to_ms(slice_.start))

    def release(self, day: date) -> DayReceived:
        """Return the data of the day, and remove the data from this object."""
        received = self._days.pop(day, _Day())
        self._wanted.discard(day)
        rows, received.contradicted = merged(received.parts)
        rows = _with_untimed(rows, received.untimed)
        return DayReceived(rows, received.effort, received.requested_at, received.note)

    def _day(self, day: date) -> _Day:
        return self._days.setdefault(day, _Day())


def _cut_short_note(cut_short: Mapping[int, int]) -> str:
    """Return a note about the candles that were closed early. The note lists the first few of these candles."""
    named: list[str] = []
    for start, end in sorted(cut_short.items())[:_NAMED]:
        named.append(f"{from_ms(start):%H:%M} (after {(end - start) / 1000:g} s)")
    more = f" and {len(cut_short) - _NAMED} more" if len(cut_short) > _NAMED else ""
    return f"candles that the exchange closed early, as in a halt: {', '.join(named)}{more}"


def merged(parts: Sequence[Rows]) -> tuple[Rows, int]:
    """Return the rows of all answers, sorted by time, and the number of candles that differ between answers.

    Exchanges correct candles. Therefore, for each candle, the last answer with usable values is used. The newest row of
    an answer is used only if no other answer has usable values: a server that is behind sends this row unfinished.

    If answers differ in more than _MOST_CORRECTED candles, an answer is wrong, but it is not known which answer. In
    this case, all different rows of these candles are kept. They break a candle rule and are written to quarantine.

    If one answer has several different rows of the same time, all of them are kept. Exact repetitions are removed.
    """
    if not parts:
        return np.empty((0, 6)), 0
    if len(parts) == 1:
        return without_repeats(parts[0]), 0
    rows = np.concatenate(sorted(parts, key=lambda part: part.item(0)))
    if (np.diff(rows[:, 0]) < 0).any():
        rows = rows.take(np.argsort(rows[:, 0], kind="stable"), axis=0)
    rows = without_repeats(rows)
    if (np.diff(rows[:, 0]) > 0).all():  # the answers agree
        return rows, 0
    rows = np.concatenate(parts)
    lengths = [len(part) for part in parts]
    answer = np.repeat(np.arange(len(parts)), lengths)
    newest = rows[:, 0] == np.repeat([part[-1, 0] for part in parts], lengths)
    order = np.argsort(rows[:, 0], kind="stable")
    rows, answer, newest = rows.take(order, axis=0), answer[order], newest[order]
    starts = np.flatnonzero(np.diff(rows[:, 0], prepend=-np.inf))  # the position of the first row of each time
    candle = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(rows)))
    usable = np.isfinite(rows).all(axis=1)
    # Rows with usable values rank higher than all other rows, and among them the newest row of an answer ranks lower.
    rank = answer + len(parts) * (2 * usable + ~newest)
    chosen = rank == np.maximum.reduceat(rank, starts)[candle]
    chosen_row = np.maximum.reduceat(np.where(chosen, np.arange(len(rows)), -1), starts)[candle]
    differs = usable & ~chosen & (rows != rows[chosen_row]).any(axis=1)
    contradicted = np.unique(candle[differs])
    if len(contradicted) > _MOST_CORRECTED:
        chosen |= differs
    return without_repeats(rows[chosen]), len(contradicted)


def _with_untimed(rows: Rows, minutes: Collection[int]) -> Rows:
    """Return the rows. If one of the given minutes (ms) has no row, add a row without values for this minute.

    A received row without a time proves that the exchange has a candle for its minute. Therefore the candle must not
    count as absent.
    """
    if not minutes:
        return rows
    missing = np.setdiff1d(np.array(sorted(minutes), np.float64), rows[:, 0])
    if not len(missing):
        return rows
    broken = np.full((len(missing), 6), np.nan)
    broken[:, 0] = missing
    both = np.concatenate([rows, broken])
    return both.take(np.argsort(both[:, 0], kind="stable"), axis=0)


def without_repeats(rows: Rows) -> Rows:
    """Remove exact repetitions of earlier rows, and return the rest. `rows`: sorted by time."""
    if len(rows) < 2 or (np.diff(rows[:, 0]) > 0).all():
        return rows
    bits = np.ascontiguousarray(rows).view(np.int64)
    repeats = np.zeros(len(rows), np.bool_)
    for back in range(1, len(rows)):
        same = bits[back:, 0] == bits[:-back, 0]
        if not same.any():
            break
        repeats[back:] |= same & (bits[back:] == bits[:-back]).all(axis=1)
    return rows[~repeats]
