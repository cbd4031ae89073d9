from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from titan10_dagster.candles.completeness import NEVER_MADE, Completeness, whole_candles
from titan10_dagster.candles.gaps import Reason

HOUR, WEEK = timedelta(hours=1), timedelta(weeks=1)


def test_a_stretch_is_complete_if_only_candles_that_never_existed_are_missing() -> None:
    assert Completeness(10, 8, {Reason.NO_TRADES: 1, Reason.PRE_LISTING: 1}).whole
    assert Completeness(10, 10, {}).whole


@pytest.mark.parametrize("reason", sorted(set(Reason) - NEVER_MADE))
def test_it_is_not_whole_when_something_is_missing_that_there_was(reason: Reason) -> None:
    assert not Completeness(10, 9, {reason: 1}).whole


def test_what_is_neither_present_nor_in_a_gap_was_never_fetched() -> None:
    stretch = Completeness(1440, 1000, {Reason.NO_TRADES: 40})
    assert (stretch.never_fetched, stretch.whole) == (400, False)
    assert stretch.absent == {"no_trades": 40, "never_fetched": 400}


def test_a_candle_stored_between_two_counts_is_not_missing() -> None:
    assert Completeness(10, 10, {Reason.NO_TRADES: 1}).never_fetched == 0


def test_only_whole_candles_of_a_stretch_count() -> None:
    start = datetime(2024, 1, 2, 0, 30, tzinfo=UTC)  # a Tuesday
    end = datetime(2024, 1, 16, 5, 59, tzinfo=UTC)
    assert whole_candles(start, end, HOUR) == (start + HOUR / 2, datetime(2024, 1, 16, 5, tzinfo=UTC))
    assert whole_candles(start, end, WEEK) == (datetime(2024, 1, 8, tzinfo=UTC), datetime(2024, 1, 15, tzinfo=UTC))
    assert len(set(whole_candles(start, start + HOUR, WEEK))) == 1
