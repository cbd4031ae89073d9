"""A slice is checked exactly twice. The days of a silence that crosses midnight are checked together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.planning.later_checks import CheckedLater, checked_together, due_from, gaps_checked_since

SERIES = Series("binance", "BTC/USDT", TIMEFRAMES["1m"])
SEEN = datetime(2024, 3, 6, 8, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def a_check(day: date, seen: datetime, *, until_midnight: bool, observations: int = 3) -> CheckedLater:
    slice_ = Slice(SERIES, day)
    end = slice_.end if until_midnight else slice_.end - timedelta(hours=5)
    return CheckedLater(slice_, observations, seen, end)


FIRST = a_check(date(2024, 3, 5), SEEN, until_midnight=True)
SECOND = a_check(date(2024, 3, 6), SEEN + DAY, until_midnight=False)


def test_a_slice_is_checked_a_day_and_a_week_later_and_then_never_again() -> None:
    checked, checks = replace(FIRST, observations=2), []
    for _ in range(10):
        at = due_from(checked, checked.last_seen)
        if at is not None:
            checks.append(at - SEEN)
            checked = replace(checked, observations=checked.observations + 1, last_seen=at)
    assert checks == [DAY, 8 * DAY]


def test_a_check_that_failed_is_due_again_after_the_same_pause() -> None:
    assert due_from(replace(FIRST, observations=2), SEEN + 3 * DAY) == SEEN + 4 * DAY


def test_holes_are_checked_for_long_enough_to_see_both_checks() -> None:
    observed_twice = FIRST.slice.end + timedelta(hours=9)
    second_check = observed_twice + 8 * DAY
    assert gaps_checked_since(second_check.date() + 14 * DAY) < FIRST.slice.day
    assert gaps_checked_since(second_check.date() + 30 * DAY) > FIRST.slice.day


def test_the_first_day_of_a_silence_is_checked_with_the_second() -> None:
    assert checked_together([SECOND, FIRST]) == [replace(FIRST, last_seen=SEEN + DAY), SECOND]


def test_all_days_of_a_long_silence_are_checked_with_the_last() -> None:
    silence = [a_check(date(2024, 3, 5 + n), SEEN + n * DAY, until_midnight=n < 3) for n in range(4)]
    assert {checked.last_seen for checked in checked_together(silence)} == {SEEN + 3 * DAY}


def test_days_of_separate_silences_are_checked_separately() -> None:
    separate = a_check(date(2024, 3, 5), SEEN, until_midnight=False)
    assert checked_together([separate, SECOND]) == [separate, SECOND]
    distant = a_check(date(2024, 3, 4), SEEN, until_midnight=True)
    assert checked_together([distant, SECOND]) == [distant, SECOND]


def test_a_day_that_was_observed_less_often_keeps_its_own_time() -> None:
    younger = replace(SECOND, observations=2)
    assert checked_together([FIRST, younger]) == [FIRST, younger]


def test_series_are_kept_apart() -> None:
    other = replace(SECOND, slice=Slice(Series("binance", "ETH/USDT", TIMEFRAMES["1m"]), SECOND.slice.day))
    assert checked_together([FIRST, other]) == [FIRST, other]
