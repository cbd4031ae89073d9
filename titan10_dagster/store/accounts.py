"""What the ledger, the gaps and the quarantine say of slices whose candles were just written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Any

import numpy as np
from psycopg2.extras import execute_values

from titan10_dagster.candles.fetched import FetchRecord
from titan10_dagster.candles.gaps import Evidence, Gap, Reason, count, explain, resumed
from titan10_dagster.candles.rules import Broken
from titan10_dagster.candles.slices import Slice, Times, from_datetime64, to_datetime64
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.store import ledger
from titan10_dagster.store.database import Cursor
from titan10_dagster.store.ledger import STATES, LedgerRow
from titan10_dagster.store.merge import read
from titan10_dagster.store.statements import key, of_slices, statement


@dataclass(frozen=True, eq=False)
class Look:
    """One look at a slice: how it was fetched, the candles stored after it, and the rows that broke a rule.

    `times`: of all stored candles of the slice, datetime64[ms].
    """

    record: FetchRecord
    times: Times
    broken: Broken
    live: bool

    @property
    def slice(self) -> Slice:
        return self.record.slice

    @property
    def state(self) -> str:
        if self.live:
            return "live"
        return "settled" if self.record.answered and self.record.fetched_at >= self.slice.end else "partial"

    @property
    def evidence(self) -> Evidence:
        record = self.record
        return Evidence(
            observed_at=record.until,
            answered=record.answered,
            horizon=record.horizon,
            listed=record.listed,
            delisted=record.delisted,
            quarantined=self.broken.candles.times,
        )


def account(cursor: Cursor, looks: Sequence[Look]) -> list[LedgerRow]:
    """Brings quarantine, gaps and ledger up to date for slices of one exchange, all different; their ledger, in order.

    Where a look tells of a delisting, the days before it since then are brought up to date as well, and follow: that a
    market has closed for good shows only a day later, and by then its silence may have been taken for a lack of trades.
    Where a candle tells that it was only halted, the days called delisted before it are open again, and follow as well.
    """
    rows = _account(cursor, [*looks, *_silent_after_delisting(cursor, looks)])
    reopened = _resume(cursor, looks)
    return [*(reopened.pop(row.slice, row) for row in rows), *reopened.values()]


def _account(cursor: Cursor, looks: Sequence[Look]) -> list[LedgerRow]:
    slices = [look.slice for look in looks]
    quarantined = _quarantine(cursor, looks)
    before = read_gaps(cursor, slices)
    after = {look.slice: gaps_after(look, before[look.slice]) for look in looks}
    write_gaps(cursor, {slice_: gaps for slice_, gaps in after.items() if gaps != before[slice_]})
    known = ledger.read(cursor, slices)
    rows = [ledger_row(look, after[look.slice], quarantined[look.slice], known.get(look.slice)) for look in looks]
    ledger.write(cursor, [row for row in rows if row != known.get(row.slice)])
    return rows


def _silent_after_delisting(cursor: Cursor, looks: Sequence[Look]) -> list[Look]:
    """Looks at settled slices, none of `looks`, whose silence is that of a delisted symbol and is called otherwise."""
    telling = [look for look in looks if look.record.delisted is not None]
    if not telling:
        return []
    delisted = {"delisted": [look.record.delisted for look in telling]}
    cursor.execute(statement("silent_after_delisting"), of_slices([look.slice for look in telling]) | delisted)
    found = {Slice(telling[n - 1].slice.series, day): telling[n - 1].record for n, day in cursor.fetchall()}
    for look in looks:
        found.pop(look.slice, None)
    if not found:
        return []
    slices = [slice_ for slice_, row in ledger.read(cursor, list(found)).items() if row.state == "settled"]
    return [
        Look(replace(found[slice_], slice=slice_, answered=False, horizon=None), candles.times, Broken(), False)
        for slice_, candles in zip(slices, read(cursor, slices) if slices else (), strict=True)
    ]


def _resume(cursor: Cursor, looks: Sequence[Look]) -> dict[Slice, LedgerRow]:
    """Takes back what is called delisted of the series before the last candle that is stored of them; their ledger."""
    cursor.execute(statement("delisted_before_candle"), of_slices([look.slice for look in looks]))
    series = {key(look.slice.series): look.slice.series for look in looks}
    traded = {
        Slice(series[exchange, symbol, timeframe], day): last for exchange, symbol, timeframe, day, last in cursor
    }
    if not traded:
        return {}
    gaps = {slice_: resumed(one, slice_, traded[slice_]) for slice_, one in read_gaps(cursor, list(traded)).items()}
    rows = {
        slice_: replace(row, missing=missing(gaps[slice_], slice_.series.timeframe))
        for slice_, row in ledger.read(cursor, list(traded)).items()
    }
    write_gaps(cursor, gaps)
    ledger.write(cursor, list(rows.values()))
    return rows


def gaps_after(look: Look, before: Sequence[Gap]) -> list[Gap]:
    """The gaps of the slice up to now: of a day that still runs, what is to come is no gap."""
    end = look.slice.start + _due(look) * look.slice.series.timeframe.delta
    explained = explain(look.times, look.slice, look.evidence, before)
    return [replace(gap, end=min(gap.end, end)) for gap in explained if gap.start < end]


def ledger_row(look: Look, gaps: Sequence[Gap], quarantined: int, known: LedgerRow | None) -> LedgerRow:
    """The slice's row; where `known` has a higher state, that and its fetch stay, and only the counts change."""
    record, timeframe = look.record, look.slice.series.timeframe
    row = LedgerRow(
        slice=look.slice,
        state=look.state,
        expected=_due(look),
        present=len(look.times),
        missing=missing(gaps, timeframe),
        quarantined=quarantined,
        fetched_at=record.fetched_at,
        source=record.source,
        requests=record.requests,
        retries=record.retries,
        seconds=record.seconds,
        note=record.note,
    )
    if known is None or STATES.index(row.state) >= STATES.index(known.state):
        return row
    counts = {name: getattr(row, name) for name in ("expected", "present", "missing", "quarantined")}
    return replace(known, **counts)


