"""Gate."""

from __future__ import annotations

from titan10_dagster.exchanges.venues.venue import Venue

VENUE = Venue(
    exchange="gate",
    page_size=1000,
    depth=10_000,
    alternative_source="Gate's monthly CSV archive",
    source="docs: the last 10,000 points (confirmed for futures only)",
)
