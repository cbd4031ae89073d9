"""Renaming and dropping whole series, in all tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from titan10_dagster.candles.slices import Series
from titan10_dagster.errors import StoreError
from titan10_dagster.store import reader
from titan10_dagster.store.database import Database
from titan10_dagster.store.series import count_rows, drop_series, rename_exchange, rename_symbol, stored_series
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import DAY, FETCHED, LATER, Sql, a_slice, candles, judged, with_value, without

NOW = datetime(2024, 6, 1, tzinfo=UTC)
OLD = a_slice("MATIC/USDT", exchange="gate")
OTHER = a_slice("BTC/USDT", exchange="gate")


@pytest.fixture
def stored(db: Database, sql: Sql) -> None:
    """Two series with gaps, quarantined and restated candles."""
    rows = with_value(without(candles(OLD), 5, 6), 20, low=-1.0)
    write_slices(db, [judged(OLD, rows), judged(OTHER)])
    write_slices(db, [judged(OLD, with_value(rows, 50, volume=123.0), fetched_at=FETCHED + LATER)])


def tables(sql: Sql, exchange: str, symbol: str) -> dict[str, int]:
    names = ("candles", "series", "slice_ledger", "gaps", "quarantine", "restatements")
    query = "SELECT count(*) FROM {} WHERE exchange = %s AND symbol = %s"
    return {name: sql.one(query.format(name), [exchange, symbol]) for name in names}


@pytest.mark.usefixtures("stored")
def test_a_renamed_symbol_keeps_its_history(db: Database, sql: Sql) -> None:
    before, candles_before = tables(sql, "gate", "MATIC/USDT"), reader.candles(db, OLD.series, OLD.start, OLD.end)
    assert min(before.values()) > 0
    rename_symbol(db, "gate", "MATIC/USDT", "POL/USDT", NOW)
    assert tables(sql, "gate", "POL/USDT") == before
    assert sum(tables(sql, "gate", "MATIC/USDT").values()) == 0
    series = Series("gate", "POL/USDT", OLD.series.timeframe)
    assert reader.candles(db, series, OLD.start, OLD.end).equals(candles_before)
    assert sql.one("SELECT detail FROM series_events WHERE kind = 'renamed'").startswith(
        "`titan10 series rename` made gate MATIC/USDT gate POL/USDT"
    )
    write_slices(db, [judged(a_slice("POL/USDT", DAY + timedelta(days=1), "gate"))])  # and it goes on


@pytest.mark.usefixtures("stored")
def test_a_renamed_exchange_keeps_its_history(db: Database, sql: Sql) -> None:
    before = tables(sql, "gate", "MATIC/USDT")
    rename_exchange(db, "gate", "gate2", NOW)
    assert tables(sql, "gate2", "MATIC/USDT") == before
    assert {row.exchange for row in stored_series(db)} == {"gate2"}


@pytest.mark.usefixtures("stored")
def test_two_histories_are_not_made_one(db: Database, sql: Sql) -> None:
    with pytest.raises(StoreError, match=r"gate BTC/USDT has candles of its own \(BTC/USDT\)"):
        rename_symbol(db, "gate", "MATIC/USDT", "BTC/USDT", NOW)
    with pytest.raises(StoreError, match="Nothing of huobi is stored"):
        rename_exchange(db, "huobi", "htx", NOW)
    assert tables(sql, "gate", "MATIC/USDT")["candles"] > 0


@pytest.mark.usefixtures("stored")
def test_a_dropped_series_is_gone_and_on_record_and_the_others_stay(db: Database, sql: Sql) -> None:
    other = tables(sql, "gate", "BTC/USDT")
    counts = count_rows(db, "gate", "MATIC/USDT")
    assert counts["candles"] == 1437
    assert drop_series(db, "gate", "MATIC/USDT", NOW) == counts
    assert count_rows(db, "gate", "MATIC/USDT") == {}
    assert tables(sql, "gate", "BTC/USDT") == other
    assert "1,437 of candles" in sql.one("SELECT detail FROM series_events WHERE kind = 'dropped'")
    with pytest.raises(StoreError, match="Nothing of gate MATIC/USDT is stored"):
        drop_series(db, "gate", "MATIC/USDT", NOW)
