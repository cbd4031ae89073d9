"""The files that a fetch will request, counted before it starts and compared with a real fetch."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from titan10_dagster.archives.catalog import ArchiveFile, plan_units
from titan10_dagster.archives.cost import files_of, read_cost
from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Series, Slice, days
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.exchanges.archive_record import Archive
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.planning.forecast import Cost, Speed

NOW = datetime(2025, 4, 20, 12, tzinfo=UTC)


def archive_of(exchange: str) -> Archive:
    archive = venue_of(exchange).archive
    assert archive is not None
    return archive


def cost(exchange: str, first: date, last: date, *, cached: bool = False, now: datetime = NOW) -> Cost:
    archive = archive_of(exchange)
    series = Series(exchange, "BTC/USDT", TIMEFRAMES["1m"])
    market = Market(exchange, "BTC/USDT", "BTCUSDT", "BTC", "USDT", "BTC", "USDT", active=True)
    wanted = [Slice(series, day) for day in days(first, last)]
    units, _ = plan_units(archive, wanted, {"BTC/USDT": market}, now)

    def is_cached(_: ArchiveFile) -> bool:
        return cached

    return read_cost(archive, units, now, is_cached=is_cached, speed=Speed(files=1_440))


@pytest.mark.parametrize(
    ("exchange", "first", "last", "files", "requests"),
    [
        ("binance", date(2025, 1, 1), date(2025, 3, 31), 3, 6),  # three months and their digests
        ("binance", date(2025, 4, 1), date(2025, 4, 18), 18, 36),  # daily files, because the month has not ended
        (
            "binance",
            date(2020, 12, 1),
            date(2020, 12, 31),
            2,
            4,
        ),  # the monthly file, and a daily file for the day with wrong candles in the monthly file
        ("binanceus", date(2025, 3, 1), date(2025, 3, 31), 1, 2),
        ("okx", date(2025, 2, 1), date(2025, 2, 28), 2, 2),  # the last hours of the month are in the next month's file
        ("okx", date(2025, 2, 1), date(2025, 2, 27), 1, 1),
        # The next month's file is requested but not published yet, so the last day needs two daily files.
        ("okx", date(2025, 3, 1), date(2025, 3, 31), 3, 4),
        ("gate", date(2025, 3, 1), date(2025, 3, 31), 31, 31),
        ("htx", date(2025, 3, 1), date(2025, 3, 31), 32, 64),  # days of UTC+8, with digests
    ],
)
def test_files_and_requests(exchange: str, first: date, last: date, files: int, requests: int) -> None:
    counted = cost(exchange, first, last)
    assert (counted.files, counted.requests) == (files, requests)


def test_cached_files_need_no_request_and_no_bytes() -> None:
    counted = cost("binance", date(2025, 1, 1), date(2025, 3, 31), cached=True)
    assert counted == Cost(requests=0, files=3, cached=3, bytes=0, seconds=90)


def test_a_month_of_binance_has_about_1_8_mb() -> None:
    assert cost("binance", date(2025, 3, 1), date(2025, 3, 31)).bytes == pytest.approx(1.8e6, rel=0.05)


def test_the_files_of_a_unit_are_named() -> None:
    archive = archive_of("binance")
    market = Market("binance", "BTC/USDT", "BTCUSDT", "BTC", "USDT", "BTC", "USDT", active=True)
    wanted = [Slice(Series("binance", "BTC/USDT", TIMEFRAMES["1m"]), date(2025, 3, 10))]
    ((unit,), _) = plan_units(archive, wanted, {"BTC/USDT": market}, NOW)
    assert [str(file) for file in files_of(archive, unit, NOW)] == [
        "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-03-10.zip"
    ]
