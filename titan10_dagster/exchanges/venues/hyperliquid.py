"""Hyperliquid."""

from __future__ import annotations

from titan10_dagster.exchanges.venues.venue import EmptyMinutes, Venue

VENUE = Venue(
    exchange="hyperliquid",
    page_size=5000,
    depth=5000,
    empty_minutes=EmptyMinutes.FILLED,
    cost=4,
    market_fields=("baseName",),
    positional_markets=True,
    source="docs: only the last 5000 candles",
)
