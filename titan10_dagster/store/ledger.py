"""Reads and writes the ledger. For each slice, one row contains its state, its numbers of candles and its last fetch.

So these facts can be read without reading the candles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from psycopg2.extras import execute_values

from titan10_dagster.candles.fetched import Source
from titan10_dagster.candles.gaps import REASONS, Gap, Reason, count
from titan10_dagster.candles.slices import Series, Slice, SliceState
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.planning.later_checks import BUSY_DAYS, BUSY_SHARE, CheckedLater, gaps_checked_since
from titan10_dagster.planning.missing_days import KnownDays, Stretch
from titan10_dagster.planning.repairs import OpenSlice
from titan10_dagster.store.database import Cursor, Database, all_rows
from titan10_dagster.store.statements import key, of_slices, statement


@dataclass(frozen=True)
class LedgerRow:
    """The ledger's row of a slice. Instants are aware and UTC.

    `expected`, `present` and `missing` are numbers of candles. `expected` is the sum of `present` and all numbers in
    `missing`. `quarantined` is the number of rows in quarantine that no valid candle has replaced. `fetched_at`,
    `source`, `requests`, `retries`, `seconds` and `note` describe the last fetch with the result `state`. If a later
    fetch has a less complete result, these fields do not change.
    """

    slice: Slice
    state: SliceState
    expected: int
    present: int
    missing: Mapping[Reason, int]
    quarantined: int
    fetched_at: datetime
    source: Source
    requests: int
    retries: int
    seconds: float
    note: str | None = None

    @property
    def covered_until(self) -> datetime:
        """The end of the last expected candle. In a live slice this is the end of the last polled candle."""
        return self.slice.start + self.expected * self.slice.series.timeframe.delta

    @property
    def unexplained(self) -> int:
        """The number of candles that are missing without a final reason."""
        return sum(candles for reason, candles in self.missing.items() if not REASONS[reason].settled)


@dataclass(frozen=True)
class CoverageRow:
    """The summary of a series over a range of days. `first` and `last` are the first and the last day in the ledger.

    `slices` and `settled` are numbers of slices. `expected`, `present` and `missing` are numbers of candles. `sources`
    contains, for each source, the number of slices with this source in the ledger.
    """

    series: Series
    first: date
    last: date
    slices: int
    settled: int
    expected: int
    present: int
    missing: Mapping[Reason, int]
    sources: Mapping[Source, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ExchangeSummary:
    """The summary of all series of an exchange.

    `unasked`: how many slices of the configured series have no ledger row, from the exchange's start (the earliest
    start of its series) to yesterday.

    The last four fields are UTC days. `first_settled` and `last_settled` are the first and the last day with a settled
    slice. A day is complete if every configured series is settled on this day. All days from the exchange's start to
    `complete_to`, and from `complete_since` to yesterday, are complete. Each of these four fields is None if no such
    day exists.
    """

    exchange: str
    slices: int
    settled: int
    unasked: int
    expected: int
    present: int
    missing: Mapping[Reason, int]
    quarantined: int
    restatements: int
    first_settled: date | None = None
    last_settled: date | None = None
    complete_to: date | None = None
    complete_since: date | None = None


@dataclass(frozen=True)
class SeriesGap:
    """A gap and its series."""

    series: Series
    gap: Gap

    @property
    def candles(self) -> int:
        return count(self.gap, self.series.timeframe)


def settled(
    db: Database, exchange: str, timeframe: Timeframe, symbols: Sequence[str], first: date, last: date
) -> dict[Slice, LedgerRow]:
    """Return the settled slices of the given symbols from `first` to `last`, both included, with their ledger rows."""
    rows = slices(db, exchange, timeframe, symbols, first, last)
    return {row.slice: row for row in rows if row.state is SliceState.SETTLED}


def slices(
    db: Database, exchange: str, timeframe: Timeframe, symbols: Sequence[str], first: date, last: date
) -> list[LedgerRow]:
    """Return the ledger rows of the given symbols from `first` to `last`, both included, in order of symbol and day."""
    parameters = {
        "exchange": exchange,
        "timeframe": timeframe.name,
        "symbols": list(symbols),
        "first": first,
        "last": last,
    }
    return [row_of_ledger(row) for row in _query(db, "ledger_slices", parameters)]


def coverage(
    db: Database, exchange: str | None = None, first: date | None = None, last: date | None = None
) -> list[CoverageRow]:
    """Return the coverage of each series from `first` to `last`, both included, in order of exchange and symbol.

    `exchange`: None means all exchanges. `first`, `last`: None means that the range is not limited on this side.
    """
    parameters = {"exchange": exchange, "first": first, "last": last}
    return [
        CoverageRow(
            series=_series(row),
            first=row.first,
            last=row.last,
            slices=row.slices,
            settled=row.settled,
            expected=row.expected,
            present=row.present,
            missing=_missing(row),
            sources=_sources(row),
        )
        for row in _query(db, "coverage", parameters)
    ]


def summary(db: Database, starts: Mapping[Series, date], today: date) -> list[ExchangeSummary]:
    """Return the summary of each exchange that has slices or configured series, in order of name.

    `starts`: the configured series, each with its start day. The server reads the ledger once and aggregates the rows
    in memory. This takes 0.45 s on one core for 730,000 slices.
    """
    with db.transaction() as cursor:
        cursor.execute("SET LOCAL work_mem = '64MB'")
        cursor.execute(statement("summary"), {**_of_exchanges(starts), "today": today})
        return [_summary(row) for row in all_rows(cursor)]


def live_until(db: Database, starts: Mapping[Series, date], today: date) -> dict[str, tuple[datetime, datetime]]:
    """Return, for each exchange with live slices of today or yesterday, until when its series were polled.

    Each exchange has two instants (aware, UTC). For each series in `starts`, the end of its last polled candle is
    computed. The first instant is the latest of these ends, and the second instant is the earliest.
    """
    rows = _query(db, "live_lag", {**_of_exchanges(starts), "today": today})
    return {row.exchange: (row.newest, row.oldest) for row in rows if row.newest}


def gaps(
    db: Database,
    exchange: str | None = None,
    *,
    symbol: str | None = None,
    reasons: Iterable[Reason] = tuple(Reason),
    start: datetime | None = None,
    end: datetime | None = None,
    limit: int | None = None,
) -> list[SeriesGap]:
    """Return the gaps that begin in [start, end) and have one of the given reasons, newest first.

    If an argument is None, it does not restrict the result.
    """
    parameters = {
        "exchange": exchange,
        "symbol": symbol,
        "reasons": [reason.value for reason in reasons],
        "start": start,
        "end": end,
        "limit": limit,
    }
    return [SeriesGap(_series(row), gap_from_row(row)) for row in _query(db, "gaps", parameters)]


def known_days(db: Database, series: Sequence[Series], today: date) -> list[KnownDays]:
    """Return, for the given series, the days before `today` that have a ledger row.

    Series with the same days are grouped.
    """
    parameters = {**_columns(series), "today": today}
    return [_known_days(row) for row in _query(db, "known_days", parameters)]


def on_duty_since(db: Database, series: Sequence[Series]) -> dict[Series, date]:
    """Return, for each series, its first day on duty: the first day that was fetched before the end of the next day.

    A series without such a day is left out. For the meaning of "on duty", see `planning/missing_days.py`.
    """
    rows = _query(db, "on_duty", _columns(series))
    return {series[row.number - 1]: row.since for row in rows}


def open_slices(db: Database, starts: Mapping[Series, date], today: date) -> list[OpenSlice]:
    """Return the open slices: a slice is open if it is not settled, or has missing candles without a final reason.

    `starts`: the series, each with its first day. The last day is the day before `today`. This function reads the
    ledger and the gaps, but no candles.
    """
    series = list(starts)
    parameters = {
        **_columns(series),
        "starts": list(starts.values()),
        "today": today,
        "open_reasons": [reason.value for reason, facts in REASONS.items() if not facts.settled],
    }
    # `number` is the position of the row's series in `starts`, starting with 1. If there are thousands of rows, making
    # a new Series for each row would take longer than the SQL.
    return [
        OpenSlice(
            slice=Slice(series[row.number - 1], row.day),
            state=SliceState(row.state),
            fetched_at=row.fetched_at,
            first_seen=row.first_seen,
            unexplained_seen=row.unexplained_seen,
            missing_until=row.missing_until,
        )
        for row in _query(db, "open_slices", parameters)
    ]


def slices_to_check_later(db: Database, series: Sequence[Series], today: date) -> list[CheckedLater]:
    """Return the slices that are checked again for late candles.

    A slice is returned if it has a gap that was observed fewer than four times and belongs to one of two kinds. The
    first kind: halts, outages and broken candles, on any day. The second kind: minutes without trades, on recent days
    of busy series.
    """
    busy_since = gaps_checked_since(today)
    parameters = {
        **_columns(series),
        "busy_since": busy_since,
        "busy_from": busy_since - timedelta(days=BUSY_DAYS - 1),
        "days_before": BUSY_DAYS - 1,
        "busy_share": BUSY_SHARE,
    }
    return [
        CheckedLater(
            slice=Slice(series[row.number - 1], row.day),
            observations=row.observations,
            last_seen=row.last_seen,
            missing_until=row.missing_until,
        )
        for row in _query(db, "slices_to_check_later", parameters)
    ]


def read(cursor: Cursor, slices: Sequence[Slice]) -> dict[Slice, LedgerRow]:
    """Return the ledger rows of the given slices of one exchange. Slices without a ledger row are left out."""
    cursor.execute(statement("read_ledger"), of_slices(slices))
    rows = [row_of_ledger(row) for row in all_rows(cursor)]
    return {row.slice: row for row in rows}


def write(cursor: Cursor, rows: Sequence[LedgerRow]) -> None:
    """Insert the rows, or replace the existing rows of their slices. `rows`: at most one row for each slice."""
    execute_values(cursor, statement("write_ledger"), [_values(row) for row in rows], page_size=1000)


def _query(db: Database, name: str, parameters: Mapping[str, Any]) -> list[Any]:
    return db.query(statement(name), parameters)


def row_of_ledger(row: Any) -> LedgerRow:
    """Convert a row of the table slice_ledger, given as a named tuple."""
    return LedgerRow(
        slice=Slice(_series(row), row.day),
        state=SliceState(row.state),
        expected=row.expected,
        present=row.present,
        missing=_missing(row),
        quarantined=row.rows_quarantined,
        fetched_at=row.fetched_at,
        source=Source(row.source),
        requests=row.requests,
        retries=row.retries,
        seconds=row.seconds,
        note=row.note,
    )


def gap_from_row(row: Any) -> Gap:
    """Convert a row of the table gaps, given as a named tuple."""
    return Gap(
        start=row.gap_start,
        end=row.gap_end,
        reason=Reason(row.reason),
        observations=row.observations,
        first_seen=row.first_seen,
        last_seen=row.last_seen,
    )


def _summary(row: Any) -> ExchangeSummary:
    return ExchangeSummary(
        exchange=row.exchange,
        slices=int(row.slices),  # PostgreSQL returns sums as Decimal
        settled=int(row.settled),
        unasked=int(row.unasked),
        expected=int(row.expected),
        present=int(row.present),
        missing=_missing(row),
        quarantined=int(row.rows_quarantined),
        restatements=int(row.restatements),
        first_settled=row.first_settled,
        last_settled=row.last_settled,
        complete_to=row.complete_to,
        complete_since=row.complete_since,
    )


def _known_days(row: Any) -> KnownDays:
    return KnownDays(
        exchange=row.exchange,
        timeframe=Timeframe.parse(row.timeframe),
        symbols=tuple(row.symbols),
        stretches=tuple(map(Stretch, row.firsts or (), row.lasts or ())),
        on_duty_since=row.since,
    )


def _values(row: LedgerRow) -> tuple[Any, ...]:
    missing = [row.missing.get(reason, 0) for reason in Reason]
    counts = (row.state.value, row.expected, row.present, *missing, row.quarantined)
    fetch = (row.fetched_at, row.source.value, row.requests, row.retries, row.seconds, row.note)
    return (*key(row.slice.series), row.slice.day, *counts, *fetch)


def _series(row: Any) -> Series:
    return Series(row.exchange, row.symbol, Timeframe.parse(row.timeframe))


def _missing(row: Any) -> dict[Reason, int]:
    counts = {reason: int(getattr(row, reason) or 0) for reason in Reason}
    return {reason: candles for reason, candles in counts.items() if candles}


def _sources(row: Any) -> dict[Source, int]:
    slices = {source: int(getattr(row, f"from_{source}")) for source in Source}
    return {source: count for source, count in slices.items() if count}


def _of_exchanges(starts: Mapping[Series, date]) -> dict[str, Any]:
    """Return the parameters for the statements `summary` and `live_lag`, with the given series grouped by exchange."""
    groups: dict[str, list[Series]] = {}
    for series in starts:
        groups.setdefault(series.exchange, []).append(series)
    timeframes, counts, first_days = [], [], []
    for group in groups.values():
        timeframes.append(group[0].timeframe.name)
        counts.append(len(group))
        first_days.append(min(starts[series] for series in group))
    return {
        "exchanges": list(groups),
        "timeframes": timeframes,
        "counts": counts,
        "starts": first_days,
        "series": [" ".join(key(series)) for series in starts],
    }


def _columns(series: Sequence[Series]) -> dict[str, list[str]]:
    """Return three lists of equal length: the exchanges, symbols and timeframes of the series."""
    return {
        "exchanges": [line.exchange for line in series],
        "symbols": [line.symbol for line in series],
        "timeframes": [line.timeframe.name for line in series],
    }
