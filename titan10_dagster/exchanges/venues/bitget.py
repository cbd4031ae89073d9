"""The record of Bitget."""

from __future__ import annotations

from datetime import date, timedelta

from titan10_dagster.exchanges.archive_record import Archive, Cadence, Format, Tree
from titan10_dagster.exchanges.venues.venue import FailureKind, RecentPages, Venue, error_code
from titan10_dagster.planning.quota import Quota

VENUE = Venue(
    exchange="bitget",
    page_size=200,
    recent_pages=RecentPages(1000, timedelta(days=28)),
    cursor=True,
    alternative_source="Bitget's monthly archive",
    phrases=(
        error_code("code", 45001, kind=FailureKind.TRANSIENT),
        error_code("code", 40034, 40309, kind=FailureKind.UNKNOWN_SYMBOL),
    ),
    error_marker='"code"',
    market_fields=("stock",),
    archive=Archive(
        base_url="https://img.bitgetimg.com",
        trees=(Tree(Cadence.DAILY, "online/kline/{symbol}/SP/{label:%Y%m%d}.zip"),),
        first_day=date(2024, 4, 18),
        columns=("time", "open", "high", "low", "close", "volume", ""),
        header={"volume": ("basevolume",), "time": ("timestamp",)},
        format=Format.ZIP_XLSX,
        label_offset=timedelta(hours=8),
        sparse=True,
        absent={403: "AccessDenied", 404: ""},
        etag_is_md5=True,
        source="third parties: the files are Excel workbooks. The day of a file is a day in UTC+8 or in UTC. Only the"
        " rows of the file show which of the two. HTTP 403 with AccessDenied means that a file does not exist",
    ),
    quota=Quota(20, 1),
    source="docs: /candles returns up to 1000 rows, but 1m candles only for the last 30 days. The error codes are also"
    " from the docs. code: if `since` is more than 29 days ago, ccxt uses /history-candles. This endpoint has no start"
    " parameter and returns the last 200 rows before `endTime`",
)
