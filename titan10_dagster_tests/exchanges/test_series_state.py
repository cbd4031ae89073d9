from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

import numpy as np
import pytest

from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Series, Slice, from_ms, to_ms
from titan10_dagster.errors import FetchError, MalformedAnswer
from titan10_dagster.exchanges.listing import Beginning, BeginningKind, End
from titan10_dagster.exchanges.pages import Page, PageRequest, Purpose
from titan10_dagster.exchanges.retries import Effort
from titan10_dagster.exchanges.series_state import Bound, Finding, Reply, SeriesState
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.exchanges.venues.venue import Venue
from titan10_dagster_tests.exchanges.harness import MINUTE, NOW, YESTERDAY, market, slices

STEP = 60_000
BINANCE = venue_of("binance")
SYMBOL = "BTC/USDT"
HOUR = timedelta(hours=1)


def state(
    wanted: Sequence[Slice] = slices("binance", [SYMBOL]),
    venue: Venue = BINANCE,
    listed_market: Market | None = market("binance", SYMBOL, listed=datetime.min.replace(tzinfo=NOW.tzinfo)),  # noqa: B008
    now: datetime = NOW,
) -> SeriesState:
    return SeriesState(wanted[0].series, wanted, venue=venue, market=listed_market, now=now, ahead=16)


def page(times: Sequence[int], requested_at: datetime = NOW) -> Page:
    rows = np.ones((len(times), 6))
    rows[:, 0] = times
    return Page(rows, requested_at, 0.1)


def minutes(start: datetime, end: datetime) -> list[int]:
    return list(range(to_ms(start), to_ms(end), STEP))


def answered(request: PageRequest, times: Sequence[int]) -> Reply:
    return Reply(request, page(times), None, Effort(1, 0, 0.1))


def answer_all(series: SeriesState, there: Sequence[int], most: int = 20) -> int:
    """Answer every request with the existing candles; return the number of requests."""
    for count in range(most):
        request = series.next_request(to_ms(NOW))
        if request is None:
            return count
        series.take(answered(request, [time for time in there if time >= request.since][: request.limit]))
    raise AssertionError("it never ends")


(DAY,) = slices("binance", [SYMBOL])
WHOLE_DAY = minutes(DAY.start - HOUR, DAY.end + HOUR)


def test_a_day_lands_when_all_of_it_was_received() -> None:
    series = state()
    request = series.next_request(to_ms(NOW))
    assert request is not None
    series.take(answered(request, WHOLE_DAY[60 : 60 + request.limit]))
    assert series.settled() == []
    answer_all(series, WHOLE_DAY)
    assert series.settled() == [DAY]
    landed = series.release(DAY)
    assert len(landed.candles) == 1440
    assert landed.record.answered
    assert landed.record.requests == 2
    assert series.waiting == {}


def test_a_day_under_way_is_taken_as_of_its_planning() -> None:
    (today,) = slices("binance", [SYMBOL], last=NOW.date())
    series = state([today])
    answer_all(series, minutes(today.start, today.start + 4 * HOUR))
    landed = series.release(today)
    assert len(landed.candles) == 120
    assert landed.record.fetched_at == NOW


def test_a_series_without_any_candle_must_request_recent_ones_first() -> None:
    series = state()
    answer_all(series, [])
    assert series.settled() == [DAY]
    assert series.is_doubtful(DAY)
    request = series.request_recent(DAY, NOW)
    assert request.purpose is Purpose.RECENT
    assert series.settled() == []
    series.take(answered(request, minutes(NOW - HOUR, NOW)))
    assert not series.is_doubtful(DAY)
    assert series.release(DAY).record.answered


def test_a_series_that_never_answers_a_candle_lands_unanswered() -> None:
    series = state()
    answer_all(series, [])
    series.take(answered(series.request_recent(DAY, NOW), []))
    assert not series.release(DAY).record.answered


def test_silence_at_the_beginning_puts_an_unknown_listing_in_doubt() -> None:
    unknown = market("binance", SYMBOL)
    series = state(listed_market=unknown)
    answer_all(series, minutes(DAY.start + 2 * HOUR, DAY.end + HOUR))
    assert series.bound_in_doubt(DAY) is Bound.LISTED
    series.bounds.start_search(Bound.LISTED)
    assert series.next_request(to_ms(NOW)) is None
    assert series.settled() == []
    found = Beginning(BeginningKind.LISTED, DAY.start + 2 * HOUR)
    series.learn_bound(Finding(Bound.LISTED, DAY, found, None, Effort(5, 0, 0.5)))
    assert series.bound_in_doubt(DAY) is None
    record = series.release(DAY).record
    assert record.listed == DAY.start + 2 * HOUR
    assert record.requests >= 5


