from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from titan10_dagster.candles import frame as candle_frame
from titan10_dagster.candles.frame import (
    COLUMNS,
    MalformedRows,
    between,
    by_day,
    drop_repeats,
    drop_unfinished,
    from_rows,
    times,
)
from titan10_dagster.candles.slices import from_ms, to_ms
from titan10_dagster_tests.candles import strategies as some

NAN = float("nan")
NOON = 1_709_208_000_000

rows = st.lists(st.tuples(st.integers(0, 253_402_300_799_999), *[st.none() | some.awkward_floats] * 5), max_size=8)


def is_candle_frame(frame: pd.DataFrame) -> bool:
    dtypes = [str(dtype) for dtype in frame.dtypes]
    return (
        tuple(frame.columns) == COLUMNS
        and dtypes == ["datetime64[ms, UTC]"] + ["float64"] * 5
        and isinstance(frame.index, pd.RangeIndex)
        and frame.index.equals(pd.RangeIndex(len(frame)))
    )


def as_tuples(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Rows that compare equal where they are the same: NaN as None."""
    values = frame.drop(columns="time").astype(object)
    cells = values.where(values.notna(), None)
    starts = times(frame).astype(np.int64).tolist()
    return [(start, *row) for start, row in zip(starts, cells.itertuples(index=False), strict=True)]


@given(rows)
def test_rows_become_a_frame_with_every_value_as_it_was(rows: list[tuple[Any, ...]]) -> None:
    frame = from_rows(rows)
    assert is_candle_frame(frame)
    assert as_tuples(frame) == [tuple(None if cell != cell else cell for cell in row) for row in rows]


@given(rows)
def test_an_array_of_rows_gives_the_same_frame(rows: list[tuple[Any, ...]]) -> None:
    array = np.array(rows, dtype=np.float64).reshape(-1, 6)
    assert_frame_equal(from_rows(array), from_rows(rows), check_exact=True)


def test_a_frame_does_not_change_with_the_array_it_came_from() -> None:
    for size in (1, 3):
        array = np.full((size, 6), NOON, dtype=np.float64)
        frame = from_rows(array)
        array[:] = 0
        assert (frame["open"] == NOON).all()
        assert (frame["time"] == from_ms(NOON)).all()


@pytest.mark.parametrize(
    "rows",
    [
        [[NOON, 1, 2, 3, 4]],
        [[NOON, 1, 2, 3, 4, 5, 6]],
        [[NOON, 1, 2, 3, 4, 5], [NOON, 1]],
        [NOON, 1, 2, 3, 4, 5],
        [[NOON, "no", 2, 3, 4, 5]],
        [[NOON, {}, 2, 3, 4, 5]],
        [{"time": NOON}],
        "abcdef",
        [[NOON, 10**400, 2, 3, 4, 5]],
    ],
)
def test_rows_that_are_not_six_numbers_are_malformed(rows: Sequence[Any]) -> None:
    with pytest.raises(MalformedRows, match="rows are not 6"):
        from_rows(rows)


@pytest.mark.parametrize("time", [None, NAN, float("inf"), -1, NOON + 0.5, NOON * 1000, "2024-01-01"])
def test_a_time_that_is_not_whole_milliseconds_is_malformed(time: Any) -> None:
    with pytest.raises(MalformedRows):
        from_rows([[NOON, 1, 1, 1, 1, 1], [time, 1, 1, 1, 1, 1]])


def test_no_rows_are_an_empty_frame() -> None:
    nothings: list[Any] = [[], (), np.empty((0, 6)), np.empty(0)]
    assert all(is_candle_frame(from_rows(nothing)) for nothing in nothings)
    assert_frame_equal(candle_frame.empty(), from_rows([]))


@given(some.raw_frames(), st.integers(-90, 30 * 60), st.integers(0, 30 * 60), st.integers(0, 999_999))
def test_between_keeps_exactly_the_candles_that_start_in_it(
    frame: pd.DataFrame, first: int, length: int, microseconds: int
) -> None:
    start = some.after(some.HOURLY, minutes=first, microseconds=microseconds)
    end = start + timedelta(minutes=length)
    kept = between(frame, start, end)
    assert is_candle_frame(kept)
    assert as_tuples(kept) == [row for row in as_tuples(frame) if start <= from_ms(row[0]) < end]


@given(some.raw_frames(max_size=30))
def test_by_day_parts_a_frame_into_its_days_and_loses_nothing(frame: pd.DataFrame) -> None:
    days = by_day(frame)
    assert list(days) == sorted({from_ms(row[0]).date() for row in as_tuples(frame)})
    for day, part in days.items():
        assert is_candle_frame(part)
        assert as_tuples(part) == [row for row in as_tuples(frame) if from_ms(row[0]).date() == day]


@given(some.raw_frames(), some.timeframes, st.integers(-60, 30 * 60), st.integers(0, 999_999))
def test_a_candle_is_kept_once_its_time_is_over(
    frame: pd.DataFrame, timeframe: Any, minutes: int, microseconds: int
) -> None:
    now = some.after(some.HOURLY, minutes=minutes, microseconds=microseconds)
    kept = drop_unfinished(frame, timeframe, now)
    assert is_candle_frame(kept)
    assert as_tuples(kept) == [row for row in as_tuples(frame) if from_ms(row[0]) + timeframe.delta <= now]


@given(some.raw_frames(), st.lists(st.integers(0, 11), max_size=30))
def test_dropping_repeats_sorts_and_keeps_one_of_each_candle(frame: pd.DataFrame, picks: list[int]) -> None:
    order = [*(pick for pick in picks if pick < len(frame)), *range(len(frame))]
    repeated = frame.take(order).reset_index(drop=True)
    kept = drop_repeats(repeated)
    assert is_candle_frame(kept)
    first_seen = list(dict.fromkeys(as_tuples(repeated)))
    assert as_tuples(kept) == sorted(first_seen, key=lambda row: row[0])
    assert drop_repeats(kept) is kept or as_tuples(drop_repeats(kept)) == as_tuples(kept)


@given(some.raw_frames())
def test_no_function_changes_the_frame_it_is_given(frame: pd.DataFrame) -> None:
    before = frame.copy()
    now = datetime(2024, 2, 29, 12, tzinfo=UTC)
    drop_repeats(drop_unfinished(frame, some.HOURLY.series.timeframe, now))
    by_day(between(frame, now, now + timedelta(days=1)))
    assert_frame_equal(frame, before, check_exact=True)


@given(some.raw_frames())
def test_times_are_naive_utc_milliseconds(frame: pd.DataFrame) -> None:
    assert times(frame).dtype == np.dtype("datetime64[ms]")
    assert times(frame).astype(np.int64).tolist() == [to_ms(t.to_pydatetime()) for t in frame["time"]]
