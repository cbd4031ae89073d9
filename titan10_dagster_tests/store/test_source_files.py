from __future__ import annotations

from datetime import timedelta

from titan10_dagster.candles.fetched import Source
from titan10_dagster.candles.slices import Slice
from titan10_dagster.candles.source_files import SourceFile
from titan10_dagster.store.database import Database
from titan10_dagster.store.source_files import files_in_use, note_checked, slices_read_from
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import DAY, FETCHED, LATER, a_slice, judged

ONE_DAY = timedelta(days=1)
FIRST, SECOND = a_slice(), a_slice(day=DAY + ONE_DAY)
URL = "https://example.com/month.zip"


def write(db: Database, slice_: Slice, url: str, digest: str = "1", *, after: timedelta = timedelta(0)) -> None:
    read_at = FETCHED + after
    file = SourceFile(url, 9, f"sha256:{digest}", None, None, '"e"', None, read_at, FIRST.start, SECOND.end)
    write_slices(db, [judged(slice_, source=Source.ARCHIVE, files=(file,), fetched_at=read_at)])


def in_use(db: Database, *, after: timedelta = ONE_DAY, most: int = 10) -> list[tuple[str, str]]:
    found = files_in_use(db, "binance", base_url="https://example.com/", checked_before=FETCHED + after, most=most)
    return [(file.url, file.digest) for file in found]


def test_imported_files_and_those_of_other_exchanges_are_left_out(db: Database) -> None:
    write(db, FIRST, "file:///home/me/a.csv")
    write(db, a_slice(exchange="okx"), URL)
    assert in_use(db) == []


def test_the_newest_file_of_an_address_counts(db: Database) -> None:
    write(db, FIRST, URL)
    write(db, SECOND, URL, "2", after=LATER)
    assert in_use(db) == [(URL, "sha256:2")]
    write(db, SECOND, URL, "1", after=2 * LATER)  # the archive has the former file again
    assert in_use(db) == [(URL, "sha256:1")]


def test_a_file_that_no_candle_names_any_more_is_left_out(db: Database) -> None:
    write(db, FIRST, URL)
    write(db, FIRST, "https://example.com/day.zip", after=LATER)
    assert in_use(db) == [("https://example.com/day.zip", "sha256:1")]


def test_files_that_were_checked_lately_are_left_out_and_the_others_take_turns(db: Database) -> None:
    write(db, FIRST, URL)
    write(db, SECOND, "https://example.com/day.zip", after=LATER)
    assert in_use(db, most=1) == [(URL, "sha256:1")]
    note_checked(
        db,
        files_in_use(db, "binance", base_url="https://example.com/", checked_before=FETCHED + ONE_DAY, most=1),
        FETCHED + 2 * LATER,
    )
    assert in_use(db, most=1) == [("https://example.com/day.zip", "sha256:1")]
    assert in_use(db, after=2 * LATER) == [("https://example.com/day.zip", "sha256:1")]
    assert in_use(db, after=LATER) == []


def test_the_slices_of_a_file_are_all_days_that_name_it(db: Database) -> None:
    write(db, FIRST, URL)
    write(db, SECOND, URL, "2", after=LATER)
    write(db, a_slice("ETH/USDT"), URL)
    assert slices_read_from(db, "binance", URL) == sorted([FIRST, SECOND, a_slice("ETH/USDT")])
