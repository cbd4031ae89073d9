from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from hypothesis import assume, given
from hypothesis import strategies as st

from titan10_dagster.candles.slices import Series, SliceState, midnight
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.planning.live import LOOK_BACK, Polled, plan_poll, seconds_to_ask

TODAY, YESTERDAY = date(2024, 3, 10), date(2024, 3, 9)
NOON = datetime(2024, 3, 10, 12, 0, 20, tzinfo=UTC)
MINUTE, ONE = timedelta(minutes=1), timedelta(days=1)
SERIES = Series("binance", "BTC/USDT", TIMEFRAMES["1m"])
WHOLE_NOON = NOON.replace(second=0)


def polled(until: datetime, state: SliceState = SliceState.LIVE) -> Polled:
    return Polled(state, until)


def test_a_series_never_polled_starts_with_today() -> None:
    plan = plan_poll(SERIES, {}, now=NOON, page_size=1000, depth=None)
    assert plan is not None
    assert (plan.window.start, plan.window.end, plan.is_full) == (midnight(TODAY), WHOLE_NOON, False)


def test_a_poll_goes_on_where_the_last_one_ended_and_looks_back_a_little() -> None:
    plan = plan_poll(SERIES, {TODAY: polled(WHOLE_NOON - MINUTE)}, now=NOON, page_size=1000, depth=None)
    assert plan is not None
    assert (plan.window.start, plan.window.end) == (WHOLE_NOON - (LOOK_BACK + 1) * MINUTE, WHOLE_NOON)


def test_a_poll_after_midnight_fetches_the_last_candles_of_yesterday() -> None:
    after_midnight = midnight(TODAY) + timedelta(seconds=70)
    known = {YESTERDAY: polled(midnight(TODAY) - MINUTE)}
    plan = plan_poll(SERIES, known, now=after_midnight, page_size=1000, depth=None)
    assert plan is not None
    assert (plan.resumed, plan.window.end) == (midnight(TODAY) - MINUTE, midnight(TODAY) + MINUTE)


def test_a_settled_yesterday_is_left_alone() -> None:
    after_midnight = midnight(TODAY) + timedelta(seconds=70)
    known = {YESTERDAY: polled(midnight(TODAY) + MINUTE, SliceState.SETTLED)}
    plan = plan_poll(SERIES, known, now=after_midnight, page_size=1000, depth=None)
    assert plan is not None
    assert plan.window.start == midnight(TODAY)


def test_no_request_is_made_before_the_end_of_the_first_candle() -> None:
    just_begun = midnight(TODAY) + timedelta(seconds=30)
    assert plan_poll(SERIES, {}, now=just_begun, page_size=1000, depth=None) is None


def test_a_series_with_its_last_candle_gets_no_request() -> None:
    assert plan_poll(SERIES, {TODAY: polled(WHOLE_NOON)}, now=NOON, page_size=1000, depth=None) is None
    hourly = Series("binance", "BTC/USDT", TIMEFRAMES["1h"])
    later = NOON + 59 * MINUTE
    assert plan_poll(hourly, {TODAY: polled(WHOLE_NOON)}, now=later, page_size=1000, depth=None) is None
    assert plan_poll(hourly, {TODAY: polled(WHOLE_NOON)}, now=later + MINUTE, page_size=1000, depth=None) is not None


def test_a_poll_requests_until_the_minute_ends_and_for_some_seconds_if_it_began_late() -> None:
    assert seconds_to_ask(NOON.replace(second=3)) == 42
    assert seconds_to_ask(NOON.replace(second=59)) == 10


def test_the_first_request_to_an_exchange_with_a_short_horizon_covers_all_of_it() -> None:
    early = midnight(TODAY) + timedelta(hours=3)
    plan = plan_poll(SERIES, {}, now=early, page_size=720, depth=720)
    assert plan is not None
    assert plan.window.start == early - timedelta(minutes=718)


