from __future__ import annotations

from datetime import datetime, timedelta
from statistics import median

import numpy as np
import pandas as pd
import pytest

from titan10_dagster.store.database import Database
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.cost import least
from titan10_dagster_tests.store.making import DAY, Sql, a_slice, candles, judged, with_value, without

BTC = a_slice()
COLUMNS = "weighted_close, median_close, volume, exchanges, spread_bp"


def put(db: Database, exchange: str, symbol: str, *given: tuple[float, float]) -> None:
    """Store the first minutes of the day. `given`: the close and the volume of each minute."""
    slice_ = a_slice(symbol, exchange=exchange)
    rows = candles(slice_).iloc[: len(given)]
    for place, (close, volume) in enumerate(given):
        rows = with_value(rows, place, open=close, high=close, low=close, close=close, volume=volume)
    write_slices(db, [judged(slice_, rows)])


def minute(sql: Sql, quote: str, number: int = 0, base: str = "BTC") -> tuple[float, ...] | None:
    at = BTC.start + timedelta(minutes=number)
    query = f"SELECT {COLUMNS} FROM consensus WHERE base = %s AND quote = %s AND time = %s"
    rows = sql(query, [base, quote, at])
    assert len(rows) <= 1
    return rows[0] if rows else None


def test_the_closes_of_a_minute_are_weighted_and_their_median_taken(db: Database, sql: Sql) -> None:
    put(db, "binance", "BTC/USDT", (100.0, 3.0))
    put(db, "kraken", "BTC/USDT", (110.0, 1.0))
    put(db, "okx", "BTC/USDT", (102.0, 4.0))
    assert minute(sql, "USDT") == pytest.approx((102.25, 102.0, 8.0, 3, 10 / 102 * 10_000))


def test_of_an_even_number_the_median_is_the_mean_of_the_middle_two(db: Database, sql: Sql) -> None:
    put(db, "binance", "BTC/USDT", (100.0, 1.0))
    put(db, "kraken", "BTC/USDT", (101.0, 1.0))
    assert minute(sql, "USDT") == pytest.approx((100.5, 100.5, 2.0, 2, 1 / 100.5 * 10_000))


def test_minutes_without_trades_do_not_count(db: Database, sql: Sql) -> None:
    put(db, "binance", "BTC/USDT", (100.0, 1.0), (100.0, 0.0))
    put(db, "kraken", "BTC/USDT", (900.0, 0.0), (900.0, 0.0))
    assert minute(sql, "USDT") == (100.0, 100.0, 1.0, 1, 0.0)
    assert minute(sql, "USDT", 1) is None


def test_dollars_are_taken_together_and_apart(db: Database, sql: Sql) -> None:
    put(db, "binance", "BTC/USDT", (100.0, 1.0))
    put(db, "kraken", "BTC/USD", (104.0, 1.0))
    put(db, "kraken", "BTC/USDC", (102.0, 2.0))
    put(db, "kraken", "BTC/EUR", (90.0, 5.0))
    put(db, "kraken", "ETH/USD", (5.0, 5.0))
    assert minute(sql, "USD*") == pytest.approx((102.0, 102.0, 4.0, 2, 4 / 102 * 10_000))
    assert minute(sql, "USD") == (104.0, 104.0, 1.0, 1, 0.0)
    assert minute(sql, "EUR") == (90.0, 90.0, 5.0, 1, 0.0)
    quotes = ["EUR", "USD", "USD*", "USDC", "USDT"]
    assert sql("SELECT DISTINCT base, quote FROM consensus ORDER BY 1, 2") == [
        *(("BTC", quote) for quote in quotes),
        ("ETH", "USD"),
        ("ETH", "USD*"),
    ]


def test_derivatives_and_longer_candles_do_not_count(db: Database, sql: Sql) -> None:
    write_slices(db, [judged(a_slice("BTC/USDT:USDT")), judged(a_slice(timeframe="1h"))])
    assert sql("SELECT * FROM consensus") == []


def test_it_is_what_pandas_makes_of_candles_with_holes(db: Database, sql: Sql) -> None:
    random = np.random.default_rng(1)
    frames = []
    for seed, exchange in enumerate(("binance", "kraken", "okx", "gate")):
        slice_ = a_slice(exchange=exchange)
        rows = without(candles(slice_, seed=seed), *random.choice(1440, 500, replace=False))
        rows.loc[random.random(len(rows)) < 0.2, "volume"] = 0.0
        write_slices(db, [judged(slice_, rows)])
        frames.append(rows[rows["volume"] > 0])
    expected = [
        (at, np.average(group["close"], weights=group["volume"]), median(group["close"]), len(group))
        for at, group in pd.concat(frames).groupby("time")
    ]
    found = sql(
        "SELECT time, weighted_close, median_close, exchanges FROM consensus WHERE quote = 'USDT' ORDER BY time"
    )
    assert [(at, count) for at, *_, count in found] == [(at, count) for at, *_, count in expected]
    np.testing.assert_allclose([row[1:3] for row in found], [row[1:3] for row in expected], rtol=1e-14)


ONE_DAY = "SELECT * FROM consensus WHERE time >= %s AND time < %s AND base = 'S3' AND quote = 'USD*'"


@pytest.fixture
def three_weeks(db: Database) -> tuple[datetime, datetime]:
    """Store 5 exchanges with 10 symbols each, on three days that are a week apart.

    Return the bounds of the middle day.
    """
    for exchange in ("binance", "kraken", "okx", "gate", "bitstamp"):
        for week in range(3):
            slices = [a_slice(f"S{n}/USDT", DAY + timedelta(weeks=week), exchange) for n in range(10)]
            write_slices(db, (judged(slice_) for slice_ in slices))
    middle = a_slice(day=DAY + timedelta(weeks=1))
    return middle.start, middle.end


def plan(sql: Sql, bounds: tuple[datetime, datetime]) -> str:
    return "\n".join(line for (line,) in sql(f"EXPLAIN {ONE_DAY}", bounds))


def assert_only_what_is_asked_for_is_read(planned: str) -> None:
    assert "Seq Scan on candles" not in planned
    assert "Index Cond: ((exchange = series.exchange) AND (symbol = series.symbol)" in planned


@pytest.mark.alone
def test_a_day_of_a_base_is_read_through_the_key_and_takes_no_second(
    db: Database, sql: Sql, three_weeks: tuple[datetime, datetime]
) -> None:
    assert_only_what_is_asked_for_is_read(plan(sql, three_weeks))
    assert len(sql(ONE_DAY, three_weeks)) == 1440
    assert least(lambda: sql(ONE_DAY, three_weeks)).clock < 1


def test_a_compressed_day_of_a_base_is_read_through_the_segments(
    timescaledb: Database,
) -> None:
    sql = Sql(timescaledb)
    for exchange in ("binance", "kraken", "okx"):
        for week in range(3):
            slices = [a_slice(f"S{n}/USDT", DAY + timedelta(weeks=week), exchange) for n in range(10)]
            write_slices(timescaledb, (judged(slice_) for slice_ in slices))
    sql("SELECT compress_chunk(chunk) FROM show_chunks('candles') AS chunk")
    bounds = (DAY + timedelta(weeks=1), DAY + timedelta(days=8))
    planned = plan(sql, bounds)
    assert_only_what_is_asked_for_is_read(planned)
    assert planned.count("Custom Scan (ColumnarScan)") == 1  # the other chunks are not read
    assert len(sql(ONE_DAY, bounds)) == 1440
