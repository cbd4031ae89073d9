from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from titan10_dagster.exchanges.pacing import (
    LEAST_SHARE,
    LIVE_SECONDS,
    SAFE_SHARE,
    Pacer,
    TooLate,
    live_share,
    pacer_of,
)
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.planning.quota import Quota, Release
from titan10_dagster.sandbox.venues.registry import VENUES
from titan10_dagster_tests.cost import least
from titan10_dagster_tests.exchanges.idle_clock import Clock, clock

__all__ = ["clock"]


async def moments(pacer: Pacer, count: int, cost: float = 1.0) -> list[float]:
    """Return when each of `count` simultaneous requests may be sent, in seconds from now."""
    began = time.monotonic()
    passed: list[float] = []

    async def request() -> None:
        pacer.end(await pacer.wait(cost))
        passed.append(time.monotonic() - began)

    await asyncio.gather(*(request() for _ in range(count)))
    return passed


def test_requests_go_out_one_interval_apart_without_a_burst(clock: Clock) -> None:
    passed = clock.run(moments(Pacer(0.02), 11))
    assert passed == pytest.approx([0.02 * n for n in range(11)], abs=0.002)


def test_a_dearer_request_takes_longer(clock: Clock) -> None:
    assert clock.run(moments(Pacer(0.01), 3, cost=5.0))[-1] == pytest.approx(0.1, abs=0.002)


def test_without_a_pace_there_is_no_wait(clock: Clock) -> None:
    assert clock.run(moments(Pacer(0), 1000))[-1] == 0


def test_a_rest_delays_waiting_requests_and_halves_the_pace(clock: Clock) -> None:
    async def work() -> list[float]:
        pacer = Pacer(0.02)
        waiting = asyncio.create_task(moments(pacer, 5))
        await asyncio.sleep(0.03)
        pacer.rest(0.2, time.monotonic())
        return await waiting

    passed = clock.run(work())
    assert passed == pytest.approx([0, 0.02, 0.23, 0.27, 0.31], abs=0.002)


def test_refusals_that_were_under_way_together_slow_down_once() -> None:
    pacer = Pacer(0.01)
    requested_at = time.monotonic()
    for _ in range(10):
        pacer.rest(0.0, requested_at)
    assert pacer.share == pytest.approx(0.5, abs=0.01)
    pacer.rest(0.0, time.monotonic())
    assert pacer.share == pytest.approx(0.25, abs=0.01)


def test_a_pacer_starts_at_the_given_pace_and_rest(clock: Clock) -> None:
    pacer = Pacer(0.02)
    pacer.go_at(0.5, rest=0.1)
    passed = clock.run(moments(pacer, 6))
    assert passed == pytest.approx([0.1 + 0.04 * n for n in range(6)], abs=0.002)


@pytest.mark.usefixtures("clock")
def test_it_never_stops_altogether() -> None:
    pacer = Pacer(0.01)
    for _ in range(50):
        pacer.rest(0.0, time.monotonic())
    assert pacer.share == pytest.approx(1 / 16, abs=0.01)


def test_requests_due_after_the_deadline_fail_at_once(clock: Clock) -> None:
    async def work() -> None:
        pacer = Pacer(0.01)
        pacer.deadline = time.monotonic() + 60
        waiting = [asyncio.create_task(pacer.wait(1.0)) for _ in range(5)]
        pacer.rest(120.0, time.monotonic())
        began = time.monotonic()
        done = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(outcome, TooLate) for outcome in done)
        assert time.monotonic() == began

    clock.run(work())


@pytest.mark.alone
def test_only_requests_due_within_the_deadline_proceed(clock: Clock) -> None:
    async def work() -> list[Release | BaseException]:
        pacer = Pacer(0.1)
        pacer.deadline = time.monotonic() + 0.25
        return await asyncio.gather(*(pacer.wait(1.0) for _ in range(20)), return_exceptions=True)

    gone = [isinstance(outcome, Release) for outcome in clock.run(work())]
    assert gone == [True] * 3 + [False] * 17


def test_polling_is_kept_as_much_as_its_symbols_need_within_bounds() -> None:
    binance, coinbase, kraken = map(venue_of, ("binance", "coinbase", "kraken"))
    assert live_share(binance, 20) == LEAST_SHARE
    assert coinbase.page_seconds * 20 / live_share(coinbase, 20) == pytest.approx(LIVE_SECONDS)
    assert live_share(coinbase, 1000) == SAFE_SHARE / 2
    assert live_share(kraken, 1000) == SAFE_SHARE - LEAST_SHARE


