"""Coinbase."""

from __future__ import annotations

from typing import Any

from titan10_dagster.exchanges.venues.venue import EmptyMinutes, FailureKind, Venue, Wire, phrase
from titan10_dagster.planning.quota import Quota


async def _list_markets(exchange: Any) -> list[Any]:
    """Return the spot markets in one request; ccxt's own `fetch_markets` requests futures too, twice."""
    answer = await exchange.v3PublicGetBrokerageMarketProducts({"product_type": "SPOT"})
    return [exchange.parse_spot_market(product, {}) for product in answer["products"]]


VENUE = Venue(
    exchange="coinbase",
    page_size=300,
    empty_minutes=EmptyMinutes.MISSING,
    wire=Wire(("start", "open", "high", "low", "close", "volume"), 1000, envelope=("candles",)),
    days_per_run=28,
    cost=3,
    budget=0.9,  # the limit is counted per second, so requests delayed by a tenth of a second must still fit
    quota=Quota(10, 1),
    phrases=(phrase(r"NOT_FOUND|NotFound|ProductID .*invalid|valid product_id", FailureKind.UNKNOWN_SYMBOL),),
    list_markets=_list_markets,
    source="docs: 10 requests/s; 300 candles, more is refused; intervals without ticks are left out; rows may"
    " precede the start. Error sentences as observed in ccxt's tests and issues, because none are documented",
)