def test_a_listing_contradicted_by_a_candle_is_rejected() -> None:
    series = state(listed_market=market("binance", SYMBOL))
    answer_all(series, minutes(DAY.start + 2 * HOUR, DAY.end + HOUR))
    series.bounds.start_search(Bound.LISTED)
    found = Beginning(BeginningKind.LISTED, DAY.start + 3 * HOUR)
    series.learn_bound(Finding(Bound.LISTED, DAY, found, None, Effort()))
    assert series.release(DAY).record.listed is None


def test_silence_at_the_end_of_a_closed_market_puts_its_end_in_doubt() -> None:
    closed = market("binance", SYMBOL, active=False, listed=DAY.start - 10 * HOUR)
    series = state(listed_market=closed)
    answer_all(series, minutes(DAY.start, DAY.start + 20 * HOUR))
    assert series.bound_in_doubt(DAY) is Bound.DELISTED
    series.bounds.start_search(Bound.DELISTED)
    series.learn_bound(Finding(Bound.DELISTED, DAY, End(DAY.start + 20 * HOUR), None, Effort()))
    assert series.release(DAY).record.delisted == DAY.start + 20 * HOUR


KRAKEN = venue_of("kraken")


@pytest.mark.parametrize("active", [True, False])
def test_a_closed_market_without_recent_candles_serves_nothing_where_only_these_are_served(active: bool) -> None:
    series = state(slices("kraken", ["BTC/USD"]), KRAKEN, market("kraken", "BTC/USD", active=active))
    day = next(iter(series.waiting))
    answer_all(series, [])
    assert not series.serves_nothing
    series.take(answered(series.request_recent(day, NOW), []))
    assert series.serves_nothing is not active
    assert not series.release(day).record.answered


def test_a_closed_market_serves_nothing_if_no_last_candle_is_found() -> None:
    series = state(listed_market=market("binance", SYMBOL, active=False, listed=DAY.start - 10 * HOUR))
    answer_all(series, [])
    assert series.bound_in_doubt(DAY) is Bound.DELISTED
    series.bounds.start_search(Bound.DELISTED)
    assert not series.serves_nothing
    series.learn_bound(Finding(Bound.DELISTED, DAY, End(None), None, Effort()))
    assert series.serves_nothing
    assert series.bounds.delisted is None


def test_a_silent_day_after_a_known_listing_may_no_longer_be_served() -> None:
    wanted = slices("binance", [SYMBOL], 2, last=YESTERDAY)
    series = state(wanted, listed_market=market("binance", SYMBOL, listed=wanted[0].start - 100 * HOUR))
    answer_all(series, minutes(wanted[1].start, wanted[1].end + HOUR))
    assert series.bound_in_doubt(wanted[0]) is Bound.NO_LONGER_SERVED
    series.bounds.start_search(Bound.NO_LONGER_SERVED)
    series.learn_bound(
        Finding(Bound.NO_LONGER_SERVED, wanted[0], Beginning(BeginningKind.UNEXPLAINED, None), None, Effort())
    )
    assert not series.release(wanted[0]).record.answered
    assert series.release(wanted[1]).record.answered


def test_a_rejection_may_only_mean_before_the_listing() -> None:
    refusing = replace(BINANCE, refuses_before_listing=True)
    series = state(venue=refusing, listed_market=market("binance", SYMBOL))
    request = series.next_request(to_ms(NOW))
    assert request is not None
    rejection = FetchError("binance: HTTP 400", exchange="binance", status=400)
    reply = Reply(request, None, rejection, Effort(1, 0, 0.0))
    assert series.take_refusal(reply)
    assert series.bounds.refusal is rejection
    series.learn_bound(Finding(Bound.LISTED, DAY, Beginning(BeginningKind.LISTED, DAY.start + HOUR), None, Effort()))
    assert series.bounds.refusal is None
    again = series.next_request(to_ms(NOW))
    assert again is not None
    assert from_ms(again.since) >= DAY.start + HOUR


def test_a_rejection_is_an_error_where_the_exchange_does_not_reject_early_pages() -> None:
    series = state(listed_market=market("binance", SYMBOL))
    request = series.next_request(to_ms(NOW))
    assert request is not None
    assert not series.take_refusal(Reply(request, None, FetchError("", exchange="binance", status=400), Effort()))


def test_answers_to_another_question_are_malformed_in_the_end() -> None:
    series = state()
    others = minutes(DAY.start - 4 * HOUR, DAY.start - 3 * HOUR)

    def answer_with_others() -> None:
        while (request := series.next_request(to_ms(NOW))) is not None:
            series.take(answered(request, others))

    with pytest.raises(
        MalformedAnswer, match=r"without the candles from 2024-06-19 00:00 to .* UTC.*correct the exchange's record in"
    ):
        answer_with_others()


def test_days_that_lie_apart_are_requested_apart() -> None:
    days = [Slice(Series("binance", SYMBOL, MINUTE), date(2024, 6, day)) for day in (10, 19)]
    series = state(days)
    answer_all(series, minutes(days[0].start - HOUR, days[0].end + HOUR) + WHOLE_DAY, most=60)
    assert series.settled() == days
