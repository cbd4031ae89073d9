from __future__ import annotations

import pytest

from titan10_dagster.exchanges.pages import PagePlanner, Purpose

STEP = 60_000
WINDOW = (1440 * STEP, 2880 * STEP)


def planner(page_size: int = 1000, overlap: int = 1) -> PagePlanner:
    return PagePlanner(STEP, page_size, overlap, [WINDOW])


def cut(since: int, end: int, known: int | None = None, *, attempt: int = 0, narrow: bool = False) -> tuple[int, ...]:
    """Return the request for [since, end) as (first candle, limit, end of its target).

    Candles are identified by numbers.
    """
    before = None if known is None else known * STEP
    request = planner().page(since * STEP, end * STEP, before, attempt=attempt, narrow=narrow)
    assert request.target[0] == since * STEP
    assert request.until == request.since + request.limit * STEP
    return request.since // STEP, request.limit, request.target[1] // STEP


def test_a_fresh_page_begins_with_its_window_and_is_as_long_as_a_page() -> None:
    assert cut(1440, 2880) == (1440, 1000, 2440)


def test_a_page_begins_at_a_known_row_shortly_before_it() -> None:
    assert cut(2440, 2880, 2439) == (2439, 442, 2880)
    assert cut(2440, 2880, 2000) == (2439, 442, 2880)


def test_a_page_goes_one_candle_beyond_its_stretch() -> None:
    assert cut(2000, 2010, 1999) == (1999, 12, 2010)


@pytest.mark.parametrize(("attempt", "first"), [(1, 1439), (2, 1438), (9, 1438)])
def test_another_attempt_at_the_first_minute_begins_before_the_window(attempt: int, first: int) -> None:
    assert cut(1440, 1441, attempt=attempt)[0] == first


def test_another_attempt_at_the_last_minute_ends_later() -> None:
    assert cut(2879, 2880, 2878) == (2878, 3, 2880)
    assert cut(2879, 2880, 2878, attempt=1) == (2878, 4, 2880)


def test_a_narrow_page_requests_only_its_stretch_except_at_every_other_attempt() -> None:
    assert cut(2000, 2010, 1999, narrow=True) == (2000, 10, 2010)
    assert cut(2000, 2010, 1999, attempt=1, narrow=True) == (1999, 12, 2010)


def test_nothing_before_the_first_candle_that_can_be_had_is_requested() -> None:
    pages = planner()
    pages.begins = 1440 * STEP
    assert pages.page(*WINDOW, None, attempt=1, narrow=False).since == 1440 * STEP


def test_recent_candles_are_a_page_that_ends_with_the_present_one() -> None:
    request = planner(100).recent(5_000 * STEP + 7, 1440 * STEP)
    assert (request.since, request.until, request.purpose) == (4_901 * STEP, 5_001 * STEP, Purpose.RECENT)
    assert request.target == (1440 * STEP, 1441 * STEP)


def test_last_rows_are_requested_as_a_full_page() -> None:
    assert planner(100).last_rows(*WINDOW).limit == 100
