from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import wait
from datetime import UTC, date, datetime

import pytest

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.fetched import FetchedSlice, FetchRecord, Source
from titan10_dagster.candles.slices import Series, Slice
from titan10_dagster.errors import LandingError
from titan10_dagster.exchanges import landing_threads
from titan10_dagster.exchanges.landing_threads import LandingThreads
from titan10_dagster_tests.exchanges.harness import MINUTE, run

FETCHED_AT = datetime(2024, 6, 21, tzinfo=UTC)


def fetched(day: int) -> FetchedSlice:
    record = FetchRecord(
        slice=Slice(Series("binance", "BTC/USDT", MINUTE), date(2024, 6, day)),
        fetched_at=FETCHED_AT,
        source=Source.REST,
        requests=1,
        retries=0,
        seconds=0.0,
        answered=True,
        horizon=None,
    )
    return FetchedSlice(record, Candles.empty())


def test_the_loop_goes_on_while_slices_land_and_the_end_waits_for_them() -> None:
    landed: list[int] = []
    release = threading.Event()

    def land(slice_: FetchedSlice) -> None:
        assert release.wait(120)
        landed.append(slice_.record.slice.day.day)

    async def work() -> tuple[int, int]:
        async with LandingThreads(land) as landing:
            for day in range(1, 4):
                landing.hand_in(fetched(day))
            await asyncio.sleep(0.05)
            before = len(landed)
            release.set()
        return before, landing.landed

    assert run(work()) == (0, 3)
    assert sorted(landed) == [1, 2, 3]


def landed_at_once(land: Callable[[FetchedSlice], None], days: int) -> list[bool]:
    """Hand in slices, and return for each slice whether it had landed at the return."""

    async def work() -> list[bool]:
        async with LandingThreads(land) as landing:
            for day in range(1, days + 1):
                landing.hand_in(fetched(day))
            return [waiting.done() for waiting in landing._waiting]

    return run(work())


def test_the_loop_waits_for_a_fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing_threads, "_PATIENCE", 120)  # enough on a busy machine
    assert landed_at_once(lambda _: None, 3) == [True, True, True]


def test_the_loop_does_not_wait_for_a_slow_disk() -> None:
    release = threading.Event()

    def land(_: FetchedSlice) -> None:
        assert release.wait(120)

    async def work() -> bool:
        async with LandingThreads(land) as landing:
            landing.hand_in(fetched(1))
            was_done = landing._waiting[0].done()
            release.set()
        return was_done

    assert run(work()) is False


def test_no_more_slices_wait_for_the_disk_than_allowed() -> None:
    waiting: list[int] = []

    async def work() -> None:
        async with LandingThreads(lambda _: time.sleep(0.02)) as landing:
            for day in range(1, 13):
                landing.hand_in(fetched(day))
                await landing.wait(5)
                waiting.append(day - landing.landed)

    run(work())
    assert max(waiting) <= 5 + 4  # four threads may write slices that are no longer counted as waiting


def test_an_error_is_raised_and_nothing_lands_after_it() -> None:
    days: list[int] = []

    def land(slice_: FetchedSlice) -> None:
        days.append(slice_.record.slice.day.day)
        raise LandingError("the disk is full")

    async def work() -> None:
        async with LandingThreads(land) as landing:
            landing.hand_in(fetched(1))
            await asyncio.to_thread(wait, landing._waiting)
            landing.hand_in(fetched(2))

    with pytest.raises(LandingError, match="the disk is full"):
        run(work())
    assert days == [1]
