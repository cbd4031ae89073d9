"""The rows of one series that were received and have not landed, by day. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import numpy as np

from titan10_dagster.candles.slices import Slice, from_ms, to_ms
from titan10_dagster.exchanges.retries import Effort
from titan10_dagster.exchanges.rows import Instants, Rows

DAY_MS = 86_400_000
_NAMED = 5  # the most candles that a note names
_MOST_CORRECTED = 5  # the most candles of a day that an exchange corrects between two answers of one fetch


@dataclass
class _Day:
    """The data received for one day so far.

    `requested_at`: the time of its earliest request (aware, UTC); None without one.
    """

    parts: list[Rows] = field(default_factory=list)
    effort: Effort = field(default_factory=Effort)
    requested_at: datetime | None = None
    cut_short: dict[int, int] = field(default_factory=dict)  # the end of each candle that ended early, by its start
    dropped: int = 0  # rows without a time
    untimed: set[int] = field(default_factory=set)  # minutes (ms) in which such rows most likely start
    contradicted: int = 0  # candles with different values in different answers

    @property
    def note(self) -> str | None:
        """Return a note about the day's rows; None if there is nothing to note."""
        notes: list[str] = []
        if self.cut_short:
            notes.append(_cut_short_note(self.cut_short))
        if self.dropped:
            notes.append(f"{self.dropped} rows of its answers had no time and were dropped")
        if self.contradicted > _MOST_CORRECTED:
            notes.append(f"its answers contradict each other about {self.contradicted} candles")
        return "; ".join(notes) or None


@dataclass(frozen=True, eq=False)
class DayReceived:
    """A day that is ready to land: its rows by time without repetitions, their effort, and a note about them."""

    rows: Rows
    effort: Effort
    requested_at: datetime | None
    note: str | None = None


class ReceivedDays:
    """The rows of the wanted days. `first`, `last`: the first and the last candle received so far (ms, UTC)."""

    def __init__(self, slices: Sequence[Slice]) -> None:
        self._wanted = {slice_.day for slice_ in slices}
        self._days: dict[date, _Day] = {}
        self.first: int | None = None
        self.last: int | None = None

    def keep(self, rows: Rows) -> None:
        """Keep the rows (ascending) that lie on wanted days."""
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
        """Record when the candles of [start, end) were requested."""
        for midnight in range(start // DAY_MS * DAY_MS, end, DAY_MS):
            day = self._day(from_ms(midnight).date())
            day.requested_at = min(requested_at, day.requested_at or requested_at)

    def note_cut_short(self, candles: Instants) -> None:
        """Record candles that the exchange closed early: (n, 2) starts and ends, ms."""
        for start, end in candles.tolist():
            day = from_ms(start).date()
            if day in self._wanted:
                self._day(day).cut_short[start] = end

    def note_dropped(self, day: date, rows: int, minutes: Instants) -> None:
        """Count rows without a time in an answer to a request for the day, and record their likely minutes (ms)."""
        if rows:
            self._day(day).dropped += rows
        for minute in minutes.tolist():
            day = from_ms(minute).date()
            if day in self._wanted:
                self._day(day).untimed.add(minute)

    def last_of(self, day: date) -> int | None:
        """Return the day's last candle so far (ms)."""
        ends = [int(part[-1, 0]) for part in self._day(day).parts]
        return max(ends) if ends else None

    def silent_until(self, slice_: Slice, end: datetime) -> int:
        """Return the end (ms) of the silence at the beginning of the slice.

        It is the slice's start if an earlier candle was received.

        `end`: the end of the slice; without any candle yet, the whole slice is silent.
        """
        if self.first is None:
            return to_ms(end)
        return max(min(self.first, to_ms(end)), to_ms(slice_.start))

    def release(self, day: date) -> DayReceived:
        """Return the data of the day, and drop it from memory."""
        received = self._days.pop(day, _Day())
        self._wanted.discard(day)
        rows, received.contradicted = merged(received.parts)
        rows = _with_untimed(rows, received.untimed)
        return DayReceived(rows, received.effort, received.requested_at, received.note)

    def _day(self, day: date) -> _Day:
        return self._days.setdefault(day, _Day())


def _cut_short_note(cut_short: Mapping[int, int]) -> str:
    """Name the candles that ended early, the first few of them."""
    named: list[str] = []
    for start, end in sorted(cut_short.items())[:_NAMED]:
        named.append(f"{from_ms(start):%H:%M} (after {(end - start) / 1000:g} s)")
    more = f" and {len(cut_short) - _NAMED} more" if len(cut_short) > _NAMED else ""
    return f"candles that the exchange closed early, as in a halt: {', '.join(named)}{more}"


def merged(parts: Sequence[Rows]) -> tuple[Rows, int]:
    """Return the rows of all answers by time, and how many candles have different values in different answers.

    Exchanges correct candles, so the last answer with usable values for a candle decides. If answers contradict each
    other about more than a few candles, one of the answers is wrong, and it is not known which one. Then all different
    rows of these candles stay, and the candle rules quarantine them.

    Different rows of the same time within one answer all stay.
    """
    if not parts:
        return np.empty((0, 6)), 0
    if len(parts) == 1:
        return without_repeats(parts[0]), 0
    rows = np.concatenate(parts)
    answer = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    order = np.argsort(rows[:, 0], kind="stable")
    rows, answer = rows.take(order, axis=0), answer[order]
    starts = np.flatnonzero(np.diff(rows[:, 0], prepend=-np.inf))  # the first row of each time
    candle = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(rows)))
    usable = np.isfinite(rows).all(axis=1)
    rank = np.where(usable, answer, answer - len(parts))  # any row with usable values is before all others
    chosen = rank == np.maximum.reduceat(rank, starts)[candle]
    chosen_row = np.maximum.reduceat(np.where(chosen, np.arange(len(rows)), -1), starts)[candle]
    differs = usable & ~chosen & (rows != rows[chosen_row]).any(axis=1)
    contradicted = np.unique(candle[differs])
    if len(contradicted) > _MOST_CORRECTED:
        chosen |= differs
    return without_repeats(rows[chosen]), len(contradicted)


def _with_untimed(rows: Rows, minutes: Iterable[int]) -> Rows:
    """Return the rows, and a row without values for each of the minutes that no answer has a row for.

    A row without a time proves that the exchange has a candle there, so the minute must not count as absent.
    """
    missing = np.setdiff1d(np.array(sorted(minutes), np.float64), rows[:, 0])
    if not len(missing):
        return rows
    broken = np.full((len(missing), 6), np.nan)
    broken[:, 0] = missing
    both = np.concatenate([rows, broken])
    return both.take(np.argsort(both[:, 0], kind="stable"), axis=0)


def without_repeats(rows: Rows) -> Rows:
    """Return rows (by time) without those that equal an earlier row bit for bit."""
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
