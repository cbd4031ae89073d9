"""Simulated weeks, five by default; `make nightly` simulates two hundred.

`TITAN10_TEST_SEEDS`       how many weeks
`TITAN10_TEST_FIRST_SEED`  the seed of the first of them
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from titan10_dagster.candles.slices import to_ms
from titan10_dagster_tests.simulation.away import hurry
from titan10_dagster_tests.simulation.events import (
    Delisting,
    Downtime,
    Halt,
    Late,
    RateLimited,
    Redenominated,
    Relisting,
    Renamed,
    Revised,
    Storm,
    Unknown,
    WrongClock,
)
from titan10_dagster_tests.simulation.growth import APART, INCOMPLETE, ROW_FAULTS, STALE
from titan10_dagster_tests.simulation.oracle import judge
from titan10_dagster_tests.simulation.refusals import REFUSALS
from titan10_dagster_tests.simulation.requests import days_requested, distribution, healing_hours, most_requested
from titan10_dagster_tests.simulation.story import DAY, QUIET_END, START, TAIL, write
from titan10_dagster_tests.simulation.week import Week

FIRST = int(os.environ.get("TITAN10_TEST_FIRST_SEED", "1"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("TITAN10_TEST_SEEDS", "5")))


@pytest.fixture
def week(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[Week]:
    hurry(database_url)
    with Week(write(request.param), database_url, tmp_path) as week:
        yield week


@pytest.mark.timeout(900)
@pytest.mark.parametrize("week", SEEDS, indirect=True, ids=lambda seed: f"seed{seed}")
def test_after_a_week_of_trouble_every_candle_is_stored_or_explained(week: Week) -> None:
    record = week.live()
    wrong = judge(week)
    print(f"\nrequests: {distribution(record.requests.values())}")  # noqa: T201
    print(f"most requested: {most_requested(record.requests, 3)}")  # noqa: T201
    print(f"hours until a slice was final: {distribution(healing_hours(record.open_until))}")  # noqa: T201
    concerned = sorted({complaint.exchange for complaint in wrong})
    assert not wrong, "\n".join([*map(str, wrong), week.story.described(concerned)])


def test_a_seed_always_gives_the_same_story() -> None:
    assert write(7) == write(7)
    assert write(7) != write(8)


def test_nothing_of_ours_runs_while_we_are_down_and_the_last_step_is_the_end() -> None:
    stories = [write(seed) for seed in range(50)]
    assert sum(len(story.of(Downtime)) for story in stories) > 50
    for story in stories:
        assert story.steps == tuple(sorted(set(story.steps)))
        assert (story.steps[0] > START, story.steps[-1]) == (True, TAIL[-1])
        assert not any(down.span.holds(step) for down in story.of(Downtime) for step in story.steps)


def test_the_stories_have_every_kind_of_change_and_of_wrong_answer() -> None:
    stories = [write(seed) for seed in range(80)]
    for kind in (Halt, Relisting, Renamed, Redenominated, Revised, RateLimited, WrongClock):
        assert any(story.of(kind) for story in stories)
    assert {event.market_id is None for story in stories for event in story.of(Relisting)} == {True, False}
    storms = {storm.kind for story in stories for storm in story.of(Storm)}
    assert storms >= {*ROW_FAULTS, STALE}
    for kind in (Delisting, Relisting):
        assert {event.refusal for story in stories for event in story.of(kind)} == {None, *REFUSALS}
    assert {event.kind for story in stories for event in story.of(Unknown)} == set(REFUSALS)
    midnights = [step for story in stories for step in story.steps if (step.hour, step.minute) == (23, 59)]
    assert midnights


def test_the_stories_have_holes_of_busy_series_that_are_published_after_their_reason_became_final() -> None:
    late = [event for seed in range(80) for event in write(seed).of(Late) if event.span.end - event.hidden.end > DAY]
    assert len(late) > 20
    for event in late:
        assert event.hidden.start.date() == event.hidden.end.date()
        assert event.span.end < QUIET_END + timedelta(days=3)  # the second check of the slice comes later, in the tail


def test_incomplete_answers_of_one_exchange_are_far_enough_apart_that_no_day_is_lost_in_two_of_them() -> None:
    for story in (write(seed) for seed in range(80)):
        for exchange in story.exchanges:
            storms = [storm for storm in story.of(Storm) if storm.exchange == exchange and storm.kind in INCOMPLETE]
            ordered = sorted(storm.span.start for storm in storms)
            assert all(later - earlier >= APART for earlier, later in pairwise(ordered))


def test_requests_are_counted_for_the_days_that_they_ask_for() -> None:
    minute = timedelta(minutes=1)
    entry = {"timeframe": "1m", "since": to_ms(START + timedelta(hours=20)), "end": None, "limit": 300}
    until_midnight = {**entry, "end": to_ms(START + timedelta(days=1))}
    wanted = [START.date() + timedelta(days=n) for n in range(3)]
    assert list(days_requested(entry, "1m", minute, wanted)) == wanted[:2]
    assert list(days_requested({**entry, "limit": 240}, "1m", minute, wanted)) == wanted[:1]
    assert list(days_requested(until_midnight, "1m", minute, wanted)) == wanted[:1]
    assert list(days_requested({**entry, "timeframe": "1d"}, "1m", minute, wanted)) == []
