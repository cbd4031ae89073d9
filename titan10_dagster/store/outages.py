"""Outages, told and taken back wherever the evidence changed: see `candles.outages` for what counts as one.

What an exchange's slices prove depends on the days around them and on other exchanges, which may be stored hours
later. So each write leaves a mark for its days in the same transaction, and `weigh` looks at the marked days of all
exchanges. It reads ledger and gaps, never a candle.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from psycopg2.extras import RealDictCursor

from titan10_dagster.candles.columns import Mask
from titan10_dagster.candles.gaps import BELIEVED, Gap, Reason, with_outages
from titan10_dagster.candles.outages import FEWEST, Known, Sample, absence, days_around, is_busy, silences, traded
from titan10_dagster.candles.slices import Slice
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.store import ledger
from titan10_dagster.store.accounts import missing, read_gaps, write_gaps
from titan10_dagster.store.database import Cursor, Database
from titan10_dagster.store.ledger import LedgerRow
from titan10_dagster.store.locks import lock_exchange
from titan10_dagster.store.statements import statement

_WITNESSES = 3  # slices of another exchange that are asked whether it traded: the fullest ones
_BATCH = 62  # days
_DAY = timedelta(days=1)
_NOT_TO_BE_HAD = (Reason.PRE_LISTING, Reason.DELISTED, Reason.BEYOND_HORIZON)


def mark(cursor: Cursor, slices: Collection[Slice]) -> None:
    """Remembers that slices of one exchange were written, for `weigh` to come."""
    if not slices:
        return
    marks = sorted({(slice_.series.timeframe.name, slice_.day) for slice_ in slices})
    parameters = {
        "exchange": next(iter(slices)).series.exchange,
        "timeframes": [timeframe for timeframe, _ in marks],
        "days": [day for _, day in marks],
    }
    cursor.execute(statement("mark_evidence"), parameters)


def weigh(db: Database) -> None:
    """Tells outages from minutes without trades on the days that were written, for all exchanges.

    One transaction an exchange, under its lock. A millisecond if nothing is to do. Raises DatabaseUnavailable; what
    was not done then is done the next time.
    """
    for timeframe, marks in _marks(db).items():
        touched = sorted({day for _, day in marks})
        for n in range(0, len(touched), _BATCH):
            _weigh(db, timeframe, touched[n : n + _BATCH])
        _unmark(db, [number for number, _ in marks])


def _marks(db: Database) -> dict[Timeframe, list[tuple[int, date]]]:
    marks: defaultdict[Timeframe, list[tuple[int, date]]] = defaultdict(list)
    with db.transaction() as cursor:
        cursor.execute("SELECT id, timeframe, day FROM outage_evidence")
        for number, timeframe, day in cursor.fetchall():
            marks[Timeframe.parse(timeframe)].append((number, day))
    return dict(marks)


def _unmark(db: Database, numbers: Sequence[int]) -> None:
    with db.transaction() as cursor:
        cursor.execute(
            "DELETE FROM outage_evidence WHERE id IN ("
            "SELECT id FROM outage_evidence WHERE id = ANY(%s) ORDER BY id FOR UPDATE SKIP LOCKED)",
            [list(numbers)],
        )


def _weigh(db: Database, timeframe: Timeframe, touched: Sequence[date]) -> None:
    for exchange, days in _silent_days(db, timeframe, _around(touched, timeframe)).items():
        with db.transaction() as cursor:
            lock_exchange(cursor, exchange)
            _Weighing(cursor, exchange, timeframe).weigh(days)


def _silent_days(db: Database, timeframe: Timeframe, days: Sequence[date]) -> dict[str, list[date]]:
    found: defaultdict[str, list[date]] = defaultdict(list)
    with db.transaction() as cursor:
        cursor.execute(statement("silent_days"), {"timeframe": timeframe.name, "days": list(days)})
        for exchange, day in cursor.fetchall():
            found[exchange].append(day)
    return dict(found)


def _around(days: Iterable[date], timeframe: Timeframe) -> list[date]:
    reach = days_around(timeframe)
    return sorted({day + n * _DAY for day in days for n in range(-reach, reach + 1)})


@dataclass(frozen=True)
class _Weighing:
    """The days of one exchange, in its transaction."""

    cursor: Cursor
    exchange: str
    timeframe: Timeframe
    read: dict[Slice, list[Gap]] = field(default_factory=dict)

    def weigh(self, days: Sequence[date]) -> None:
        rows = self._ledger(_around(days, self.timeframe))
        concerned = {slice_: row for slice_, row in rows.items() if slice_.day in set(days)}
        down = self._down(days, self._witnesses(rows, concerned.values()))
        self._write([row for row in concerned.values() if _may_change(row, down[row.slice.day])], down)

    def _ledger(self, days: Sequence[date]) -> dict[Slice, LedgerRow]:
        parameters = {"exchange": self.exchange, "timeframe": self.timeframe.name, "days": list(days)}
        return {row.slice: row for row in self._rows("ledger_days", parameters)}

    def _rows(self, name: str, parameters: Mapping[str, Any]) -> list[LedgerRow]:
        with self.cursor.connection.cursor(cursor_factory=RealDictCursor) as dicts:
            dicts.execute(statement(name), parameters)
            return [ledger.from_columns(row) for row in dicts]

    def _witnesses(self, rows: Mapping[Slice, LedgerRow], concerned: Iterable[LedgerRow]) -> list[Known]:
        """The slices of busy series on days on which two of them at least lack candles for good."""
        shares = {row.slice: self._absence(rows, row.slice) for row in concerned}
        busy = [slice_ for slice_, share in shares.items() if is_busy(share)]
        silent = Counter(slice_.day for slice_ in busy if not BELIEVED.isdisjoint(rows[slice_].missing))
        chosen = [rows[slice_] for slice_ in busy if silent[slice_.day] >= FEWEST]
        gaps = self._gaps(chosen)
        return [Known(row.slice, row.expected, gaps[row.slice], shares[row.slice]) for row in chosen]

    def _absence(self, rows: Mapping[Slice, LedgerRow], slice_: Slice) -> float:
        reach = days_around(self.timeframe)
        parts = ([0], range(-reach, 0), range(1, reach + 1))
        found = ([rows.get(replace(slice_, day=slice_.day + n * _DAY)) for n in part] for part in parts)
        return absence(_sample([row for row in part if row is not None]) for part in found)

    def _down(self, days: Sequence[date], witnesses: Iterable[Known]) -> dict[date, Mask]:
        """When the exchange was down, for each day."""
        by_day, size = _by_day(witnesses), self.timeframe.per_day
        silent = {day: silences(by_day[day], size) for day in days}
        others = _by_day(self._others([day for day, mask in silent.items() if mask.any()]))
        return {day: mask & traded(others[day], size) for day, mask in silent.items()}

    def _others(self, days: Sequence[date]) -> list[Known]:
        """The fullest slices of each other exchange on these days."""
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
        """The gaps of slices, read once."""
        unread: defaultdict[str, list[Slice]] = defaultdict(list)
        for row in rows:
            if row.missing and row.slice not in self.read:
                unread[row.slice.series.exchange].append(row.slice)
        for slices in unread.values():
            self.read.update(read_gaps(self.cursor, slices))
        return {row.slice: self.read.get(row.slice, []) for row in rows}

    def _write(self, rows: Sequence[LedgerRow], down: Mapping[date, Mask]) -> None:
        before = self._gaps(rows)
        after = {slice_: with_outages(gaps, slice_, down[slice_.day]) for slice_, gaps in before.items()}
        changed = [
            replace(row, missing=missing(after[row.slice], self.timeframe))
            for row in rows
            if after[row.slice] != before[row.slice]
        ]
        if changed:
            write_gaps(self.cursor, {row.slice: after[row.slice] for row in changed})
            ledger.write(self.cursor, changed)


def _by_day(ones: Iterable[Known]) -> defaultdict[date, list[Known]]:
    days: defaultdict[date, list[Known]] = defaultdict(list)
    for one in ones:
        days[one.slice.day].append(one)
    return days


def _may_change(row: LedgerRow, down: Mask) -> bool:
    """Whether the slice has outages that may be none, or candles that may have fallen into one."""
    return Reason.OUTAGE in row.missing or (bool(down.any()) and not BELIEVED.isdisjoint(row.missing))


def _sample(rows: Sequence[LedgerRow]) -> Sample:
    """What the exchange could have given of some slices, and what it gave: a broken candle too was traded."""
    gone = sum(row.missing.get(reason, 0) for row in rows for reason in _NOT_TO_BE_HAD)
    broken = sum(row.missing.get(Reason.QUARANTINED, 0) for row in rows)
    return Sample(expected=sum(row.expected for row in rows) - gone, present=sum(row.present for row in rows) + broken)
