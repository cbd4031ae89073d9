"""The record of LBank."""

from __future__ import annotations

from titan10_dagster.exchanges.venues.venue import FailureKind, Venue, error_code, list_spot_markets

VENUE = Venue(
    exchange="lbank",
    page_size=2000,
    cost=2.5,
    phrases=(error_code("error_code", 10004, kind=FailureKind.THROTTLED),),
    list_markets=list_spot_markets,
    source="code: ccxt's `features` have a limit of 2000 candles. The error code is from the docs",
)
