from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.store import binary, reader
from titan10_dagster.store.database import Database
from titan10_dagster.store.preferences import keep
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import DAY, Sql, a_slice, candles, judged, versions, without

BTC = a_slice()
MINUTE = TIMEFRAMES["1m"]


def put(db: Database, exchange: str, *holes: int, symbol: str = "BTC/USDT") -> pd.DataFrame:
    slice_ = a_slice(symbol, exchange=exchange)
    rows = without(candles(slice_, seed=len(exchange)), *holes)
    write_slices(db, [judged(slice_, rows)])
    return rows


def chosen(db: Database, symbol: str = "BTC/USDT") -> pd.DataFrame:
    return reader.preferred(db, symbol, MINUTE, BTC.start, BTC.end)


def test_a_hole_of_the_first_choice_is_filled_by_the_next_one_by_name(db: Database, sql: Sql) -> None:
    binance, okx = put(db, "binance", 5, 6, 7), put(db, "okx", 6)
    put(db, "kraken", 7)
    keep(db, {"*": ["binance", "okx", "kraken"]})
    frame = chosen(db)
    assert frame["time"].tolist() == candles(BTC)["time"].tolist()
    assert {place: frame["exchange"][place] for place in (4, 5, 6, 7, 8)} == {
        4: "binance",
        5: "okx",
        6: "kraken",
        7: "okx",
        8: "binance",
    }
    assert frame["close"][5] == okx["close"][5]
    assert frame["close"][4] == binance["close"][4]
    assert sql("SELECT place, count(*) FROM preferred GROUP BY 1 ORDER BY 1") == [(1, 1437), (2, 2), (3, 1)]


def test_a_symbol_may_have_its_own_order_and_unlisted_exchanges_are_not_used(db: Database) -> None:
    for exchange in ("binance", "okx"):
        put(db, exchange, 3)
        put(db, exchange, symbol="ETH/USDT")
    keep(db, {"*": ["okx"], "BTC/USDT": ["binance"]})
    assert (set(chosen(db)["exchange"]), len(chosen(db))) == ({"binance"}, 1439)
    assert set(chosen(db, "ETH/USDT")["exchange"]) == {"okx"}


def test_a_reader_sees_one_order_although_it_is_changed_meanwhile(
    db: Database, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(db, "binance")
    put(db, "okx")
    keep(db, {"*": ["okx"]})
    copy_out = binary.copy_out

    def after_a_change(*arguments: Any) -> Any:
        other = Database(url)
        keep(other, {"*": ["binance"]})
        other.close()
        return copy_out(*arguments)

    monkeypatch.setattr(binary, "copy_out", after_a_change)
    assert set(chosen(db)["exchange"]) == {"okx"}
    assert set(chosen(db)["exchange"]) == {"binance"}


def test_symbols_stay_apart(db: Database) -> None:
    put(db, "binance", 3)
    put(db, "kraken", symbol="BTC/USD")
    keep(db, {"*": ["binance", "kraken"]})
    assert len(chosen(db)) == 1439


def test_without_preferences_nothing_is_chosen(db: Database) -> None:
    put(db, "binance")
    assert chosen(db).empty


def test_keeping_what_is_kept_writes_nothing(db: Database, sql: Sql) -> None:
    assert keep(db, {"*": ["okx", "kraken"]})
    before = versions(sql, "preferences")
    assert not keep(db, {"*": ["okx", "kraken"]})
    assert versions(sql, "preferences") == before
    assert keep(db, {"*": ["kraken", "okx"]})
    assert sql("SELECT * FROM preferences ORDER BY place") == [("*", 1, "kraken"), ("*", 2, "okx")]


def test_two_that_keep_at_once_do_not_fail(db: Database, sql: Sql) -> None:
    def run(first: str) -> None:
        for _ in range(10):
            keep(db, {"*": [first, "okx"]})

    with ThreadPoolExecutor() as pool:
        list(pool.map(run, ("binance", "kraken")))
    assert sql.one("SELECT count(*) FROM preferences") == 2


ONE_DAY = "SELECT * FROM preferred WHERE time >= %s AND time < %s AND symbol = 'S3/USDT' AND timeframe = '1m'"


@pytest.fixture
def three_weeks(db: Database) -> tuple[datetime, datetime]:
    """Store 5 exchanges with 5 symbols each, on three days that are weeks apart.

    Return the bounds of the middle day.
    """
    exchanges = ("binance", "kraken", "okx", "gate", "bitstamp")
    for exchange in exchanges:
        for week in range(3):
            slices = [a_slice(f"S{n}/USDT", DAY + timedelta(weeks=week), exchange) for n in range(5)]
            write_slices(db, (judged(slice_) for slice_ in slices))
    keep(db, {"*": exchanges})
    middle = a_slice(day=DAY + timedelta(weeks=1))
    return middle.start, middle.end


def test_bounds_reach_the_key_of_the_candles(db: Database, sql: Sql, three_weeks: tuple[datetime, datetime]) -> None:
    planned = "\n".join(line for (line,) in sql(f"EXPLAIN {ONE_DAY}", three_weeks))
    assert "Seq Scan on candles" not in planned
    assert "Index Cond: ((exchange = " in planned
    assert len(sql(ONE_DAY, three_weeks)) == 1440
