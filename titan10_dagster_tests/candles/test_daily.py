from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from titan10_dagster.candles.daily import by_day_fetched, is_beyond_horizon
from titan10_dagster.candles.fetched import FetchRecord, Source
from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.candles.source_files import SourceFile
from titan10_dagster.candles.timeframes import TIMEFRAMES

DAY = date(2024, 3, 1)


def record(symbol: str, day: date = DAY, *, answered: bool = True, horizon: datetime | None = None) -> FetchRecord:
    slice_ = Slice(Series("kraken", symbol, TIMEFRAMES["1m"]), day)
    return FetchRecord(slice_, datetime(2024, 4, 1, tzinfo=UTC), Source.REST, 3, 1, 0.5, answered, horizon)


def test_the_slices_of_a_day_are_added_up() -> None:
    landed = {fetched.slice: (fetched, rows) for fetched, rows in ((record("A/B"), 1440), (record("C/D"), 1400))}
    day = by_day_fetched(landed)[DAY]
    assert (day.slices, day.rows, day.expected, day.requests, day.retries) == (2, 2840, 2880, 6, 2)
    assert day.candles_per_second == 2840


def test_sources_and_files_of_a_day_are_counted() -> None:
    at = datetime(2024, 4, 1, tzinfo=UTC)
    file = SourceFile("https://x/a.zip", 1, "sha256:a", None, None, None, None, at, at, at + timedelta(days=1))
    records = [
        record("A/B"),
        replace(record("C/D"), source=Source.ARCHIVE, files=(file,)),
        replace(record("E/F"), source=Source.ARCHIVE, files=(file,)),
    ]
    day = by_day_fetched({fetched.slice: (fetched, 1440) for fetched in records})[DAY]
    assert day.sources == {Source.REST: 1, Source.ARCHIVE: 2}
    assert day.files == 1


def test_days_are_kept_apart() -> None:
    later = DAY + timedelta(days=1)
    landed = {fetched.slice: (fetched, 1) for fetched in (record("A/B"), record("A/B", later))}
    assert {day: fetched.rows for day, fetched in by_day_fetched(landed).items()} == {DAY: 1, later: 1}


def test_symbols_that_failed_are_named() -> None:
    one = record("A/B", answered=False)
    assert by_day_fetched({one.slice: (one, 0)})[DAY].unanswered == ("A/B",)


def test_a_slice_is_beyond_the_horizon_only_as_a_whole() -> None:
    end = record("A/B").slice.end
    assert is_beyond_horizon(record("A/B", horizon=end))
    assert not is_beyond_horizon(record("A/B", horizon=end - timedelta(minutes=1)))
    assert not is_beyond_horizon(record("A/B"))
