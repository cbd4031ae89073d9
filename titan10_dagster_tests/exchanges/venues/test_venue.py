from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from ccxt import async_support

from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.exchanges.venues.registry import all_venues, venue_of
from titan10_dagster.exchanges.venues.venue import EmptyMinutes, FailureKind, Venue, error_code, phrase


@pytest.mark.parametrize("exchange", all_venues())
def test_every_exchange_is_one_of_ccxts_and_has_a_source(exchange: str) -> None:
    venue = venue_of(exchange)
    assert exchange in async_support.exchanges
    assert venue.source.startswith(("docs: ", "code: "))
    assert venue.page_size >= 100
    assert 0 < venue.budget <= 1 or exchange == "bybit"
    assert 1 <= venue.overlap <= 10
    assert venue.overlap < venue.page_size / 10


@pytest.mark.parametrize("exchange", sorted(set(all_venues()) - {"mexc", "gemini"}))
def test_pages_agree_with_ccxts_features_but_where_those_are_known_to_be_wrong(exchange: str) -> None:
    features = getattr(async_support, exchange)().features["spot"]["fetchOHLCV"]
    assert venue_of(exchange).page_size == features["limit"]


def test_an_exchange_with_a_short_history_names_the_alternatives() -> None:
    assert venue_of("kraken").alternative == (
        "live polling, which stores new candles before the exchange deletes them; longer candles, such as 1d; "
        "Kraken's quarterly OHLCVT zips, which leave out minutes without trades"
    )


def test_bybit_gets_more_requests_than_ccxt_would_send_but_half_of_its_documented_rate() -> None:
    exchange = async_support.bybit()
    cost = exchange.api["public"]["get"]["v5/market/kline"]
    cost = cost["cost"] if isinstance(cost, dict) else cost
    per_second = 1000 / exchange.rateLimit / cost * venue_of("bybit").budget
    assert per_second == pytest.approx(600 / 5 / 2)


def test_an_exchange_with_a_depth_reaches_a_slice_until_its_last_candle_is_too_old() -> None:
    slice_ = Slice(Series("kraken", "BTC/USD", Timeframe.parse("1m")), date(2024, 6, 1))
    end = datetime(2024, 6, 2, tzinfo=UTC)
    assert venue_of("kraken").reaches(slice_, end + timedelta(minutes=719))
    assert not venue_of("kraken").reaches(slice_, end + timedelta(minutes=720))
    assert venue_of("binance").reaches(slice_, end + timedelta(days=4000))


def test_pages_overlap_more_where_empty_minutes_have_no_row() -> None:
    def overlap(page_size: int, empty: EmptyMinutes) -> int:
        return Venue("x", page_size, "docs: x", empty_minutes=empty).overlap

    assert overlap(1000, EmptyMinutes.FILLED) == 1
    assert overlap(1000, EmptyMinutes.MISSING) == 10
    assert overlap(100, EmptyMinutes.UNKNOWN) == 5


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('{"code":-1121,"msg":"x"}', True),
        ('{"code":"-1121"}', True),
        ('{"code": -1121 , "msg":1}', True),
        ('{"code":-11211}', False),
        ('{"retCode":-1121}', False),
    ],
)
def test_a_code_is_found_with_or_without_quotes_and_only_whole(body: str, found: bool) -> None:
    pattern = error_code("code", -1121, kind=FailureKind.UNKNOWN_SYMBOL).pattern
    assert (pattern.search(f"binance {body}") is not None) is found


def test_a_sentence_is_found_in_any_case() -> None:
    assert phrase("Unknown asset", FailureKind.UNKNOWN_SYMBOL).pattern.search("EQuery:UNKNOWN ASSET pair")
