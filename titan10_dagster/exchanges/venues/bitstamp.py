"""Bitstamp."""

from __future__ import annotations

from titan10_dagster.exchanges.venues.venue import FailureKind, Venue, phrase
from titan10_dagster.planning.quota import Quota

VENUE = Venue(
    exchange="bitstamp",
    page_size=1000,
    cursor=True,  # ccxt sends start and end; according to the documentation only the end counts then
    phrases=(
        phrase(r"Request limit exceeded", FailureKind.THROTTLED),  # with HTTP 403; ccxt: PermissionDenied
        # The pair is a part of the path, so an unknown one is HTTP 404; ccxt: ExchangeError.
        phrase(r"Invalid pair|/ohlc/\S+ 404", FailureKind.UNKNOWN_SYMBOL),
    ),
    quota=Quota(10_000, 600),
    source="docs: step 60, 1000 rows; 10,000 requests per 10 min; code 400.016",
)
