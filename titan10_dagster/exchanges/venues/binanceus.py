"""The record of Binance.US, which has the same API as Binance."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from titan10_dagster.exchanges.archive_record import Archive, Cadence, Tree
from titan10_dagster.exchanges.venues import binance
from titan10_dagster.planning.quota import Quota

VENUE = replace(
    binance.VENUE,
    exchange="binanceus",
    alternative_source=None,
    archive=Archive(
        base_url="https://data.binance.us",
        trees=(
            Tree(
                Cadence.MONTHLY,
                "public_data/spot/monthly/klines/{symbol}/{timeframe}/{symbol}-{timeframe}-{label:%Y-%m}.zip",
                digest="{path}.CHECKSUM",
            ),
            Tree(
                Cadence.DAILY,
                "public_data/spot/daily/klines/{symbol}/{timeframe}/{symbol}-{timeframe}-{label:%Y-%m-%d}.zip",
                digest="{path}.CHECKSUM",
            ),
        ),
        first_day=date(2019, 9, 17),
        columns=("time", "open", "high", "low", "close", "volume"),
        source="freqtrade issue 12743 lists the paths. It is not known whether digests are published",
    ),
    days_per_run=27,
    quota=Quota(1_200, 60),
    source="docs: the API is the same as the API of Binance, but the quota is smaller",
)
