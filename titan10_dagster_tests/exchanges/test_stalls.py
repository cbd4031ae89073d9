from __future__ import annotations

import asyncio
import time

from titan10_dagster.exchanges.stalls import STALL, LoopWatch
from titan10_dagster_tests.exchanges.idle_clock import Clock, clock

__all__ = ["clock"]


def watched(clock: Clock, *, before: float = 0.0, stall: float = 0.0, after: float = 0.0) -> bool:
    """Return whether a stall explains a time-out. During the request, the loop runs, stands still, and runs again."""

    async def work() -> bool:
        watch = LoopWatch()
        watch.start()
        await asyncio.sleep(0.05)
        sent = time.monotonic()
        await asyncio.sleep(before)
        clock.now += stall
        await asyncio.sleep(after)
        try:
            return watch.explains_timeout(sent)
        finally:
            watch.stop()

    return clock.run(work())


def test_a_loop_that_runs_explains_nothing(clock: Clock) -> None:
    assert not watched(clock, before=1.0)


def test_a_stall_at_the_moment_of_the_timeout_explains_it(clock: Clock) -> None:
    assert watched(clock, before=0.2, stall=2 * STALL)


def test_a_stall_just_before_the_timeout_explains_it_too(clock: Clock) -> None:
    assert watched(clock, before=1.5, stall=2 * STALL, after=0.15)


def test_a_short_stall_long_before_the_timeout_explains_nothing(clock: Clock) -> None:
    assert not watched(clock, stall=1.5 * STALL, after=3.0)


def test_stalls_that_took_a_quarter_of_the_time_explain_it(clock: Clock) -> None:
    assert watched(clock, stall=1.0, after=1.0)


def test_a_stall_before_the_request_explains_nothing(clock: Clock) -> None:
    async def work() -> bool:
        watch = LoopWatch()
        watch.start()
        await asyncio.sleep(0.05)
        clock.now += 1.0  # the stall
        await asyncio.sleep(0.2)
        sent = time.monotonic()
        await asyncio.sleep(1.0)
        watch.stop()
        return watch.explains_timeout(sent)

    assert not clock.run(work())