def missing(gaps: Sequence[Gap], timeframe: Timeframe) -> dict[Reason, int]:
    """How many candles the gaps miss, by reason."""
    counts = {reason: sum(count(gap, timeframe) for gap in gaps if gap.reason is reason) for reason in Reason}
    return {reason: candles for reason, candles in counts.items() if candles}


def _due(look: Look) -> int:
    """How many candles of the slice the look covers, or there are up to the last that is stored."""
    slice_, timeframe = look.slice, look.slice.series.timeframe
    over = (look.record.until - slice_.start) // timeframe.delta
    stored = 0
    if len(look.times):
        stored = (look.times.max() - to_datetime64(slice_.start)) // np.timedelta64(timeframe.ms, "ms") + 1
    return min(max(over, int(stored), 0), slice_.expected)


def _quarantine(cursor: Cursor, looks: Sequence[Look]) -> dict[Slice, int]:
    """Stores the broken rows, and marks those as resolved whose candle is there; what remains, by slice."""
    broken = list(chain.from_iterable(map(_broken_rows, looks)))
    execute_values(cursor, statement("write_quarantine"), broken, page_size=1000)
    cursor.execute(statement("read_quarantine"), of_slices([look.slice for look in looks]))
    remaining = {look.slice: 0 for look in looks}
    resolved = []
    for number, time in cursor.fetchall():
        look = looks[number - 1]
        if to_datetime64(time) in look.times:
            resolved.append((*key(look.slice.series), look.slice.day, time, look.record.fetched_at))
        else:
            remaining[look.slice] += 1
    execute_values(cursor, statement("resolve_quarantine"), resolved, page_size=1000)
    return remaining


def _broken_rows(look: Look) -> list[tuple[Any, ...]]:
    record, broken = look.record, look.broken
    asked = (*key(look.slice.series), look.slice.day)
    seen = (record.source, record.fetched_at, record.fetched_at)
    rows = zip(broken.candles.times, broken.candles.values.T.tolist(), broken.rules, strict=True)
    return [(*asked, from_datetime64(time), *values, list(rules), *seen) for time, values, rules in rows]


def read_gaps(cursor: Cursor, slices: Sequence[Slice]) -> dict[Slice, list[Gap]]:
    """The gaps of each of some slices (at least one) of one exchange, by time."""
    cursor.execute(statement("read_gaps"), of_slices(slices))
    found: dict[Slice, list[Gap]] = {slice_: [] for slice_ in slices}
    for number, start, end, reason, *seen in cursor.fetchall():
        found[slices[number - 1]].append(Gap(start, end, Reason(reason), *seen))
    return found


def write_gaps(cursor: Cursor, gaps: Mapping[Slice, Sequence[Gap]]) -> None:
    """Stores the gaps of each slice in place of those that it had."""
    bounds = [(*key(slice_.series), slice_.start, slice_.end) for slice_ in gaps]
    rows = [_gap_row(slice_, gap) for slice_, of_slice in gaps.items() for gap in of_slice]
    execute_values(cursor, statement("delete_gaps"), bounds, page_size=1000)
    execute_values(cursor, statement("write_gaps"), rows, page_size=1000)


def _gap_row(slice_: Slice, gap: Gap) -> tuple[Any, ...]:
    candles = count(gap, slice_.series.timeframe)
    seen: tuple[int, datetime, datetime] = (gap.observations, gap.first_seen, gap.last_seen)
    return (*key(slice_.series), gap.start, gap.end, candles, gap.reason.value, *seen)
