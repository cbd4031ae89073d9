from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from titan10_dagster.planning.pace import FULL_AFTER, SLOWEST, Pace

NOW = datetime(2024, 2, 29, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)

spans = st.integers(0, 1200).map(lambda seconds: timedelta(seconds=seconds))
paces = st.builds(Pace, st.floats(SLOWEST, 1.0), st.just(NOW))


def test_a_pace_never_slowed_is_full() -> None:
    assert Pace().as_of(NOW) == 1.0


def test_each_refusal_halves_the_pace_and_time_restores_it() -> None:
    half = Pace().slowed(NOW, NOW)
    quarter = half.slowed(NOW, NOW)
    assert (half.as_of(NOW), quarter.as_of(NOW)) == (0.5, 0.25)
    assert quarter.as_of(NOW + FULL_AFTER / 4) == 0.5
    assert quarter.as_of(NOW + FULL_AFTER * 3 / 4) == 1.0


def test_refusals_of_what_was_under_way_together_slow_it_once() -> None:
    slowed = Pace().slowed(NOW, NOW + SECOND)
    later = NOW + 2 * SECOND
    assert slowed.slowed(NOW, later).as_of(later) == slowed.as_of(later)
    assert slowed.slowed(NOW + SECOND, NOW + 2 * SECOND).as_of(NOW + 2 * SECOND) < 0.3


def test_the_longest_requested_rest_applies() -> None:
    rested = Pace().slowed(NOW, NOW, 60 * SECOND).slowed(NOW, NOW + SECOND, 5 * SECOND)
    assert rested.rest(NOW + SECOND) == 59 * SECOND
    assert rested.rest(NOW + 61 * SECOND) == Pace().rest(NOW) == timedelta(0)


@given(paces, st.lists(spans, max_size=30))
def test_after_repeated_refusals_the_pace_has_a_lower_bound_and_recovers(pace: Pace, between: list[timedelta]) -> None:
    now = NOW
    for span in between:
        now += span
        before = pace.as_of(now)
        pace = pace.slowed(now, now)
        assert SLOWEST <= pace.as_of(now) <= max(before / 2, SLOWEST)
    assert pace.as_of(now + FULL_AFTER) == 1.0


@given(paces, spans, spans)
def test_it_recovers_steadily_and_never_beyond_the_full_pace(pace: Pace, first: timedelta, then: timedelta) -> None:
    early, late = pace.as_of(NOW + first), pace.as_of(NOW + first + then)
    assert pace.share <= early <= late <= 1.0
    assert late - early <= then / FULL_AFTER + 1e-9


@given(paces, spans)
def test_a_clock_that_goes_back_changes_nothing(pace: Pace, span: timedelta) -> None:
    assert pace.as_of(NOW - span) == pace.share
