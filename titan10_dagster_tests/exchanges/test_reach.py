from __future__ import annotations

from titan10_dagster.exchanges.pages import PagePlanner
from titan10_dagster.exchanges.reach import Reach
from titan10_dagster.exchanges.stretches import OpenStretches

STEP = 60_000
WINDOW = (1440 * STEP, 2880 * STEP)
NOW = 3000 * STEP + 5_000


def reach(depth: int | None = None) -> tuple[Reach, OpenStretches, PagePlanner]:
    planner, open_ = PagePlanner(STEP, 100, 1, [WINDOW]), OpenStretches([WINDOW])
    return Reach(planner, open_, depth), open_, planner


def test_nothing_before_the_listing_is_open_or_requested() -> None:
    bounds, open_, planner = reach()
    bounds.absent_before(1500 * STEP + 1)
    assert open_.start == planner.begins == 1501 * STEP
    assert bounds.horizon is None


def test_nothing_from_the_end_of_a_market_on_is_open() -> None:
    bounds, open_, _ = reach()
    bounds.absent_from(2000 * STEP + 30_000)
    assert open_.end == 2000 * STEP


def test_the_newest_horizon_counts() -> None:
    bounds, open_, _ = reach()
    bounds.forgotten_before(1600 * STEP)
    bounds.forgotten_before(1500 * STEP)
    assert bounds.horizon == open_.start == 1600 * STEP


def test_one_answer_proves_no_horizon_and_the_earlier_of_two_is_used() -> None:
    bounds, open_, _ = reach()
    bounds.see_horizon(2000 * STEP, NOW)
    assert bounds.horizon is None
    assert open_.start == WINDOW[0]
    bounds.see_horizon(1900 * STEP, NOW)
    assert bounds.horizon == open_.start == 1900 * STEP


def test_two_pages_with_fewer_rows_than_the_exchange_serves_prove_no_horizon() -> None:
    bounds, open_, _ = reach(depth=1440)
    for first in (2000, 1900):
        bounds.see_horizon(first * STEP, NOW)
    assert bounds.horizon == 1562 * STEP
    assert bounds.unproven == [(1562 * STEP, 1900 * STEP)]
    assert open_.start == 1900 * STEP


def test_two_pages_that_reach_as_far_as_the_depth_prove_the_horizon() -> None:
    bounds, _, _ = reach(depth=1000)
    for first in (2001, 2002):
        bounds.see_horizon(first * STEP, NOW)
    assert (bounds.horizon, bounds.unproven) == (2001 * STEP, [])


def test_candles_deeper_than_the_exchange_serves_are_given_up_with_two_candles_of_slack() -> None:
    bounds, open_, _ = reach(depth=1000)
    bounds.apply_depth(NOW, shows_itself=False)
    assert bounds.horizon == open_.start == 2002 * STEP


def test_last_rows_show_the_horizon_themselves() -> None:
    bounds, _, _ = reach(depth=1000)
    bounds.apply_depth(NOW, shows_itself=True)
    assert bounds.horizon is None
