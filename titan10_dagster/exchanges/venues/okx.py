"""The record of OKX."""

from __future__ import annotations

from datetime import date, timedelta

from titan10_dagster.exchanges.archive_record import Archive, Cadence, Tree
from titan10_dagster.exchanges.venues.venue import FailureKind, Venue, Wire, error_code
from titan10_dagster.planning.quota import Quota

VENUE = Venue(
    exchange="okx",
    page_size=300,
    wire=Wire((0, 1, 2, 3, 4, 5), 1, envelope=("data",), confirm=8),
    days_per_run=29,
    quota_pause=timedelta(seconds=2),
    phrases=(
        error_code("code", 51001, kind=FailureKind.UNKNOWN_SYMBOL),
        error_code("code", 50001, kind=FailureKind.MAINTENANCE),
        error_code("code", 50011, 50061, kind=FailureKind.THROTTLED),
        error_code("code", 50004, 50013, 50026, kind=FailureKind.TRANSIENT),
    ),
    error_marker='"code"',
    archive=Archive(
        base_url="https://static.okx.com",
        trees=(
            Tree(
                Cadence.MONTHLY,
                "cdn/okex/traderecords/candlesticks/monthly/{label:%Y%m}/{symbol}-candlesticks-{label:%Y-%m}.zip",
                separator="-",
            ),
            Tree(
                Cadence.DAILY,
                "cdn/okex/traderecords/candlesticks/daily/{label:%Y%m%d}/{symbol}-candlesticks-{label:%Y-%m-%d}.zip",
                separator="-",
            ),
        ),
        first_day=date(2022, 10, 1),
        columns=("", "open", "high", "low", "close", "volume", "", "", "time", ""),
        header={"volume": ("vol",), "time": ("open_time",)},
        label_offset=timedelta(hours=8),
        source="third parties: the paths and the header. The days are in UTC+8. In old files, the volume is the text"
        " None",
    ),
    quota=Quota(20, 2),
    source="docs: the endpoint history-candles returns up to 300 candles, and 20 requests are allowed per 2 s. The"
    " error codes are also from the docs. ccxt issue 26973: a pace that is 10 % slower is safe",
)
