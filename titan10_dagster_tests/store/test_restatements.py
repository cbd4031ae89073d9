"""Restatements contain the sources of both values: REST, an imported file, or a file of an archive."""

from __future__ import annotations

from datetime import timedelta

from titan10_dagster.candles.fetched import JudgedSlice, Source
from titan10_dagster.candles.source_files import SourceFile
from titan10_dagster.store.database import Database
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import FETCHED, LATER, Sql, a_slice, candles, judged, with_value

BTC = a_slice()
PLACE = 30
SOURCES = """
    SELECT r.old_source, old.url AS old_url, r.source, new.url AS new_url, r.old_volume, r.new_volume
    FROM restatements AS r
    LEFT JOIN source_files AS old ON old.id = r.old_file
    LEFT JOIN source_files AS new ON new.id = r.new_file
    ORDER BY r.id
"""
OLD = float(candles(BTC).loc[PLACE, "volume"])


def a_file(url: str, digest: str = "1") -> SourceFile:
    return SourceFile(url, 1000, f"sha256:{digest}", None, None, None, None, FETCHED, BTC.start, BTC.end)


def read(source: Source, volume: float, *files: SourceFile, after: timedelta = timedelta(0)) -> JudgedSlice:
    rows = with_value(candles(BTC), PLACE, volume=volume)
    return judged(BTC, rows, source=source, files=files, fetched_at=FETCHED + after)


ARCHIVE, IMPORT = a_file("https://example.com/a.zip"), a_file("file:///home/me/b.csv")


def test_rest_overwrites_a_file(db: Database, sql: Sql) -> None:
    write_slices(db, [read(Source.ARCHIVE, OLD, ARCHIVE)])
    write_slices(db, [read(Source.REST, 7.0, after=LATER)])
    assert sql(SOURCES) == [("archive", ARCHIVE.url, "rest", None, OLD, 7.0)]


def test_a_file_overwrites_rest(db: Database, sql: Sql) -> None:
    write_slices(db, [read(Source.REST, OLD)])
    write_slices(db, [read(Source.ARCHIVE, 7.0, ARCHIVE, after=LATER)])
    assert sql(SOURCES) == [("rest", None, "archive", ARCHIVE.url, OLD, 7.0)]


def test_a_replaced_file_overwrites_its_predecessor(db: Database, sql: Sql) -> None:
    write_slices(db, [read(Source.ARCHIVE, OLD, ARCHIVE)])
    write_slices(db, [read(Source.ARCHIVE, 7.0, a_file(ARCHIVE.url, "2"), after=LATER)])
    assert sql(SOURCES) == [("archive", ARCHIVE.url, "archive", ARCHIVE.url, OLD, 7.0)]
    assert sql.one("SELECT old_file <> new_file FROM restatements")


def test_sources_follow_each_other(db: Database, sql: Sql) -> None:
    write_slices(db, [read(Source.IMPORT, OLD, IMPORT)])
    write_slices(db, [read(Source.REST, 7.0, after=LATER)])
    write_slices(db, [read(Source.REST, 8.0, after=2 * LATER)])
    write_slices(db, [read(Source.ARCHIVE, 9.0, ARCHIVE, after=3 * LATER)])
    assert sql(SOURCES) == [
        ("import", IMPORT.url, "rest", None, OLD, 7.0),
        ("rest", None, "rest", None, 7.0, 8.0),
        ("rest", None, "archive", ARCHIVE.url, 8.0, 9.0),
    ]


def test_candles_of_one_slice_keep_their_own_sources(db: Database, sql: Sql) -> None:
    morning = SourceFile(
        "https://example.com/m.zip", 1, "sha256:m", None, None, None, None, FETCHED, BTC.start,
        BTC.start + timedelta(hours=12),
    )  # fmt: skip
    rows = candles(BTC)
    write_slices(db, [judged(BTC, rows, source=Source.ARCHIVE, files=(morning,))])
    changed = rows.assign(volume=rows["volume"] + 1)
    write_slices(db, [judged(BTC, changed, fetched_at=FETCHED + LATER)])
    counted = sql("SELECT old_source, source, count(*) FROM restatements GROUP BY 1, 2 ORDER BY 1")
    assert counted == [("archive", "rest", 720), ("rest", "rest", 720)]
    wrong = sql.one(
        "SELECT count(*) FROM restatements WHERE (old_source = 'archive') <> (\"time\" < %s)", [morning.end]
    )
    assert wrong == 0
