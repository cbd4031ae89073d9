"""Binance.US: the interface of Binance, with other markets and a smaller rate limit."""

from __future__ import annotations

from dataclasses import replace

from titan10_dagster.sandbox.venues import binance
from titan10_dagster.sandbox.venues.venue import SandboxVenue, against, joined

VENUE = SandboxVenue(
    id="binanceus",
    port=18806,
    naming=joined(),
    symbols=(*against("USDT"), "BTC/USD", "ETH/BTC"),
    opens="2019-09-23T00:00:00Z",
    names_delisted=True,
    page_limit=1_000,
    descending=False,
    empty_minutes="filled",
    turnover=0.02,
    quiet=6.0,
    price_decimals=8,
    pad=8,
    limits=(
        replace(
            binance.LIMIT,
            allowed=1_200,
            source="docs.binance.us, Limits: 1200 request weight per minute per IP; 429, then 418",
            cost={"candles": 1, "markets": 10},
        ),
    ),
    refusals=binance.REFUSALS,
    wire=binance.WIRE,
    sources=("docs.binance.us: the interface is that of Binance; 1200 weight a minute, klines have weight 1",),
)
