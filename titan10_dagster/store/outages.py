"""Classifies outages wherever the evidence changed: see `candles.outages` for what counts as one.

What the slices of an exchange prove depends on the days around them and on other exchanges, which may be stored hours
later. So each write flags its days in the same transaction, and `classify_outages` goes through the flagged days of all
exchanges. It reads ledger and gaps, never a candle.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from titan10_dagster.candles.columns import Mask
from titan10_dagster.candles.gaps import CONFIRMED_ABSENT, Gap, Reason, with_outages
from titan10_dagster.candles.outages import FEWEST, Known, Sample, absence, days_around, is_busy, silences, traded
from titan10_dagster.candles.slices import Slice
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.store import ledger
from titan10_dagster.store.database import Cursor, Database, all_rows
from titan10_dagster.store.ledger import LedgerRow
from titan10_dagster.store.ledger_writer import missing, read_gaps, write_gaps
from titan10_dagster.store.locks import lock_exchange
from titan10_dagster.store.statements import statement

_WITNESSES = 3  # slices of another exchange that may prove that it traded: the fullest ones
_BATCH = 62  # days
_DAY = timedelta(days=1)
_NEVER_OFFERED = (Reason.PRE_LISTING, Reason.DELISTED, Reason.BEYOND_HORIZON)


def flag_days(cursor: Cursor, slices: Collection[Slice]) -> None:
    """Record the days of the slices, which belong to one exchange, for the next `classify_outages`."""
    if not slices:
        return
    days = sorted({(slice_.series.timeframe.name, slice_.day) for slice_ in slices})
    parameters = {
        "exchange": next(iter(slices)).series.exchange,
        "timeframes": [timeframe for timeframe, _ in days],
        "days": [day for _, day in days],
    }
    cursor.execute(statement("mark_evidence"), parameters)


def classify_outages(db: Database) -> None:
    """Separate outages from minutes without trades on the flagged days, for all exchanges.

    Uses one transaction for each exchange, under its lock. Takes a millisecond if no day is flagged. Raises
    DatabaseUnavailable; the days that were not classified by then stay flagged.
    """
    for timeframe, flags in _flagged(db).items():
        days = sorted({day for _, day in flags})
        for n in range(0, len(days), _BATCH):
            _classify(db, timeframe, days[n : n + _BATCH])
        _unflag(db, [number for number, _ in flags])


def _flagged(db: Database) -> dict[Timeframe, list[tuple[int, date]]]:
    flags: defaultdict[Timeframe, list[tuple[int, date]]] = defaultdict(list)
    with db.transaction() as cursor:
        cursor.execute("SELECT id, timeframe, day FROM outage_evidence")
        for row in all_rows(cursor):
            flags[Timeframe.parse(row.timeframe)].append((row.id, row.day))
    return dict(flags)


def _unflag(db: Database, numbers: Sequence[int]) -> None:
    with db.transaction() as cursor:
        cursor.execute(statement("unmark_evidence"), {"numbers": list(numbers)})


def _classify(db: Database, timeframe: Timeframe, touched: Sequence[date]) -> None:
    for exchange, days in _silent_days(db, timeframe, _around(touched, timeframe)).items():
        with db.transaction() as cursor:
            lock_exchange(cursor, exchange)
            _Classification(cursor, exchange, timeframe).classify(days)


def _silent_days(db: Database, timeframe: Timeframe, days: Sequence[date]) -> dict[str, list[date]]:
    found: defaultdict[str, list[date]] = defaultdict(list)
    with db.transaction() as cursor:
        cursor.execute(statement("silent_days"), {"timeframe": timeframe.name, "days": list(days)})
        for row in all_rows(cursor):
            found[row.exchange].append(row.day)
    return dict(found)


def _around(days: Iterable[date], timeframe: Timeframe) -> list[date]:
    reach = days_around(timeframe)
    return sorted({day + n * _DAY for day in days for n in range(-reach, reach + 1)})


@dataclass(frozen=True)
class _Classification:
    """The days of one exchange, in its transaction."""

    cursor: Cursor
    exchange: str
    timeframe: Timeframe
    read: dict[Slice, list[Gap]] = field(default_factory=dict)

    def classify(self, days: Sequence[date]) -> None:
        rows = self._ledger(_around(days, self.timeframe))
        concerned = {slice_: row for slice_, row in rows.items() if slice_.day in set(days)}
        down = self._down(days, self._witnesses(rows, concerned.values()))
        self._write([row for row in concerned.values() if _may_change(row, down[row.slice.day])], down)

    def _ledger(self, days: Sequence[date]) -> dict[Slice, LedgerRow]:
        parameters = {"exchange": self.exchange, "timeframe": self.timeframe.name, "days": list(days)}
        return {row.slice: row for row in self._rows("ledger_days", parameters)}

    def _rows(self, name: str, parameters: Mapping[str, Any]) -> list[LedgerRow]:
        self.cursor.execute(statement(name), parameters)
        return [ledger.row_of_ledger(row) for row in all_rows(self.cursor)]

    def _witnesses(self, rows: Mapping[Slice, LedgerRow], concerned: Iterable[LedgerRow]) -> list[Known]:
        """Return the slices of busy series, on the days on which two of them at least lack candles for good."""
        shares = {row.slice: self._absence(rows, row.slice) for row in concerned}
        busy = [slice_ for slice_, share in shares.items() if is_busy(share)]
        silent = Counter(slice_.day for slice_ in busy if not CONFIRMED_ABSENT.isdisjoint(rows[slice_].missing))
        chosen = [rows[slice_] for slice_ in busy if silent[slice_.day] >= FEWEST]
        gaps = self._gaps(chosen)
        return [Known(row.slice, row.expected, gaps[row.slice], shares[row.slice]) for row in chosen]

    def _absence(self, rows: Mapping[Slice, LedgerRow], slice_: Slice) -> float:
        reach = days_around(self.timeframe)
        samples = []
        for offsets in ([0], range(-reach, 0), range(1, reach + 1)):
            neighbours = [rows.get(replace(slice_, day=slice_.day + n * _DAY)) for n in offsets]
            samples.append(_sample([row for row in neighbours if row is not None]))
        return absence(samples)

    def _down(self, days: Sequence[date], witnesses: Iterable[Known]) -> dict[date, Mask]:
        """Return when the exchange was down, for each day."""
        by_day, size = _by_day(witnesses), self.timeframe.per_day
        silent = {day: silences(by_day[day], size) for day in days}
        others = _by_day(self._others([day for day, mask in silent.items() if mask.any()]))
        return {day: mask & traded(others[day], size) for day, mask in silent.items()}

    def _others(self, days: Sequence[date]) -> list[Known]:
        """Return the fullest slices of each other exchange on these days."""
        parameters = {
            "exchange": self.exchange,
            "timeframe": self.timeframe.name,
            "days": list(days),
            "witnesses": _WITNESSES,
        }
        rows = self._rows("fullest_slices", parameters) if days else []
        gaps = self._gaps(rows)
        return [Known(row.slice, row.expected, gaps[row.slice]) for row in rows]

    def _gaps(self, rows: Sequence[LedgerRow]) -> dict[Slice, list[Gap]]:
        """Return the gaps of slices; each slice's gaps are read once."""
        unread: defaultdict[str, list[Slice]] = defaultdict(list)
        for row in rows:
            if row.missing and row.slice not in self.read:
                unread[row.slice.series.exchange].append(row.slice)
        for slices in unread.values():
            self.read.update(read_gaps(self.cursor, slices))
        return {row.slice: self.read.get(row.slice, []) for row in rows}

    def _write(self, rows: Sequence[LedgerRow], down: Mapping[date, Mask]) -> None:
        before = self._gaps(rows)
        changed_rows, changed_gaps = [], {}
        for row in rows:
            after = with_outages(before[row.slice], row.slice, down[row.slice.day])
            if after != before[row.slice]:
                changed_rows.append(replace(row, missing=missing(after, self.timeframe)))
                changed_gaps[row.slice] = after
        if changed_rows:
            write_gaps(self.cursor, changed_gaps)
            ledger.write(self.cursor, changed_rows)


def _by_day(slices: Iterable[Known]) -> defaultdict[date, list[Known]]:
    days: defaultdict[date, list[Known]] = defaultdict(list)
    for known in slices:
        days[known.slice.day].append(known)
    return days


def _may_change(row: LedgerRow, down: Mask) -> bool:
    """Whether the slice has outages that may be none, or candles that may have fallen into one."""
    return Reason.OUTAGE in row.missing or (bool(down.any()) and not CONFIRMED_ABSENT.isdisjoint(row.missing))


def _sample(rows: Sequence[LedgerRow]) -> Sample:
    """Count what the exchange could have given of these slices and what it gave. A broken candle counts as traded."""
    expected, present = 0, 0
    for row in rows:
        never_offered = sum(row.missing.get(reason, 0) for reason in _NEVER_OFFERED)
        expected += row.expected - never_offered
        present += row.present + row.missing.get(Reason.QUARANTINED, 0)
    return Sample(expected, present)
