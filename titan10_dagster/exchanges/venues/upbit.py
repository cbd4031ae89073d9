"""The record of Upbit."""

from __future__ import annotations

from datetime import date, timedelta

from titan10_dagster.exchanges.archive_record import Archive, Cadence, Tree
from titan10_dagster.exchanges.venues.venue import EACH, EmptyMinutes, FailureKind, Venue, phrase
from titan10_dagster.planning.quota import Quota

VENUE = Venue(
    exchange="upbit",
    page_size=200,
    empty_minutes=EmptyMinutes.MISSING,
    market_name=(EACH, "market"),
    cursor=True,
    cost=2,
    quota=Quota(10, 1),
    quota_pause=timedelta(seconds=2),
    phrases=(phrase(r"Code not found", FailureKind.UNKNOWN_SYMBOL),),  # for this error, ccxt raises ExchangeError
    archive=Archive(
        base_url="https://crix-data.upbit.com",
        trees=(
            Tree(
                Cadence.DAILY,
                "candle/{symbol}/daily/{timeframe}/{label:%Y}/{symbol}_candle-{timeframe}_{label:%Y%m%d}.zip",
                separator="-",
                quote_first=True,
                digest="{path}.checksum",
            ),
        ),
        first_day=date(2017, 9, 25),
        columns=("time", "open", "high", "low", "close", "", "volume"),
        header={"volume": ("acc_trade_volume",), "time": ("date_time_utc",)},
        sparse=True,
        licence="Upbit allows personal, non-commercial use of its files and forbids redistribution",
        source="third parties: the header and the licence. A digest file contains only a SHA-256 digest. Minutes"
        " without trades are left out",
    ),
    source="docs: a request returns up to 200 candles, which are the last candles before a given time. Minutes without"
    " trades are left out. If requests continue after HTTP 429, a ban follows (HTTP 418)",
)
