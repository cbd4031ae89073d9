"""The record of KuCoin."""

from __future__ import annotations

from datetime import date, timedelta

from titan10_dagster.exchanges.archive_record import Archive, Cadence, Tree
from titan10_dagster.exchanges.venues.venue import EmptyMinutes, FailureKind, Venue, error_code, phrase
from titan10_dagster.planning.quota import Quota

VENUE = Venue(
    exchange="kucoin",
    page_size=1500,
    empty_minutes=EmptyMinutes.MISSING,
    cost=3,
    budget=0.5,
    quota=Quota(666, 30),
    quota_pause=timedelta(seconds=30),
    phrases=(
        error_code("code", 429000, 200002, kind=FailureKind.THROTTLED),
        # Code 400302 has the message "... not available in the U.S.". For this code, ccxt raises ExchangeError.
        error_code("code", 400302, kind=FailureKind.REFUSED),
        phrase(r"symbol not exists|This pair is not provided", FailureKind.UNKNOWN_SYMBOL),
    ),
    error_marker='"code"',
    archive=Archive(
        base_url="https://historical-data.kucoin.com",
        trees=(
            Tree(
                Cadence.DAILY,
                "data/spot/daily/klines/{symbol}/{timeframe}/{symbol}-{timeframe}-{label:%Y-%m-%d}.zip",
                digest="{path}.CHECKSUM",
            ),
        ),
        first_day=date(2022, 12, 1),
        columns=("time", "open", "close", "high", "low", "volume", ""),
        sparse=True,
        source="kucoin-python-sdk issue 112: the digest is an MD5 digest. third parties: the column close comes before"
        " high, and times are in seconds",
    ),
    source="docs: a request returns up to 1500 candles. Minutes without trades are left out. Public requests may have a"
    " total weight of 2000 per 30 s, which is half of ccxt's rate. The error codes are also from the docs",
)
