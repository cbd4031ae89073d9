from __future__ import annotations

from datetime import timedelta

from titan10_dagster.store.audit import Unaccounted, unaccounted
from titan10_dagster.store.database import Database
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import DAY, MINUTE, Sql, a_slice, candles, judged, without

BTC = a_slice()


def audit(db: Database) -> list[Unaccounted]:
    return unaccounted(db, "binance", MINUTE, DAY - timedelta(days=1), DAY + timedelta(days=1))


def test_what_the_store_writes_adds_up(db: Database) -> None:
    write_slices(db, [judged(BTC, without(candles(BTC), 5, 6, 7)), judged(a_slice("ETH/USDT"))])
    assert audit(db) == []


def test_a_candle_that_went_missing_is_found(db: Database, sql: Sql) -> None:
    write_slices(db, [judged(BTC, without(candles(BTC), 5, 6, 7))])
    sql("DELETE FROM candles WHERE time = %s", [BTC.start])
    assert audit(db) == [Unaccounted(BTC, expected=1440, present=1437, stored=1436, in_gaps=3)]


def test_a_gap_that_went_missing_is_found(db: Database, sql: Sql) -> None:
    write_slices(db, [judged(BTC, without(candles(BTC), 5, 6, 7))])
    sql("DELETE FROM gaps")
    assert audit(db) == [Unaccounted(BTC, expected=1440, present=1437, stored=1437, in_gaps=0)]


def test_candles_that_the_ledger_does_not_know_are_found(db: Database, sql: Sql) -> None:
    write_slices(db, [judged(BTC)])
    sql("DELETE FROM slice_ledger")
    assert audit(db) == [Unaccounted(BTC, expected=0, present=0, stored=1440, in_gaps=0)]
