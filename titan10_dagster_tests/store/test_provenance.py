"""Which file each stored candle was read from, as the view `provenance` shows it."""

from __future__ import annotations

from datetime import datetime, timedelta

from titan10_dagster.candles.fetched import Source
from titan10_dagster.candles.slices import Slice
from titan10_dagster.candles.source_files import SourceFile
from titan10_dagster.store import reader
from titan10_dagster.store.database import Database
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import DAY, FETCHED, LATER, Sql, a_slice, judged

ONE_DAY = timedelta(days=1)
STRETCHES = "SELECT stretch_start, stretch_end, source, url FROM provenance ORDER BY exchange, symbol, stretch_start"


def file(name: str, start: datetime, end: datetime) -> SourceFile:
    return SourceFile(name, 1000, f"sha256:{name}", None, None, None, None, FETCHED, start, end)


def write(db: Database, slice_: Slice, *files: SourceFile, later: timedelta = timedelta(0)) -> None:
    source = Source.ARCHIVE if files else Source.REST
    write_slices(db, [judged(slice_, files=files, source=source, fetched_at=FETCHED + later)])


def test_a_file_of_two_days_is_one_stretch_and_one_file(db: Database, sql: Sql) -> None:
    first, second = a_slice(), a_slice(day=DAY + ONE_DAY)
    month = file("https://example.com/month.zip", first.start, second.end)
    for slice_ in (first, second):
        write(db, slice_, month)
    assert sql(STRETCHES) == [(first.start, second.end, "archive", month.url)]
    assert sql.one("SELECT count(*) FROM source_files") == 1


def test_a_later_file_of_a_day_replaces_the_earlier_one_there_only(db: Database, sql: Sql) -> None:
    first, second = a_slice(), a_slice(day=DAY + ONE_DAY)
    month = file("https://example.com/month.zip", first.start, second.end)
    for slice_ in (first, second):
        write(db, slice_, month)
    corrected = file("file:///home/me/day.csv", second.start, second.end)
    write(db, second, corrected, later=LATER)
    assert sql(STRETCHES) == [
        (first.start, first.end, "archive", month.url),
        (second.start, second.end, "import", corrected.url),
    ]


def test_series_do_not_share_stretches(db: Database, sql: Sql) -> None:
    slices = [a_slice("BTC/USDT"), a_slice("ETH/USDT")]
    for slice_ in slices:
        write(db, slice_, file(f"https://example.com/{slice_.series.symbol}", slice_.start, slice_.end))
    assert [url for _, _, _, url in sql(STRETCHES)] == ["https://example.com/BTC/USDT", "https://example.com/ETH/USDT"]


def test_candles_from_requests_have_no_file(db: Database, sql: Sql) -> None:
    write(db, a_slice())
    assert sql(STRETCHES) == []
    assert sql.one("SELECT candle_source('binance', 'BTC/USDT', '1m', %s)", [a_slice().start]) == "rest"


def test_the_reader_gives_the_stretches_of_a_window_with_their_files(db: Database) -> None:
    first, second = a_slice(), a_slice(day=DAY + ONE_DAY)
    month = file("https://example.com/month.zip", first.start, second.end)
    write(db, first, month)
    write(db, second)
    half = first.start + timedelta(hours=12)
    found = reader.provenance(db, first.series, half, second.end)
    assert list(found.columns) == list(reader.PROVENANCE_COLUMNS)
    (row,) = found.to_dict("records")
    assert (row["stretch_start"], row["stretch_end"]) == (half, first.end)
    assert (row["source"], row["url"], row["digest"]) == ("archive", month.url, month.digest)
    assert reader.provenance(db, first.series, second.start, second.end).empty


def test_coverage_counts_the_days_of_each_source(db: Database) -> None:
    first, second = a_slice(), a_slice(day=DAY + ONE_DAY)
    write(db, first, file("https://example.com/day.zip", first.start, first.end))
    write(db, second)
    row = reader.coverage(db, first.series)
    assert row is not None
    assert row.sources == {Source.ARCHIVE: 1, Source.REST: 1}
