"""The record of Coinbase."""

from __future__ import annotations

from typing import Any

from titan10_dagster.exchanges.venues.venue import EmptyMinutes, FailureKind, Venue, Wire, phrase
from titan10_dagster.planning.quota import Quota


async def _list_markets(exchange: Any) -> list[Any]:
    """Return ccxt's records of the spot markets with one request. ccxt's `fetch_markets` requests futures as well."""
    answer = await exchange.v3PublicGetBrokerageMarketProducts({"product_type": "SPOT"})
    return [exchange.parse_spot_market(product, {}) for product in answer["products"]]


VENUE = Venue(
    exchange="coinbase",
    page_size=300,
    empty_minutes=EmptyMinutes.MISSING,
    wire=Wire(("start", "open", "high", "low", "close", "volume"), 1000, envelope=("candles",)),
    days_per_run=28,
    cost=3,
    # Coinbase counts the requests in each second. A budget of 0.9 leaves a margin: even if a request is delayed by a
    # tenth of a second, the limit is not exceeded.
    budget=0.9,
    quota=Quota(10, 1),
    phrases=(phrase(r"NOT_FOUND|NotFound|ProductID .*invalid|valid product_id", FailureKind.UNKNOWN_SYMBOL),),
    list_markets=_list_markets,
    source="docs: 10 requests per second are allowed. A request for more than 300 candles is refused. Minutes without"
    " trades are left out. An answer can have rows before the start. Error sentences are not documented, so they are"
    " taken from ccxt's tests and issues",
)
