"""The record of HTX, formerly Huobi."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from titan10_dagster.exchanges.archive_record import Archive, Cadence, Tree
from titan10_dagster.exchanges.venues.venue import EmptyMinutes, FailureKind, Venue, phrase
from titan10_dagster.planning.quota import Quota


async def _list_markets(exchange: Any) -> list[Any]:
    """Return ccxt's records of the spot markets.

    The client sets the option "types" of ccxt's `fetch_markets` to the list ["spot"]. ccxt's class of HTX needs a dict
    instead of this list. Therefore `fetch_markets` is not used.
    """
    markets: list[Any] = await exchange.fetch_markets_by_type_and_sub_type("spot", None, {})
    return markets


VENUE = Venue(
    exchange="htx",
    page_size=1000,
    empty_minutes=EmptyMinutes.FILLED,
    market_name=("ch",),
    market_pattern=r"market\.(.+)\.kline.*",
    off_grid={"1d": "16:00 UTC"},
    refuses_before_listing=True,
    phrases=(phrase(r'"(rate-)?too-many-requests?"|"base-request-exceed-frequency-limit"', FailureKind.THROTTLED),),
    list_markets=_list_markets,
    archive=Archive(
        base_url="https://www.htx.com",
        trees=(
            Tree(
                Cadence.DAILY,
                "data/historical_data/spot/daily/klines/{symbol}/{timeframe}/"
                "{symbol}-klines-{timeframe}-{label:%Y-%m-%d}.zip",
                separator="-",
                digest="{path}.CHECKSUM",
            ),
            Tree(
                Cadence.DAILY,
                "data/data/klines/spot/daily/{symbol}/{timeframe}/{symbol}-{timeframe}-{label:%Y-%m-%d}.zip",
                digest="{stem}.CHECKSUM",
                timeframes={"1m": "1min"},
            ),
        ),
        first_day=date(2021, 1, 1),
        columns=("time", "open", "close", "high", "low", "", "volume"),
        header={"volume": ("amount", "vol"), "time": ("id", "ts")},
        label_offset=timedelta(hours=8),
        source="third parties: there are two trees of files, with days in UTC+8. If a file has a column amount, this"
        " column has the base volume, and the column vol has the quote volume",
    ),
    quota=Quota(10, 1),
    source="docs: a minute without trades has a row with volume 0. 10 requests per second are allowed. 1d candles begin"
    " at midnight in GMT+8 (ccxt PR 17783; huobiapi/API_Docs_en issue 8). HTX answers with an error if `from` is before"
    " the listing (ccxt PR 21686)",
)
