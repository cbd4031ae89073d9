"""The record of Hyperliquid."""

from __future__ import annotations

from titan10_dagster.exchanges.venues.venue import EACH, EmptyMinutes, Venue
from titan10_dagster.planning.quota import Quota

VENUE = Venue(
    exchange="hyperliquid",
    page_size=5000,
    depth=5000,
    empty_minutes=EmptyMinutes.FILLED,
    market_name=(EACH, "s"),
    cost=4,
    quota=Quota(60, 60),
    market_fields=("baseName",),
    market_records=(0, "universe"),
    source="docs: only the last 5000 candles are served",
)
