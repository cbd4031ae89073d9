"""The record of Bitstamp."""

from __future__ import annotations

from typing import Any

from titan10_dagster.exchanges.venues.venue import FailureKind, Venue, phrase
from titan10_dagster.planning.quota import Quota


async def _list_markets(exchange: Any) -> list[Any]:
    """Return ccxt's records of the markets.

    ccxt keeps the answer for a second. Without this change, it would parse the whole answer again instead of a part.
    """
    exchange.options["fetchMarkets"] = {"expires": -1}
    markets: list[Any] = await exchange.fetch_markets()
    return markets


VENUE = Venue(
    exchange="bitstamp",
    page_size=1000,
    market_name=("data", "pair"),
    # ccxt sends a start and an end. According to the documentation, Bitstamp ignores the start of such a request.
    cursor=True,
    phrases=(
        # Bitstamp answers too many requests with HTTP 403, for which ccxt raises PermissionDenied.
        phrase(r"Request limit exceeded", FailureKind.THROTTLED),
        # The pair is a part of the URL's path, so an unknown pair leads to HTTP 404. ccxt raises ExchangeError.
        phrase(r"Invalid pair|/ohlc/\S+ 404", FailureKind.UNKNOWN_SYMBOL),
    ),
    list_markets=_list_markets,
    quota=Quota(10_000, 600),
    source="docs: a request with step 60 returns up to 1000 rows of 1m. 10,000 requests are allowed per 10 minutes."
    " The error code 400.016 is also from the docs",
)
