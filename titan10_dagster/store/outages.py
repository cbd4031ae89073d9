"""Classifies silences again after their evidence has changed. `candles.outages` describes the rules.

A silence is a stretch without candles that a lack of trades does not explain. The evidence for a silence also comes
from the days around the silence and from other exchanges. This evidence may be stored hours later. Therefore each write
flags its days in the same transaction, and `classify_outages` processes the flagged days of all exchanges.

`classify_outages` reads ledger and gaps, but no candles. The decision about a day depends only on the stored data, and
not on the order in which the data was written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from psycopg2.extras import execute_values

from titan10_dagster.candles.columns import Mask
from titan10_dagster.candles.gaps import CONFIRMED_ABSENT, Gap, Reason, reclassified, within
from titan10_dagster.candles.outages import (
    LONG_REACH,
    Run,
    SeriesBlock,
    SharedSilence,
    Silence,
    interrupted,
    is_busy,
    is_too_long,
    reason_of,
    runs,
    shared_silences,
    shortest_part,
    shortest_silence,
    split_run,
)
from titan10_dagster.candles.slices import Series, Slice, days, midnight, to_datetime64
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.store import ledger
from titan10_dagster.store.database import Cursor, Database, all_rows
from titan10_dagster.store.ledger import LedgerRow
from titan10_dagster.store.ledger_writer import missing, read_gaps, write_gaps
from titan10_dagster.store.locks import lock_exchange
from titan10_dagster.store.series_days import (
    NEVER_OFFERED,
    REACH,
    Days,
    SeriesDays,
    around_silence,
    has_long_gap,
    is_surprising_silence,
    may_be_interrupted,
    reach_of,
)
from titan10_dagster.store.statements import key, statement

# To find out whether another exchange traded during a silence, slices of the other exchange are read. For each day and
# timeframe, only this many slices are read: the slices with the most candles. One candle is enough as a proof.
_WITNESSES = 3
# At most this many days are classified together, or more if the candles are long. Long silences can add further days.
_BATCH = 62
_DAY = timedelta(days=1)
_SPECIAL = frozenset(CONFIRMED_ABSENT) - {Reason.NO_TRADES}


def flag_days(cursor: Cursor, slices: Collection[Slice]) -> None:
    """Record that the next call of `classify_outages` must process the days of the slices.

    `slices`: slices of one exchange, or an empty collection.
    """
    if not slices:
        return
    flags = sorted({(slice_.series.timeframe.name, slice_.day) for slice_ in slices})
    parameters = {
        "exchange": next(iter(slices)).series.exchange,
        "timeframes": [timeframe for timeframe, _ in flags],
        "days": [day for _, day in flags],
    }
    cursor.execute(statement("mark_evidence"), parameters)


def classify_outages(db: Database) -> None:
    """Decide which gaps are minutes without trades, and which are silences that a lack of trades does not explain.

    The function classifies the days that writes have flagged, and the days around them, for all exchanges. Each
    combination of exchange, timeframe and stretch of days has its own transaction, which holds the exchange's lock. If
    no day is flagged, the call takes a millisecond.

    Raises DatabaseUnavailable if the connection is lost, or if another process holds an exchange's lock for too long.
    In this case all days stay flagged for the next call.
    """
    flags = _flagged(db)
    for reach in (REACH, LONG_REACH):
        flagged = sorted({flag.day for flag in flags if reach_of(flag.timeframe) >= reach})
        for first, last in _stretches(flagged, reach):
            for exchange, timeframe in _concerned(db, first, last):
                if reach_of(timeframe) >= reach:
                    with db.transaction() as cursor:
                        lock_exchange(cursor, exchange)
                        _Classification(cursor, exchange, timeframe).classify(first, last)
    _unflag(db, [flag.number for flag in flags])


@dataclass(frozen=True)
class _Flag:
    number: int
    timeframe: Timeframe
    day: date


def _flagged(db: Database) -> list[_Flag]:
    rows = db.query("SELECT id, timeframe, day FROM outage_evidence")
    return [_Flag(row.id, Timeframe.parse(row.timeframe), row.day) for row in rows]


def _unflag(db: Database, numbers: Sequence[int]) -> None:
    if numbers:
        with db.transaction() as cursor:
            cursor.execute(statement("unmark_evidence"), {"numbers": list(numbers)})


def _stretches(flagged: Sequence[date], reach: int) -> list[tuple[date, date]]:
    """Return the stretches of consecutive days to classify.

    The stretches contain each flagged day, and `reach` days before and after the flagged day, because the flagged day
    is evidence for all of these days.
    """
    most = _BATCH + 2 * (reach - REACH)
    stretches: list[tuple[date, date]] = []
    for day in flagged:
        first, last = day - reach * _DAY, day + reach * _DAY
        if stretches and first <= stretches[-1][1] + _DAY and (last - stretches[-1][0]).days < most:
            first = stretches.pop()[0]
        stretches.append((first, last))
    return stretches


def _concerned(db: Database, first: date, last: date) -> list[tuple[str, Timeframe]]:
    rows = db.query(statement("silent_exchanges"), {"first": first, "last": last})
    return [(row.exchange, Timeframe.parse(row.timeframe)) for row in rows]


class _GapReader:
    """Reads and caches the gaps of slices of one exchange. The gaps of a slice are read from the database only once."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._gaps: dict[Slice, list[Gap]] = {}

    def of(self, slice_: Slice) -> list[Gap]:
        return self._gaps[slice_]

    def mask(
        self, line: SeriesDays, block: Days, reasons: Collection[Reason], only: Sequence[date] | None = None
    ) -> Mask:
        """Return a mask of the block's cells. The mask is True for cells in a gap with one of `reasons`.

        `only`: the days to read. On all other days the mask is False. None means all days of the block.
        """
        mask = np.zeros(block.size, np.bool_)
        wanted = days(block.first, block.last) if only is None else only
        concerned = [day for day in wanted if line.has(day, reasons)]
        slices = [Slice(line.series, day) for day in concerned]
        unread = [slice_ for slice_ in slices if slice_ not in self._gaps]
        if unread:
            self._gaps.update(read_gaps(self._cursor, unread))
        for slice_ in slices:
            mask[block.cells(slice_.day)] = within(self._gaps[slice_], slice_, reasons)
        return mask


