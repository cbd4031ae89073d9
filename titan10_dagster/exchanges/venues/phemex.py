"""The record of Phemex."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from titan10_dagster.exchanges.venues.venue import Venue
from titan10_dagster.planning.quota import Quota


async def _list_markets(exchange: Any) -> list[Any]:
    """Return ccxt's records of the spot markets with one request. ccxt's `fetch_markets` requests futures as well.

    The scale of a market's volumes is in the record of its base currency. ccxt's `fetch_markets` fails if the record of
    any currency is broken. Here, only the markets of this currency cannot be read. If a currency has no record, ccxt
    assumes the scale 8.
    """
    answer = await exchange.v2GetPublicProducts({})
    scales: dict[str, Any] = {}
    default: int | None = 8
    for currency in answer["data"].get("currencies") or ():
        if isinstance(currency, Mapping) and isinstance(currency.get("currency"), str):
            scales[currency["currency"]] = exchange.safe_integer(currency, "valueScale")
        else:
            default = None  # the broken record possibly belongs to the currency without a record
    markets: list[Any] = []
    for product in answer["data"]["products"]:
        if not str(product["type"]).lower().startswith("perpetual"):
            scale = scales.get(product["baseCurrency"], default)
            if scale is None:
                raise ValueError(f"the currency {product['baseCurrency']!r} has no valueScale")
            markets.append(exchange.parse_spot_market({**product, "valueScale": str(scale)}))
    return markets


VENUE = Venue(
    exchange="phemex",
    page_size=1000,
    accepted_limits=(5, 10, 50, 100, 500, 1000),
    depth=1000,
    no_since=True,
    cost=5,
    quota=Quota(10, 60),
    list_markets=_list_markets,
    market_records=("data", "products"),
    market_fields=("priceScale", "valueScale"),
    source="docs: the limit is one of 5, 10, 50, 100, 500 and 1000. code: ccxt never sends `since`. Prices and volumes"
    " are integers. Their scales are in ccxt's record of the market",
)
