from __future__ import annotations

from datetime import timedelta

import pandas as pd

from titan10_dagster.candles import frame
from titan10_dagster.store import reader
from titan10_dagster.store.database import Database
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import DAY, a_slice, candles, judged

BTC = a_slice()


def test_candles_come_as_a_candle_frame_across_days(db: Database) -> None:
    write_slices(db, [judged(BTC), judged(a_slice(day=DAY + timedelta(days=1))), judged(a_slice("ETH/USDT"))])
    read = reader.candles(db, BTC.series, BTC.start + timedelta(hours=1), BTC.end + timedelta(hours=1))
    tomorrow = candles(a_slice(day=DAY + timedelta(days=1)))
    expected = pd.concat([candles(BTC).iloc[60:], tomorrow.iloc[:60]], ignore_index=True)
    pd.testing.assert_frame_equal(read, expected)


def test_where_nothing_is_stored_the_frame_is_empty(db: Database) -> None:
    pd.testing.assert_frame_equal(reader.candles(db, BTC.series, BTC.start, BTC.end), frame.empty())


def test_other_timeframes_of_the_symbol_stay_apart(db: Database) -> None:
    hourly = a_slice(timeframe="1h")
    write_slices(db, [judged(BTC), judged(hourly)])
    assert len(reader.candles(db, hourly.series, hourly.start, hourly.end)) == 24
