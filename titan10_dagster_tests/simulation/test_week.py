"""Whole weeks, five of them by default; `make nightly` lives through two hundred.

`TITAN10_TEST_SEEDS`       how many weeks
`TITAN10_TEST_FIRST_SEED`  the seed of the first of them
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from titan10_dagster_tests.simulation.away import hurry
from titan10_dagster_tests.simulation.events import Downtime
from titan10_dagster_tests.simulation.oracle import judge
from titan10_dagster_tests.simulation.story import START, TAIL, write
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
def test_after_a_week_of_trouble_the_database_holds_all_there_was_to_have_and_explains_the_rest(week: Week) -> None:
    week.live()
    wrong = judge(week)
    concerned = sorted({one.exchange for one in wrong})
    assert not wrong, "\n".join([*map(str, wrong), week.story.described(concerned)])


def test_a_seed_always_tells_the_same_story() -> None:
    assert write(7) == write(7)
    assert write(7) != write(8)


def test_nothing_of_ours_runs_while_we_are_down_and_the_last_step_is_the_end() -> None:
    stories = [write(seed) for seed in range(50)]
    assert sum(len(story.of(Downtime)) for story in stories) > 50
    for story in stories:
        assert story.steps == tuple(sorted(set(story.steps)))
        assert (story.steps[0] > START, story.steps[-1]) == (True, TAIL[-1])
        assert not any(down.span.holds(step) for down in story.of(Downtime) for step in story.steps)
