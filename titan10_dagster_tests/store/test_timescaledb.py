"""Features of TimescaleDB only: chunks, compression, and repairs of compressed chunks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg2
import pytest

from titan10_dagster.candles.fetched import JudgedSlice
from titan10_dagster.candles.frame import VALUES
from titan10_dagster.candles.slices import Slice, days
from titan10_dagster.store import reader
from titan10_dagster.store.database import Database, retrying
from titan10_dagster.store.migrations import migrate
from titan10_dagster.store.policies import Policies, apply
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import (
    DAY,
    FETCHED,
    LATER,
    Sql,
    a_slice,
    as_fetched,
    candles,
    judged,
    with_value,
    without,
)

SYMBOLS = ("BTC/USDT", "ETH/USDT", "XRP/USDT")
# the status of a chunk: 1 means compressed; 8 is added if some rows are not compressed ("partial")
FULLY_COMPRESSED = 1


@dataclass
class Chunks:
    """The chunks of the hypertable, read with SQL."""

    sql: Sql

    def compress(self) -> None:
        for (chunk,) in self.sql("SELECT chunk::text FROM show_chunks('candles') AS chunk"):
            self.sql("CALL convert_to_columnstore(%s::regclass, if_not_columnstore => true)", [chunk])

    def statuses(self) -> list[int]:
        return [status for (status,) in self.sql(
            "SELECT _timescaledb_functions.chunk_status(chunk) FROM show_chunks('candles') AS chunk ORDER BY chunk"
        )]  # fmt: skip


@pytest.fixture
def tsql(timescaledb: Database) -> Sql:
    return Sql(timescaledb)


@pytest.fixture
def chunks(tsql: Sql) -> Chunks:
    return Chunks(tsql)


def month(exchange: str = "binance") -> list[Slice]:
    return [a_slice(symbol, day, exchange) for symbol in SYMBOLS for day in days(DAY, DAY + timedelta(days=13))]


def read(db: Database, slice_: Slice) -> pd.DataFrame:
    return reader.candles(db, slice_.series, slice_.start, slice_.end)


def test_candles_are_a_hypertable_of_seven_days_that_compresses_what_is_a_week_old(
    timescaledb_database_url: str,
) -> None:
    db = Database(timescaledb_database_url)
    sql = Sql(db)
    assert db.has_timescaledb()
    of_candles = "WHERE hypertable_name = 'candles'"
    dimensions = f"SELECT column_name, time_interval FROM timescaledb_information.dimensions {of_candles}"
    assert sql(dimensions) == [("time", timedelta(days=7))]
    (settings,) = sql(
        "SELECT segmentby, orderby FROM timescaledb_information.hypertable_columnstore_settings"
        " WHERE hypertable = 'candles'::regclass"
    )
    assert [column.replace('"', "") for column in settings] == ["exchange,symbol,timeframe", "time"]
    jobs = sql(f"SELECT proc_name, config ->> 'compress_after' FROM timescaledb_information.jobs {of_candles}")
    assert jobs == [("policy_compression", "7 days")]
    db.close()


def test_a_plain_table_becomes_a_hypertable_without_losing_a_row(empty_timescaledb_database_url: str) -> None:
    url = empty_timescaledb_database_url
    migrate(url, timescaledb=False)
    db = Database(url)
    write_slices(db, [judged(slice_) for slice_ in month()])
    assert "0001_hypertable" in migrate(url)
    sql = Sql(db)
    assert sql.one("SELECT count(*) FROM ONLY candles") == 0
    assert sql.one("SELECT count(*) FROM candles") == len(month()) * 1440
    for slice_ in month():
        pd.testing.assert_frame_equal(read(db, slice_), candles(slice_))
    assert write_slices(db, [judged(slice_) for slice_ in month()]).inserted == 0
    db.close()


def test_making_chunks_leaves_nothing_behind(timescaledb: Database, tsql: Sql) -> None:
    write_slices(timescaledb, [judged(slice_) for slice_ in month()])
    assert tsql("SELECT DISTINCT exchange FROM candles") == [("binance",)]
    assert tsql.one("SELECT count(*) FROM show_chunks('candles')") == 3


def test_writing_the_same_again_leaves_compressed_chunks_as_they_are(timescaledb: Database, chunks: Chunks) -> None:
    write_slices(timescaledb, [judged(slice_) for slice_ in month()])
    chunks.compress()
    assert set(chunks.statuses()) == {FULLY_COMPRESSED}
    again = write_slices(timescaledb, [judged(slice_, fetched_at=FETCHED + LATER) for slice_ in month()])
    assert (again.inserted, again.restated) == (0, 0)
    assert set(chunks.statuses()) == {FULLY_COMPRESSED}


def test_a_compressed_day_is_filled_up_and_restated(timescaledb: Database, tsql: Sql, chunks: Chunks) -> None:
    """This test uses the server's default limits."""
    holed = {slice_: without(candles(slice_), 3, 500, 501, 1439) for slice_ in month()}
    write_slices(timescaledb, [judged(slice_, rows) for slice_, rows in holed.items()])
    chunks.compress()
    whole = {slice_: with_value(candles(slice_), 700, volume=77.0) for slice_ in month()}
    report = write_slices(timescaledb, [judged(s, rows, fetched_at=FETCHED + LATER) for s, rows in whole.items()])
    assert (report.inserted, report.restated) == (4 * len(month()), len(month()))
    for slice_, rows in whole.items():
        pd.testing.assert_frame_equal(read(timescaledb, slice_), rows)
    assert tsql.one("SELECT count(*) FROM restatements WHERE new_volume = 77") == len(month())
    assert tsql.one("SELECT count(*) FROM gaps") == 0
    chunks.compress()
    assert set(chunks.statuses()) == {FULLY_COMPRESSED}


