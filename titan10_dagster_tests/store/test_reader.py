from __future__ import annotations

from datetime import datetime, timedelta

import pandas as pd
import pyarrow as pa
import pytest

from titan10_dagster.candles.frame import VALUES
from titan10_dagster.candles.gaps import Reason
from titan10_dagster.store import reader, rollups
from titan10_dagster.store.database import Database
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import (
    DAY,
    FETCHED,
    LATER,
    NO_ROWS,
    a_slice,
    candles,
    judged,
    with_value,
    without,
)

BTC = a_slice()


def test_candles_come_as_a_candle_frame_across_days(db: Database) -> None:
    write_slices(db, [judged(BTC), judged(a_slice(day=DAY + timedelta(days=1))), judged(a_slice("ETH/USDT"))])
    read = reader.candles(db, BTC.series, BTC.start + timedelta(hours=1), BTC.end + timedelta(hours=1))
    tomorrow = candles(a_slice(day=DAY + timedelta(days=1)))
    expected = pd.concat([candles(BTC).iloc[60:], tomorrow.iloc[:60]], ignore_index=True)
    pd.testing.assert_frame_equal(read, expected)


def test_where_nothing_is_stored_the_frame_is_empty(db: Database) -> None:
    pd.testing.assert_frame_equal(reader.candles(db, BTC.series, BTC.start, BTC.end), NO_ROWS)


def test_other_timeframes_of_the_symbol_stay_apart(db: Database) -> None:
    hourly = a_slice(timeframe="1h")
    write_slices(db, [judged(BTC), judged(hourly)])
    assert len(reader.candles(db, hourly.series, hourly.start, hourly.end)) == 24


def test_arrow_holds_what_pandas_holds(db: Database) -> None:
    write_slices(db, [judged(BTC)])
    table = reader.candles_arrow(db, BTC.series, BTC.start, BTC.end)
    assert table.schema == pa.schema([("time", pa.timestamp("ms", "UTC")), *((name, pa.float64()) for name in VALUES)])
    pd.testing.assert_frame_equal(table.to_pandas(), candles(BTC))
    assert reader.candles_arrow(db, BTC.series, BTC.end, BTC.end).num_rows == 0


def test_bars_come_as_arrow_too(db: Database) -> None:
    write_slices(db, [judged(BTC)])
    rollups.catch_up(db)
    table = reader.bars_arrow(db, BTC.series, "1h", BTC.start, BTC.end)
    assert table.schema.field("candles").type == pa.int64()
    pd.testing.assert_frame_equal(table.to_pandas(), reader.bars(db, BTC.series, "1h", BTC.start, BTC.end))
    assert table.num_rows == 24


def test_the_bounds_of_bars_are_half_open(db: Database) -> None:
    write_slices(db, [judged(BTC)])
    rollups.catch_up(db)
    noon = BTC.start + timedelta(hours=12)
    bars = reader.bars(db, BTC.series, "4h", noon, BTC.end - timedelta(hours=4))
    assert bars["time"].tolist() == [pd.Timestamp(noon), pd.Timestamp(noon + timedelta(hours=4))]


def test_bars_are_of_known_lengths_and_of_minutes_only(db: Database) -> None:
    with pytest.raises(ValueError, match="there is no rollup '2h'; the rollups are 5m, 15m, 1h, 4h, 1d, 1w"):
        reader.bars(db, BTC.series, "2h", BTC.start, BTC.end)
    with pytest.raises(ValueError, match="binance BTC/USDT 1h"):
        reader.bars(db, a_slice(timeframe="1h").series, "1d", BTC.start, BTC.end)


def test_a_naive_instant_is_refused(db: Database) -> None:
    naive = BTC.start.replace(tzinfo=None)
    for read in (reader.candles, reader.gaps):
        with pytest.raises(ValueError, match="no time zone"):
            read(db, BTC.series, naive, BTC.end)


def test_a_point_in_time_read_sees_each_candle_as_it_was_then(db: Database) -> None:
    first, second, third = (FETCHED + n * LATER for n in range(3))
    original = candles(BTC)
    once = with_value(original, 5, volume=1.5)
    twice = with_value(with_value(once, 5, volume=2.5), 9, high=99_999.0)
    for rows, at in ((original, first), (once, second), (twice, third)):
        write_slices(db, [judged(BTC, rows, fetched_at=at)])

    def known(at: datetime | None) -> pd.DataFrame:
        return reader.candles(db, BTC.series, BTC.start, BTC.end, as_of=at)

    moment = timedelta(seconds=1)
    for at, rows in (
        (first, original),
        (second - moment, original),
        (second, once),
        (third - moment, once),
        (third, twice),
        (None, twice),
    ):
        pd.testing.assert_frame_equal(known(at), rows)
    table = reader.candles_arrow(db, BTC.series, BTC.start, BTC.end, as_of=second)
    pd.testing.assert_frame_equal(table.to_pandas(), once)


def test_what_came_late_is_in_a_point_in_time_read_all_the_same(db: Database) -> None:
    write_slices(db, [judged(BTC, without(candles(BTC), 7))])
    write_slices(db, [judged(BTC, fetched_at=FETCHED + LATER)])
    before = reader.candles(db, BTC.series, BTC.start, BTC.end, as_of=FETCHED)
    pd.testing.assert_frame_equal(before, candles(BTC))


def test_gaps_come_by_time_and_are_cut_to_the_bounds(db: Database) -> None:
    tomorrow = a_slice(day=DAY + timedelta(days=1))
    holes = (without(candles(BTC), *range(100, 110), 600), without(candles(tomorrow), *range(4)))
    write_slices(db, [judged(BTC, holes[0]), judged(tomorrow, holes[1]), judged(a_slice("ETH/USDT"))])
    start, end = BTC.start + timedelta(minutes=105), tomorrow.start + timedelta(minutes=2)
    found = reader.gaps(db, BTC.series, start, end)
    assert [(gap.start, gap.end) for gap in found] == [
        (start, BTC.start + timedelta(minutes=110)),
        (BTC.start + timedelta(minutes=600), BTC.start + timedelta(minutes=601)),
        (tomorrow.start, end),
    ]
    assert {gap.reason for gap in found} == {Reason.UNKNOWN}
    assert reader.gaps(db, BTC.series, BTC.start, BTC.start + timedelta(minutes=100)) == []
    assert reader.gaps(db, a_slice("ETH/USDT").series, start, end) == []


def test_coverage_is_of_one_series(db: Database) -> None:
    write_slices(db, [judged(BTC, without(candles(BTC), 5)), judged(a_slice("ETH/USDT"))])
    covered = reader.coverage(db, BTC.series)
    assert covered is not None
    assert (covered.series, covered.expected, covered.present) == (BTC.series, 1440, 1439)
    assert covered.missing == {Reason.UNKNOWN: 1}
    assert reader.coverage(db, BTC.series, DAY + timedelta(days=1)) is None
    assert reader.coverage(db, a_slice("DOGE/USDT").series) is None
