"""Updates quarantine, gaps and ledger of slices after their candles were written.

All functions run in the transaction that wrote the candles. Therefore the tables candles, quarantine, gaps and
slice_ledger always agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
from psycopg2.extras import execute_values

from titan10_dagster.candles.fetched import CLOSED_NOTE, FetchRecord, Source
from titan10_dagster.candles.gaps import OBSERVATION_SPACING, Evidence, Gap, Reason, count, explain, resumed
from titan10_dagster.candles.rules import Broken
from titan10_dagster.candles.slices import Slice, SliceState, Times, from_datetime64, to_datetime64
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.store import ledger
from titan10_dagster.store.database import Cursor, all_rows
from titan10_dagster.store.ledger import LedgerRow
from titan10_dagster.store.merge import read
from titan10_dagster.store.statements import key, of_slices, statement

_OF_A_CLOSING = frozenset({Reason.DELISTED, Reason.BEYOND_HORIZON})


@dataclass(frozen=True, eq=False)
class SliceObservation:
    """The result of one fetch of a slice, after its candles were written.

    `record`: the record of the fetch. `times`: the starts of all stored candles of the slice (datetime64[ms]).
    `broken`: the broken rows of the fetch. `live`: whether the fetch was a live poll.
    """

    record: FetchRecord
    times: Times
    broken: Broken
    live: bool

    @property
    def slice(self) -> Slice:
        return self.record.slice

    @property
    def state(self) -> SliceState:
        if self.live:
            return SliceState.LIVE
        whole = self.record.answered and self.record.fetched_at >= self.slice.end
        return SliceState.SETTLED if whole else SliceState.PARTIAL

    def evidence(self, broken_twice: Times) -> Evidence:
        """Return what this fetch shows about missing candles. `broken_twice`: see Evidence."""
        record = self.record
        return Evidence(
            observed_at=record.until,
            answered=record.answered,
            finished=record.source is not Source.REST,
            horizon=record.horizon,
            listed=record.listed,
            delisted=record.delisted,
            quarantined=self.broken.candles.times,
            broken_twice=broken_twice,
        )


def update_ledger(cursor: Cursor, observations: Sequence[SliceObservation]) -> list[LedgerRow]:
    """Update quarantine, gaps and ledger of different slices of one exchange. Return the ledger rows in the same order.

    In two cases, other slices of the observed series change too. The rows of these slices are at the end of the list.

    - An observation has a delisting date. Then the gaps between this date and the observed slice are classified as
      delisted. These gaps may already have the reason no_trades, because Titan-10 only notices a day later that a
      market was closed. If other series of the exchange were also silent at the delisting date (a shared silence), the
      end of this silence is used as the delisting date.
    - A candle is stored that is later than a delisting. The candle shows that the market was only halted. Therefore the
      reason of the earlier gaps changes from delisted to unknown. The reason beyond_horizon also changes to unknown if
      the slice has this reason because its market counted as closed.
    """
    observations = _delisted_after_silences(cursor, observations)
    rows = _update(cursor, [*observations, *_silent_after_delisting(cursor, observations)])
    reopened = _reopen_delisted(cursor, observations)
    return [*(reopened.pop(row.slice, row) for row in rows), *reopened.values()]


def _update(cursor: Cursor, observations: Sequence[SliceObservation]) -> list[LedgerRow]:
    slices = [observation.slice for observation in observations]
    quarantine = _quarantine(cursor, observations)
    gaps_before = read_gaps(cursor, slices)
    rows_before = ledger.read(cursor, slices)
    rows, changed_gaps = [], {}
    for observation in observations:
        slice_ = observation.slice
        gaps = gaps_after(observation, gaps_before[slice_], quarantine[slice_].broken_twice)
        if gaps != gaps_before[slice_]:
            changed_gaps[slice_] = gaps
        rows.append(ledger_row(observation, gaps, quarantine[slice_].unresolved, rows_before.get(slice_)))
    write_gaps(cursor, changed_gaps)
    ledger.write(cursor, [row for row in rows if row != rows_before.get(row.slice)])
    return rows


def _delisted_after_silences(cursor: Cursor, observations: Sequence[SliceObservation]) -> list[SliceObservation]:
    """Return the observations, with later delisting dates where a shared silence of the exchange makes this necessary.

    Exchanges do not report delisting dates, so the end of the last candle is used. But if other series were also silent
    after this candle, the market was possibly delisted only during or after this shared silence. Therefore a delisting
    date within a shared silence is moved to the end of the silence.
    """
    moved = list(observations)
    numbers = [number for number, observation in enumerate(observations) if observation.record.delisted is not None]
    if not numbers:
        return moved
    cursor.execute(statement("end_of_shared_silence"), _of_delistings([observations[number] for number in numbers]))
    for row in all_rows(cursor):
        number = numbers[row.number - 1]
        record = replace(observations[number].record, delisted=row.silence_end)
        moved[number] = replace(observations[number], record=record)
    return moved


def _silent_after_delisting(cursor: Cursor, observations: Sequence[SliceObservation]) -> list[SliceObservation]:
    """Return an observation for each slice that must be classified as delisted although it was not fetched now.

    These slices meet four conditions. An observation in `observations` has a delisting date for the same series,
    and is later than the slice. The slice has a gap after this date, and the reason of the gap may change to delisted.
    The slice is settled. The slice is not in `observations` itself.
    """
    delistings = [observation for observation in observations if observation.record.delisted is not None]
    if not delistings:
        return []
    cursor.execute(statement("silent_after_delisting"), _of_delistings(delistings))
    observed = {observation.slice for observation in observations}
    records: dict[Slice, FetchRecord] = {}
    for row in all_rows(cursor):
        record = delistings[row.number - 1].record
        slice_ = Slice(record.slice.series, row.day)
        if slice_ not in observed:
            records[slice_] = replace(record, slice=slice_, answered=False, horizon=None)
    if not records:
        return []
    settled = [slice_ for slice_, row in ledger.read(cursor, list(records)).items() if row.state is SliceState.SETTLED]
    stored = read(cursor, settled) if settled else []
    return [
        SliceObservation(records[slice_], candles.times, Broken(), live=False)
        for slice_, candles in zip(settled, stored, strict=True)
    ]


def _of_delistings(delistings: Sequence[SliceObservation]) -> dict[str, Any]:
    """Return the parameters for a statement about slices with delisting dates."""
    dates = [observation.record.delisted for observation in delistings]
    return {**of_slices([observation.slice for observation in delistings]), "delisted": dates}


def _reopen_delisted(cursor: Cursor, observations: Sequence[SliceObservation]) -> dict[Slice, LedgerRow]:
    """Change reasons back to unknown if a closed market caused them, but a later candle of the series is stored.

    The reason delisted is always caused by a closed market. The reason beyond_horizon is caused by a closed market if
    the ledger's note of the slice says that the market is closed. Return the changed ledger rows.
    """
    parameters = of_slices([observation.slice for observation in observations])
    cursor.execute(statement("delisted_before_candle"), {**parameters, "closed": f"%{CLOSED_NOTE}%"})
    series = {key(observation.slice.series): observation.slice.series for observation in observations}
    last_candles: dict[Slice, datetime] = {}
    reasons: dict[Slice, frozenset[Reason]] = {}
    for row in all_rows(cursor):
        slice_ = Slice(series[row.exchange, row.symbol, row.timeframe], row.day)
        last_candles[slice_] = row.last_candle
        reasons[slice_] = _OF_A_CLOSING if row.closed else frozenset({Reason.DELISTED})
    if not last_candles:
        return {}
    slices = list(last_candles)
    gaps = {
        slice_: resumed(before, slice_, last_candles[slice_], reasons[slice_])
        for slice_, before in read_gaps(cursor, slices).items()
    }
    rows = {
        slice_: replace(row, missing=missing(gaps[slice_], slice_.series.timeframe))
        for slice_, row in ledger.read(cursor, slices).items()
    }
    write_gaps(cursor, gaps)
    ledger.write(cursor, list(rows.values()))
    return rows


def gaps_after(observation: SliceObservation, before: Sequence[Gap], broken_twice: Times) -> list[Gap]:
    """Return the slice's gaps after the observation. Candles that have not ended yet are in no gap."""
    slice_ = observation.slice
    end = slice_.start + _due(observation) * slice_.series.timeframe.delta
    explained = explain(observation.times, slice_, observation.evidence(broken_twice), before)
    return [replace(gap, end=min(gap.end, end)) for gap in explained if gap.start < end]


