"""The record of Bitrue."""

from __future__ import annotations

from typing import Any

from titan10_dagster.exchanges.venues.venue import Venue
from titan10_dagster.planning.quota import Quota


async def _list_markets(exchange: Any) -> list[Any]:
    """Return ccxt's records of the spot markets. ccxt's `fetch_markets` fails if only spot markets are requested."""
    answer = await exchange.spotV1PublicGetExchangeInfo({})
    markets: list[Any] = exchange.parse_markets(answer["symbols"])
    return markets


VENUE = Venue(
    exchange="bitrue",
    page_size=1440,
    depth=1440,
    market_name=("symbol",),
    no_since=True,
    cost=0.24,
    quota=Quota(6_000, 60),
    list_markets=_list_markets,
    source="code: ccxt never sends `since`",
)
