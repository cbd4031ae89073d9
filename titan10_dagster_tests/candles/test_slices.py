from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan10_dagster.candles.slices import (
    Series,
    Slice,
    Window,
    days,
    from_datetime64,
    from_ms,
    slices_of,
    to_datetime64,
    to_ms,
    windows,
)
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster_tests.candles import strategies as some

BTC = Series("binance", "BTC/USDT", Timeframe.parse("1m"))
ETH = Series("binance", "ETH/USDT", Timeframe.parse("1m"))

few_slices = st.lists(
    st.builds(Slice, st.sampled_from([BTC, ETH]), st.dates(date(2024, 2, 25), date(2024, 3, 5))), max_size=20
)


@given(some.slices)
def test_a_grid_covers_its_day_evenly_and_nothing_else(slice_: Slice) -> None:
    grid = slice_.grid()
    assert grid.dtype == np.dtype("datetime64[ms]")
    assert len(grid) == slice_.expected
    assert grid[0] == to_datetime64(slice_.start)
    assert grid[-1] + np.timedelta64(slice_.series.timeframe.ms, "ms") == to_datetime64(slice_.end)
    assert (np.diff(grid).astype(int) == slice_.series.timeframe.ms).all()


@given(some.instants)
def test_an_instant_survives_milliseconds_up_to_its_own_microseconds(instant: datetime) -> None:
    back = from_ms(to_ms(instant))
    assert timedelta(0) <= instant - back < timedelta(milliseconds=1)
    assert back.tzinfo is UTC


@given(st.integers(-(10**13), 10**14))
def test_milliseconds_survive_as_instant_and_as_datetime64(ms: int) -> None:
    assert to_ms(from_ms(ms)) == ms
    assert to_datetime64(from_ms(ms)).astype(np.int64) == ms
    assert from_datetime64(to_datetime64(from_ms(ms))) == from_ms(ms)


@given(some.instants, st.integers(-14, 14))
def test_the_time_zone_of_an_instant_does_not_matter(instant: datetime, hours: int) -> None:
    assert to_ms(instant.astimezone(timezone(timedelta(hours=hours)))) == to_ms(instant)


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(TypeError):
        to_ms(datetime(2024, 1, 1))  # noqa: DTZ001


@given(few_slices)
def test_windows_hold_exactly_the_slices_they_are_made_of(slices: list[Slice]) -> None:
    assert sorted(slice_ for window in windows(slices) for slice_ in slices_of(window)) == sorted(set(slices))


@given(few_slices)
def test_windows_are_sorted_and_as_long_as_they_can_be(slices: list[Slice]) -> None:
    made = windows(slices)
    assert made == sorted(made)
    assert not {(w.series, w.end) for w in made} & {(w.series, w.start) for w in made}
    assert sum(w.expected for w in made) == sum(s.expected for s in set(slices))


def test_a_window_that_is_not_whole_days_touches_the_days_at_both_ends() -> None:
    start = datetime(2024, 2, 28, 23, 59, tzinfo=UTC)
    window = Window(BTC, start, start + timedelta(minutes=2))
    assert [slice_.day for slice_ in slices_of(window)] == [date(2024, 2, 28), date(2024, 2, 29)]
    assert window.expected == 2


@pytest.mark.parametrize(("start", "end"), [(0, 0), (60, 0), (1, 60), (0, 61)])
def test_a_window_off_the_grid_or_without_length_is_refused(start: int, end: int) -> None:
    noon = datetime(2024, 2, 28, 12, tzinfo=UTC)
    with pytest.raises(ValueError, match="must start and end on the"):
        Window(BTC, noon + timedelta(seconds=start), noon + timedelta(seconds=end))


def test_days_include_both_ends_and_the_leap_day() -> None:
    assert days(date(2024, 2, 28), date(2024, 3, 1)) == [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)]
    assert days(date(2024, 3, 1), date(2024, 2, 28)) == []
