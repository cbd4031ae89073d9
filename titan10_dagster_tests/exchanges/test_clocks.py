"""This machine's clock is ahead of the exchange's clock.

The earlier clock decides which candles and days have ended.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web

from titan10_dagster.candles.fetched import FetchedSlice
from titan10_dagster.candles.rules import judge
from titan10_dagster.candles.slices import Series, midnight, to_ms
from titan10_dagster.exchanges.breaker import Breaker
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.fetching import fetch_slices
from titan10_dagster.exchanges.live import LivePoll, poll
from titan10_dagster.planning.live import plan_poll
from titan10_dagster_tests.exchanges.harness import (
    MINUTE,
    NO_WAITING,
    NOW,
    YESTERDAY,
    Fetched,
    MemoryHealthStore,
    market,
    run,
    slices,
)
from titan10_dagster_tests.exchanges.serving import Handler, serving

MIDNIGHT = midnight(YESTERDAY + timedelta(days=1))
AHEAD = [timedelta(seconds=30), timedelta(minutes=4)]


def binance_at(instant: datetime, ahead: timedelta) -> Handler:
    """Simulate binance at this instant, while this machine's clock is ahead by `ahead`.

    The unfinished candle has the volume 1.
    """

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        start, newest = int(request.query["startTime"]), to_ms(instant) // 60_000 * 60_000
        times = range(start, newest + 1, 60_000)[: int(request.query["limit"])]
        rows = [[time, "1", "1", "1", "1", "1" if time == newest else "2"] for time in times]
        headers = {"Date": format_datetime(datetime.now(UTC) - ahead, usegmt=True)}
        return web.json_response(rows, headers=headers)

    return answer


def fetch_at(now: datetime, handler: Handler) -> FetchedSlice:
    """Fetch yesterday at the time `now` of this machine's clock, and return the slice."""
    fetched, (wanted,) = Fetched(), slices("binance", ["BTC/USDT"])

    async def work() -> None:
        async with serving(handler) as url, one_client(url, lambda: now) as client:
            await fetch_slices(
                client,
                [wanted],
                now=lambda: now,
                land=lambda slice_: fetched.landed.__setitem__(slice_.record.slice, slice_),
                breaker=Breaker("binance", fetched.store, lambda: now),
                log=fetched.log,
                retry_limits=NO_WAITING,
            )

    run(work())
    return fetched.landed[wanted]


def one_client(url: str, clock: Callable[[], datetime]) -> ExchangeClient:
    return ExchangeClient("binance", [market("binance", "BTC/USDT")], base_url=url, paced=False, now=clock)


@pytest.mark.parametrize("ahead", AHEAD)
def test_a_day_that_ended_only_by_our_clock_is_not_settled(ahead: timedelta) -> None:
    now = MIDNIGHT + timedelta(seconds=10)
    landed = fetch_at(now, binance_at(now - ahead, ahead))
    start, end = landed.record.slice.start, landed.record.slice.end
    assert now - ahead - timedelta(seconds=2) <= landed.record.fetched_at < end
    assert set(landed.candles.values[4]) == {2.0}  # no unfinished candle
    assert len(landed.candles) == (now - ahead - start) // timedelta(minutes=1)


def test_no_candle_is_newer_than_its_fetch_time_when_pages_disagree_by_a_second() -> None:
    now, ahead = MIDNIGHT - timedelta(hours=1) + timedelta(seconds=31), timedelta(seconds=30)
    earlier, later = (binance_at(now - ahead, ahead + timedelta(seconds=n)) for n in (3, 0))

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        is_first = int(request.query["startTime"]) < to_ms(midnight(YESTERDAY) + timedelta(hours=12))
        return await (earlier if is_first else later)(request)

    landed = fetch_at(now, answer)
    verdict = judge(landed.candles, landed.record.slice, landed.record.fetched_at)
    assert len(verdict.valid) == 23 * 60 - 1
    assert not len(verdict.broken)


@pytest.mark.parametrize("ahead", AHEAD)
def test_a_poll_takes_no_candle_that_ended_only_by_our_clock(ahead: timedelta) -> None:
    now = NOW.replace(second=10)
    plan = plan_poll(Series("binance", "BTC/USDT", MINUTE), {}, now=now, page_size=1000, depth=None)
    assert plan is not None

    async def work() -> LivePoll:
        async with serving(binance_at(now - ahead, ahead)) as url, one_client(url, lambda: now) as client:
            return await poll(client, [plan], breaker=Breaker("binance", MemoryHealthStore(), lambda: now), seconds=5)

    (answer,) = run(work()).answers
    assert set(answer.candles.values[4]) == {2.0}
    assert answer.covered == (now - ahead).replace(second=0)
