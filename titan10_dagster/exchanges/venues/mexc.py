"""MEXC."""

from __future__ import annotations

from titan10_dagster.exchanges.venues.venue import Venue

VENUE = Venue(
    exchange="mexc",
    page_size=500,
    source="code: 500 rows; `features` say 1000",
)