def test_a_whole_compressed_day_of_an_exchange_may_come_late(timescaledb: Database, chunks: Chunks) -> None:
    late = [slice_ for slice_ in month() if slice_.day == DAY + timedelta(days=5)]
    write_slices(timescaledb, [judged(slice_) for slice_ in month() if slice_ not in late])
    chunks.compress()
    assert write_slices(timescaledb, [judged(slice_) for slice_ in late]).inserted == len(late) * 1440
    for slice_ in late:
        pd.testing.assert_frame_equal(read(timescaledb, slice_), candles(slice_))


def test_every_candle_of_compressed_days_may_change(timescaledb: Database, tsql: Sql, chunks: Chunks) -> None:
    write_slices(timescaledb, [judged(slice_) for slice_ in month()])
    chunks.compress()
    others = {slice_: candles(slice_, seed=1) for slice_ in month()}
    report = write_slices(timescaledb, [judged(slice_, rows) for slice_, rows in others.items()])
    assert report.restated == tsql.one("SELECT count(*) FROM restatements") > 0.99 * len(month()) * 1440
    for slice_, rows in others.items():
        pd.testing.assert_frame_equal(read(timescaledb, slice_), rows)


def test_compression_that_runs_meanwhile_harms_no_write(
    timescaledb: Database, quiet_timescaledb_url: str, chunks: Chunks, caplog: pytest.LogCaptureFixture
) -> None:
    write_slices(timescaledb, [judged(slice_) for slice_ in month()])
    compressing = psycopg2.connect(quiet_timescaledb_url)
    compressing.autocommit = True

    def compress() -> None:
        with compressing.cursor() as cursor:
            cursor.execute("SELECT chunk::text FROM show_chunks('candles') AS chunk")
            for (chunk,) in cursor.fetchall():
                cursor.execute("SELECT compress_chunk(%s::regclass)", [chunk])

    thread = threading.Thread(target=compress)

    def slices() -> Iterator[JudgedSlice]:
        fresh = [a_slice("ADA/USDT", slice_.day) for slice_ in month()[:14]]
        wanted = [*month(), *month(), *fresh, a_slice(day=DAY - timedelta(days=100))]
        for n, slice_ in enumerate(wanted):
            if n == 34 and not thread.ident:
                thread.start()
            yield judged(slice_)

    started = time.monotonic()
    report = write_slices(timescaledb, slices())
    assert time.monotonic() - started < 80  # the write did not wait for a lock
    assert "not created in advance" not in caplog.text  # the write did not continue after a lock timeout
    thread.join(timeout=30)
    compressing.close()
    assert not thread.is_alive()
    assert report.inserted == 15 * 1440
    chunks.compress()
    assert set(chunks.statuses()) == {FULLY_COMPRESSED}


