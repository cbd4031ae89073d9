from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from titan10_dagster.candles.fetched import JudgedSlice
from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.store import outages
from titan10_dagster.store.audit import unaccounted
from titan10_dagster.store.database import Database
from titan10_dagster.store.locks import lock_exchange
from titan10_dagster.store.outages import classify_outages
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import (
    DAY,
    FETCHED,
    LATER,
    NO_ROWS,
    Sql,
    a_slice,
    candles,
    judged,
    versions,
    without,
)

SYMBOLS = ("BTC/USDT", "ETH/USDT", "XRP/USDT")
ONE = timedelta(days=1)
DOWN = range(600, 630)


def lacking(
    symbols: Iterable[str] = SYMBOLS,
    minutes: Iterable[int] = DOWN,
    *,
    exchange: str = "binance",
    at: datetime = FETCHED,
    timeframe: str = "1m",
    **record: Any,
) -> list[JudgedSlice]:
    """The day of each symbol without these minutes."""
    slices = [a_slice(symbol, exchange=exchange, timeframe=timeframe) for symbol in symbols]
    return [judged(one, without(candles(one), *minutes), fetched_at=at, **record) for one in slices]


def whole(exchange: str = "okx", timeframe: str = "1m") -> list[JudgedSlice]:
    return lacking(["BTC/USDT"], [], exchange=exchange, timeframe=timeframe)


def write(db: Database, judged: Sequence[JudgedSlice]) -> None:
    write_slices(db, judged)
    classify_outages(db)


def told(sql: Sql, exchange: str = "binance") -> set[tuple[str, int]]:
    return set(
        sql("SELECT reason, sum(candles)::int FROM gaps WHERE exchange = %s GROUP BY reason, symbol", [exchange])
    )


@pytest.fixture
def _adds_up(db: Database) -> Any:
    """Afterwards ledger, gaps and candles agree, and no day is left to be weighed."""
    yield
    for exchange in ("binance", "okx"):
        for timeframe in ("1m", "1h"):
            assert unaccounted(db, exchange, TIMEFRAMES[timeframe], DAY - ONE, DAY + ONE) == []
    sql = Sql(db)
    assert sql("SELECT * FROM outage_evidence") == []
    counted = "SELECT reason, sum(candles) FROM gaps GROUP BY 1 ORDER BY 1"
    columns = ", ".join(f"('{reason}', {reason})" for reason in Reason)
    ledger = (
        "SELECT reason, sum(n) FROM slice_ledger CROSS JOIN LATERAL "
        f"(VALUES {columns}) AS counts (reason, n) GROUP BY 1 HAVING sum(n) > 0 ORDER BY 1"
    )
    assert sql(counted) == sql(ledger)


pytestmark = pytest.mark.usefixtures("_adds_up")


def test_what_all_series_lack_while_another_exchange_trades_is_an_outage_after_the_second_look(
    db: Database, sql: Sql
) -> None:
    write(db, whole())
    write(db, lacking())
    assert told(sql) == {("unknown", 30)}
    write(db, lacking(at=FETCHED + timedelta(hours=5)))
    assert told(sql) == {("unknown", 30)}
    write(db, lacking(at=FETCHED + LATER))
    assert told(sql) == {("outage", 30)}
    assert sql("SELECT DISTINCT observations, first_seen, last_seen FROM gaps") == [(2, FETCHED, FETCHED + LATER)]
    assert sql("SELECT DISTINCT no_trades, outage, present FROM slice_ledger WHERE exchange = 'binance'") == [
        (0, 30, 1410)
    ]


def test_without_another_exchange_it_stays_no_trades(db: Database, sql: Sql) -> None:
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(at=at))
    assert told(sql) == {("no_trades", 30)}


def test_another_exchange_that_is_stored_later_still_bears_witness(db: Database, sql: Sql) -> None:
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(at=at))
    write(db, whole())
    assert told(sql) == {("outage", 30)}


def test_only_minutes_in_which_the_other_exchange_traded_are_an_outage(db: Database, sql: Sql) -> None:
    write(db, lacking(["BTC/USDT"], range(620, 700), exchange="okx"))
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(at=at))
    assert told(sql) == {("outage", 20), ("no_trades", 10)}
    write(db, lacking(["BTC/USDT"], range(625, 700), exchange="okx", at=FETCHED + LATER))
    assert told(sql) == {("outage", 25), ("no_trades", 5)}


def test_a_quiet_pair_stays_without_trades_and_shares_in_the_outage(db: Database, sql: Sql) -> None:
    write(db, whole())
    quiet = [*range(0, 1440, 3), *DOWN]
    for at in (FETCHED, FETCHED + LATER):
        write(db, [*lacking(at=at), *lacking(["ALGO/USDT"], quiet, at=at)])
    assert told(sql) == {("outage", 30), ("no_trades", 470)}


