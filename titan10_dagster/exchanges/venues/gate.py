"""The record of Gate."""

from __future__ import annotations

from datetime import date

from titan10_dagster.exchanges.archive_record import Archive, Cadence, Format, Tree
from titan10_dagster.exchanges.venues.venue import Venue
from titan10_dagster.planning.quota import Quota

VENUE = Venue(
    exchange="gate",
    page_size=1000,
    depth=10_000,
    alternative_source="Gate's monthly CSV archive",
    archive=Archive(
        base_url="https://download.gatedata.org",
        trees=(
            Tree(
                Cadence.DAILY,
                "spot/candlesticks_{timeframe}/{label:%Y%m}/{symbol}-{label:%Y%m%d}.csv.gz",
                separator="_",
            ),
        ),
        first_day=date(2023, 1, 1),
        columns=("time", "volume", "close", "high", "low", "open"),
        format=Format.GZIP_CSV,
        sparse=True,
        etag_is_md5=True,
        source="docs: Gate announcement 21688 describes the archive. third parties: the columns and the paths of the"
        " daily files. The ETag of a file is its MD5 digest",
    ),
    quota=Quota(200, 10),
    source="docs: only the last 10,000 candles are served (confirmed only for futures)",
)
