from __future__ import annotations

import numpy as np

from titan10_dagster.exchanges.evidence import Evidence, without_first_strays, without_strays
from titan10_dagster.exchanges.pages import PageRequest
from titan10_dagster_tests.exchanges.simulated import STEP, times

FIRST, LAST, END = 1440, 2879, 2880


def evidence(*, filled: bool = False) -> Evidence:
    return Evidence([(FIRST * STEP, END * STEP)], step=STEP, page_size=1000, filled=filled)


def request(since: int, limit: int, start: int, end: int) -> PageRequest:
    return PageRequest(since * STEP, limit, (since + limit) * STEP, (start * STEP, end * STEP))


def still_open(known: Evidence) -> list[tuple[int, int]]:
    return [(start // STEP, end // STEP) for start, end in known.open.within(0, 10_000 * STEP)]


PAGE = request(1999, 101, 2000, 2100)


def test_there_are_no_candles_between_two_neighbours() -> None:
    known = evidence()
    known.neighbours(times([1400, 2900]))
    assert still_open(known) == []


def test_the_last_known_row_before_an_instant_is_found() -> None:
    known = evidence()
    known.neighbours(times([2000, 2001, 2050]))
    assert known.known_before(2001 * STEP) == 2000 * STEP
    assert known.known_before(2000 * STEP) is None
    assert known.known_before(9999 * STEP) == 2050 * STEP


def test_silence_in_the_middle_is_closed_at_once() -> None:
    known = evidence()
    known.silence(2000 * STEP, 2100 * STEP, PAGE)
    assert still_open(known) == [(FIRST, 2000), (2100, END)]


def test_the_same_cut_twice_does_not_prove_the_first_minute_absent() -> None:
    known = evidence()
    for _ in range(2):
        known.silence(FIRST * STEP, 1500 * STEP, request(FIRST, 60, FIRST, 1500))
        assert still_open(known) == [(FIRST, FIRST + 1), (1500, END)]
    known.silence(FIRST * STEP, (FIRST + 1) * STEP, request(FIRST - 1, 3, FIRST, FIRST + 1))
    assert still_open(known) == [(1500, END)]


def test_two_cuts_that_both_end_with_the_last_minute_do_not_prove_it_absent() -> None:
    known = evidence()
    for since in (2700, 2800):
        known.silence(2800 * STEP, END * STEP, request(since, END - since, 2800, END))
    assert still_open(known) == [(FIRST, 2800), (LAST, END)]
    known.silence(LAST * STEP, END * STEP, request(2870, 12, LAST, END))
    assert still_open(known) == [(FIRST, 2800)]


def test_an_exchange_that_counted_forward_may_leave_out_the_start_itself() -> None:
    known = evidence()
    known.counted_forward(request(2000, 100, 2000, 2100), 2200 * STEP)
    assert still_open(known) == [(FIRST, 2001), (2200, END)]


def test_a_row_at_the_start_shows_that_the_start_is_included() -> None:
    known = evidence()
    known.note(request(1900, 10, 1900, 1910), times([1900, 1901]), answered=True)
    known.counted_forward(request(2000, 100, 2000, 2100), 2200 * STEP)
    assert still_open(known) == [(FIRST, 2000), (2200, END)]


def test_as_many_rows_as_requested_counted_back_leave_no_others() -> None:
    known = evidence()
    known.counted_back(request(2000, 3, 2000, 2003), times([1200, 1201, 1999]))
    assert still_open(known) == [(FIRST, 2000), (2003, END)]


def test_a_long_stretch_beside_a_row_is_empty_after_two_answers_and_a_short_one_at_once() -> None:
    known, long = evidence(), request(1999, 702, 2000, 2700)
    known.edges(long, times([1999]))
    assert still_open(known) == [(FIRST, END)]
    known.edges(long, times([1999]))
    assert still_open(known) == [(FIRST, 2000), (2700, END)]
    known = evidence()
    known.edges(request(1999, 102, 2000, 2100), times([1999]))
    assert still_open(known) == [(FIRST, 2000), (2100, END)]


def test_any_absence_is_strange_where_minutes_without_trades_are_filled() -> None:
    known = evidence(filled=True)
    known.edges(request(1999, 12, 2000, 2010), times([1999]))
    assert still_open(known) == [(FIRST, END)]


def test_an_empty_page_is_accepted_the_second_time_and_after_three_in_a_row_at_once() -> None:
    known = evidence()
    for start in (1500, 1600, 1700):
        for _ in range(2):
            assert known.open.within(start * STEP, (start + 100) * STEP)
            known.nothing(request(start - 1, 101, start, start + 100))
        assert not known.open.within(start * STEP, (start + 100) * STEP)
    known.nothing(request(1799, 101, 1800, 1900))
    assert still_open(known) == [(FIRST, 1500), (1900, END)]


def test_a_row_alone_and_far_away_proves_no_years_absent() -> None:
    assert without_strays(times([1, 2, 3, 9_000]), 10 * STEP, 1000 * STEP).tolist() == times([1, 2, 3]).tolist()
    assert without_strays(times([9_000]), 10 * STEP, 1000 * STEP).tolist() == times([9_000]).tolist()
    assert without_first_strays(times([1, 9_000, 9_001, 9_002]), 1000 * STEP)[0] == 9_000 * STEP
    assert np.array_equal(without_first_strays(times([1, 2, 3, 9_000]), 1000 * STEP), times([1, 2, 3, 9_000]))


def test_three_empty_answers_prove_the_first_minute_that_can_be_requested_absent() -> None:
    known = evidence()
    at_horizon = request(2000, 100, 2000, 2100)
    for _ in range(2):
        known.nothing(at_horizon)
    assert known.open.within(2000 * STEP, 2100 * STEP) == [(2000 * STEP, 2001 * STEP)]
    known.nothing(request(2000, 2, 2000, 2001))
    assert known.open.within(2000 * STEP, 2100 * STEP) == []


def test_an_instant_is_the_newest_until_a_row_from_it_on_is_known() -> None:
    known = evidence()
    assert known.is_newest(1500 * STEP)
    known.neighbours(times([1500, 1501]))
    assert known.is_newest(1502 * STEP)
    assert not known.is_newest(1501 * STEP)
