"""Probes an exchange: measures how it behaves, compares the values with the expected values, and stores the result.

The requests of a probe are usually for settled days, so that the answers can be compared with stored candles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from titan10_dagster.candles.frame import VALUES
from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Series, midnight
from titan10_dagster.errors import FetchError
from titan10_dagster.exchanges.markets import resolve
from titan10_dagster.exchanges.probing import Measured, Sample, measure, recorded
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.exchanges.venues.venue import Venue
from titan10_dagster.ingest.clients import breaker_of, open_client
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.event_loop import run_in_event_loop
from titan10_dagster.ingest.markets import stored_or_read
from titan10_dagster.planning.probe import Property, compare
from titan10_dagster.store import ledger, reader
from titan10_dagster.store.ledger import LedgerRow
from titan10_dagster.store.probes import Probe, ProbeStore

_SETTLED_FOR = timedelta(days=2)  # days that are more recent than this are not used: their candles may still change
_LOOK_BACK = timedelta(days=60)  # the measured page is from a settled day that is not older than this
_HOUR = timedelta(hours=1)


def probe_exchange(titan10: IngestContext, exchange: str) -> Probe:
    """Measure how the exchange behaves, compare the values with the expected values, and store the result.

    The expected values come from the exchange's record (its `Venue`) and from the last probe.

    Raises:
        FetchError: none of the configured symbols is an active market, or the exchange refuses the requests.
        BreakerOpen: the circuit breaker does not allow requests now.
    """
    began, record = titan10.now(), venue_of(exchange)
    markets = _configured(titan10, exchange)
    store = ProbeStore(titan10.database)
    last, expected = store.last_values(exchange), recorded(record)
    sample = _sample(titan10, exchange, record, markets, began)
    measured, requests = run_in_event_loop(_measure(titan10, exchange, markets, sample, {**last, **expected}))
    probe = Probe(exchange, began, requests, tuple(compare(measured, expected, last)))
    store.keep(probe)
    return probe


def _configured(titan10: IngestContext, exchange: str) -> Sequence[Market]:
    markets = stored_or_read(titan10, exchange)
    found = resolve(exchange, titan10.exchange(exchange).symbols, markets).markets
    active = [market for market in found if market.active]
    if not active:
        raise FetchError(
            f"{exchange} cannot be probed, because none of the configured symbols is an active market:"
            f" correct exchanges.{exchange}.symbols in titan10.toml.",
            exchange=exchange,
        )
    return active


def _sample(titan10: IngestContext, exchange: str, record: Venue, markets: Sequence[Market], now: datetime) -> Sample:
    timeframe = titan10.exchange(exchange).timeframe
    symbols = [market.symbol for market in markets]
    first, last = (now - _LOOK_BACK).date(), (now - _SETTLED_FOR).date()
    settled = ledger.settled(titan10.database, exchange, timeframe, symbols, first, last)
    rows = [row for row in settled.values() if row.present > 0]
    busiest = max(rows, key=lambda row: (row.present, row.slice.day), default=None)
    quietest = min(rows, key=lambda row: (row.present, row.slice.day), default=None)
    busy = Series(exchange, symbols[0], timeframe) if busiest is None else busiest.slice.series
    quiet = Series(exchange, symbols[-1], timeframe) if quietest is None else quietest.slice.series
    since = _start_of_page(record, busy, busiest, now)
    end = min(since + record.page_size * timeframe.delta, now - _HOUR)
    oldest = _oldest_day(titan10, busy, record)
    known = _stored(titan10, busy, since, end)
    return Sample(busy, quiet, since, known, None if oldest is None else midnight(oldest))


def _start_of_page(record: Venue, busy: Series, row: LedgerRow | None, now: datetime) -> datetime:
    """Return the start of the page to measure.

    Usually this is the start of the settled day `row`. If there is no settled day and the exchange serves candles of
    any age, it is the start of the day that was `_LOOK_BACK` ago. If the exchange serves only recent candles, and no
    settled day is recent enough, it is the start of the newest page.
    """
    step = busy.timeframe.delta
    if row is not None and (record.depth is None or row.slice.start > now - (record.depth - 60) * step):
        return row.slice.start
    if record.depth is None:
        return midnight((now - _LOOK_BACK).date())
    newest = midnight(now.date()) + (now - midnight(now.date())) // step * step
    return newest - min(record.page_size, record.depth - 60) * step


def _oldest_day(titan10: IngestContext, series: Series, record: Venue) -> date | None:
    """Return the first settled day of the series with stored candles, or None if there is no such day.

    The result is also None if the exchange serves only a certain number of the newest candles.
    """
    if record.depth is not None:
        return None
    start, last = titan10.exchange(series.exchange).start, (titan10.now() - _SETTLED_FOR).date()
    settled = ledger.settled(titan10.database, series.exchange, series.timeframe, [series.symbol], start, last)
    return min((row.slice.day for row in settled.values() if row.present > 0), default=None)


def _stored(titan10: IngestContext, series: Series, start: datetime, end: datetime) -> NDArray[np.float64]:
    """Return the stored candles as rows of [time in ms, open, high, low, close, volume]."""
    if end <= start:
        return np.empty((0, 6))
    frame = reader.candles(titan10.database, series, start, end)
    columns = [frame["time"].astype(np.int64), *(frame[name] for name in VALUES)]
    return np.column_stack(columns).astype(np.float64)


async def _measure(
    titan10: IngestContext, exchange: str, markets: Sequence[Market], sample: Sample, expected: Mapping[Property, str]
) -> tuple[Measured, int]:
    breaker = breaker_of(titan10, exchange)
    await breaker.admit()
    try:
        async with open_client(titan10, exchange, markets) as client:
            measured = await measure(client, sample, expected)
            requests = client.requests
    except FetchError as error:
        await breaker.learn(error)
        raise
    await breaker.succeeded()
    return measured, requests
