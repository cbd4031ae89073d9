"""Bitrue."""

from __future__ import annotations

from titan10_dagster.exchanges.venues.venue import Venue

VENUE = Venue(
    exchange="bitrue",
    page_size=1440,
    depth=1440,
    no_since=True,
    cost=0.24,
    source="code: `since` never goes on the wire",
)
