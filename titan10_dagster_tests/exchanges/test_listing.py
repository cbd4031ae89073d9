from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from titan10_dagster.candles.slices import Series, to_ms
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.errors import TransientError
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.listing import Beginning, BeginningKind, End, first_candle, last_candle
from titan10_dagster.exchanges.pages import Page
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster_tests.exchanges.harness import FIVE, MINUTE, NOW, market, now, plain, run
from titan10_dagster_tests.exchanges.serving import Handler, says, serving
from titan10_dagster_tests.exchanges.simulated import Exchange

LISTED = datetime(2021, 3, 7, 13, 37, tzinfo=UTC)
DAY = timedelta(days=1)
BEGUN = LISTED.replace(hour=0, minute=0)


def candles(
    since: datetime, step: timedelta, limit: int, listed: datetime = LISTED, delisted: datetime = NOW
) -> list[int]:
    """Return the starts (ms) of up to `limit` candles of a market.

    The 1d candle of the first day begins before the first 1m candle.
    """
    first = listed.replace(hour=0, minute=0) if step == DAY else listed
    count = -(-max(timedelta(0), since - first) // step)
    times = [first + (count + n) * step for n in range(limit)]
    return [to_ms(instant) for instant in times if instant <= min(NOW, delisted - timedelta(minutes=1))]


def forward(listed: datetime, delisted: datetime = NOW) -> Handler:
    """Return rows from `since` on, like binance."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        step = DAY if request.query["interval"] == "1d" else timedelta(minutes=1)
        since = datetime.fromtimestamp(int(request.query["startTime"]) / 1000, UTC)
        rows = candles(since, step, int(request.query["limit"]), listed, delisted)
        return web.json_response([[time_ms, "1", "1", "1", "1", "1"] for time_ms in rows])

    return answer


def ranged(listed: datetime, delisted: datetime = NOW) -> Handler:
    """Return the rows between two instants, newest first, as coinbase does."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        step = DAY if request.query["granularity"] == "ONE_DAY" else timedelta(minutes=1)
        since, until = (datetime.fromtimestamp(int(request.query[name]), UTC) for name in ("start", "end"))
        rows = [time_ms for time_ms in candles(since, step, 300, listed, delisted) if time_ms <= to_ms(until)]
        names = ("low", "high", "open", "close", "volume")
        return web.json_response(
            {"candles": [{"start": str(time_ms // 1000), **dict.fromkeys(names, "1")} for time_ms in reversed(rows)]}
        )

    return answer


def found(
    exchange: str, handler: Handler, timeframe: Timeframe = MINUTE, look: Any = first_candle
) -> tuple[datetime | None, int]:
    """Return the result of the search, and the number of requests."""
    symbol = "BTC/USD" if exchange in ("coinbase", "kraken") else "BTC/USDT"

    async def work() -> tuple[datetime | None, int]:
        known = [market(exchange, symbol) if exchange in FIVE else plain(exchange, symbol)]
        async with (
            serving(handler) as url,
            ExchangeClient(exchange, known, base_url=url, paced=False, now=now) as client,
        ):
            wanted = Series(exchange, symbol, timeframe)
            options = {"silent_until": NOW} if look is first_candle else {}
            result = await look(client.fetch_page, client.venue, wanted, NOW, **options)
            listed = isinstance(result, Beginning) and result.how is BeginningKind.LISTED
            return result.instant if listed else result, client.requests

    return run(work())


def test_where_since_counts_forward_it_takes_two_requests_and_one_to_see_that_it_does() -> None:
    assert found("binance", forward(LISTED)) == (LISTED, 3)


def test_where_since_is_known_to_count_forward_it_takes_two_requests() -> None:
    known = partial(first_candle, honours_since=True, silent_until=NOW)
    assert found("binance", forward(LISTED), look=known) == (LISTED, 2)


def test_where_only_ranges_are_given_the_years_are_walked_through() -> None:
    first, requests = found("coinbase", ranged(LISTED))
    assert first == LISTED
    assert requests <= 31


def test_of_days_it_is_the_first_day() -> None:
    assert found("binance", forward(LISTED), Timeframe.parse("1d")) == (BEGUN, 2)


def test_a_market_that_opened_an_hour_ago_is_found_too() -> None:
    first, requests = found("binance", forward(NOW.replace(second=0) - timedelta(hours=1)))
    assert first == NOW.replace(second=0) - timedelta(hours=1)
    assert requests <= 6


def test_the_listing_is_not_requested_from_an_exchange_with_a_short_horizon() -> None:
    assert found("kraken", says("no")) == (None, 0)


def test_the_listing_stays_unknown_when_an_exchange_ignores_since() -> None:
    async def last_rows(request: web.BaseRequest) -> web.StreamResponse:
        step = DAY if request.query["interval"] == "1d" else timedelta(minutes=1)
        rows = candles(NOW - 500 * step, step, 1000)
        return web.json_response([[time_ms, "1", "1", "1", "1", "1"] for time_ms in rows])

    first, requests = found("binance", last_rows)
    assert first is None
    assert requests <= 4


def test_a_symbol_without_candles_has_no_first_one() -> None:
    first, requests = found("coinbase", says('{"candles":[]}'))
    assert first is None
    assert requests <= 30


def test_a_failure_is_raised() -> None:
    with pytest.raises(TransientError):
        found("binance", says("", status=500))


def test_a_first_day_whose_own_candles_begin_earlier_is_rejected() -> None:
    async def loses_a_year(request: web.BaseRequest) -> web.StreamResponse:
        lost = timedelta(days=365 if request.query["interval"] == "1d" else 0)
        return await forward(LISTED + lost)(request)

    assert found("binance", loses_a_year)[0] is None


def forgetful(days: int) -> Handler:
    """Count forward; serve only the minutes of the last days."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        since = datetime.fromtimestamp(int(request.query["startTime"]) / 1000, UTC)
        step = DAY if request.query["interval"] == "1d" else timedelta(minutes=1)
        oldest = since if step == DAY else max(since, NOW.replace(second=0) - timedelta(days=days))
        rows = candles(oldest, step, int(request.query["limit"]))
        return web.json_response([[time_ms, "1", "1", "1", "1", "1"] for time_ms in rows])

    return answer


def test_daily_candles_before_the_first_minute_show_what_an_exchange_no_longer_serves() -> None:
    look = partial(first_candle, silent_until=NOW - timedelta(days=60))
    first, requests = found("binance", forgetful(30), look=look)
    assert first == Beginning(BeginningKind.NO_LONGER_SERVED, NOW.replace(second=0) - timedelta(days=30))
    assert requests <= 40


def test_no_lost_history_is_searched_when_an_earlier_day_is_served() -> None:
    look = partial(first_candle, silent_until=NOW - timedelta(days=3))
    first, requests = found("binance", forgetful(30), look=look)
    assert first is None
    assert requests <= 12


# -- the last candle

GONE = datetime(2022, 5, 13, 0, 40, tzinfo=UTC)


@pytest.mark.parametrize(
    ("exchange", "handler", "most"), [("binance", forward(LISTED, GONE), 10), ("coinbase", ranged(LISTED, GONE), 30)]
)
def test_the_last_candle_of_a_market_that_is_gone_is_found(exchange: str, handler: Handler, most: int) -> None:
    last, requests = found(exchange, handler, look=last_candle)
    assert last == End(GONE)
    assert requests <= most


def test_a_market_that_was_halted_an_hour_ago_is_not_gone() -> None:
    assert found("binance", forward(LISTED, NOW - timedelta(hours=1)), look=last_candle)[0] is None


def test_a_symbol_without_candles_has_no_last_one() -> None:
    last, requests = found("coinbase", says('{"candles":[]}'), look=last_candle)
    assert last == End(None)
    assert requests <= 60


# -- all kinds of exchanges

MIDNIGHT = NOW.replace(hour=0, minute=0, second=0)
DAYS = 12


@st.composite
def markets(draw: st.DrawFn) -> tuple[Exchange, Exchange]:
    """The 1m candles and the 1d candles of a market. An exchange can serve both for different times."""
    begins, busy = draw(st.integers(0, DAYS * 1440 - 1)), draw(st.integers(0, 4))
    seed = np.random.default_rng(draw(st.integers(0, 99)))
    minutes = np.flatnonzero(seed.random(DAYS * 1440) < 10.0**-busy)
    traded = frozenset({begins, *minutes[minutes > begins].tolist()})
    counts: dict[str, Any] = draw(st.sampled_from([{}, {"ranged": True}, {"ranged": True, "newest": True}]))
    now = DAYS * 1440
    remembers = draw(st.none() | st.integers(1440, now))
    return (
        Exchange(traded, now, cap=200, remembers=remembers, **counts),
        Exchange(frozenset(minute // 1440 for minute in traded), DAYS, cap=200, **counts),
    )


@given(market=markets(), silent_until=st.integers(1, DAYS))
@settings(max_examples=200)
def test_a_first_candle_that_is_no_longer_served_is_never_the_listing(
    market: tuple[Exchange, Exchange], silent_until: int
) -> None:
    minutes, days = market
    start = MIDNIGHT - timedelta(days=DAYS)

    async def ask(series: Series, since: datetime, limit: int, until: datetime | None = None) -> Page:
        exchange = minutes if series.timeframe == MINUTE else days
        answer = exchange.answer((since - start) // series.timeframe.delta, limit)
        rows = np.ones((len(answer), 6))
        rows[:, 0] = to_ms(start) + np.array(answer, np.int64) * series.timeframe.ms
        return Page(rows, MIDNIGHT, 0.0)

    venue = replace(venue_of("mexc"), page_size=200)
    until = start + timedelta(days=silent_until)
    found = run(first_candle(ask, venue, Series("mexc", "BTC/USDT", MINUTE), MIDNIGHT, silent_until=until))
    first, given_ = min(minutes.there), minutes.gives()
    if found is None or found.how is BeginningKind.UNEXPLAINED:
        return
    if found.how is BeginningKind.LISTED:
        assert given_[0] // 1440 == first // 1440
        assert found.instant == start + given_[0] * MINUTE.delta
    else:
        assert first < given_[0]
        assert found.instant == start + given_[0] * MINUTE.delta


# -- days that do not begin at midnight


def in_singapore(listed: datetime, lost_days: int = 0) -> Handler:
    """Simulate htx: its days begin at 16:00 UTC (GMT+8), and a page that begins before the first candle causes an
    error.
    """

    def days_of(listed: datetime) -> tuple[datetime, timedelta]:
        eight = timedelta(hours=8)
        return (listed + eight).replace(hour=0, minute=0) - eight + timedelta(days=lost_days), DAY

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        first, step = (listed, MINUTE.delta) if request.query["period"] == "1min" else days_of(listed)
        since = datetime.fromtimestamp(int(request.query["from"]), UTC)
        if since < first:
            return web.json_response({"status": "error", "err-code": "invalid-parameter", "err-msg": "invalid from"})
        begin = first + -(-(since - first) // step) * step
        until = datetime.fromtimestamp(int(request.query["to"]), UTC) if "to" in request.query else NOW
        times = [begin + number * step for number in range(int(request.query["size"]))]
        values = dict.fromkeys(("open", "close", "low", "high", "amount", "vol", "count"), 1)
        rows = [{"id": int(time.timestamp()), **values} for time in times if time <= min(NOW, until)]
        return web.json_response({"status": "ok", "data": rows[::-1]})

    return answer


@pytest.mark.parametrize("hour", [0, 3, 13, 15, 16, 20, 23])
def test_a_listing_is_found_where_days_begin_at_16_00_utc(hour: int) -> None:
    listed = datetime(2021, 3, 7, hour, 37, tzinfo=UTC)
    first, requests = found("htx", in_singapore(listed))
    assert first == listed
    assert requests <= 60


def test_a_listing_more_than_a_day_before_the_first_day_is_rejected_there_too() -> None:
    listed = datetime(2021, 3, 7, 13, 37, tzinfo=UTC)
    minutes, days = in_singapore(listed), in_singapore(listed, lost_days=3)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return await (minutes if request.query["period"] == "1min" else days)(request)

    assert not isinstance(found("htx", answer)[0], datetime)
