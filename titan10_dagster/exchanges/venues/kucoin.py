"""KuCoin."""

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
        error_code("code", 400302, kind=FailureKind.REFUSED),  # "... not available in the U.S."; ccxt: ExchangeError
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
        source="kucoin-python-sdk issue 112: the digest is MD5; third parties: close before high, times in seconds",
    ),
    source="docs: 1500 candles, minutes without trades left out; public pool 2000 per 30 s, half of ccxt's rate;"
    " error codes",
)