SERIES = 100
APRIL = datetime(2023, 4, 1, tzinfo=UTC)
# one chunk; it contains the depeg of USDC, with the largest price changes of the file
WEEK = days(date(2023, 3, 9), date(2023, 3, 15))


def like_real_series(rows: pd.DataFrame, number: int) -> pd.DataFrame:
    """Return the rows of a similar market.

    Its price level is between 4e-10 and 6 times the price level of the file. A quarter of the series has prices with 7
    significant digits, like BTC/USDT in this file and Kraken's BTC/USDC. Half of the series has 6 digits, like
    Binance's XRP/ETH. A quarter has 5 digits. This mix is an assumption that determines the size. Volumes keep the
    digits of the file with other decimals.
    """
    level = 4.0 * 10.0 ** -(number % 11) * (1 + number / SERIES / 2)
    decimals = (7, 6, 6, 5)[number % 4] - int(np.floor(np.log10(23_000 * level))) - 1
    prices = [np.round(rows[name].to_numpy() * level, decimals) for name in ("open", "high", "low", "close")]
    volume_decimals = 6 - number % 7
    volume = np.round(
        rows["volume"].to_numpy() * 10.0 ** (6 - volume_decimals) * (1 + number / SERIES), volume_decimals
    )
    return rows.assign(**dict(zip(VALUES, [*prices, volume], strict=True)))


@pytest.fixture
def by_day(real_data: Path) -> dict[date, pd.DataFrame]:
    """Return the real candles of BTC/USDT on Binance.US from 1 to 21 March 2023, by day."""
    table = pd.read_csv(real_data / "binanceus_BTC-USDT_1m_2023-03.csv.gz", parse_dates=["open_time"])
    table = table.rename(columns={"open_time": "time"}).astype({"time": "datetime64[ms, UTC]"})
    return {day: candles.to_pandas() for day, candles in as_fetched(table).by_day().items()}


@pytest.fixture
def in_batches(timescaledb: Database, tsql: Sql) -> Database:
    """A database with the policies of the settings, except the policy that compresses chunks by itself."""
    apply(timescaledb, Policies.in_days(chunk=7, compress_after=7))
    tsql("SELECT remove_compression_policy('candles')")
    timescaledb.close()  # the size of a batch applies only to later connections
    return timescaledb


def test_a_real_candle_of_a_hundred_series_takes_fourteen_bytes(
    in_batches: Database, tsql: Sql, chunks: Chunks, by_day: dict[date, pd.DataFrame]
) -> None:
    """Every series has the candles of the file, with prices of 7 digits.

    With TimescaleDB's default batches of 1000, a candle takes 15.0 bytes.
    """
    first = [judged(a_slice("S0/USDT", day), rows, fetched_at=APRIL) for day, rows in by_day.items()]
    written = write_slices(in_batches, first).inserted
    tsql(
        "INSERT INTO candles SELECT exchange, 'S' || number || '/USDT', timeframe, time, open, high, low, close,"
        " volume, price_scale, volume_scale FROM candles, generate_series(1, %s) AS number",
        [SERIES - 1],
    )
    chunks.compress()
    size = tsql.one("SELECT hypertable_size('candles')") / (SERIES * written)
    assert size <= 14, f"{size:.2f} bytes a candle"


def test_a_candle_of_mixed_markets_takes_less(
    in_batches: Database, tsql: Sql, chunks: Chunks, by_day: dict[date, pd.DataFrame]
) -> None:
    def slices() -> Iterator[JudgedSlice]:
        for number in range(SERIES):
            for day in WEEK:
                slice_ = a_slice(f"S{number}/USDT", day)
                yield judged(slice_, like_real_series(by_day[day], number), fetched_at=APRIL)

    report = retrying(lambda: write_slices(in_batches, slices()))
    assert report.inserted == SERIES * len(WEEK) * 1440
    chunks.compress()
    size = tsql.one("SELECT hypertable_size('candles')") / report.inserted
    assert size <= 12, f"{size:.2f} bytes a candle"
