"""OKX."""

from __future__ import annotations

from datetime import timedelta

from titan10_dagster.exchanges.venues.venue import FailureKind, Venue, Wire, error_code

VENUE = Venue(
    exchange="okx",
    page_size=300,
    wire=Wire((0, 1, 2, 3, 4, 5), 1, envelope=("data",)),
    days_per_run=29,
    quota_pause=timedelta(seconds=2),
    phrases=(
        error_code("code", 51001, kind=FailureKind.UNKNOWN_SYMBOL),
        error_code("code", 50001, kind=FailureKind.MAINTENANCE),
        error_code("code", 50011, 50061, kind=FailureKind.THROTTLED),
        error_code("code", 50004, 50013, 50026, kind=FailureKind.TRANSIENT),
    ),
    error_marker='"code"',
    source="docs: history-candles limit 300, 20 requests per 2 s; error codes; ccxt issue 26973: 10 % slower is safe",
)
