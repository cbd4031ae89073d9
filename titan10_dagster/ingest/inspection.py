"""Reads the data for the asset checks from the landing zone, the ledger and other tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from functools import partial

from titan10_dagster.candles.daily import is_beyond_horizon
from titan10_dagster.candles.deviation import Distance
from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.inspection import SliceInspected, not_requested
from titan10_dagster.candles.slices import Slice, SliceState, midnight
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import read_ledger
from titan10_dagster.ingest.judge import SliceVerdict, exceeds_broken_limit
from titan10_dagster.store import rollups
from titan10_dagster.store.audit import Unaccounted, unaccounted
from titan10_dagster.store.database import retrying
from titan10_dagster.store.deviation import comparable_symbols, distances
from titan10_dagster.store.identities import SeriesEvent, events_at
from titan10_dagster.store.ledger import LedgerRow


def inspect_slices(titan10: IngestContext, slices: Sequence[Slice]) -> Iterator[SliceInspected]:
    """Yield the numbers of valid candles, broken rows and missing candles of each slice.

    The numbers come from the file of the slice in the landing zone. If there is no such file, they come from the
    ledger. A slice with neither a file nor a ledger row is yielded as not requested. If such a slice is before the
    exchange's `start`, it is left out.
    """
    days = read_ledger(titan10, slices)
    for slice_ in slices:
        verdict = titan10.judged.verdict(slice_)
        if verdict is not None:
            yield _inspected(verdict, over_limit=exceeds_broken_limit(verdict, titan10.settings.checks))
        elif slice_ in days.ledger:
            yield _inspected_before(days.ledger[slice_])
        elif slice_.day >= days.start:
            yield not_requested(slice_)


def unaccounted_slices(titan10: IngestContext, exchange: str, days: Sequence[date]) -> list[Unaccounted]:
    """Return the slices for which the ledger, the stored candles and the gaps have contradictory numbers of candles.

    All days from the first to the last of `days` are checked.
    """
    timeframe = titan10.exchange(exchange).timeframe
    return retrying(lambda: unaccounted(titan10.database, exchange, timeframe, min(days), max(days)))


def series_events(titan10: IngestContext, exchange: str, days: Sequence[date]) -> dict[date, list[SeriesEvent]]:
    """Return the events of the exchange's series by day, such as a changed market, a break or a mass restatement."""
    start, end = midnight(min(days)), midnight(max(days)) + timedelta(days=1)
    by_day: dict[date, list[SeriesEvent]] = {}
    for event in retrying(lambda: events_at(titan10.database, exchange, start, end)):
        if event.at is not None and event.at.date() in days:
            by_day.setdefault(event.at.date(), []).append(event)
    return by_day


def price_distances(titan10: IngestContext, exchange: str, days: Iterable[date]) -> dict[date, list[Distance]]:
    """Return, for each day, the distances of the exchange's closes from the median of all exchanges.

    Only 1m candles are compared. If the exchange has another timeframe, the lists are empty.
    """
    configured, limit = titan10.exchange(exchange), titan10.settings.checks.stray_bp
    symbols = configured.symbols if configured.timeframe.name == rollups.BASE else ()
    compared = retrying(lambda: comparable_symbols(titan10.database, symbols)) if symbols else []
    if not compared:
        return {day: [] for day in days}
    return {day: retrying(partial(distances, titan10.database, exchange, compared, day, limit=limit)) for day in days}


def _inspected(verdict: SliceVerdict, *, over_limit: bool) -> SliceInspected:
    return SliceInspected(
        slice=verdict.record.slice,
        valid=verdict.valid,
        broken=verdict.broken,
        counts=verdict.counts,
        by_concern=verdict.by_concern,
        shift=verdict.shift,
        answered=verdict.record.answered,
        beyond_horizon=is_beyond_horizon(verdict.record),
        over_broken_limit=over_limit,
        note=verdict.record.note,
    )


def _inspected_before(row: LedgerRow) -> SliceInspected:
    """Return the numbers of a slice that has a ledger row, but no file in the landing zone.

    Broken rows are left out, because the checks after the fetch have already reported them.
    """
    return SliceInspected(
        slice=row.slice,
        valid=row.present,
        answered=row.state == SliceState.SETTLED,
        beyond_horizon=row.missing.get(Reason.BEYOND_HORIZON, 0) == row.expected,
        note="from the ledger, because the landed file no longer exists",
    )
