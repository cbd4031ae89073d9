"""Requests and stores the market list of an exchange, and finds the configured symbols in the list."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Slice
from titan10_dagster.errors import FetchError, TransientError
from titan10_dagster.exchanges.market_lists import MarketList
from titan10_dagster.exchanges.markets import Resolution, read_markets, resolve
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.ingest.clients import breaker_of, open_client
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.event_loop import run_in_event_loop
from titan10_dagster.store.database import retrying
from titan10_dagster.store.identities import EventKind, events_since
from titan10_dagster.store.markets import MarketStore

log = logging.getLogger(__name__)

# A change of a market is reported for this long after the last observation of the change.
RECENT = timedelta(days=1)


def refresh_markets(titan10: IngestContext, exchange: str) -> MarketList:
    """Request the exchange's list of spot markets, store the list, and return it.

    If more than a fifth of the active markets are missing, inactive or different in the new list, the list is possibly
    wrong. Then the stored records of these markets do not change until a second list, an hour or more later, contains
    the same changes; see `candles.confirmation`.

    Raises:
        FetchError: the exchange did not answer.
    """
    listed = run_in_event_loop(_read(titan10, exchange))
    configured = titan10.settings.exchanges.get(exchange)
    concerned = () if configured is None else configured.symbols
    unconfirmed = MarketStore(titan10.database).replace(exchange, listed.markets, titan10.now(), concerned=concerned)
    if unconfirmed:
        log.warning(
            "%s: in the new market list, %d of the active markets are missing, inactive or different. That is more "
            "than a fifth, so the list is possibly wrong. Titan-10 keeps the stored records of these markets until a "
            "second list, an hour or more later, has the same changes.",
            exchange,
            unconfirmed,
        )
    return listed


def market_events(titan10: IngestContext, exchange: str) -> list[str]:
    """Return a text for each symbol that belongs to a new market or to several markets.

    A symbol is left out if the last observation of this change is older than RECENT.
    """
    events = events_since(titan10.database, exchange, titan10.now() - RECENT)
    kinds = (EventKind.MARKET_CHANGED, EventKind.MARKET_AMBIGUOUS)
    return [event.detail for event in events if event.kind in kinds]


def stored_or_read(titan10: IngestContext, exchange: str) -> Sequence[Market]:
    """Return the stored markets of the exchange. If no markets are stored, request the market list.

    Raises:
        FetchError: the market list had to be requested, but the request failed or was not allowed.
    """
    return MarketStore(titan10.database).load(exchange) or refresh_markets(titan10, exchange).markets


def resolve_slices(titan10: IngestContext, exchange: str, slices: Sequence[Slice]) -> Resolution:
    """Return the markets of the slices' symbols, and the reason for each symbol without a market.

    The market list is requested in three cases:

    - No list is stored. Exception: if the exchange no longer serves any of the days and no archive is configured, no
      list is needed.
    - The last list showed changes that a second list must confirm, and an hour has passed since then.
    - A symbol is missing in the stored list. Possibly the exchange has listed the symbol in the meantime.

    If the request fails and the stored list has at least one of the symbols, the stored list is used. Possibly the
    exchange has listed the other symbols in the meantime, so their error is a TransientError.

    Raises:
        FetchError: the market list had to be requested, but the request failed or was not allowed.
    """
    facts, now = venue_of(exchange), titan10.now()
    stored = retrying(lambda: MarketStore(titan10.database).load(exchange))
    has_archive = "archive" in titan10.exchange(exchange).sources
    if not stored and not has_archive and not any(facts.reaches(slice_, now) for slice_ in slices):
        return Resolution((), {})
    symbols = dict.fromkeys(slice_.series.symbol for slice_ in slices)
    resolution = resolve(exchange, symbols, stored)
    if resolution.unknown or MarketStore(titan10.database).awaits_second_list(exchange, now):
        try:
            refresh_markets(titan10, exchange)
        except FetchError as error:
            if not resolution.markets:
                raise
            log.warning("%s: the stored market list is used, because no new list could be read: %s", exchange, error)
            return replace(resolution, unknown={symbol: _undecided(symbol, error) for symbol in resolution.unknown})
        # The stored markets are used, because they include markets that are missing in the new list.
        resolution = resolve(exchange, symbols, MarketStore(titan10.database).load(exchange))
    return resolution


def _undecided(symbol: str, error: FetchError) -> FetchError:
    """Return the error of a symbol that is not in the stored market list. `error`: why no new list could be read."""
    text = f"{error.exchange} {symbol}: the stored market list does not have it, and no new list could be read: {error}"
    return TransientError(text, exchange=error.exchange, symbol=symbol)


def listed_by_exchange(titan10: IngestContext, exchanges: Iterable[str]) -> dict[str, list[str]]:
    """Return, for each exchange, the configured symbols that are in the stored market list of this exchange.

    If no market list of an exchange is stored, all its configured symbols are returned. All lists are read with one
    query.
    """
    return MarketStore(titan10.database).listed({name: titan10.exchange(name).symbols for name in exchanges})


async def _read(titan10: IngestContext, exchange: str) -> MarketList:
    breaker = breaker_of(titan10, exchange)
    async with open_client(titan10, exchange, [], breaker=breaker) as client:
        return await read_markets(client, breaker=breaker, retry_limits=titan10.retry_limits)
