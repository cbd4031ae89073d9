from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from titan10_dagster.candles.gaps import Reason
from titan10_dagster.store import reader
from titan10_dagster.store.database import Database
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import DAY, FETCHED, LATER, Sql, a_slice, candles, judged, without

BTC = a_slice()
MINUTE = timedelta(minutes=1)


def put(db: Database, *holes: int, day: int = 0) -> pd.DataFrame:
    """Store a day with minutes without trades, and return the stored candles."""
    slice_ = a_slice(day=DAY + timedelta(days=day))
    rows = without(candles(slice_), *holes)
    for look in range(2):
        write_slices(db, [judged(slice_, rows, fetched_at=FETCHED + look * LATER)])
    return rows


def with_reason(sql: Sql, reason: str, first: int, last: int) -> None:
    """Set the reason of the gaps that begin in the minutes from `first` to `last` of the day."""
    bounds = (BTC.start + first * MINUTE, BTC.start + last * MINUTE)
    sql("UPDATE gaps SET reason = %s WHERE gap_start BETWEEN %s AND %s", [reason, *bounds])


def made_up(frame: pd.DataFrame) -> list[int]:
    """Return the minutes of the day with synthetic candles."""
    times = frame.loc[frame["synthetic"], "time"]
    return [int(minutes) for minutes in (times - pd.Timestamp(BTC.start)) / MINUTE]


def test_a_minute_without_trades_has_the_last_close_and_no_volume_and_says_so(db: Database) -> None:
    rows = put(db, 5, 6, 100)
    frame = reader.filled(db, BTC.series, BTC.start, BTC.end)
    assert (len(frame), made_up(frame)) == (1440, [5, 6, 100])
    close = rows.loc[4, "close"]
    assert frame.loc[6, ["open", "high", "low", "close", "volume", "reason"]].tolist() == [*[close] * 4, 0, "no_trades"]
    real = frame[~frame["synthetic"]].drop(columns=["synthetic", "reason"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(real, rows)
    assert frame.loc[~frame["synthetic"], "reason"].isna().all()


def test_a_close_is_carried_in_from_before_the_stretch_and_over_midnight(db: Database) -> None:
    rows = put(db, *range(1400, 1440))
    put(db, *range(3), day=1)
    frame = reader.filled(db, BTC.series, BTC.start + 1420 * MINUTE, BTC.end + 10 * MINUTE)
    assert made_up(frame) == list(range(1420, 1443))
    assert set(frame.loc[frame["synthetic"], "close"]) == {rows["close"].iloc[-1]}
    assert (frame["time"].diff().dropna() == MINUTE).all()


def test_nothing_is_made_up_where_the_reason_is_not_known_nor_carried_across(db: Database, sql: Sql) -> None:
    put(db, *range(10, 20))
    sql("UPDATE gaps SET gap_end = gap_start + interval '5 minutes', candles = 5, reason = 'unknown'")
    sql(
        "INSERT INTO gaps SELECT exchange, symbol, timeframe, gap_end, gap_end + interval '5 minutes', 5, 'no_trades',"
        " 2, first_seen, last_seen FROM gaps"
    )
    assert made_up(reader.filled(db, BTC.series, BTC.start, BTC.end)) == []
    # On request these candles are filled too, and their reason is shown.
    filled = reader.filled(db, BTC.series, BTC.start, BTC.end, reasons=[Reason.NO_TRADES, Reason.UNKNOWN])
    assert made_up(filled) == list(range(10, 20))
    assert filled.loc[10:19, "reason"].tolist() == ["unknown"] * 5 + ["no_trades"] * 5


@pytest.mark.parametrize("reason", ["pre_listing", "delisted"])
def test_outside_of_its_listed_life_nothing_is_ever_made_up(db: Database, sql: Sql, reason: str) -> None:
    put(db, 0, 1, 2, 700)
    with_reason(sql, reason, 0, 1439)
    assert made_up(reader.filled(db, BTC.series, BTC.start, BTC.end, reasons=list(Reason))) == []


def test_before_the_first_candle_and_where_nothing_was_fetched_there_is_no_row(db: Database) -> None:
    put(db, 0, 1, 2, day=1)
    frame = reader.filled(db, BTC.series, BTC.start, BTC.end + timedelta(days=2))
    assert (len(frame), made_up(frame)) == (1437, [])
    assert reader.filled(db, BTC.series, BTC.start, BTC.end).empty


def test_an_outage_is_filled_as_what_it_is_if_it_is_named(db: Database, sql: Sql) -> None:
    put(db, *range(10, 15))
    with_reason(sql, "outage", 10, 10)
    assert made_up(reader.filled(db, BTC.series, BTC.start, BTC.end)) == []
    frame = reader.filled(db, BTC.series, BTC.start, BTC.end, reasons=[Reason.NO_TRADES, Reason.OUTAGE])
    assert frame.loc[10:14, "reason"].tolist() == ["outage"] * 5


@pytest.mark.parametrize("reason", [Reason.HALTED, Reason.NOT_LISTED, Reason.PRE_LISTING, Reason.DELISTED])
def test_nothing_is_made_up_in_a_halt_or_without_a_listing_nor_carried_across(
    db: Database, sql: Sql, reason: Reason
) -> None:
    put(db, *range(10, 20))
    sql("UPDATE gaps SET gap_end = gap_start + interval '5 minutes', candles = 5, reason = %s", [reason.value])
    sql(
        "INSERT INTO gaps SELECT exchange, symbol, timeframe, gap_end, gap_end + interval '5 minutes', 5, 'no_trades',"
        " 2, first_seen, last_seen FROM gaps"
    )
    assert made_up(reader.filled(db, BTC.series, BTC.start, BTC.end, reasons=list(Reason))) == []


def test_sql_and_python_fill_the_same_by_default(db: Database, sql: Sql) -> None:
    put(db, *range(10, 20))
    with_reason(sql, "outage", 10, 10)
    put(db, 3, day=1)
    frame = reader.filled(db, BTC.series, BTC.start, BTC.end + timedelta(days=1))
    bounds = [BTC.start, BTC.end + timedelta(days=1)]
    count = sql.one("SELECT count(*) FROM ohlcv_filled('binance', 'BTC/USDT', '1m', %s, %s)", bounds)
    assert count == len(frame) == 1430 + 1440


def test_random_holes_are_filled_as_pandas_would(db: Database) -> None:
    random = np.random.default_rng(3)
    holes = np.sort(random.choice(np.arange(1, 1440), 600, replace=False))
    rows = put(db, *holes)
    frame = reader.filled(db, BTC.series, BTC.start, BTC.end)
    whole = rows.set_index("time").reindex(pd.DatetimeIndex(frame["time"]))
    assert made_up(frame) == holes.tolist()
    assert frame["close"].tolist() == whole["close"].ffill().tolist()
    assert frame["low"].tolist() == whole["low"].fillna(whole["close"].ffill()).tolist()


def test_bounds_reach_the_keys(db: Database, sql: Sql) -> None:
    for day in range(3):
        put(db, 5, 6, day=day)
    sql("ANALYZE")
    query = "EXPLAIN SELECT * FROM ohlcv_filled('binance', 'BTC/USDT', '1m', %s, %s)"
    planned = "\n".join(line for (line,) in sql(query, [BTC.start, BTC.start + 60 * MINUTE]))
    # the function becomes part of the query, including the constants
    assert "Function Scan on ohlcv_filled" not in planned
    assert "Seq Scan on candles" not in planned
