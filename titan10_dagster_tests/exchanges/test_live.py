"""A poll makes one request for each series without repetition, and one report to the breaker for all requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, timedelta

import pytest

from titan10_dagster.candles.slices import Series, SliceState, to_ms
from titan10_dagster.errors import Banned, BreakerOpen
from titan10_dagster.exchanges.breaker import Breaker
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.live import LivePoll, poll
from titan10_dagster.planning.breaker import BreakerState, after_ban
from titan10_dagster.planning.live import LivePlan, Polled, plan_poll
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster_tests.exchanges.harness import MINUTE, NOW, MemoryHealthStore, market, now, run

SYMBOLS = ["BTC/USDT", "ETH/USDT", "SOL/USDT"]
TODAY = NOW.date()


def plan(symbol: str, behind: timedelta, exchange: str = "binance") -> LivePlan:
    """Return the plan of a series that was polled until `behind` before now."""
    known: dict[date, Polled] = {TODAY: Polled(SliceState.LIVE, NOW.replace(second=0) - behind)}
    found = plan_poll(Series(exchange, symbol, MINUTE), known, now=NOW, page_size=1000, depth=None)
    assert found is not None
    return found


PLANS = [plan(symbol, timedelta(minutes=n)) for n, symbol in enumerate(SYMBOLS, 3)]


def poll_sandbox(sandbox: Sandbox, store: MemoryHealthStore, plans: Sequence[LivePlan] = PLANS) -> LivePoll:
    exchange = plans[0].window.series.exchange

    async def work() -> LivePoll:
        markets = [market(exchange, plan.window.series.symbol) for plan in plans]
        async with ExchangeClient(exchange, markets, base_url=sandbox.url(exchange), paced=False, now=now) as client:
            return await poll(client, plans, breaker=Breaker(exchange, store, now), seconds=20)

    return run(work())


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(["binance"], clock=NOW, enforce_limits=False) as sandbox:
        yield sandbox


def test_each_series_gets_one_request_and_its_finished_candles(sandbox: Sandbox) -> None:
    result = poll_sandbox(sandbox, MemoryHealthStore())
    assert (result.failed, result.blocked, result.postponed, result.requests) == ({}, None, [], 3)
    assert {answer.plan.window.series.symbol for answer in result.answers} == set(SYMBOLS)
    for answer in result.answers:
        series = answer.plan.window.series
        truth = sandbox.truth("binance", series.symbol, to_ms(answer.plan.window.start), to_ms(NOW.replace(second=0)))
        assert answer.candles.values.T.tolist() == truth[:, 1:].tolist()
        assert answer.covered == NOW.replace(second=0)
        assert answer.requested_at.tzinfo is UTC


def test_the_series_that_is_furthest_behind_is_requested_first(sandbox: Sandbox) -> None:
    poll_sandbox(sandbox, MemoryHealthStore())
    requests = [entry for entry in sandbox.requests("binance") if entry["timeframe"]]
    assert requests[0]["symbol"] == SYMBOLS[-1]


def test_one_failed_series_is_not_a_failure_of_the_exchange(sandbox: Sandbox) -> None:
    sandbox.fault("binance", "http_400", symbol="ETH/USDT")
    store = MemoryHealthStore()
    result = poll_sandbox(sandbox, store)
    assert set(result.failed) == {"ETH/USDT"}
    assert len(result.answers) == 2
    assert result.requests == 3
    assert store.load("binance").failures == 0
    assert store.load("binance").last_error is not None


def test_a_poll_without_an_answer_is_one_failure_and_nothing_is_repeated(sandbox: Sandbox) -> None:
    sandbox.fault("binance", "http_502")
    store = MemoryHealthStore()
    result = poll_sandbox(sandbox, store)
    assert set(result.failed) == set(SYMBOLS)
    assert result.requests == 3
    assert store.load("binance").failures == 1


def test_a_ban_opens_the_breaker_and_is_the_reason(sandbox: Sandbox) -> None:
    sandbox.fault("binance", "http_418")
    store = MemoryHealthStore()
    result = poll_sandbox(sandbox, store)
    assert isinstance(result.blocked, Banned)
    assert result.answers == []
    assert store.load("binance").state is BreakerState.OPEN


def test_a_ban_whose_answer_is_cut_short_is_a_ban(sandbox: Sandbox) -> None:
    sandbox.fault("binance", "http_418")
    sandbox.fault("binance", "short_body")
    store = MemoryHealthStore()
    result = poll_sandbox(sandbox, store)
    assert isinstance(result.blocked, Banned)
    assert store.load("binance").state is BreakerState.OPEN


def after_a_ban(sandbox: Sandbox) -> LivePoll:
    """Return the first poll after the end of a ban. It begins with a test request for any of the symbols."""
    store = MemoryHealthStore()
    store.apply("binance", lambda health: after_ban(health, NOW - timedelta(hours=2), NOW - timedelta(hours=1), "418"))
    return poll_sandbox(sandbox, store)


def test_rejected_symbols_do_not_postpone_the_others_after_a_ban(sandbox: Sandbox) -> None:
    for symbol in SYMBOLS[1:]:
        sandbox.fault("binance", "http_400", symbol=symbol)
    for _ in range(6):  # most of the test requests are for a symbol that is rejected
        result = after_a_ban(sandbox)
        assert set(result.failed) == set(SYMBOLS[1:])
        assert [answer.plan.window.series.symbol for answer in result.answers] == SYMBOLS[:1]
        assert result.postponed == []


def test_a_test_request_that_fails_after_a_ban_is_the_only_one(sandbox: Sandbox) -> None:
    sandbox.fault("binance", "http_502")
    result = after_a_ban(sandbox)
    assert (result.requests, len(result.failed), len(result.postponed)) == (1, 1, 2)


def test_behind_an_open_breaker_no_request_is_made(sandbox: Sandbox) -> None:
    store = MemoryHealthStore()
    store.apply("binance", lambda health: after_ban(health, NOW, NOW + timedelta(hours=1), "418"))
    result = poll_sandbox(sandbox, store)
    assert isinstance(result.blocked, BreakerOpen)
    assert (result.requests, len(result.postponed)) == (0, 3)
    assert sandbox.requests("binance") == []


def test_the_unfinished_last_row_of_a_server_of_kraken_that_is_behind_is_not_a_candle() -> None:
    of_kraken = plan("BTC/USD", timedelta(minutes=90), "kraken")
    with Sandbox(["kraken"], clock=NOW, enforce_limits=False) as sandbox:
        sandbox.fault("kraken", "stale", minutes=60)
        (answer,) = poll_sandbox(sandbox, MemoryHealthStore(), [of_kraken]).answers
        start = to_ms(of_kraken.window.start)
        truth = sandbox.truth("kraken", "BTC/USD", start, to_ms(NOW.replace(second=0) - timedelta(minutes=60)))
    assert len(truth) > 25
    assert answer.candles.values.T.tolist() == truth[:, 1:].tolist()
