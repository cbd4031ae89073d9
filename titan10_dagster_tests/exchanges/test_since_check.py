from __future__ import annotations

import numpy as np
import pytest

from titan10_dagster.exchanges.pages import PagePlanner, Purpose
from titan10_dagster.exchanges.since_check import SinceCheck
from titan10_dagster_tests.exchanges.simulated import STEP, times

NOW = 5_000
LAST_ROWS = list(range(4_000, NOW + 1))


def check(honours_since: bool | None = None) -> SinceCheck:
    return SinceCheck(PagePlanner(STEP, 1000, 1, [(1440 * STEP, 2880 * STEP)]), honours_since)


def suspicious(rows: list[int], known: bool | None = None) -> SinceCheck | None:
    """Return the check after an answer to a page from 1440 on; None if the answer is not suspicious."""
    doubt = check(known)
    request = doubt._planner.request(1440 * STEP, 1000, (1440 * STEP, 2440 * STEP))
    if not doubt.suspects(request, times(rows), NOW * STEP):
        return None
    doubt.suspect(request, times(rows), rows[0] * STEP)
    return doubt


@pytest.mark.parametrize("rows", [[1440, 1441], [1500, 2440], list(range(1450, 2400)), [NOW - 3, NOW - 1]])
def test_an_answer_from_the_start_within_the_page_or_of_a_new_market_is_not_suspicious(rows: list[int]) -> None:
    assert suspicious(rows) is None


@pytest.mark.parametrize("known", [True, False])
def test_what_is_known_is_not_suspected_again(known: bool) -> None:
    assert suspicious(LAST_ROWS, known) is None


def test_the_check_is_a_small_request_with_the_same_start() -> None:
    doubt = suspicious(LAST_ROWS)
    assert doubt is not None
    question = doubt.question()
    assert question is not None
    assert (question.since, question.limit, question.purpose) == (1440 * STEP, 2, Purpose.SINCE)


@pytest.mark.parametrize(
    ("rows", "answer", "honours"),
    [
        (LAST_ROWS, [NOW - 1, NOW], False),  # the answer has the last rows again
        (LAST_ROWS, [4_000, 4_001], True),  # the answer begins at the same row
        (LAST_ROWS, [1_700, 1_701], None),  # an answer to another request
        ([3_000, 4_900], list(range(3_000, 4_000)), True),
        ([3_000, 4_900], list(range(2_000, 3_000)), False),
    ],
)
def test_the_answer_decides(rows: list[int], answer: list[int], honours: bool | None) -> None:
    doubt = suspicious(rows) or _few(rows)
    result = doubt.learn(times(answer), NOW * STEP)
    assert (None if result is None else result.honours_since) is honours
    assert doubt.honours_since is honours
    assert doubt.suspicion is None


def _few(rows: list[int]) -> SinceCheck:
    """Return the check after a suspicious answer with one or two rows, which is as many as requested."""
    doubt = check()
    request = doubt._planner.request(1440 * STEP, len(rows), (1440 * STEP, 1442 * STEP))
    assert doubt.suspects(request, times(rows), NOW * STEP)
    doubt.suspect(request, times(rows), rows[0] * STEP)
    return doubt


def test_an_exchange_that_ignores_only_the_limit_gets_one_more_request() -> None:
    old = list(range(3_000, 4_500))
    doubt = suspicious(old)
    assert doubt is not None
    assert doubt.learn(times(old), NOW * STEP) is None
    question = doubt.question()
    assert question is not None
    assert question.since == 4_500 * STEP
    result = doubt.learn(times(list(range(4_500, NOW))), NOW * STEP)
    assert result is not None
    assert result.honours_since


def test_a_start_that_seems_ignored_is_checked_again_together_with_an_end() -> None:
    planner = PagePlanner(STEP, 1000, 1, [(1440 * STEP, 2880 * STEP)])
    doubt = SinceCheck(planner, None, can_name_end=True)
    for names_end in (False, True):
        request = planner.request(1440 * STEP, 1000, (1440 * STEP, 2440 * STEP))
        assert request.names_end is names_end
        assert doubt.suspects(request, times(LAST_ROWS), NOW * STEP)
        doubt.suspect(request, times(LAST_ROWS), LAST_ROWS[0] * STEP)
        result = doubt.learn(times([NOW - 1, NOW]), NOW * STEP)
        assert (result is not None) is names_end
    assert doubt.honours_since is False


def test_an_empty_answer_decides_nothing() -> None:
    doubt = suspicious(LAST_ROWS)
    assert doubt is not None
    assert doubt.learn(np.array([], np.int64), NOW * STEP) is None
    assert doubt.honours_since is None
