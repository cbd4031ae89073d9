from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from titan10_dagster.candles.daily import by_day_fetched, is_beyond_horizon
from titan10_dagster.candles.fetched import FetchRecord
from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.candles.timeframes import TIMEFRAMES

DAY = date(2024, 3, 1)


def record(symbol: str, day: date = DAY, *, answered: bool = True, horizon: datetime | None = None) -> FetchRecord:
    slice_ = Slice(Series("kraken", symbol, TIMEFRAMES["1m"]), day)
    return FetchRecord(slice_, datetime(2024, 4, 1, tzinfo=UTC), "rest", 3, 1, 0.5, answered, horizon)


def test_the_slices_of_a_day_are_added_up() -> None:
    landed = {one.slice: (one, rows) for one, rows in ((record("A/B"), 1440), (record("C/D"), 1400))}
    day = by_day_fetched(landed)[DAY]
    assert (day.slices, day.rows, day.expected, day.requests, day.retries) == (2, 2840, 2880, 6, 2)
    assert day.candles_per_second == 2840


def test_days_are_kept_apart() -> None:
    later = DAY + timedelta(days=1)
    landed = {one.slice: (one, 1) for one in (record("A/B"), record("A/B", later))}
    assert {day: fetched.rows for day, fetched in by_day_fetched(landed).items()} == {DAY: 1, later: 1}


def test_symbols_that_failed_are_named() -> None:
    one = record("A/B", answered=False)
    assert by_day_fetched({one.slice: (one, 0)})[DAY].unanswered == ("A/B",)


def test_a_slice_is_beyond_the_horizon_only_as_a_whole() -> None:
    end = record("A/B").slice.end
    assert is_beyond_horizon(record("A/B", horizon=end))
    assert not is_beyond_horizon(record("A/B", horizon=end - timedelta(minutes=1)))
    assert not is_beyond_horizon(record("A/B"))
