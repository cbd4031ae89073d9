"""Binance."""

from __future__ import annotations

from datetime import timedelta

from titan10_dagster.exchanges.venues.venue import Bans, EmptyMinutes, FailureKind, Venue, Wire, error_code

VENUE = Venue(
    exchange="binance",
    page_size=1000,
    empty_minutes=EmptyMinutes.FILLED,
    wire=Wire((0, 1, 2, 3, 4, 5), 1, envelope=()),
    alternative_source="data.binance.vision, daily and monthly zips with checksums",
    days_per_run=31,
    cost=0.4,
    quota_pause=timedelta(seconds=60),
    bans=Bans(frozenset({403, 418}), timedelta(minutes=10)),
    phrases=(
        # -1122: the symbol exists, but it is not traded ("status":"BREAK"); ccxt: BadRequest
        error_code("code", -1121, -1122, kind=FailureKind.UNKNOWN_SYMBOL),
        error_code("code", -1008, -1001, -1006, -1007, -1016, kind=FailureKind.TRANSIENT),
        error_code("code", -1003, kind=FailureKind.THROTTLED),
    ),
    source="docs: klines limit 1000, weight 2 of 6000 a minute; 429, then 418 for 2 minutes to 3 days; 403: a"
    " firewall's limit was violated; error codes",
)
