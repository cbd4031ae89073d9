from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from datetime import timedelta

import pandas as pd
import pytest

from titan10_dagster.candles.fetched import JudgedSlice
from titan10_dagster.candles.slices import Slice
from titan10_dagster.errors import WriteUnderWay
from titan10_dagster.store import reader, writer
from titan10_dagster.store.database import Database
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.cost import least
from titan10_dagster_tests.store.making import DAY, FETCHED, LATER, Sql, a_slice, candles, judged, without

SYMBOLS = ("BTC/USDT", "ETH/USDT", "XRP/USDT")


BATCH = 4  # the number of slices in a batch
# The number of a slice that is read after a batch was written. One batch is prepared while another is written, and a
# batch is full only when the next slice arrives.
ONE_IS_WRITTEN = 2 * BATCH + 2


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_BATCH", BATCH * 1440)


def slices(exchange: str = "binance", first: int = 0, last: int = 12) -> list[Slice]:
    return [a_slice(symbol, DAY + timedelta(days=n), exchange) for symbol in SYMBOLS for n in range(first, last)]


def write(url: str, first: int, last: int, backwards: bool) -> int:
    db = Database(url)
    wanted = sorted(slices(first=first, last=last), reverse=backwards)
    report = write_slices(db, (judged(slice_) for slice_ in wanted))
    db.close()
    return report.inserted


def test_processes_that_write_overlapping_slices_write_each_candle_once(url: str, db: Database, sql: Sql) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        inserted = pool.starmap(write, [(url, 0, 8, False), (url, 4, 12, True)])
    assert sum(inserted) == 3 * 12 * 1440
    assert sql.one("SELECT count(*) FROM candles") == 3 * 12 * 1440
    assert sql("SELECT state, present, count(*) FROM slice_ledger GROUP BY 1, 2") == [("settled", 1440, 36)]
    assert sql("SELECT * FROM restatements") == []
    for slice_ in slices(first=3, last=6):
        stored = reader.candles(db, slice_.series, slice_.start, slice_.end)
        pd.testing.assert_frame_equal(stored, candles(slice_))


def test_simultaneous_observations_of_the_same_hole_count_once(db: Database, sql: Sql) -> None:
    slice_ = a_slice()
    look = judged(slice_, without(candles(slice_), 5))
    threads = [threading.Thread(target=write_slices, args=(db, [look])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sql("SELECT observations, reason FROM gaps") == [(1, "unknown")]


@pytest.mark.usefixtures("small_batches")
def test_exchanges_do_not_wait_for_each_other_even_where_chunks_are_new(db: Database, sql: Sql) -> None:
    both_inside = threading.Barrier(2, timeout=60)

    def meeting(exchange: str) -> Iterator[JudgedSlice]:
        for n in range(12):
            if n == ONE_IS_WRITTEN:
                both_inside.wait()
            yield judged(a_slice(day=DAY + timedelta(days=n), exchange=exchange))

    threads = [
        threading.Thread(target=write_slices, args=(db, meeting(exchange))) for exchange in ("binance", "kraken")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not both_inside.broken
    assert sql("SELECT exchange, count(*) FROM candles GROUP BY 1 ORDER BY 1") == [
        ("binance", 12 * 1440),
        ("kraken", 12 * 1440),
    ]


@pytest.mark.usefixtures("small_batches")
def test_a_live_write_never_waits_with_a_connection_for_a_backfill_of_its_exchange(db: Database) -> None:
    today = a_slice(day=DAY + timedelta(days=40))
    poll = judged(today, candles(today).iloc[:3], fetched_at=today.start + timedelta(minutes=3), answered=False)
    refused: list[float] = []

    def is_refused() -> None:
        with pytest.raises(WriteUnderWay, match="another write of binance is under way"):
            write_slices(db, [poll], live=True)

    def backfill() -> Iterator[JudgedSlice]:
        for n, slice_ in enumerate(slices(last=4)):
            if n == ONE_IS_WRITTEN:
                refused.append(least(is_refused).clock)
            yield judged(slice_, fetched_at=FETCHED + LATER)

    write_slices(db, backfill())
    assert len(refused) == 1
    assert refused[0] < 2
    write_slices(db, [poll], live=True)
    assert len(reader.candles(db, today.series, today.start, today.end)) == 3
