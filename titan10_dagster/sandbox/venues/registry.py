"""The exchanges that the sandbox can play."""

from __future__ import annotations

from collections.abc import Mapping

from titan10_dagster.sandbox.venues import binance, bybit, coinbase, kraken, okx
from titan10_dagster.sandbox.venues.venue import Venue

VENUES: Mapping[str, Venue] = {module.VENUE.id: module.VENUE for module in (binance, coinbase, kraken, okx, bybit)}


def venue(exchange: str) -> Venue:
    """The venue of that ccxt id. Raises ValueError naming those there are."""
    if exchange not in VENUES:
        raise ValueError(f"the sandbox has no exchange {exchange!r}; it has {', '.join(VENUES)}")
    return VENUES[exchange]
