from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pytest

from titan10_dagster.candles.deviation import Distance
from titan10_dagster.store.database import Database
from titan10_dagster.store.deviation import distances
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import DAY, a_slice, candles, judged, with_value, without


def put(db: Database, exchange: str, symbol: str = "BTC/USDT", *, factor: float = 1.0, only: int = 1440) -> None:
    """Store a day. In its first `only` minutes, the prices are the usual prices times `factor`."""
    slice_ = a_slice(symbol, exchange=exchange)
    rows = candles(slice_)
    prices = ["open", "high", "low", "close"]
    rows.loc[: only - 1, prices] = (rows.loc[: only - 1, prices] * factor).round(4)
    write_slices(db, [judged(slice_, rows)])


def of(db: Database, exchange: str, *symbols: str) -> list[Distance]:
    return distances(db, exchange, symbols or ("BTC/USDT",), DAY, limit=100)


def test_a_deviating_exchange_is_distinguished_from_those_that_agree(db: Database) -> None:
    put(db, "binance", factor=1.02, only=400)
    put(db, "kraken")
    put(db, "okx")
    (binance,), (kraken,) = of(db, "binance"), of(db, "kraken")
    assert (binance.symbol, binance.compared, binance.deviating) == ("BTC/USDT", 288, 80)
    assert (binance.typical, binance.largest) == pytest.approx((0.0, 200.0), abs=0.1)
    assert (kraken.compared, kraken.deviating, kraken.largest) == (288, 0, 0.0)


def test_two_exchanges_say_nothing(db: Database) -> None:
    put(db, "binance", factor=1.02)
    put(db, "kraken")
    put(db, "okx", "BTC/USD")
    assert of(db, "binance") == []


def test_minutes_without_trades_or_in_which_too_few_traded_are_not_compared(db: Database) -> None:
    for exchange in ("binance", "kraken"):
        put(db, exchange)
    slice_ = a_slice(exchange="okx")
    rows: pd.DataFrame = without(candles(slice_), *range(100))
    for place in range(50):
        rows = with_value(rows, place, volume=0.0)
    write_slices(db, [judged(slice_, rows)])
    assert [of(db, exchange)[0].compared for exchange in ("binance", "okx")] == [258, 258]


def test_only_the_day_and_the_symbols_asked_for_are_read(db: Database) -> None:
    for exchange in ("binance", "kraken", "okx"):
        put(db, exchange)
        put(db, exchange, "ETH/USDT")
    assert [distance.symbol for distance in of(db, "binance", "ETH/USDT", "BTC/USDT")] == ["BTC/USDT", "ETH/USDT"]
    assert distances(db, "binance", ["BTC/USDT"], DAY + timedelta(days=1), limit=100) == []
    assert of(db, "gate") == []
