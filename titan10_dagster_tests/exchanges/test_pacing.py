from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from titan10_dagster.exchanges.capabilities import capabilities_of
from titan10_dagster.exchanges.pacing import LEAST_SHARE, LIVE_SECONDS, SAFE_SHARE, Pacer, TooLate, live_share
from titan10_dagster_tests.exchanges.conftest import run


async def moments(pacer: Pacer, count: int, cost: float = 1.0) -> list[float]:
    """When each of so many requests, all waiting at once, may go; seconds from now."""
    began = time.monotonic()
    passed: list[float] = []

    async def one() -> None:
        await pacer.wait(cost)
        passed.append(time.monotonic() - began)

    await asyncio.gather(*(one() for _ in range(count)))
    return passed


def test_requests_go_out_one_interval_apart_without_a_burst() -> None:
    passed = run(moments(Pacer(0.02), 11))
    assert passed[0] < 0.01
    assert passed[10] == pytest.approx(0.2, abs=0.03)


def test_a_dearer_request_takes_longer() -> None:
    assert run(moments(Pacer(0.01), 3, cost=5.0))[-1] == pytest.approx(0.1, abs=0.03)


def test_no_pace_is_no_wait() -> None:
    assert run(moments(Pacer(0), 1000))[-1] < 0.2


def test_a_rest_holds_back_those_who_wait_already_and_halves_the_pace() -> None:
    async def work() -> list[float]:
        pacer = Pacer(0.02)
        waiting = asyncio.create_task(moments(pacer, 5))
        await asyncio.sleep(0.03)
        pacer.rest(0.2, time.monotonic())
        return await waiting

    passed = run(work())
    assert passed[1] < 0.06
    assert passed[2] >= 0.22
    assert passed[4] - passed[2] == pytest.approx(0.08, abs=0.03)


def test_refusals_that_were_under_way_together_slow_down_once() -> None:
    pacer = Pacer(0.01)
    asked_at = time.monotonic()
    for _ in range(10):
        pacer.rest(0.0, asked_at)
    assert pacer.share == pytest.approx(0.5, abs=0.01)
    pacer.rest(0.0, time.monotonic())
    assert pacer.share == pytest.approx(0.25, abs=0.01)


def test_it_begins_as_it_is_told() -> None:
    pacer = Pacer(0.02)
    pacer.go_at(0.5, rest=0.1)
    passed = run(moments(pacer, 6))
    assert passed[0] >= 0.09
    assert passed[-1] - passed[0] == pytest.approx(0.2, abs=0.05)


def test_it_never_stops_altogether() -> None:
    pacer = Pacer(0.01)
    for _ in range(50):
        pacer.rest(0.0, time.monotonic())
    assert pacer.share == pytest.approx(1 / 16, abs=0.01)


def test_whose_turn_would_come_after_the_deadline_is_told_at_once() -> None:
    async def work() -> None:
        pacer = Pacer(0.01)
        pacer.deadline = time.monotonic() + 60
        waiting = [asyncio.create_task(pacer.wait(1.0)) for _ in range(5)]
        pacer.rest(120.0, time.monotonic())
        done = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), timeout=10)
        assert all(isinstance(one, TooLate) for one in done)

    run(work())


def test_who_waits_within_the_deadline_goes_and_the_others_do_not() -> None:
    async def work() -> list[BaseException | None]:
        pacer = Pacer(0.1)
        pacer.deadline = time.monotonic() + 0.25
        return await asyncio.gather(*(pacer.wait(1.0) for _ in range(20)), return_exceptions=True)

    gone = [one is None for one in run(work())]
    assert gone == sorted(gone, reverse=True)
    assert 1 <= sum(gone) <= 3


def test_polling_is_kept_as_much_as_its_symbols_need_within_bounds() -> None:
    binance, coinbase, kraken = map(capabilities_of, ("binance", "coinbase", "kraken"))
    assert live_share(binance, 20) == LEAST_SHARE
    assert coinbase.page_seconds * 20 / live_share(coinbase, 20) == pytest.approx(LIVE_SECONDS)
    assert live_share(coinbase, 1000) == SAFE_SHARE / 2
    assert live_share(kraken, 1000) == SAFE_SHARE - LEAST_SHARE


def test_waiting_costs_no_processor_time() -> None:
    async def work() -> None:
        await asyncio.gather(*(moments(Pacer(0.5), 2) for _ in range(20)))

    before = time.process_time()
    run(work())
    # ccxt's throttle, which looks at the clock every millisecond, takes 17 % of a core for 20 exchanges.
    assert time.process_time() - before < 0.05


def test_a_stall_of_this_process_is_not_followed_by_a_burst() -> None:
    async def work() -> list[float]:
        pacer = Pacer(0.02)
        waiting = asyncio.create_task(moments(pacer, 20))
        await asyncio.sleep(0.05)
        time.sleep(0.2)  # noqa: ASYNC251  as garbage collection or a busy machine do
        return await waiting

    passed = run(work())
    spaces = [b - a for a, b in itertools.pairwise(passed)]
    assert sorted(spaces)[1] >= 0.015  # one may be short: who was late by less than a space makes it up
