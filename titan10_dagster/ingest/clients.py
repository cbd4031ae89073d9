"""Creates clients of exchanges from the settings.

A client uses the circuit breaker of its exchange, and a share of the exchange's allowed request rate.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from titan10_dagster.candles.fetched import FetchedSlice, Source
from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Slice
from titan10_dagster.errors import FetchError, LandingError
from titan10_dagster.exchanges.breaker import Breaker
from titan10_dagster.exchanges.client import TIMEOUT_MS, ExchangeClient
from titan10_dagster.exchanges.fetching import FetchReport, fetch_slices
from titan10_dagster.exchanges.pacing import SAFE_SHARE, live_share
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.planning.breaker import Health
from titan10_dagster.planning.forecast import Cost
from titan10_dagster.store.breakers import HealthStore

log = logging.getLogger(__name__)


def open_client(
    titan10: IngestContext,
    exchange: str,
    markets: Sequence[Market],
    *,
    pace_share: float | None = None,
    timeout_ms: int = TIMEOUT_MS,
    breaker: Breaker | None = None,
) -> ExchangeClient:
    """Return a client for the exchange.

    `pace_share`: the share of the exchange's allowed request rate that the client uses. Default: see `pace_share_of`.
    `breaker`: the caller's breaker for this exchange, if the caller has one. A second breaker would read the stored
        state again.
    """
    settings = titan10.exchange(exchange)
    if pace_share is None:
        pace_share = pace_share_of(titan10, exchange)
    return ExchangeClient(
        exchange,
        markets,
        base_url=settings.base_url,
        proxy=settings.proxy.get_secret_value() if settings.proxy else None,
        paced=settings.paced,
        pace_share=pace_share,
        timeout_ms=timeout_ms,
        breaker=breaker or breaker_of(titan10, exchange),
        now=titan10.now,
    )


async def fetch_by_rest(
    titan10: IngestContext,
    exchange: str,
    markets: Sequence[Market],
    slices: Sequence[Slice],
    land: Callable[[FetchedSlice], None],
) -> FetchReport:
    """Request slices at the pace that the exchange allows, and pass each slice to `land`; see `fetch_slices`.

    A failed fetch returns no report. Therefore, if the fetch fails, this function passes the cost to `on_spent`.
    """
    breaker, began = breaker_of(titan10, exchange), time.monotonic()
    async with open_client(titan10, exchange, markets, breaker=breaker) as client:
        try:
            return await fetch_slices(
                client,
                slices,
                now=titan10.now,
                land=land,
                breaker=breaker,
                log=log,
                retry_limits=titan10.retry_limits,
            )
        except (FetchError, LandingError):
            titan10.on_spent({Source.REST: Cost(requests=client.requests, seconds=time.monotonic() - began)})
            raise


def pace_share_of(titan10: IngestContext, exchange: str) -> float:
    """Return the share of the exchange's allowed request rate that a run uses.

    This is SAFE_SHARE. If live polling is enabled, the share of live polling is subtracted.
    """
    return SAFE_SHARE - (live_share_of(titan10, exchange) if titan10.settings.live.enabled else 0.0)


def page_spacing(titan10: IngestContext, exchange: str) -> float | None:
    """Return the time (in seconds) from one request for a page to the next, if a run makes all allowed requests.

    Return None if the settings turn the pace off.
    """
    if not titan10.exchange(exchange).paced:
        return None
    return venue_of(exchange).page_seconds / pace_share_of(titan10, exchange)


def breaker_of(titan10: IngestContext, exchange: str) -> Breaker:
    """Return the exchange's circuit breaker and pace, which all processes share."""
    return Breaker(exchange, HealthStore(titan10.database), titan10.now)


def health_of(titan10: IngestContext, exchange: str) -> Health:
    """Return the state of the exchange's circuit breaker."""
    return HealthStore(titan10.database).load(exchange)


def healths_of(titan10: IngestContext) -> dict[str, Health]:
    """Return the state of the circuit breaker of each enabled exchange. All states are read with one query."""
    known = HealthStore(titan10.database).load_all()
    return {name: known.get(name, Health(name)) for name in titan10.settings.enabled}


def live_share_of(titan10: IngestContext, exchange: str) -> float:
    """Return the share of the exchange's request rate that is reserved for live polling."""
    return live_share(venue_of(exchange), len(titan10.exchange(exchange).symbols))
