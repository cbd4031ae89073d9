from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titan10_dagster.sandbox.clock import instant_ms
from titan10_dagster.sandbox.instruments import instrument
from titan10_dagster.sandbox.series import ServedSeries
from titan10_dagster.sandbox.truth import DAY_MS, _random_walk, candles, candles_of_day, outage
from titan10_dagster.sandbox.venues.registry import VENUES

DAY = 20_000  # 2024-10-04
START = DAY * DAY_MS
KNOWN = [1704067200000.0, 53753.52, 53753.53, 53739.12, 53745.82, 5.85891407]


def test_every_exchange_lists_at_least_twenty_symbols() -> None:
    assert all(len(set(venue.symbols)) >= 20 for venue in VENUES.values())


def test_the_same_candles_are_computed_again() -> None:
    first = candles("binance", "BTC/USDT", START, START + DAY_MS)
    candles_of_day.cache_clear()
    _random_walk.cache_clear()
    np.testing.assert_array_equal(candles("binance", "BTC/USDT", START, START + DAY_MS), first)


def test_a_known_candle_stays_what_it_was() -> None:
    known = candles("binance", "BTC/USDT", 1_704_067_200_000, 1_704_067_260_000).tolist()
    assert known == [KNOWN]


@settings(max_examples=30)
@given(first=st.integers(0, 2 * DAY_MS), length=st.integers(0, DAY_MS))
def test_any_range_is_the_same_part_of_the_whole(first: int, length: int) -> None:
    whole = candles("coinbase", "ALGO/USD", START, START + 3 * DAY_MS)
    start = START + first
    inside = (whole[:, 0] >= start) & (whole[:, 0] < start + length)
    np.testing.assert_array_equal(candles("coinbase", "ALGO/USD", start, start + length), whole[inside])


@pytest.mark.parametrize("exchange", VENUES)
def test_every_candle_is_valid(exchange: str) -> None:
    for symbol in VENUES[exchange].symbols:
        rows = candles(exchange, symbol, START, START + DAY_MS)
        opened, high, low, close, volume = rows[:, 1:].T
        assert (low > 0).all()
        assert (high >= np.maximum(opened, close)).all()
        assert (low <= np.minimum(opened, close)).all()
        assert (volume >= 0).all()
        assert (np.diff(rows[:, 0]) > 0).all()


@pytest.mark.parametrize("exchange", VENUES)
def test_wire_strings_are_the_very_values(exchange: str) -> None:
    venue = VENUES[exchange]
    for symbol in venue.symbols:
        series = ServedSeries(venue, instrument(venue, symbol))
        raw = series.raw(DAY, 60)
        sent = np.array(series.texts(raw), dtype=np.float64).T if len(raw.times) else np.empty((0, 5))
        np.testing.assert_array_equal(sent, series.source.rows(raw)[:, 1:])


def test_a_coin_of_four_millionths_keeps_its_digits() -> None:
    series = ServedSeries(VENUES["binance"], instrument(VENUES["binance"], "PEPE/USDT"))
    prices = series.texts(series.raw(DAY, 60))[0]
    assert all(text.startswith("0.0000") and len(text) == 10 for text in prices)
    assert len(set(prices)) > 3


def test_no_candle_is_older_than_the_listing() -> None:
    listed = instant_ms("2023-05-05T16:00:00Z")
    rows = candles("binance", "PEPE/USDT", listed - DAY_MS, listed + DAY_MS)
    assert rows[0, 0] == listed


def test_no_candle_is_younger_than_the_delisting() -> None:
    gone = instant_ms("2022-05-13T00:40:00Z")
    assert candles("binance", "LUNA/USDT", gone - DAY_MS, gone + DAY_MS)[-1, 0] == gone - 60_000


def test_minutes_without_a_trade_are_absent_on_coinbase() -> None:
    rows = candles("coinbase", "ALGO/USD", START, START + 5 * DAY_MS)
    assert 0.7 < len(rows) / (5 * 1_440) < 0.9
    assert (rows[:, 5] > 0).all()


def test_minutes_without_a_trade_are_flat_on_binance() -> None:
    rows = candles("binance", "ALGO/USDT", START, START + DAY_MS)
    quiet = rows[rows[:, 5] == 0]
    assert len(rows) == 1_440
    assert 20 < len(quiet) < 200
    assert (quiet[:, 1:5] == quiet[:, [1]]).all()


def test_an_outage_hits_all_symbols_of_the_exchange_and_no_other() -> None:
    day = next(day for day in range(DAY, DAY + 200) if outage(VENUES["binance"], day))
    first, last = outage(VENUES["binance"], day) or (0, 0)
    down = {day * DAY_MS + minute * 60_000 for minute in range(first, last)}
    for symbol in ("BTC/USDT", "SHIB/USDT", "ETH/BTC"):
        there = set(candles("binance", symbol, day * DAY_MS, (day + 1) * DAY_MS)[:, 0])
        assert not down & there
        assert len(there) == 1_440 - len(down)
    assert len(candles("kraken", "BTC/USD", day * DAY_MS, (day + 1) * DAY_MS)) == 1_440


def test_outages_are_as_rare_as_the_venue_says() -> None:
    days = [day for day in range(15_000, 21_000) if outage(VENUES["binance"], day)]
    assert 150 < len(days) < 250


def test_exchanges_agree_on_the_price_of_bitcoin() -> None:
    dollars = {"BTC/USDT", "BTC/USD", "BTC/USDC"}
    closes = []
    for name, venue in VENUES.items():
        if venue.symbols[0] in dollars:
            closes.append(candles(name, venue.symbols[0], START, START + 60_000)[0, 4])
    assert max(closes) / min(closes) < 1.01
    assert len(set(closes)) > 10


@pytest.mark.parametrize("timeframe", ["5m", "15m", "1h", "1d"])
def test_longer_timeframes_are_made_of_minutes(timeframe: str) -> None:
    minutes = candles("coinbase", "ALGO/USD", START, START + 2 * DAY_MS)
    frame = pd.DataFrame(minutes[:, 1:], columns=list("ohlcv"), index=pd.to_datetime(minutes[:, 0], unit="ms"))
    rule = timeframe.replace("m", "min").replace("1d", "1D")
    wanted = frame.resample(rule).agg({"o": "first", "h": "max", "l": "min", "c": "last", "v": "sum"}).dropna()
    found = candles("coinbase", "ALGO/USD", START, START + 2 * DAY_MS, timeframe)
    np.testing.assert_allclose(found[:, 1:], wanted.to_numpy(), rtol=1e-12)