def _expected_mask(line: SeriesDays, block: Days) -> Mask:
    """Return a mask of the block's cells. The mask is True for the candles that the ledger expects."""
    mask = np.zeros(block.size, np.bool_)
    for day in days(block.first, block.last):
        if day in line.rows:
            start = block.cells(day).start
            mask[start : start + line.rows[day].expected] = True
    return mask


@dataclass(frozen=True)
class _Shared:
    """A silence that most busy series of the exchange have at the same time, and the reason of this silence.

    `witness`: a series of another exchange that traded during the silence, or None if no such series was found.
    """

    silence: SharedSilence
    reason: Reason
    witness: str | None


class _Classification:
    """The classification of some days of one exchange and timeframe, in one transaction."""

    def __init__(self, cursor: Cursor, exchange: str, timeframe: Timeframe) -> None:
        self._cursor = cursor
        self._exchange = exchange
        self._timeframe = timeframe
        self._gaps = _GapReader(cursor)

    def classify(self, first: date, last: date) -> None:
        first, last = self._with_whole_silences(first, last)
        inner = days(first, last)
        reach = reach_of(self._timeframe)
        span = Days(first - reach * _DAY, last + reach * _DAY, self._timeframe)
        lines = self._lines(span)
        shared = self._shared(lines, span, inner)
        longest = self._longest_gaps(span)
        evidence = []
        for line in lines:
            suspect = _suspect_days(line, span, inner, shared, longest)
            if suspect:
                silences = self._silences(line, span, suspect, shared, longest)
                self._write(line, span, suspect, silences)
                evidence += [_evidence_row(line.series, span, silence, shared) for silence in silences]
        self._write_evidence(midnight(first), midnight(last + _DAY), evidence)

    def _query(self, name: str, **parameters: Any) -> list[Any]:
        keys = {"exchange": self._exchange, "timeframe": self._timeframe.name}
        self._cursor.execute(statement(name), {**keys, **parameters})
        return all_rows(self._cursor)

    def _with_whole_silences(self, first: date, last: date) -> tuple[date, date]:
        """Return the range of days, extended until no silence crosses the start or the end of the range.

        If a silence crosses the start or the end, the range is extended to the nearest day with a candle before or
        after the silence. Then the silence of another series possibly crosses the new start or end. Therefore the
        extension is repeated until the range does not grow any more.
        """
        while True:
            narrow = (first, last)
            for row in self._query("whole_silences", first=first, last=last):
                first, last = min(first, row.first or first), max(last, row.last or last)
            if (first, last) == narrow:
                return first, last

    def _lines(self, span: Days) -> list[SeriesDays]:
        rows: defaultdict[Series, dict[date, LedgerRow]] = defaultdict(dict)
        for found in self._query("ledger_days", days=days(span.first, span.last)):
            row = ledger.row_of_ledger(found)
            rows[row.slice.series][row.slice.day] = row
        return [SeriesDays.of(series, by_day, span) for series, by_day in rows.items()]

    def _longest_gaps(self, span: Days) -> dict[tuple[str, date], int]:
        """Return, for each symbol and day, the length in candles of the longest gap that two answers have confirmed."""
        bounds = {"start": midnight(span.first), "end": midnight(span.last + _DAY)}
        reasons = [reason.value for reason in CONFIRMED_ABSENT]
        return {(row.symbol, row.day): row.candles for row in self._query("longest_gaps", reasons=reasons, **bounds)}

    # Shared silences -----------------------------------------------------------------------------------------------

    def _shared(self, lines: Sequence[SeriesDays], span: Days, inner: Sequence[date]) -> list[_Shared]:
        candidates = []
        for day in inner:
            n = (day - span.first).days
            silent = 0
            for line in lines:
                if line.has(day, CONFIRMED_ABSENT) and is_busy(line.absence(n)):
                    silent += 1
            if silent > 1:
                candidates.append(day)
        found = []
        for first, last in _consecutive(candidates):
            block = Days(first, last, self._timeframe)
            offset = span.cells(first).start
            for silence in shared_silences(self._blocks(lines, span, block), self._timeframe):
                start, end = offset + silence.start, offset + silence.end
                witness = self._witness(span.time_of(start), span.time_of(end))
                reason = reason_of(end - start, self._timeframe, has_witness=witness is not None)
                found.append(_Shared(SharedSilence(start, end, silence.silent, silence.listed), reason, witness))
        return found

    def _blocks(self, lines: Sequence[SeriesDays], span: Days, block: Days) -> list[SeriesBlock]:
        """Return the evidence of each series that is busy on at least one of the days in `block`."""
        numbers = range((block.first - span.first).days, (block.last - span.first).days + 1)
        blocks = []
        for line in lines:
            absences = np.array([line.absence(n) for n in numbers])
            if not is_busy(float(absences.min())):
                continue
            absent = self._gaps.mask(line, block, CONFIRMED_ABSENT)
            offered = _expected_mask(line, block) & ~self._gaps.mask(line, block, frozenset(NEVER_OFFERED))
            blocks.append(SeriesBlock(absent, offered, np.repeat(absences, self._timeframe.per_day)))
        return blocks

    def _witness(self, start: datetime, end: datetime) -> str | None:
        """Return a series of another exchange with a stored candle within [start, end), or None."""
        wanted = days(start.date(), (end - self._timeframe.delta).date())
        rows = [ledger.row_of_ledger(row) for row in self._query("fullest_slices", days=wanted, witnesses=_WITNESSES)]
        for exchange in sorted({row.slice.series.exchange for row in rows}):
            slices = [row.slice for row in rows if row.slice.series.exchange == exchange]
            gaps = read_gaps(self._cursor, slices)
            for row in rows:
                if row.slice.series.exchange == exchange and _has_candle(row, gaps[row.slice], start, end):
                    return str(row.slice.series)
        return None

    # Silences of one series ----------------------------------------------------------------------------------------

    def _silences(
        self,
        line: SeriesDays,
        span: Days,
        suspect: Sequence[date],
        shared: Sequence[_Shared],
        longest: Mapping[tuple[str, date], int],
    ) -> list[Silence]:
        reasons = [(item.silence, item.reason) for item in shared]
        in_shared = np.zeros(span.size + 1, np.int64)
        for silence, _ in reasons:
            in_shared[silence.start + 1 : silence.end + 1] = 1
        counts = np.cumsum(in_shared)
        found = []
        for run, own in self._own_silences(line, span, suspect, longest):
            start, end = run
            touching = reasons if counts[end] > counts[start] else []
            if own is None and not touching:
                continue  # a lack of trades explains this run, like most runs of a series with few trades
            absence = line.absence(start // self._timeframe.per_day) if own is None else own.absence
            reason = Reason.NO_TRADES if own is None else own.reason
            found += split_run(run, touching, absence, too_long=own is not None, own=reason)
        return found

    def _own_silences(
        self, line: SeriesDays, span: Days, suspect: Sequence[date], longest: Mapping[tuple[str, date], int]
    ) -> Iterator[tuple[Run, Silence | None]]:
        """Yield each run of absent candles, together with the silence that contains the run.

        The other series of the exchange are not considered here. The silence is None if a lack of trades explains the
        run.
        """
        absent = runs(self._gaps.mask(line, span, CONFIRMED_ABSENT, only=suspect))
        groups = interrupted(absent, self._timeframe) if line.is_ever_busy else [[run] for run in absent]
        for group in groups:
            silence = self._own_silence(line, span, group, longest)
            for run in group:
                alone = silence if silence or len(group) == 1 else self._own_silence(line, span, [run], longest)
                yield run, alone

    def _own_silence(
        self, line: SeriesDays, span: Days, group: Sequence[Run], longest: Mapping[tuple[str, date], int]
    ) -> Silence | None:
        """Return the silence that the runs of a group form together. Return None if a lack of trades explains them."""
        lengths, timeframe = [end - start for start, end in group], self._timeframe
        is_surprising = is_surprising_silence(line, span, group)
        may_be_long = sum(lengths) > shortest_silence(timeframe) and max(lengths) >= shortest_part(timeframe)
        if not is_surprising and not may_be_long:
            return None
        if len(group) > 1 and not may_be_interrupted(line, span, group):
            return None
        absence, other = around_silence(line, span, group, longest)
        is_long = is_too_long(sum(lengths), absence, other, timeframe, is_interrupted=len(group) > 1)
        if not is_surprising and not is_long:
            return None
        start, end = group[0][0], group[-1][1]
        return Silence(start, end, reason_of(end - start, timeframe, has_witness=False), absence)

    def _write(self, line: SeriesDays, span: Days, suspect: Sequence[date], silences: Sequence[Silence]) -> None:
        masks: dict[Reason, Mask] = {}
        for silence in silences:
            mask = masks.setdefault(silence.reason, np.zeros(span.size, np.bool_))
            mask[silence.start : silence.end] = True
        changed_rows, changed_gaps = [], {}
        for day in suspect:
            cells = span.cells(day)
            is_silent = any(silence.start < cells.stop and silence.end > cells.start for silence in silences)
            if not (is_silent or line.has(day, _SPECIAL)):
                continue
            row, slice_ = line.rows[day], Slice(line.series, day)
            after = reclassified(self._gaps.of(slice_), slice_, {reason: mask[cells] for reason, mask in masks.items()})
            if after != self._gaps.of(slice_):
                changed_rows.append(replace(row, missing=missing(after, self._timeframe)))
                changed_gaps[slice_] = after
        if changed_rows:
            write_gaps(self._cursor, changed_gaps)
            ledger.write(self._cursor, changed_rows)

    def _write_evidence(self, start: datetime, end: datetime, rows: Sequence[tuple[Any, ...]]) -> None:
        """Replace the stored evidence for all silences that overlap [start, end) with the given rows."""
        known = {tuple(row) for row in self._query("read_silences", start=start, end=end)}
        if known == set(rows):
            return
        keys = {"exchange": self._exchange, "timeframe": self._timeframe.name}
        self._cursor.execute(statement("delete_silences"), {**keys, "start": start, "end": end})
        execute_values(self._cursor, statement("write_silences"), rows)


def _consecutive(found: Sequence[date]) -> list[tuple[date, date]]:
    """Split sorted days into runs of consecutive days. Return the first and last day of each run."""
    stretches: list[tuple[date, date]] = []
    for day in found:
        if stretches and stretches[-1][1] == day - _DAY:
            stretches[-1] = (stretches[-1][0], day)
        else:
            stretches.append((day, day))
    return stretches


def _suspect_days(
    line: SeriesDays,
    span: Days,
    inner: Sequence[date],
    shared: Sequence[_Shared],
    longest: Mapping[tuple[str, date], int],
) -> list[date]:
    """Return those days of `inner` on which the series may have a silence, in order. The gaps are not read.

    All days are returned if the series has a long gap on one of the days. All days are also returned if a gap is
    already classified as a silence, because this classification may be wrong now. Otherwise, the days with a shared
    silence are returned, and the days directly before and after these days, because a silence can cross midnight.
    """
    suspect: set[date] = set()
    for day in inner:
        if not line.has(day, CONFIRMED_ABSENT):
            continue
        if line.has(day, _SPECIAL) or has_long_gap(line, span, day, longest):
            return list(inner)
        cells = span.cells(day)
        for item in shared:
            if item.silence.start < cells.stop and item.silence.end > cells.start:
                suspect |= {day - _DAY, day, day + _DAY}
    return [day for day in inner if day in suspect]


def _has_candle(row: LedgerRow, gaps: Sequence[Gap], start: datetime, end: datetime) -> bool:
    """Return whether the slice has a stored candle within [start, end)."""
    step = np.timedelta64(row.slice.series.timeframe.ms, "ms")
    times = row.slice.grid()
    stored = (np.arange(row.slice.expected) < row.expected) & ~within(gaps, row.slice)
    inside = (times >= to_datetime64(start)) & (times + step <= to_datetime64(end))
    return bool((stored & inside).any())


def _evidence_row(series: Series, span: Days, silence: Silence, shared: Sequence[_Shared]) -> tuple[Any, ...]:
    of_all = next((item for item in shared if item.silence is silence.shared), None)
    counts = (of_all.silence.silent, of_all.silence.listed) if of_all else (1, 1)
    witness = of_all.witness if of_all else None
    bounds = (span.time_of(silence.start), span.time_of(silence.end))
    return (*key(series), *bounds, silence.reason.value, round(1 - silence.absence, 6), *counts, witness)