def ledger_row(
    observation: SliceObservation, gaps: Sequence[Gap], quarantined: int, known: LedgerRow | None
) -> LedgerRow:
    """Return the slice's new ledger row. `known`: the existing row, or None.

    The order of the states is live, partial, settled. If the existing row already has a later state than this
    observation, the new row keeps this state and the existing facts about the fetch. Then only the numbers of candles
    and of quarantined rows change.
    """
    record, timeframe = observation.record, observation.slice.series.timeframe
    row = LedgerRow(
        slice=observation.slice,
        state=observation.state,
        expected=_due(observation),
        present=len(observation.times),
        missing=missing(gaps, timeframe),
        quarantined=quarantined,
        fetched_at=record.fetched_at,
        source=record.source,
        requests=record.requests,
        retries=record.retries,
        seconds=record.seconds,
        note=record.note,
    )
    if known is None or row.state.rank >= known.state.rank:
        return row
    return replace(known, expected=row.expected, present=row.present, missing=row.missing, quarantined=row.quarantined)


def missing(gaps: Sequence[Gap], timeframe: Timeframe) -> dict[Reason, int]:
    """Return, for each reason, the number of missing candles in the gaps.

    The reasons are in the order of Reason. Reasons without missing candles are left out.
    """
    counts = dict.fromkeys(Reason, 0)
    for gap in gaps:
        counts[gap.reason] += count(gap, timeframe)
    return {reason: candles for reason, candles in counts.items() if candles}


