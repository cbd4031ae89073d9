"""The days of a silence that crosses midnight are checked together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.planning.later_checks import checked_together
from titan10_dagster.planning.repairs import CheckedLater

SERIES = Series("binance", "BTC/USDT", TIMEFRAMES["1m"])
SEEN = datetime(2024, 3, 6, 8, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def a_check(day: date, seen: datetime, *, until_midnight: bool, observations: int = 3) -> CheckedLater:
    slice_ = Slice(SERIES, day)
    end = slice_.end if until_midnight else slice_.end - timedelta(hours=5)
    return CheckedLater(slice_, observations, seen, end)


FIRST = a_check(date(2024, 3, 5), SEEN, until_midnight=True)
SECOND = a_check(date(2024, 3, 6), SEEN + DAY, until_midnight=False)


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
