"""Each exchange answers a live poll with every finished candle of the window."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pytest

from titan10_dagster.candles.slices import Series, Window
from titan10_dagster.exchanges.breaker import Breaker
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.live import LivePoll, poll
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.planning.live import LivePlan
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.sandbox.venues.registry import VENUES
from titan10_dagster_tests.conformance.judging import EXCHANGES, NOW, known_markets, now
from titan10_dagster_tests.exchanges.harness import MINUTE, MemoryHealthStore, run

MINUTES = (1, 6, 30, 150)
UNTIL = NOW.replace(second=0)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(clock=NOW, enforce_limits=False) as sandbox:
        yield sandbox


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("place", [0, 15], ids=["busy", "quiet"])
def test_a_poll_brings_every_finished_candle_of_its_window(exchange: str, place: int, sandbox: Sandbox) -> None:
    symbol = VENUES[exchange].symbols[place]
    for minutes in MINUTES:
        window = Window(Series(exchange, symbol, MINUTE), UNTIL - timedelta(minutes=minutes), UNTIL)
        result = polled(sandbox, window)
        assert (result.failed, result.blocked) == ({}, None)
        [answer] = result.answers
        rows = np.column_stack([answer.candles.times.astype(np.int64), answer.candles.values.T])
        assert np.array_equal(rows, sandbox.truth(exchange, symbol, window.start, UNTIL)), minutes


def test_no_poll_requests_more_than_a_page(sandbox: Sandbox) -> None:
    size = venue_of("bithumb").page_size
    window = Window(Series("bithumb", "BTC/KRW", MINUTE), UNTIL - timedelta(minutes=size), UNTIL)
    assert len(polled(sandbox, window).answers[0].candles) == size - 1


def polled(sandbox: Sandbox, window: Window) -> LivePoll:
    exchange = window.series.exchange
    markets = known_markets(exchange, [window.series.symbol])

    async def work() -> LivePoll:
        async with ExchangeClient(exchange, markets, base_url=sandbox.url(exchange), paced=False, now=now) as client:
            plan = LivePlan(window, window.start, is_full=False)
            return await poll(client, [plan], breaker=Breaker(exchange, MemoryHealthStore(), now), seconds=20)

    return run(work())
