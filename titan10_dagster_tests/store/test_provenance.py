"""The view `provenance` shows the file from which each stored candle was read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from titan10_dagster.candles.fetched import JudgedSlice, Source
from titan10_dagster.candles.slices import Slice
from titan10_dagster.candles.source_files import SourceFile
from titan10_dagster.store import reader
from titan10_dagster.store.database import Database
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
    with_value,
    without,
)

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


MINUTE = timedelta(minutes=1)
BTC = a_slice()
MONTH = file("https://example.com/month.zip", BTC.start, BTC.end + 30 * ONE_DAY)


def source_of(sql: Sql, minute: int) -> str:
    return str(sql.one("SELECT candle_source('binance', 'BTC/USDT', '1m', %s)", [BTC.start + minute * MINUTE]))


def archived(**record: Any) -> JudgedSlice:
    return judged(BTC, files=(MONTH,), source=Source.ARCHIVE, **record)


def test_what_rest_overwrites_is_cut_out_of_the_stretch(db: Database, sql: Sql) -> None:
    write_slices(db, [archived()])
    rows = with_value(with_value(candles(BTC), 10, volume=7.0), 11, volume=7.0)
    write_slices(db, [judged(BTC, rows, fetched_at=FETCHED + LATER)])
    assert sql(STRETCHES) == [
        (BTC.start, BTC.start + 10 * MINUTE, "archive", MONTH.url),
        (BTC.start + 12 * MINUTE, BTC.end, "archive", MONTH.url),
    ]
    assert [source_of(sql, minute) for minute in (9, 10, 11, 12)] == [MONTH.url, "rest", "rest", MONTH.url]


def test_what_rest_adds_is_cut_out_of_the_stretch(db: Database, sql: Sql) -> None:
    write_slices(db, [archived(rows=without(candles(BTC), 0, 700))])
    assert sql(STRETCHES) == [(BTC.start, BTC.end, "archive", MONTH.url)]  # the stretch includes minutes without trades
    write_slices(db, [judged(BTC, fetched_at=FETCHED + LATER)])
    assert [source_of(sql, minute) for minute in (0, 1, 699, 700, 701)] == [
        *("rest", MONTH.url, MONTH.url),
        *("rest", MONTH.url),
    ]


def test_what_rest_gives_alike_keeps_its_file(db: Database, sql: Sql) -> None:
    write_slices(db, [archived()])
    write_slices(db, [judged(BTC, fetched_at=FETCHED + LATER)])
    assert sql(STRETCHES) == [(BTC.start, BTC.end, "archive", MONTH.url)]


def test_a_file_does_not_claim_stored_candles_that_it_lacks(db: Database, sql: Sql) -> None:
    write_slices(db, [judged(BTC)])
    write_slices(db, [archived(rows=without(candles(BTC), 5), fetched_at=FETCHED + LATER)])
    assert [source_of(sql, minute) for minute in (4, 5, 6)] == [MONTH.url, "rest", MONTH.url]


def test_an_empty_answer_of_rest_cuts_nothing(db: Database, sql: Sql) -> None:
    write_slices(db, [archived()])
    write_slices(db, [judged(BTC, NO_ROWS, fetched_at=FETCHED + LATER, answered=False)])
    assert sql(STRETCHES) == [(BTC.start, BTC.end, "archive", MONTH.url)]


def test_a_candle_restated_before_sources_were_kept_has_the_source_of_its_restatement(db: Database, sql: Sql) -> None:
    write_slices(db, [archived()])
    write_slices(db, [judged(BTC, with_value(candles(BTC), 10, volume=7.0), fetched_at=FETCHED + LATER)])
    sql("UPDATE restatements SET old_source = NULL")
    sql("UPDATE source_stretches SET stretch_end = %s WHERE stretch_start = %s", [BTC.start + 11 * MINUTE, BTC.start])
    assert [source_of(sql, minute) for minute in (9, 10)] == [MONTH.url, "rest"]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 8), st.integers(1, 6), st.integers(1, 3)), max_size=6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_candle_names_the_last_source_that_gave_its_value(
    db: Database, sql: Sql, writes: list[tuple[int, int, int, int]]
) -> None:
    """Draw writes: a source (0: REST), the first hour, the number of hours, and the volume.

    Minutes are sampled by hour.
    """
    sql("TRUNCATE candles, series, slice_ledger, gaps, restatements, source_stretches, source_files CASCADE")
    hour = a_slice(timeframe="1h")
    files = [file(f"https://example.com/{n}.zip", hour.start, hour.end) for n in (1, 2)]
    expected: dict[int, tuple[int, int]] = {}  # the key is the hour; the value is the volume and the source
    for place, (source, first, length, volume) in enumerate(writes):
        hours = range(first, first + length)
        rows = candles(hour).iloc[list(hours)].assign(volume=float(volume))
        write_slices(
            db,
            [
                judged(
                    hour,
                    rows,
                    answered=False,
                    fetched_at=FETCHED + place * LATER,
                    files=(files[source - 1],) if source else (),
                    source=Source.ARCHIVE if source else Source.REST,
                )
            ],
        )
        for number in hours:
            known = expected.get(number)
            if source or known is None or known[0] != volume:
                expected[number] = (volume, source)
    for number, (_, source) in expected.items():
        instant = hour.start + timedelta(hours=number)
        found = sql.one("SELECT candle_source('binance', 'BTC/USDT', '1h', %s)", [instant])
        assert found == (files[source - 1].url if source else "rest")


MONTHLY = "https://data.binance.vision/data/spot/monthly/klines/{0}/1m/{0}-1m-{1:%Y-%m}.zip"
YEAR = 365 * 1440


def a_year(symbol: str, rows: pd.DataFrame | None = None) -> list[JudgedSlice]:
    """Return the slices of 2023, as if they were read from twelve monthly files. `rows`: other candles for each day."""
    found = []
    for month in range(1, 13):
        first = datetime(2023, month, 1, tzinfo=UTC)
        after = (first + 32 * ONE_DAY).replace(day=1)
        source = SourceFile(
            url=MONTHLY.format(symbol.replace("/", ""), first),
            size=1_800_000,
            digest=f"sha256:{'a' * 64}",
            published_digest="b" * 64,
            checked_against="sha256 file",
            etag=f'"{"c" * 32}"',
            last_modified="Mon, 01 Jan 2024 08:32:00 GMT",
            read_at=FETCHED,
            start=first,
            end=after,
        )
        for day in range((after - first).days):
            slice_ = a_slice(symbol, first.date() + timedelta(days=day))
            found.append(judged(slice_, rows, files=(source,), source=Source.ARCHIVE))
    return found


def test_provenance_costs_less_than_a_tenth_of_a_byte_per_candle(db: Database, sql: Sql) -> None:
    """The size of a year is measured.

    For one pair, rows and index entries are counted. For ten pairs, all bytes on disk are counted.
    """
    tables = "unnest(ARRAY['source_files', 'source_stretches']::regclass[]) AS t"
    rows_and_indexes = f"SELECT sum(pg_relation_size(t) + pg_indexes_size(t)) FROM {tables}"
    empty = sql.one(rows_and_indexes)
    assert write_slices(db, a_year("BTC/USDT")).inserted == YEAR
    assert sql.one("SELECT count(*) FROM source_stretches") == 12
    added = sql.one(rows_and_indexes) - empty
    assert 0 < added / YEAR < 0.1
    for number in range(9):
        write_slices(db, a_year(f"C{number}/USDT", NO_ROWS))  # without candles, the stretches are the same
    assert sql.one("SELECT count(*) FROM source_stretches") == 120
    on_disk = sql.one(f"SELECT sum(pg_total_relation_size(t)) FROM {tables}")
    assert 0 < on_disk / (10 * YEAR) < 0.1
