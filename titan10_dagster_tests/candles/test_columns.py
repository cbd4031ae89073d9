from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan10_dagster.candles.columns import Candles, MalformedRows
from titan10_dagster.candles.frame import COLUMNS
from titan10_dagster.candles.slices import from_ms
from titan10_dagster_tests.candles import strategies as some
from titan10_dagster_tests.candles.strategies import assert_same

NAN = float("nan")
NOON = 1_709_208_000_000

rows = st.lists(st.tuples(st.integers(0, 253_402_300_799_999), *[st.none() | some.awkward_floats] * 5), max_size=8)


def as_tuples(candles: Candles) -> list[tuple[Any, ...]]:
    """Return rows that are equal if they have the same values. NaN becomes None."""
    assert_same(candles, candles)  # checks the shape
    table = zip(candles.times.astype(np.int64).tolist(), *candles.values.tolist(), strict=True)
    return [tuple(None if cell != cell else cell for cell in row) for row in table]


@given(rows)
def test_rows_become_candles_with_every_value_as_it_was(rows: list[tuple[Any, ...]]) -> None:
    candles = Candles.from_rows(rows)
    assert as_tuples(candles) == [tuple(None if cell != cell else cell for cell in row) for row in rows]
    named = (candles.open, candles.high, candles.low, candles.close, candles.volume)
    np.testing.assert_array_equal(named, candles.values)


@given(rows)
def test_an_array_of_rows_gives_the_same_candles(rows: list[tuple[Any, ...]]) -> None:
    array = np.array(rows, dtype=np.float64).reshape(-1, 6)
    assert_same(Candles.from_rows(array), Candles.from_rows(rows))


def test_candles_do_not_change_with_the_array_they_came_from() -> None:
    for size in (1, 3):
        array = np.full((size, 6), NOON, dtype=np.float64)
        candles = Candles.from_rows(array)
        array[:] = 0
        assert (candles.open == NOON).all()
        assert (candles.times == np.datetime64(NOON, "ms")).all()


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
    with pytest.raises(MalformedRows, match="rows do not consist of 6"):
        Candles.from_rows(rows)


@pytest.mark.parametrize("time", [None, NAN, float("inf"), -1, NOON + 0.5, NOON * 1000, "2024-01-01"])
def test_a_time_that_is_not_whole_milliseconds_is_malformed(time: Any) -> None:
    with pytest.raises(MalformedRows):
        Candles.from_rows([[NOON, 1, 1, 1, 1, 1], [time, 1, 1, 1, 1, 1]])


def test_no_rows_are_no_candles() -> None:
    nothings: list[Any] = [[], (), np.empty((0, 6)), np.empty(0)]
    for nothing in nothings:
        assert_same(Candles.from_rows(nothing), Candles.empty())
    assert len(Candles.empty()) == 0


@given(some.raw_candles())
def test_as_a_candle_frame_they_have_the_documented_types(candles: Candles) -> None:
    frame = candles.to_pandas()
    assert tuple(frame.columns) == COLUMNS
    assert [str(dtype) for dtype in frame.dtypes] == ["datetime64[ms, UTC]"] + ["float64"] * 5
    assert frame.index.equals(pd.RangeIndex(len(frame)))
    assert isinstance(frame.index, pd.RangeIndex)
    values = frame[list(COLUMNS[1:])].to_numpy().T.copy()
    assert_same(Candles(frame["time"].to_numpy("datetime64[ms]"), values), candles)


@given(some.raw_candles(), st.integers(-90, 30 * 60), st.integers(0, 30 * 60), st.integers(0, 999_999))
def test_between_keeps_exactly_the_candles_that_start_in_it(
    candles: Candles, first: int, length: int, microseconds: int
) -> None:
    start = some.after(some.HOURLY, minutes=first, microseconds=microseconds)
    end = start + timedelta(minutes=length)
    kept = candles.between(start, end)
    assert as_tuples(kept) == [row for row in as_tuples(candles) if start <= from_ms(row[0]) < end]


@given(some.raw_candles(max_size=30))
def test_by_day_parts_candles_into_their_days_and_loses_nothing(candles: Candles) -> None:
    days = candles.by_day()
    assert list(days) == sorted({from_ms(row[0]).date() for row in as_tuples(candles)})
    for day, part in days.items():
        assert as_tuples(part) == [row for row in as_tuples(candles) if from_ms(row[0]).date() == day]


@given(some.raw_candles(max_size=30))
def test_the_days_joined_and_sorted_are_the_candles_sorted(candles: Candles) -> None:
    joined = Candles.joined(Candles.empty(), *reversed(candles.by_day().values()))
    assert as_tuples(joined.sorted()) == sorted(as_tuples(candles), key=lambda row: row[0])


@given(some.raw_candles(), some.timeframes, st.integers(-60, 30 * 60), st.integers(0, 999_999))
def test_a_candle_is_kept_after_its_end(candles: Candles, timeframe: Any, minutes: int, microseconds: int) -> None:
    now = some.after(some.HOURLY, minutes=minutes, microseconds=microseconds)
    kept = candles.drop_unfinished(timeframe, now)
    assert as_tuples(kept) == [row for row in as_tuples(candles) if from_ms(row[0]) + timeframe.delta <= now]


@given(some.raw_candles(), st.lists(st.integers(0, 11), max_size=30))
def test_dropping_repeats_sorts_and_keeps_one_of_each_candle(candles: Candles, picks: list[int]) -> None:
    order = [*(pick for pick in picks if pick < len(candles)), *range(len(candles))]
    repeated = candles.take(np.array(order, np.intp))
    kept = repeated.drop_repeats()
    first_seen = list(dict.fromkeys(as_tuples(repeated)))
    assert as_tuples(kept) == sorted(first_seen, key=lambda row: row[0])
    assert kept.drop_repeats() is kept or as_tuples(kept.drop_repeats()) == as_tuples(kept)


def test_a_repeat_may_differ_in_the_sign_of_zero_and_in_the_bits_of_nan() -> None:
    other_nan = np.uint64(0xFFF8_0000_0000_0001).view(np.float64)
    candles = Candles.from_rows([[NOON, 1, 1, 1, NAN, 0.0], [NOON, 2, 1, 1, 1, 1], [NOON, 1, 1, 1, other_nan, -0.0]])
    assert as_tuples(candles.drop_repeats()) == [(NOON, 1, 1, 1, None, 0), (NOON, 2, 1, 1, 1, 1)]


@given(some.raw_candles())
def test_nothing_changes_the_candles_that_it_is_given(candles: Candles) -> None:
    before = as_tuples(candles)
    now = datetime(2024, 2, 29, 12, tzinfo=UTC)
    candles.drop_unfinished(some.HOURLY.series.timeframe, now).drop_repeats()
    candles.between(now, now + timedelta(days=1)).by_day()
    assert as_tuples(candles) == before
