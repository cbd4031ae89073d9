"""Bitget."""

from __future__ import annotations

from titan10_dagster.exchanges.venues.venue import FailureKind, Venue, error_code

VENUE = Venue(
    exchange="bitget",
    page_size=200,
    cursor=True,
    alternative_source="Bitget's monthly archive",
    phrases=(
        error_code("code", 45001, kind=FailureKind.TRANSIENT),
        error_code("code", 40034, 40309, kind=FailureKind.UNKNOWN_SYMBOL),
    ),
    error_marker='"code"',
    market_fields=("stock",),
    source="code: history-candles return 200 back from `endTime` and have no start; the endpoint that returns more,"
    " of the last 30 days only, is not used. docs: error codes",
)