def test_quiet_pairs_alone_are_never_an_outage(db: Database, sql: Sql) -> None:
    write(db, whole())
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(minutes=range(0, 1440, 3), at=at))
    assert told(sql) == {("no_trades", 480)}


def test_a_series_alone_is_never_an_outage(db: Database, sql: Sql) -> None:
    write(db, whole())
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(["BTC/USDT"], at=at))
    assert told(sql) == {("no_trades", 30)}


def test_a_whole_day_is_an_outage_when_the_day_before_shows_that_the_series_trade(db: Database, sql: Sql) -> None:
    write(db, whole())
    for at in (FETCHED, FETCHED + LATER):
        write(db, [judged(a_slice(symbol), NO_ROWS, fetched_at=at) for symbol in SYMBOLS])
    assert told(sql) == {("no_trades", 1440)}
    write(db, [judged(a_slice(symbol, DAY - ONE)) for symbol in SYMBOLS])
    assert told(sql) == {("outage", 1440)}


def test_an_outage_is_taken_back_when_most_series_turn_out_to_have_traded(db: Database, sql: Sql) -> None:
    write(db, whole())
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(at=at))
    write(db, lacking(["BTC/USDT"], [], at=FETCHED + 2 * LATER))
    assert told(sql) == {("outage", 30)}
    write(db, lacking(["ETH/USDT"], [], at=FETCHED + 2 * LATER))
    assert told(sql) == {("no_trades", 30)}


def test_hours_have_outages_too_and_minutes_of_another_exchange_are_no_witness(db: Database, sql: Sql) -> None:
    symbols = [f"S{n}/USDT" for n in range(5)]
    write(db, whole())
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(symbols, [7], at=at, timeframe="1h"))
    assert told(sql) == {("no_trades", 1)}
    write(db, whole(timeframe="1h"))
    assert told(sql) == {("outage", 1)}


def test_weighing_again_writes_nothing(db: Database, sql: Sql) -> None:
    write(db, whole())
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(at=at))
    before = versions(sql, "gaps"), versions(sql, "slice_ledger")
    sql("INSERT INTO outage_evidence (exchange, timeframe, day) VALUES ('okx', '1m', %s)", [DAY])
    classify_outages(db)
    classify_outages(db)
    assert (versions(sql, "gaps"), versions(sql, "slice_ledger")) == before


def test_what_a_killed_run_did_not_weigh_is_weighed_by_the_next(db: Database, sql: Sql) -> None:
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(at=at))
    write_slices(db, whole())
    assert told(sql) == {("no_trades", 30)}
    write(db, [judged(a_slice("BTC/USDT", DAY + 100 * ONE, "kraken"), fetched_at=FETCHED + 200 * ONE)])
    assert told(sql) == {("outage", 30)}


def test_evidence_that_is_written_while_other_evidence_is_weighed_is_not_lost(
    db: Database, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(at=at))
    unflag = outages._unflag

    def late(database: Database, numbers: Sequence[int]) -> None:
        monkeypatch.undo()
        write_slices(db, whole())
        unflag(database, numbers)

    monkeypatch.setattr(outages, "_unflag", late)
    write(db, lacking(at=FETCHED + 2 * LATER))
    assert told(sql) == {("no_trades", 30)}
    classify_outages(db)
    assert told(sql) == {("outage", 30)}


def test_weighing_waits_for_who_writes_the_exchange(db: Database, sql: Sql) -> None:
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(at=at))
    write_slices(db, whole())
    weighing = threading.Thread(target=classify_outages, args=(db,))
    with db.transaction() as cursor:
        lock_exchange(cursor, "binance")
        weighing.start()
        weighing.join(timeout=1)
        assert weighing.is_alive()
    weighing.join()
    assert told(sql) == {("outage", 30)}


def test_a_day_that_still_runs_leaves_nothing_to_weigh(db: Database, sql: Sql) -> None:
    noon = a_slice().start + timedelta(hours=12)
    write_slices(db, lacking(minutes=range(720, 1440), at=noon, answered=False), live=True)
    assert sql("SELECT * FROM outage_evidence") == []


def test_a_delisting_that_shows_days_later_takes_back_what_the_series_bore_witness_of(db: Database, sql: Sql) -> None:
    write(db, whole())
    for at in (FETCHED, FETCHED + LATER):
        write(db, lacking(["BTC/USDT", "ETH/USDT"], range(1350, 1440), at=at))
    assert told(sql) == {("outage", 90)}
    later = a_slice("ETH/USDT", DAY + 10 * ONE)
    gone = {"fetched_at": FETCHED + 2 * LATER, "delisted": a_slice().start + timedelta(minutes=1350)}
    write(db, [judged(later, NO_ROWS, **gone)])
    assert told(sql) == {("no_trades", 90), ("delisted", 90 + 1440)}
