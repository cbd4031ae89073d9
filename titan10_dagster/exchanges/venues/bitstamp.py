"""Bitstamp."""

from __future__ import annotations

from titan10_dagster.exchanges.venues.venue import FailureKind, Venue, phrase

VENUE = Venue(
    exchange="bitstamp",
    page_size=1000,
    cursor=True,  # ccxt sends start and end, of which the documents say that the end wins
    phrases=(phrase(r"Request limit exceeded", FailureKind.THROTTLED),),  # with HTTP 403; ccxt: PermissionDenied
    source="docs: step 60, 1000 rows; 10,000 requests per 10 min; code 400.016",
)
