from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from titan10_dagster.candles.fetched import JudgedSlice, Source
from titan10_dagster.candles.slices import days, midnight, windows
from titan10_dagster.candles.source_files import SourceFile
from titan10_dagster.store import reader, rollups, writer
from titan10_dagster.store.audit import unaccounted
from titan10_dagster.store.database import Database
from titan10_dagster.store.retention import drop_before
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import (
    DAY,
    FETCHED,
    LATER,
    MINUTE,
    Sql,
    a_slice,
    candles,
    judged,
    with_value,
    without,
)

FIRST, LAST = DAY, DAY + timedelta(days=20)  # the first day is a Wednesday; chunks begin on Thursdays


def fill(db: Database, *symbols: str) -> None:
    slices = [a_slice(symbol, day) for symbol in symbols for day in days(FIRST, LAST)]
    write_slices(db, [judged(slice_, without(candles(slice_), 7, 8)) for slice_ in slices])
    rollups.refresh(db, windows(slices))


def a_file(name: str, first: date, last: date) -> SourceFile:
    start, end = midnight(first), midnight(last + timedelta(days=1))
    return SourceFile(f"https://archive/{name}", 1000, f"sha256:{name}", None, None, None, None, FETCHED, start, end)


def assert_adds_up(db: Database) -> None:
    assert unaccounted(db, "binance", MINUTE, FIRST - timedelta(days=9), LAST) == []


def test_expired_candles_are_dropped_with_their_ledger_rows(db: Database, sql: Sql) -> None:
    fill(db, "BTC/USDT", "ETH/USDT")
    dropped = drop_before(db, date(2024, 1, 20))
    kept = date(2024, 1, 18) if db.has_timescaledb() else date(2024, 1, 20)
    assert dropped.before == kept
    assert dropped.slices == 2 * len(days(FIRST, kept - timedelta(days=1)))
    assert sql.one("SELECT min(time) FROM candles") == midnight(kept)
    assert sql.one("SELECT min(day) FROM slice_ledger") == kept
    assert sql.one("SELECT min(gap_start) FROM gaps") >= midnight(kept)
    assert sql("SELECT DISTINCT first_candle FROM series") == [(midnight(kept),)]
    assert_adds_up(db)
    assert drop_before(db, date(2024, 1, 20)).slices == 0


def test_rollups_show_no_bar_of_what_went(db: Database) -> None:
    fill(db, "BTC/USDT")
    kept = drop_before(db, date(2024, 1, 20)).before
    rollups.catch_up(db)
    series = a_slice().series
    bars = reader.bars(db, series, "1d", midnight(FIRST), midnight(LAST))
    assert bars["time"].tolist()[0] == midnight(kept)
    assert set(bars["candles"]) == {1438}


def test_a_series_with_only_expired_days_is_dropped_and_may_return(db: Database, sql: Sql) -> None:
    fill(db, "BTC/USDT")
    old = a_slice("OLD/USDT", FIRST)
    write_slices(db, [judged(old)])
    drop_before(db, date(2024, 1, 20))
    assert sql("SELECT symbol FROM series") == [("BTC/USDT",)]
    assert_adds_up(db)
    write_slices(db, [judged(old)])
    assert sql.one("SELECT count(*) FROM candles WHERE symbol = 'OLD/USDT'") == 1440
    assert_adds_up(db)


def test_the_sources_of_expired_candles_go_with_them(db: Database, sql: Sql) -> None:
    """If all days of a file were dropped, the file is removed.

    If a file also has later days, its stretch begins later.
    """
    old, month = a_file("old.zip", FIRST, FIRST), a_file("month.zip", FIRST + timedelta(days=1), LAST)
    slices = [a_slice(day=day) for day in days(FIRST, LAST)]
    write_slices(
        db,
        [judged(slice_, files=(old if slice_.day == FIRST else month,), source=Source.ARCHIVE) for slice_ in slices],
    )
    assert sql.one("SELECT count(*) FROM source_files") == 2
    kept = drop_before(db, date(2024, 1, 20)).before
    assert sql("SELECT url, stretch_start, stretch_end FROM provenance") == [(month.url, midnight(kept), month.end)]
    assert sql("SELECT url FROM source_files") == [(month.url,)]
    drop_before(db, LAST + timedelta(days=60))
    assert sql("SELECT url FROM source_files") == []
    assert sql("SELECT count(*) FROM candles") == [(0,)]


def test_a_file_that_a_restatement_names_stays(db: Database, sql: Sql) -> None:
    old, new = a_file("old.zip", FIRST, FIRST), a_file("new.zip", FIRST, FIRST)
    rows = candles(a_slice())
    write_slices(db, [judged(a_slice(), rows, files=(old,), source=Source.ARCHIVE)])
    changed = with_value(rows, 7, close=float(rows["open"][7]))
    write_slices(db, [judged(a_slice(), changed, files=(new,), source=Source.ARCHIVE, fetched_at=FETCHED + LATER)])
    assert sql.one("SELECT count(*) FROM restatements") == 1
    drop_before(db, LAST + timedelta(days=60))
    assert sql.one("SELECT count(*) FROM source_stretches") == 0
    assert sql("SELECT url FROM source_files ORDER BY url") == [(new.url,), (old.url,)]


def test_silences_that_ended_before_go_too(db: Database, sql: Sql) -> None:
    fill(db, "BTC/USDT")
    for start, end in ((FIRST, FIRST + timedelta(days=1)), (LAST - timedelta(days=1), LAST)):
        sql(
            "INSERT INTO silences VALUES ('binance', 'BTC/USDT', '1m', %s, %s, 'halted', 0.9, 1, 1, NULL)",
            [midnight(start), midnight(end)],
        )
    drop_before(db, date(2024, 1, 20))
    assert sql("SELECT silence_end FROM silences") == [(midnight(LAST),)]


def test_nothing_old_enough_changes_nothing(db: Database, sql: Sql) -> None:
    fill(db, "BTC/USDT")
    assert drop_before(db, FIRST).slices == 0
    assert sql.one("SELECT count(*) FROM candles") == 1438 * 21
    assert_adds_up(db)


def test_what_is_being_written_goes_too_once_it_is_written(
    db: Database, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db, "BTC/USDT")
    monkeypatch.setattr(writer, "_MOST_SLICES", 1)
    dropping = threading.Thread(target=drop_before, args=(db, date(2024, 1, 20)))

    def again() -> Iterator[JudgedSlice]:
        for n in range(3):  # one batch was written, one batch is being written, and one batch is ready
            yield judged(a_slice(day=DAY + timedelta(days=n)), fetched_at=FETCHED + LATER)
        dropping.start()
        dropping.join(timeout=1)
        assert dropping.is_alive()

    write_slices(db, again())
    dropping.join()
    assert sql.one("SELECT min(day) FROM slice_ledger") >= date(2024, 1, 18)
    assert_adds_up(db)
