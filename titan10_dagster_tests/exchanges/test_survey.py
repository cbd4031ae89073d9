from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from titan10_dagster.exchanges.pages import Purpose
from titan10_dagster.exchanges.survey import NoProgress
from titan10_dagster_tests.exchanges.simulated import STEP, Exchange, drive, pages, survey, times

NOW = 100_000
ALL = frozenset(range(NOW + 1))


def test_a_window_is_cut_into_pages_of_the_page_size_that_overlap_by_one_candle() -> None:
    exchange = Exchange(ALL, NOW)
    found = drive(survey(1000, 1000 + 2000, exchange, 1000, 1), exchange, at_once=3)
    assert sorted(pages(found)) == [(1000, 1000), (1999, 1000), (2998, 3)]


def test_independent_pages_are_under_way_together() -> None:
    planner = survey(1000, 11_000, Exchange(ALL, NOW), 1000, 1)
    requests = [planner.next_request(NOW * STEP) for _ in range(5)]
    assert [request.since // STEP for request in requests if request] == [1000, 1999, 2998, 3997, 4996]


def test_no_page_is_asked_far_ahead_of_the_first_open_candle() -> None:
    planner = survey(0, 90_000, Exchange(ALL, NOW), 100, 1)
    requests = []
    while (request := planner.next_request(NOW * STEP)) is not None:
        requests.append(request)
    assert len(requests) in range(32, 35)


@pytest.mark.parametrize("newest", [False, True])
def test_a_silently_lowered_page_limit_costs_requests_and_no_candle(newest: bool) -> None:
    exchange = Exchange(ALL, NOW, cap=333, ranged=newest, newest=newest)
    found = drive(survey(0, 43_200, exchange, 1000, 1), exchange, at_once=8)
    assert found.times >= set(range(43_200))
    assert len(found.requests) < 44 * 4 + 10


def test_the_missing_head_of_an_answer_is_asked_for_again() -> None:
    exchange = Exchange(ALL, NOW, cap=100, ranged=True, newest=True)
    found = drive(survey(0, 150, exchange, 150, 1), exchange)
    assert found.times >= set(range(150))
    assert pages(found) == [(0, 150), (-1, 52)]


def test_an_answer_that_began_before_the_listing_proves_the_time_before_it_empty() -> None:
    exchange = Exchange(frozenset(range(40_000, NOW + 1)), NOW)
    found = drive(survey(0, 43_200, exchange, 1000, 1), exchange)
    assert {time for time in found.times if time < 43_200} == set(range(40_000, 43_200))
    # The last request is for the first minute, because one answer does not prove its absence.
    assert len(found.requests) == 6
    assert [request.purpose for request in found.requests].count(Purpose.SINCE) == 1


def test_the_question_about_since_is_asked_once_for_all_pages_under_way() -> None:
    exchange = Exchange(frozenset(range(40_000, NOW + 1)), NOW)
    found = drive(survey(0, 43_200, exchange, 1000, 1), exchange, at_once=16)
    assert {time for time in found.times if time < 43_200} == set(range(40_000, 43_200))
    assert len(found.requests) <= 16 + 1 + 4


def test_an_empty_page_in_the_middle_does_not_end_a_window() -> None:
    exchange = Exchange(ALL - frozenset(range(300, 900)), NOW, ranged=True)
    found = drive(survey(0, 1500, exchange, 300, 1), exchange)
    assert found.times >= exchange.there & set(range(1500))


def test_an_empty_page_is_accepted_after_two_answers() -> None:
    planner = survey(0, 300, Exchange(frozenset(), NOW), 300, 1)
    cuts = []
    while (request := planner.next_request(NOW * STEP)) is not None:
        assert not planner.settled(0, 300 * STEP)
        cuts.append((request.since // STEP, request.limit))
        planner.learn(request, times([]), NOW * STEP)
    assert cuts == [(0, 300), (-1, 300), (298, 3)]
    assert planner.settled(0, 300 * STEP)
    assert not planner.answered


@pytest.mark.parametrize("filled", [True, False])
def test_a_page_with_only_its_first_row_is_requested_again(filled: bool) -> None:
    class Faulty(Exchange):
        struck = False

        def answer(self, since: int, limit: int) -> list[int]:
            rows = super().answer(since, limit)
            if since >= 999 and not Faulty.struck:
                Faulty.struck = True
                return rows[:1]
            return rows

    exchange = Faulty(ALL, NOW)
    found = drive(survey(0, 3000, exchange, 1000, 1, filled=filled), exchange)
    assert found.times >= set(range(3000))
    assert len(found.requests) == 5


def test_years_before_a_listing_cost_one_request_a_page() -> None:
    exchange = Exchange(frozenset(range(90_000, NOW)), NOW, ranged=True)
    found = drive(survey(0, 90_000, exchange, 300, 1), exchange)
    assert len(found.requests) <= 90_000 / 299 + 6


@pytest.mark.parametrize("ignores_limit", [False, True])
def test_an_exchange_that_ignores_since_shows_its_horizon_when_a_second_page_agrees(ignores_limit: bool) -> None:
    exchange = Exchange(ALL, NOW, cap=720, ignores_since=True, ignores_limit=ignores_limit)
    planner = survey(NOW - 43_200, NOW, exchange, 720, 1)
    found = drive(planner, exchange)
    assert planner.horizon == (NOW - 719) * STEP
    assert found.times >= set(range(NOW - 719, NOW))
    assert [request.purpose for request in found.requests] == [Purpose.PAGE, Purpose.SINCE, Purpose.PAGE]


QUIET = frozenset(range(0, NOW - 7, 3))  # a trade every three minutes; the last trade was eight minutes ago


@pytest.mark.parametrize("ignores_limit", [False, True])
def test_a_quiet_market_of_an_exchange_that_ignores_since_shows_its_horizon_too(ignores_limit: bool) -> None:
    exchange = Exchange(QUIET, NOW, cap=720, ignores_since=True, ignores_limit=ignores_limit)
    planner = survey(NOW - 43_200, NOW - 40_000, exchange, 720, 10)
    found = drive(planner, exchange)
    assert planner.horizon == min(found.times) * STEP
    assert len(found.requests) == (4 if ignores_limit else 3)


def test_the_days_candle_that_an_exchange_without_since_gives_is_found_by_a_request_for_one() -> None:
    exchange = Exchange(ALL, NOW, cap=720, ignores_since=True)
    planner = survey(NOW - 500, NOW - 499, exchange, 720, 1)
    found = drive(planner, exchange)
    assert NOW - 500 in found.times
    assert [request.limit for request in found.requests] == [2, 720]


@pytest.mark.parametrize("first", [NOW - 43_200, NOW - 5, NOW - 2])
def test_an_exchange_without_since_gets_only_requests_for_its_last_rows(first: int) -> None:
    exchange = Exchange(QUIET, NOW, cap=200, ignores_since=True)
    planner = survey(first, NOW, exchange, 200, 10, honours_since=False)
    found = drive(planner, exchange)
    assert planner.horizon == (min(found.times) * STEP if first < min(found.times) else None)
    assert planner.answered
    assert {request.limit for request in found.requests} == {200}
    assert len(found.requests) <= 2


@pytest.mark.parametrize("at_once", [1, 4, 16])
def test_a_quiet_market_costs_at_most_one_question_about_since_where_candles_are_counted_forward(at_once: int) -> None:
    rng = np.random.default_rng(3)
    exchange = Exchange(frozenset(np.flatnonzero(rng.random(30_000) < 0.3).tolist()), 30_050)
    found = drive(survey(0, 20_000, exchange, 300, 10), exchange, at_once=at_once)
    assert found.times >= {time for time in exchange.there if time < 20_000}
    assert [request.purpose for request in found.requests].count(Purpose.SINCE) <= 1
    assert len(found.requests) <= 1 + 20_000 / 290


def test_a_quiet_market_costs_no_check_if_a_range_is_requested() -> None:
    rng = np.random.default_rng(3)
    exchange = Exchange(frozenset(np.flatnonzero(rng.random(30_000) < 0.3).tolist()), 30_050, ranged=True)
    found = drive(survey(0, 20_000, exchange, 300, 10), exchange, at_once=4)
    assert {request.purpose for request in found.requests} == {Purpose.PAGE}


def test_an_exchange_that_ignores_the_limit_does_not_ignore_since() -> None:
    exchange = Exchange(frozenset(range(40_000, NOW, 2)), NOW, cap=1000, ignores_limit=True)
    planner = survey(0, 43_200, exchange, 1000, 10)
    found = drive(planner, exchange)
    assert {time for time in found.times if time < 43_200} == set(range(40_000, 43_200, 2))
    assert planner.horizon is None


def test_a_market_that_opened_an_hour_ago_shows_no_horizon() -> None:
    exchange = Exchange(frozenset(range(NOW - 60, NOW + 1)), NOW)
    planner = survey(NOW - 43_200, NOW, exchange, 1000, 1)
    found = drive(planner, exchange)
    assert planner.horizon is None
    assert found.times >= set(range(NOW - 60, NOW))
    assert len(found.requests) == 3


def test_candles_beyond_the_declared_depth_are_not_requested() -> None:
    exchange = Exchange(ALL, NOW, cap=720, remembers=720, ignores_limit=True)
    planner = survey(NOW - 2880, NOW - 1440, exchange, 720, 1, depth=720)
    assert planner.next_request(NOW * STEP) is None
    assert planner.settled((NOW - 2880) * STEP, (NOW - 1440) * STEP)
    assert planner.horizon == (NOW - 718) * STEP


@pytest.mark.parametrize("before", [0, NOW])
def test_a_market_that_ended_before_the_depth_is_silent_after_three_answers(before: int) -> None:
    ended = Exchange(frozenset(range(NOW - 3000, NOW - 2000)), NOW, cap=720, before=before)
    planner = survey(NOW - 1560, NOW - 120, ended, 720, 1, depth=720, filled=True)
    found = drive(planner, ended)
    assert len(found.requests) == 3
    assert planner.settled((NOW - 1560) * STEP, (NOW - 120) * STEP)
    assert not planner.answered


def test_old_rows_prove_nothing_absent_once_a_later_row_is_known() -> None:
    planner = survey(NOW - 600, NOW, Exchange(ALL, NOW), 300, 1, depth=720)
    requests = [planner.next_request(NOW * STEP), planner.next_request(NOW * STEP)]
    first, second = (request for request in requests if request is not None)
    planner.learn(second, times([*range(NOW - 301, NOW - 1)]), NOW * STEP)
    planner.learn(first, times([*range(NOW - 900, NOW - 700)]), NOW * STEP)
    for _ in range(2):
        again = planner.next_request(NOW * STEP)
        assert again is not None
        planner.learn(again, times([*range(NOW - 900, NOW - 700)]), NOW * STEP)
    assert not planner.settled((NOW - 600) * STEP, (NOW - 500) * STEP)


def test_only_the_part_within_the_depth_is_asked_for() -> None:
    exchange = Exchange(ALL, NOW, cap=720, remembers=720)
    found = drive(survey(NOW - 1440, NOW, exchange, 720, 1, depth=720), exchange)
    assert pages(found) == [(NOW - 718, 719)]
    assert found.times >= set(range(NOW - 718, NOW))


def test_candles_that_do_not_exist_yet_are_not_requested() -> None:
    exchange = Exchange(ALL, NOW)
    found = drive(survey(NOW - 100, NOW + 1340, exchange, 1000, 1), exchange)
    assert pages(found) == [(NOW - 100, 101)]


def test_one_wrong_time_among_the_last_rows_shows_no_horizon() -> None:
    planner = survey(NOW - 43_200, NOW, Exchange(ALL, NOW), 720, 1, honours_since=False)
    for _ in range(2):
        assert planner.horizon is None
        request = planner.next_request(NOW * STEP)
        assert request is not None
        planner.learn(request, times([NOW - 43_000, *range(NOW - 719, NOW + 1)]), NOW * STEP)
    assert planner.horizon == (NOW - 719) * STEP


def test_an_answer_that_lost_its_first_rows_shows_no_horizon() -> None:
    planner = survey(NOW - 43_200, NOW, Exchange(ALL, NOW), 720, 1, honours_since=False)
    for lost in (500, 0):
        request = planner.next_request(NOW * STEP)
        assert request is not None
        planner.learn(request, times([*range(NOW - 719 + lost, NOW + 1)]), NOW * STEP)
    assert planner.horizon == (NOW - 719) * STEP


def test_one_stale_answer_with_the_newest_rows_writes_nothing_off() -> None:
    class Stale(Exchange):
        answers = 0

        def answer(self, since: int, limit: int) -> list[int]:
            Stale.answers += 1
            return sorted(self.there)[-1440:] if Stale.answers == 1 else super().answer(since, limit)

    exchange = Stale(ALL, NOW, cap=1440)
    planner = survey(NOW - 1560, NOW - 120, exchange, 1440, 1)
    found = drive(planner, exchange)
    assert planner.horizon is None
    assert found.times >= set(range(NOW - 1560, NOW - 120))


def test_one_wrong_time_proves_nothing_absent() -> None:
    planner = survey(0, 43_200, Exchange(ALL, NOW), 1000, 1)
    request = planner.next_request(NOW * STEP)
    assert request is not None
    planner.learn(request, times([*range(999), 40_000]), NOW * STEP)
    assert not planner.settled(999 * STEP, 1000 * STEP)
    assert not planner.settled(5_000 * STEP, 5_001 * STEP)


def test_a_server_that_never_answers_the_question_is_given_up() -> None:
    class Stale(Exchange):
        def answer(self, since: int, limit: int) -> list[int]:
            return [3_000, 3_001, 3_002]

    exchange = Stale(ALL, NOW)
    with pytest.raises(NoProgress):
        drive(survey(5_000, 6_000, exchange, 1000, 1), exchange)


def test_a_server_that_gives_one_candle_at_a_time_is_given_up() -> None:
    exchange = Exchange(ALL, NOW, cap=1)
    with pytest.raises(NoProgress, match="65 requests"):
        drive(survey(0, 1000, exchange, 1000, 1), exchange)


def test_minutes_without_trades_do_not_cost_a_request_at_every_page_boundary() -> None:
    rng = np.random.default_rng(7)
    exchange = Exchange(frozenset(np.flatnonzero(rng.random(30_001) < 0.5).tolist()), 30_000, ranged=True, newest=True)
    found = drive(survey(0, 30_000, exchange, 300, 10), exchange, at_once=4)
    assert found.times >= exchange.there - {30_000}
    assert len(found.requests) <= 30_000 / 290 * 1.05 + 5


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    now = 1200
    holes = draw(st.lists(st.tuples(st.integers(0, now), st.integers(1, 400)), max_size=5))
    sparse = draw(st.sets(st.integers(0, now), max_size=300))
    absent = {time for start, length in holes for time in range(start, start + length)} | sparse
    ranged = draw(st.booleans())
    return Exchange(
        frozenset(set(range(now + 1)) - absent),
        now,
        cap=draw(st.integers(10, 150)),
        ranged=ranged,
        inclusive=ranged and draw(st.booleans()),
        newest=ranged and draw(st.booleans()),
        remembers=draw(st.none() | st.integers(1, now)),
        before=draw(st.integers(0, 2)),
        exclusive=draw(st.booleans()),
        short=ranged and draw(st.booleans()),
    )


@given(
    exchange=exchanges(),
    first=st.integers(0, 1000),
    length=st.integers(1, 1200),
    page_size=st.integers(20, 150),
    overlap=st.integers(1, 10),
    at_once=st.integers(1, 6),
    filled=st.booleans(),
)
@example(Exchange(frozenset(range(1201)), 1200, cap=10, ranged=True, newest=True), 0, 1200, 100, 10, 6, False)
@settings(max_examples=400)
def test_every_candle_that_an_exchange_would_give_is_recovered(
    exchange: Exchange, first: int, length: int, page_size: int, overlap: int, at_once: int, filled: bool
) -> None:
    end = min(first + length, exchange.now)
    if end <= first:
        return
    found = drive(survey(first, end, exchange, page_size, overlap, filled=filled), exchange, at_once=at_once)
    assert {time for time in found.times if first <= time < end} == {
        time for time in exchange.gives() if first <= time < end
    }
    fresh = (end - first) / (page_size - overlap) + 2
    cut = page_size / max(1, min(page_size, exchange.cap) - 1) + 1
    assert len(found.requests) <= fresh * (cut + 5) + 4 * 305


@given(
    remembers=st.integers(12, 400),
    ignores_limit=st.booleans(),
    age=st.integers(160, 1000),
    length=st.integers(150, 1000),
    page_size=st.integers(20, 150),
)
@settings(max_examples=200)
def test_an_unknown_horizon_is_found_and_everything_after_it_recovered(
    remembers: int, ignores_limit: bool, age: int, length: int, page_size: int
) -> None:
    exchange = Exchange(frozenset(range(1201)), 1200, cap=remembers, ignores_since=True, ignores_limit=ignores_limit)
    first, end = 1200 - age, min(1200 - age + length, 1200)
    planner = survey(first, end, exchange, page_size, 1)
    found = drive(planner, exchange)
    reach = 1201 - (remembers if ignores_limit else min(remembers, page_size))
    assert found.times >= {time for time in range(first, end) if time >= reach}
    assert len(found.requests) <= 12
    assert planner.settled(first * STEP, end * STEP)


@given(
    there=st.sets(st.integers(0, 1195), min_size=1, max_size=400),
    cap=st.integers(12, 150),
    ignores_limit=st.booleans(),
    first=st.integers(0, 1150),
    length=st.integers(1, 600),
    page_size=st.integers(20, 150),
    at_once=st.integers(1, 4),
    no_since=st.booleans(),
)
@settings(max_examples=400)
def test_what_a_quiet_exchange_that_ignores_since_does_not_give_is_never_called_absent(
    there: set[int],
    cap: int,
    ignores_limit: bool,
    first: int,
    length: int,
    page_size: int,
    at_once: int,
    no_since: bool,
) -> None:
    exchange = Exchange(frozenset(there), 1200, cap=cap, ignores_since=True, ignores_limit=ignores_limit)
    end = min(first + length, 1200)
    planner = survey(first, end, exchange, page_size, 1, honours_since=False if no_since else None)
    try:
        found = drive(planner, exchange, at_once=at_once)
    except NoProgress:
        assert not no_since
        return
    lost = {time for time in there if first <= time < end} - found.times
    assert not lost or (planner.horizon is not None and max(lost) * STEP < planner.horizon)


def test_the_rows_before_an_empty_page_prove_it_empty_where_an_exchange_counts_back_from_its_end() -> None:
    exchange = Exchange(ALL - frozenset(range(1000, 2400)), NOW, cap=200, cursor=True)
    found = drive(survey(900, 2500, exchange, 200, 1, cursor=True), exchange)
    assert found.times >= exchange.there & set(range(900, 2500))
    assert len(found.requests) <= 1600 / 199 + 1  # each page is requested once


def test_fewer_rows_than_requested_prove_nothing_empty_at_once() -> None:
    planner = survey(1000, 1200, Exchange(ALL, NOW), 200, 1, cursor=True)
    requests = 0
    while (request := planner.next_request(NOW * STEP)) is not None:
        assert not planner.settled(1000 * STEP, 1001 * STEP) or requests > 1
        assert not planner.settled(1000 * STEP, 1200 * STEP)
        planner.learn(request, times([*range(801, 1000)]), NOW * STEP)
        requests += 1
    assert requests == 4
    assert planner.settled(1000 * STEP, 1200 * STEP)


DAY = (1440, 2880)
EDGES = [
    {"exclusive": True},
    {"exclusive": True, "ranged": True},
    {"exclusive": True, "ranged": True, "newest": True},
    {"ranged": True, "short": True},
    {"ranged": True, "short": True, "newest": True},
    {"ranged": True, "inclusive": True, "newest": True},
    {"exclusive": True, "ranged": True, "short": True},
    {"cursor": True, "inclusive": True},
    {"cursor": True, "short": True},
]


@pytest.mark.parametrize("page_size", [200, 300, 1000, 1440])
@pytest.mark.parametrize("density", [1.0, 0.5, 0.05])
@pytest.mark.parametrize("edges", EDGES, ids=[" ".join(edges) for edges in EDGES])
def test_no_minute_of_a_day_is_lost_with_any_meaning_of_start_and_end(
    edges: dict[str, bool], density: float, page_size: int
) -> None:
    rng = np.random.default_rng(11)
    there = set(np.flatnonzero(rng.random(5_000) < density).tolist()) | {1440, 2879}
    exchange = Exchange(frozenset(there), 5_000, cap=page_size, **edges)  # type: ignore[arg-type]
    overlap = 1 if density == 1.0 else 10
    found = drive(survey(*DAY, exchange, page_size, overlap, cursor=exchange.cursor), exchange)
    assert {minute for minute in found.times if 1440 <= minute < 2880} == {m for m in there if 1440 <= m < 2880}


@pytest.mark.parametrize("cursor", [False, True])
@pytest.mark.parametrize("boundary", [1440, 2879])
def test_the_first_and_the_last_minute_are_absent_after_two_answers_with_different_cuts(
    boundary: int, cursor: bool
) -> None:
    there = frozenset(range(1300, 3000)) - {boundary}
    exchange = Exchange(there, 5_000, ranged=not cursor, cursor=cursor)
    planner = survey(*DAY, exchange, 1000, 1, cursor=cursor)
    found = drive(planner, exchange)
    assert planner.settled(1440 * STEP, 2880 * STEP)
    assert len(found.requests) <= 3  # two pages, and a third page with rows on both sides


@given(
    there=st.sets(st.integers(0, 1200), max_size=1200) | st.sets(st.integers(0, 1200), max_size=30),
    cap=st.integers(20, 150),
    first=st.integers(0, 1000),
    length=st.integers(1, 1200),
    page_size=st.integers(20, 150),
    overlap=st.integers(1, 10),
    at_once=st.integers(1, 6),
    inclusive=st.booleans(),
)
@settings(max_examples=400)
def test_every_candle_of_an_exchange_that_counts_back_from_a_cursor_is_recovered(
    there: set[int], cap: int, first: int, length: int, page_size: int, overlap: int, at_once: int, inclusive: bool
) -> None:
    exchange = Exchange(frozenset(there), 1200, cap=cap, cursor=True, inclusive=inclusive)
    end = min(first + length, 1200)
    planner = survey(first, end, exchange, page_size, overlap, cursor=True)
    found = drive(planner, exchange, at_once=at_once)
    assert {time for time in found.times if first <= time < end} == {time for time in there if first <= time < end}
    fresh = (end - first) / (page_size - overlap) + 2
    # While fewer rows exist than are requested, each absence must be observed twice. If several requests are in
    # progress, the stretches on both sides of such a row are requested separately.
    young = sum(first <= time < end for time in sorted(there)[:page_size]) * (3 if at_once == 1 else 5)
    assert len(found.requests) <= fresh * (2 if cap >= page_size else 2 * page_size / (cap - 1) + 2) + 4 + young


@given(exchange=exchanges(), first=st.integers(0, 1000), page_size=st.integers(20, 150))
@settings(max_examples=100)
def test_a_day_is_called_settled_only_when_all_of_it_was_received(
    exchange: Exchange, first: int, page_size: int
) -> None:
    planner = survey(first, exchange.now, exchange, page_size, 1)
    days = [(a, b) for a, b in pairwise([*range(first, exchange.now, 90), exchange.now])]
    received: set[int] = set()
    now = exchange.now * STEP + 5_000
    while (request := planner.next_request(now)) is not None:
        rows = exchange.answer(request.since // STEP, request.limit)
        received.update(rows)
        planner.learn(request, times(rows), now)
        for a, b in days:
            if planner.settled(a * STEP, b * STEP):
                assert {time for time in exchange.gives() if a <= time < b} <= received
