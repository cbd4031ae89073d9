"""The files that contain a day: labels, months, publication, and the paths of every archive."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from titan10_dagster.archives.catalog import candidates, first_monday, labels_of, month_after, plan_units, uncovered
from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Series, Slice, days
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.exchanges.archive_record import Cadence
from titan10_dagster.exchanges.venues.registry import venue_of

NOW = datetime(2025, 4, 20, 12, tzinfo=UTC)
MINUTES = TIMEFRAMES["1m"]


def market(exchange: str) -> Market:
    return Market(exchange, "BTC/USDT", "BTCUSDT", "BTC", "USDT", "BTC", "USDT", active=True)


def slices(exchange: str, first: date, last: date) -> list[Slice]:
    return [Slice(Series(exchange, "BTC/USDT", MINUTES), day) for day in days(first, last)]


def paths(exchange: str, label: date) -> list[str]:
    archive = venue_of(exchange).archive
    assert archive is not None
    series = Series(exchange, "BTC/USDT", MINUTES)
    return [
        path
        for cadence in Cadence
        for file in candidates(archive, series, market(exchange), label, cadence)
        for path in (file.path, file.digest_path)
        if path is not None
    ]


# The expected paths. They come from the facts about each archive.
@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        ("binance", "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-03-01.zip.CHECKSUM"),
        ("binance", "data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-03.zip"),
        ("binanceus", "public_data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-03-01.zip"),
        ("okx", "cdn/okex/traderecords/candlesticks/daily/20240301/BTC-USDT-candlesticks-2024-03-01.zip"),
        ("okx", "cdn/okex/traderecords/candlesticks/monthly/202403/BTC-USDT-candlesticks-2024-03.zip"),
        ("gate", "spot/candlesticks_1m/202403/BTC_USDT-20240301.csv.gz"),
        ("kucoin", "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-03-01.zip.CHECKSUM"),
        ("htx", "data/historical_data/spot/daily/klines/BTC-USDT/1m/BTC-USDT-klines-1m-2024-03-01.zip.CHECKSUM"),
        ("htx", "data/data/klines/spot/daily/BTCUSDT/1min/BTCUSDT-1min-2024-03-01.CHECKSUM"),
        ("bitget", "online/kline/BTCUSDT/SP/20240301.zip"),
        ("upbit", "candle/USDT-BTC/daily/1m/2024/USDT-BTC_candle-1m_20240301.zip.checksum"),
    ],
)
def test_a_file_lies_where_the_exchange_says(exchange: str, expected: str) -> None:
    assert expected in paths(exchange, date(2024, 3, 1))


def test_a_day_of_utc_plus_8_is_in_two_files() -> None:
    day = date(2024, 3, 1)
    assert labels_of(day, timedelta(0)) == [day]
    assert labels_of(day, timedelta(hours=8)) == [day, date(2024, 3, 2)]


def test_a_file_of_utc_plus_8_begins_at_16_o_clock_the_day_before() -> None:
    archive = venue_of("okx").archive
    assert archive is not None
    (file,) = candidates(archive, Series("okx", "BTC/USDT", MINUTES), market("okx"), date(2024, 3, 1), Cadence.DAILY)
    assert (file.start, file.end) == (
        datetime(2024, 2, 29, 16, tzinfo=UTC),
        datetime(2024, 3, 1, 16, tzinfo=UTC),
    )


def test_months_follow_each_other() -> None:
    assert month_after(date(2024, 12, 31)) == date(2025, 1, 1)
    assert month_after(date(2024, 1, 1)) == date(2024, 2, 1)


def test_monthly_files_come_on_the_first_monday() -> None:
    assert first_monday(date(2024, 4, 1)) == datetime(2024, 4, 1, tzinfo=UTC)
    assert first_monday(date(2024, 5, 1)) == datetime(2024, 5, 6, tzinfo=UTC)


def test_a_few_days_of_a_month_are_read_from_daily_files() -> None:
    archive = venue_of("binance").archive
    assert archive is not None
    few, _ = plan_units(archive, slices("binance", date(2024, 3, 1), date(2024, 3, 7)), {"BTC/USDT": market("b")}, NOW)
    many, _ = plan_units(archive, slices("binance", date(2024, 3, 1), date(2024, 3, 8)), {"BTC/USDT": market("b")}, NOW)
    assert [unit.monthly for unit in (*few, *many)] == [False, True]


def test_days_that_monthly_files_have_wrong_are_read_from_daily_files() -> None:
    archive = venue_of("binance").archive
    assert archive is not None
    wanted = slices("binance", date(2020, 12, 1), date(2020, 12, 31))
    ((unit,), unserved) = plan_units(archive, wanted, {"BTC/USDT": market("b")}, NOW)
    assert unit.daily_days == {date(2020, 12, 21)}
    assert not unserved


@pytest.mark.parametrize(
    ("day", "symbol", "reason"),
    [
        (date(2017, 1, 1), "BTC/USDT", "begins on"),
        (date(2025, 4, 19), "BTC/USDT", "not published"),
        (date(2024, 1, 1), "XYZ/USDT", "does not list"),
    ],
)
def test_a_slice_that_cannot_be_served_has_a_reason(day: date, symbol: str, reason: str) -> None:
    archive = venue_of("binance").archive
    assert archive is not None
    wanted = Slice(Series("binance", symbol, MINUTES), day)
    units, unserved = plan_units(archive, [wanted], {"BTC/USDT": market("binance")}, NOW)
    assert units == []
    assert reason in unserved[wanted]


@pytest.mark.parametrize("exchange", ["binance", "okx", "htx", "bitget"])
def test_a_slice_is_read_from_the_archive_when_its_last_daily_file_is_published(exchange: str) -> None:
    archive = venue_of(exchange).archive
    assert archive is not None
    (slice_,) = wanted = slices(exchange, date(2025, 4, 1), date(2025, 4, 1))
    markets = {"BTC/USDT": market(exchange)}
    last_label = labels_of(slice_.day, archive.label_offset)[-1]
    (file, *_) = candidates(archive, slice_.series, markets["BTC/USDT"], last_label, Cadence.DAILY)
    assert slice_.end <= file.end
    _, unserved = plan_units(archive, wanted, markets, file.published_at - timedelta(seconds=1))
    assert "not published" in unserved[slice_]
    _, unserved = plan_units(archive, wanted, markets, file.published_at)
    assert not unserved


def test_a_slice_is_covered_by_windows_that_meet() -> None:
    (slice_,) = slices("okx", date(2024, 3, 1), date(2024, 3, 1))
    middle = slice_.start + timedelta(hours=16)
    first, second = (slice_.start - timedelta(hours=8), middle), (middle, middle + timedelta(days=1))
    assert uncovered([slice_], [second, first]) == []
    assert uncovered([slice_], [first]) == [slice_]
    assert uncovered([slice_], [first, (middle + timedelta(minutes=1), second[1])]) == [slice_]
