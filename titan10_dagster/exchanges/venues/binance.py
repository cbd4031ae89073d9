"""The record of Binance."""

from __future__ import annotations

from datetime import date, timedelta

from titan10_dagster.exchanges.archive_record import Archive, Cadence, Tree
from titan10_dagster.exchanges.venues.venue import Bans, EmptyMinutes, FailureKind, Venue, Wire, error_code
from titan10_dagster.planning.quota import Quota

VENUE = Venue(
    exchange="binance",
    page_size=1000,
    empty_minutes=EmptyMinutes.FILLED,
    wire=Wire((0, 1, 2, 3, 4, 5), 1, envelope=(), close_time=6),
    alternative_source="data.binance.vision, daily and monthly zips with checksums",
    days_per_run=31,
    cost=0.4,
    quota=Quota(3_000, 60),
    quota_pause=timedelta(seconds=60),
    bans=Bans(frozenset({403, 418}), timedelta(minutes=10)),
    phrases=(
        # Code -1122: the symbol exists but is not traded ("status":"BREAK"). For this code, ccxt raises BadRequest.
        error_code("code", -1121, -1122, kind=FailureKind.UNKNOWN_SYMBOL),
        error_code("code", -1008, -1001, -1006, -1007, -1016, kind=FailureKind.TRANSIENT),
        error_code("code", -1003, kind=FailureKind.THROTTLED),
    ),
    archive=Archive(
        base_url="https://data.binance.vision",
        trees=(
            Tree(
                Cadence.MONTHLY,
                "data/spot/monthly/klines/{symbol}/{timeframe}/{symbol}-{timeframe}-{label:%Y-%m}.zip",
                digest="{path}.CHECKSUM",
            ),
            Tree(
                Cadence.DAILY,
                "data/spot/daily/klines/{symbol}/{timeframe}/{symbol}-{timeframe}-{label:%Y-%m-%d}.zip",
                digest="{path}.CHECKSUM",
            ),
        ),
        first_day=date(2017, 8, 17),
        columns=("time", "open", "high", "low", "close", "volume"),
        # Issue 475: 398 rows of monthly files differ from the daily files. The daily files are equal to REST.
        daily_preferred=frozenset(
            date.fromisoformat(day)
            for day in ("2020-12-21", "2021-01-21", "2021-04-22", "2021-04-23", "2021-09-23", "2021-09-29")
        ),
        source="docs: README of the repository binance-public-data, and its issues 386 (times in microseconds since"
        " 2025), 475 (errors in monthly files), 39 and 405 (digests), 375 (late files)",
    ),
    source="docs: a request for klines returns up to 1000 candles and has a weight of 2. A weight of 6000 is allowed"
    " per minute. If requests continue after HTTP 429, a ban of 2 minutes to 3 days follows (HTTP 418). HTTP 403 means"
    " that a firewall limit was violated. The error codes are also from the docs",
)