def _due(observation: SliceObservation) -> int:
    """Return how many candles of the slice had ended by `FetchRecord.until`, the end of the observed time.

    If a later candle is stored, the number includes all candles up to the last stored one.
    """
    slice_, timeframe = observation.slice, observation.slice.series.timeframe
    ended = (observation.record.until - slice_.start) // timeframe.delta
    stored = 0
    if len(observation.times):
        last = observation.times.max() - to_datetime64(slice_.start)
        stored = int(last // np.timedelta64(timeframe.ms, "ms")) + 1
    return min(max(ended, stored, 0), slice_.expected)


@dataclass
class _Quarantined:
    """The quarantine of a slice after an observation.

    `unresolved`: the number of rows that no valid candle has replaced. `repeated`: the times of those broken rows of
    this observation that were already received, with the same values, at least OBSERVATION_SPACING earlier.
    """

    unresolved: int = 0
    repeated: list[datetime] = field(default_factory=list)

    @property
    def broken_twice(self) -> Times:
        return np.array([to_datetime64(time) for time in self.repeated], "datetime64[ms]")


def _quarantine(cursor: Cursor, observations: Sequence[SliceObservation]) -> dict[Slice, _Quarantined]:
    """Store the broken rows of the observations, and return the remaining quarantine of each slice.

    A quarantined row is marked as resolved if a valid candle of the same time is stored now.
    """
    broken: list[tuple[Any, ...]] = []
    for observation in observations:
        broken += _broken_rows(observation)
    execute_values(cursor, statement("write_quarantine"), broken, page_size=1000)
    cursor.execute(statement("read_quarantine"), of_slices([observation.slice for observation in observations]))
    left = {observation.slice: _Quarantined() for observation in observations}
    resolved = []
    for row in all_rows(cursor):
        observation = observations[row.number - 1]
        slice_ = observation.slice
        if to_datetime64(row.time) in observation.times:
            resolved.append((*key(slice_.series), slice_.day, row.time, observation.record.fetched_at))
            continue
        left[slice_].unresolved += 1
        came_now = observation.record.answered and row.last_seen == observation.record.fetched_at
        if came_now and row.last_seen - row.first_seen >= OBSERVATION_SPACING:
            left[slice_].repeated.append(row.time)
    execute_values(cursor, statement("resolve_quarantine"), resolved, page_size=1000)
    return left


def _broken_rows(observation: SliceObservation) -> list[tuple[Any, ...]]:
    record, broken, slice_ = observation.record, observation.broken, observation.slice
    requested = (*key(slice_.series), slice_.day)
    seen = (record.source, record.fetched_at, record.fetched_at)
    rows = zip(broken.candles.times, broken.candles.values.T.tolist(), broken.rules, strict=True)
    return [(*requested, from_datetime64(time), *values, list(rules), *seen) for time, values, rules in rows]


def read_gaps(cursor: Cursor, slices: Sequence[Slice]) -> dict[Slice, list[Gap]]:
    """Return the gaps of each given slice, in order of time.

    `slices`: at least one slice. All slices belong to one exchange.
    """
    cursor.execute(statement("read_gaps"), of_slices(slices))
    found: dict[Slice, list[Gap]] = {slice_: [] for slice_ in slices}
    for row in all_rows(cursor):
        found[slices[row.number - 1]].append(ledger.gap_from_row(row))
    return found


def write_gaps(cursor: Cursor, gaps: Mapping[Slice, Sequence[Gap]]) -> None:
    """Replace the stored gaps of each slice with the given gaps."""
    bounds = [(*key(slice_.series), slice_.start, slice_.end) for slice_ in gaps]
    rows = []
    for slice_, of_slice in gaps.items():
        for gap in of_slice:
            rows.append(_gap_row(slice_, gap))
    execute_values(cursor, statement("delete_gaps"), bounds, page_size=1000)
    execute_values(cursor, statement("write_gaps"), rows, page_size=1000)


def _gap_row(slice_: Slice, gap: Gap) -> tuple[Any, ...]:
    candles = count(gap, slice_.series.timeframe)
    seen: tuple[int, datetime, datetime] = (gap.observations, gap.first_seen, gap.last_seen)
    return (*key(slice_.series), gap.start, gap.end, candles, gap.reason.value, *seen)