@pytest.mark.alone
def test_waiting_costs_no_processor_time() -> None:
    async def work() -> None:
        await asyncio.gather(*(moments(Pacer(0.5), 2) for _ in range(20)))

    # ccxt's throttle reads the clock every millisecond, which takes 17 % of a core for 20 exchanges.
    assert least(lambda: asyncio.run(work())).processor < 0.05


def test_a_stall_of_this_process_is_not_followed_by_a_burst(clock: Clock) -> None:
    async def work() -> list[float]:
        pacer = Pacer(0.02)
        waiting = asyncio.create_task(moments(pacer, 20))
        await asyncio.sleep(0.05)
        clock.now += 0.2  # as a garbage collection or a busy machine can cause
        return await waiting

    passed = clock.run(work())
    spaces = [b - a for a, b in itertools.pairwise(passed)]
    # one interval may be shorter, because a delay of less than one interval does not postpone later requests
    assert sorted(spaces)[1] >= 0.015


def test_requests_that_a_stall_holds_back_are_not_followed_by_more_than_the_quota(clock: Clock) -> None:
    """Five requests wait for a connection until second 3. Then the quota of five requests per second is used up."""

    async def work() -> list[float]:
        pacer = Pacer(0.1, Quota(5, 1.0))
        began, sent = time.monotonic(), list[float]()

        async def request() -> None:
            release = await pacer.wait(1.0)
            await asyncio.sleep(max(0.0, began + 3.0 - time.monotonic()))
            sent.append(time.monotonic() - began)
            pacer.end(release)

        await asyncio.gather(*(request() for _ in range(12)))
        return sent

    sent = clock.run(work())
    assert sent[:5] == pytest.approx([3.0] * 5, abs=0.01)
    assert sent[5] == pytest.approx(4.0, abs=0.02)
    for first, sixth in zip(sent, sent[5:], strict=False):
        assert sixth - first > 0.99


@pytest.mark.parametrize("deadline", [2.0, 10.0])
def test_a_request_that_waits_for_an_answer_stops_at_the_deadline(clock: Clock, deadline: float) -> None:
    async def work() -> tuple[float, BaseException | Release]:
        pacer, began = Pacer(0.1, Quota(1, 1.0)), time.monotonic()
        pacer.deadline = began + deadline
        unanswered = await pacer.wait(1.0)
        asyncio.get_running_loop().call_later(5.0, pacer.end, unanswered)
        (outcome,) = await asyncio.gather(pacer.wait(1.0), return_exceptions=True)
        return time.monotonic() - began, outcome

    seconds, outcome = clock.run(work())
    assert isinstance(outcome, TooLate if deadline < 5 else Release)
    assert seconds == pytest.approx(deadline if deadline < 5 else 6.0, abs=0.01)


@pytest.mark.parametrize("exchange", sorted(VENUES))
def test_pace_and_quota_keep_to_the_documented_limit(exchange: str) -> None:
    """The sandbox has the limits in each exchange's documentation. A poll and a run share these limits."""
    facts = venue_of(exchange)
    assert facts.quota is not None
    polling = live_share(facts, 4)
    pacers = [pacer_of(facts, polling), pacer_of(facts, SAFE_SHARE - polling)]
    limits = [limit for limit in VENUES[exchange].limits if "instruments" not in limit.paths]
    for limit in limits:
        allowed = limit.allowed / limit.cost.get("candles", 1.0)
        assert facts.page_seconds >= limit.window / allowed * 0.999
        if limit.window == facts.quota.seconds:
            assert sum(pacer._most for pacer in pacers) <= facts.quota.requests <= allowed
        assert sum(limit.window / (pacer._interval * facts.cost) for pacer in pacers) <= 0.91 * allowed
    assert facts.quota.seconds in {limit.window for limit in limits}


def test_a_rest_that_is_requested_during_the_last_check_holds() -> None:
    async def work() -> float:
        pacer = Pacer(0.0)
        checks = 0

        async def throttled_meanwhile() -> bool:
            nonlocal checks
            checks += 1
            if checks == 1:  # the answer to an earlier request arrives while the breaker is read
                pacer.rest(0.2, time.monotonic())
            return True

        before = time.monotonic()
        await pacer.wait(1.0, throttled_meanwhile)
        return time.monotonic() - before

    assert asyncio.run(work()) >= 0.19
