"""Convert ccxt's dictionary of a market into a `Market` and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from titan10_dagster.candles.markets import Market
from titan10_dagster.exchanges.venues.venue import Venue


def market_of(venue: Venue, record: Mapping[str, Any]) -> Market:
    return Market(
        exchange=venue.exchange,
        symbol=record["symbol"],
        market_id=record["id"],
        base=record["base"],
        quote=record["quote"],
        base_id=record["baseId"],
        quote_id=record["quoteId"],
        active=record.get("active") is not False,
        type=record["type"],
        extra={name: record[name] for name in venue.all_market_fields if record.get(name) is not None},
    )


def unique_markets(markets: Iterable[Market]) -> list[Market]:
    """Return one market for each symbol, sorted by symbol.

    An active market is preferred to an inactive market with the same symbol, because some exchanges still list an old
    market with this symbol as inactive. If several markets of a symbol are active, the first active market is returned.
    Its field `rivals` contains the other active markets.
    """
    by_symbol: dict[str, Market] = {}
    for market in markets:
        known = by_symbol.get(market.symbol)
        if known is None or (market.active and not known.active):
            by_symbol[market.symbol] = market
        elif market.active and market.market_id != known.market_id:
            by_symbol[market.symbol] = replace(known, rivals=(*known.rivals, market))
    return [by_symbol[symbol] for symbol in sorted(by_symbol)]


def ccxt_market(market: Market) -> dict[str, Any]:
    """Return ccxt's dictionary of a market, with only the fields that `fetch_ohlcv` needs.

    For Kraken, the id must be the key of the market in Kraken's market list. With any other id, ccxt does not find the
    candles in Kraken's answers.
    """
    return {
        "id": market.market_id,
        "lowercaseId": market.market_id.lower(),
        "symbol": market.symbol,
        "base": market.base,
        "quote": market.quote,
        "baseId": market.base_id,
        "quoteId": market.quote_id,
        "type": market.type,
        market.type: True,
        "active": market.active,
        **market.extra,
    }
