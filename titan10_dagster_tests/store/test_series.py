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
    """Store two series with gaps, quarantined candles and restated candles."""
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
        "`titan10 series rename` renamed gate MATIC/USDT to gate POL/USDT"
    )
    # later days are stored under the new name
    write_slices(db, [judged(a_slice("POL/USDT", DAY + timedelta(days=1), "gate"))])


@pytest.mark.usefixtures("stored")
def test_a_renamed_exchange_keeps_its_history(db: Database, sql: Sql) -> None:
    before = tables(sql, "gate", "MATIC/USDT")
    rename_exchange(db, "gate", "gate2", NOW)
    assert tables(sql, "gate2", "MATIC/USDT") == before
    assert {row.exchange for row in stored_series(db)} == {"gate2"}


@pytest.mark.usefixtures("stored")
def test_two_histories_are_not_made_one(db: Database, sql: Sql) -> None:
    with pytest.raises(StoreError, match=r"gate BTC/USDT already has candles \(BTC/USDT\)"):
        rename_symbol(db, "gate", "MATIC/USDT", "BTC/USDT", NOW)
    with pytest.raises(StoreError, match="No series of huobi is stored"):
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
    with pytest.raises(StoreError, match="No series of gate MATIC/USDT is stored"):
        drop_series(db, "gate", "MATIC/USDT", NOW)


# Tables with a column `symbol` that keep their rows on purpose: the market list and the user's preferences.
NOT_OF_SERIES = {"markets", "preferences"}
FILE = "https://archive/MATIC.zip"


@pytest.fixture
def in_all_tables(stored: None, sql: Sql) -> None:
    """Store rows of both series in the tables that a write alone does not fill, and a probe of the exchange."""
    for symbol, url in (("MATIC/USDT", FILE), ("BTC/USDT", "https://archive/BTC.zip")):
        sql(
            "INSERT INTO source_files (exchange, url, size, digest, read_at, checked_at) "
            "VALUES ('gate', %s, 1, 'd', %s, %s)",
            [url, NOW, NOW],
        )
        sql(
            "INSERT INTO source_stretches SELECT 'gate', %s, '1m', %s, %s, id FROM source_files WHERE url = %s",
            [symbol, OLD.start, OLD.end, url],
        )
        sql(
            "INSERT INTO silences VALUES ('gate', %s, '1m', %s, %s, 'halted', 0.9, 1, 1, NULL)",
            [symbol, OLD.start, OLD.end],
        )
        sql(
            "INSERT INTO series_breaks VALUES ('gate', %s, '1m', %s, 'redenomination', 1000, 0.001, %s)",
            [symbol, OLD.start, NOW],
        )
        sql(
            "INSERT INTO series_identities VALUES ('gate', %s, %s, NULL, 'id', 'base', 'quote', '{}')",
            [symbol, NOW],
        )
    sql("INSERT INTO exchange_probes VALUES ('gate', %s, 10, '{}', '{}')", [NOW])


def rows_of(sql: Sql, exchange: str, symbol: str) -> dict[str, int]:
    """Count the rows of a symbol in every table with a column `symbol`, according to the database's catalogue."""
    names = sql(
        """
        SELECT table_name FROM information_schema.columns
        JOIN information_schema.tables USING (table_schema, table_name)
        WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' AND column_name IN ('exchange', 'symbol')
        GROUP BY table_name HAVING count(*) = 2
        """
    )
    query = 'SELECT count(*) FROM "{}" WHERE exchange = %s AND symbol = %s'
    counts = {name: sql.one(query.format(name), [exchange, symbol]) for (name,) in names if name not in NOT_OF_SERIES}
    return {name: count for name, count in counts.items() if count}


@pytest.mark.usefixtures("in_all_tables")
def test_a_rename_moves_the_rows_of_every_table(db: Database, sql: Sql) -> None:
    before, other = rows_of(sql, "gate", "MATIC/USDT"), rows_of(sql, "gate", "BTC/USDT")
    assert {"source_stretches", "silences", "series_breaks", "series_identities", "candles"} <= before.keys()
    rename_symbol(db, "gate", "MATIC/USDT", "POL/USDT", NOW)
    assert rows_of(sql, "gate", "MATIC/USDT") == {}
    moved = rows_of(sql, "gate", "POL/USDT")
    assert {**moved, "series_events": 0} == {**before, "series_events": 0}
    assert moved["series_events"] == before.get("series_events", 0) + 1
    assert rows_of(sql, "gate", "BTC/USDT") == other
    rename_exchange(db, "gate", "gate2", NOW)
    assert rows_of(sql, "gate", "POL/USDT") == rows_of(sql, "gate", "BTC/USDT") == {}
    assert sql("SELECT DISTINCT exchange FROM source_files") == [("gate2",)]
    assert sql("SELECT DISTINCT exchange FROM exchange_probes") == [("gate2",)]


@pytest.mark.usefixtures("in_all_tables")
def test_a_drop_leaves_only_its_record(db: Database, sql: Sql) -> None:
    other = rows_of(sql, "gate", "BTC/USDT")
    drop_series(db, "gate", "MATIC/USDT", NOW)
    assert rows_of(sql, "gate", "MATIC/USDT").keys() == {"series_events"}
    assert rows_of(sql, "gate", "BTC/USDT") == other
    assert sql("SELECT url FROM source_files") == [("https://archive/BTC.zip",)]
    assert sql.one("SELECT count(*) FROM exchange_probes") == 1


@pytest.mark.usefixtures("stored")
def test_days_that_wait_for_a_classification_still_wait_after_a_rename(db: Database, sql: Sql) -> None:
    before = sql("SELECT id, timeframe, day FROM outage_evidence ORDER BY id")
    assert before
    rename_exchange(db, "gate", "gate2", NOW)
    assert sql("SELECT id, timeframe, day FROM outage_evidence ORDER BY id") == before