def test_the_first_poll_requests_nothing_before_the_configured_start() -> None:
    early = midnight(TODAY) + timedelta(hours=3)
    plan = plan_poll(SERIES, {}, now=early, page_size=720, depth=720, first=TODAY)
    assert plan is not None
    assert (plan.window.start, plan.window.end) == (midnight(TODAY), early)
    open_yesterday = {YESTERDAY: polled(midnight(TODAY) - 30 * MINUTE)}
    missing = midnight(TODAY) - 40 * MINUTE
    plan = plan_poll(SERIES, open_yesterday, now=early, page_size=720, depth=720, gap=missing, first=TODAY)
    assert plan is not None
    assert (plan.window.start, plan.resumed) == (midnight(TODAY), midnight(TODAY))


def test_an_exchange_whose_history_starts_tomorrow_is_not_polled() -> None:
    assert plan_poll(SERIES, {}, now=NOON, page_size=1000, depth=None, first=TODAY + ONE) is None


def test_an_answer_without_a_new_candle_does_not_move_the_poll_unless_it_is_a_whole_page() -> None:
    known = {TODAY: polled(midnight(TODAY) + MINUTE)}
    short = plan_poll(SERIES, known, now=NOON, page_size=1000, depth=None)
    full = plan_poll(SERIES, known, now=NOON, page_size=300, depth=None)
    assert short is not None
    assert full is not None
    assert (short.is_full, full.is_full) == (False, True)
    assert short.covered(None) == short.covered(short.resumed) == short.resumed
    assert full.covered(None) == full.covered(full.resumed) == full.window.end
    assert full.covered(full.resumed + MINUTE) == full.resumed + MINUTE


@given(
    pause=st.integers(0, 40 * 60),
    page_size=st.integers(LOOK_BACK + 1, 1500),
    depth=st.none() | st.integers(60, 5000),
    timeframe=st.sampled_from([TIMEFRAMES["1m"], TIMEFRAMES["5m"], TIMEFRAMES["1h"]]),
    traded=st.integers(1, 200),
)
def test_after_any_pause_the_polls_come_to_now_without_leaving_a_candle_out(
    pause: int, page_size: int, depth: int | None, timeframe: object, traded: int
) -> None:
    """Simulate polls with complete answers; every `traded`-th candle exists."""
    step = TIMEFRAMES[str(timeframe)].delta
    series = Series("binance", "BTC/USDT", TIMEFRAMES[str(timeframe)])
    began = midnight(NOON.date()) + (NOON - midnight(NOON.date())) // step * step - pause * MINUTE // step * step
    assume(began.date() >= YESTERDAY)
    until, asked = began, []
    for _ in range(40 * 60 + 2):
        known = {until.date(): polled(until)} if until.date() >= YESTERDAY else {}
        plan = plan_poll(series, known, now=NOON, page_size=page_size, depth=depth)
        if plan is None:
            assert until + step > NOON
            return
        assert plan.window.expected <= page_size
        assert plan.window.end <= NOON
        asked.append(plan.window)
        starts = [plan.window.start + n * step for n in range(plan.window.expected)]
        there = [start for start in starts if start.timestamp() // step.total_seconds() % traded == 0]
        covered = plan.covered(there[-1] + step if there else None)
        assert covered >= plan.resumed
        if not plan.is_full:
            break
        assert covered > plan.resumed
        until = covered
    else:
        raise AssertionError("it never came to now")
    assert all(later.start <= earlier.end for earlier, later in pairwise(asked))


def test_missing_candles_that_will_soon_be_out_of_reach_are_asked_for_in_passing() -> None:
    known, gap = {TODAY: polled(WHOLE_NOON - MINUTE)}, midnight(TODAY) + timedelta(hours=3)
    plan = plan_poll(SERIES, known, now=NOON, page_size=720, depth=720, gap=gap)
    assert plan is not None
    assert (plan.window.start, plan.window.end, plan.resumed) == (gap, WHOLE_NOON, WHOLE_NOON - MINUTE)


def test_missing_candles_are_not_asked_for_further_back_than_a_page_or_the_horizon() -> None:
    known, gap = {TODAY: polled(WHOLE_NOON - MINUTE)}, midnight(YESTERDAY)
    for page_size, depth, back in ((500, 10_000, 500), (720, 720, 718)):
        plan = plan_poll(SERIES, known, now=NOON, page_size=page_size, depth=depth, gap=gap)
        assert plan is not None
        assert (plan.window.start, plan.window.end) == (WHOLE_NOON - back * MINUTE, WHOLE_NOON)
