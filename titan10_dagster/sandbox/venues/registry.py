"""The exchanges that the sandbox can simulate."""

from __future__ import annotations

from collections.abc import Mapping

from titan10_dagster.sandbox.venues import (
    binance,
    binanceus,
    bingx,
    bitfinex,
    bitget,
    bithumb,
    bitrue,
    bitstamp,
    bybit,
    coinbase,
    cryptocom,
    gate,
    gemini,
    htx,
    hyperliquid,
    kraken,
    kucoin,
    mexc,
    okx,
    phemex,
    upbit,
)
from titan10_dagster.sandbox.venues.venue import SandboxVenue

_MODULES = (
    *(binance, coinbase, kraken, okx, bybit),  # the exchanges of the default settings come first
    *(binanceus, bitfinex, bitget, bithumb, bitrue, bitstamp, bingx, cryptocom, gate, gemini, htx, hyperliquid),
    *(kucoin, mexc, phemex, upbit),
)
VENUES: Mapping[str, SandboxVenue] = {module.VENUE.id: module.VENUE for module in _MODULES}


def venue(exchange: str) -> SandboxVenue:
    """Return the venue of a ccxt id. Raises ValueError if the sandbox has no such venue."""
    if exchange not in VENUES:
        raise ValueError(f"the sandbox has no exchange {exchange!r}; it has {', '.join(VENUES)}")
    return VENUES[exchange]
