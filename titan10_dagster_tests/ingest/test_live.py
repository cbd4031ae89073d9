"""The event loop of live polling while the database or this process stands still."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import psycopg2
import pytest

from titan10_dagster.candles.slices import midnight
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.ingest import live
from titan10_dagster.ingest.live import LiveReport, poll_together
from titan10_dagster.planning.breaker import Health, after_failure
from titan10_dagster.store import ledger, writer
from titan10_dagster.store.breakers import HealthStore
from titan10_dagster.store.database import Database
from titan10_dagster.store.locks import lock_exchange
from titan10_dagster_tests.cost import seconds_without_core
from titan10_dagster_tests.slow_database import SlowDatabase, through
from titan10_dagster_tests.world import NOW, MakeWorld, World, make_world, ticking  # noqa: F401  a fixture

SYMBOLS = {
    "binance": ["BTC/USDT", "ETH/USDT"],
    "bybit": ["BTC/USDT", "ETH/USDT"],
    "coinbase": ["BTC/USD", "ETH/USD"],
    "kraken": ["BTC/USD", "ETH/USD"],
    "okx": ["BTC/USDT", "ETH/USDT"],
}
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
MINUTE_CANDLES = TIMEFRAMES["1m"]
MORNING = midnight(NOW.date()) + timedelta(hours=2, seconds=5)
STANDSTILL = 0.3  # the maximum standstill of the loop, in seconds
LATER = 1.0  # the maximum delay of an exchange compared with a poll without the fault, in seconds


@dataclass
class Observed:
    """The times of one poll in seconds: the commit of each exchange, and the longest standstill of the loop.

    The time in which other processes used all cores is included in `seconds`, but not in `own_seconds` and
    `standstill`.
    """

    reports: dict[str, LiveReport] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    own_seconds: dict[str, float] = field(default_factory=dict)
    standstill: float = 0.0

    def all_wrote(self) -> bool:
        return all(report.inserted == 2 and not report.error and not report.failed for report in self.reports.values())


def own_time() -> float:
    """Return the value of a clock that stops while this thread is ready to run and has no core."""
    return time.monotonic() - seconds_without_core()


def observe(world: World, *, at: dict[float, Callable[[], None]] | None = None) -> Observed:
    """Advance the clocks by a minute and poll.

    `at`: functions that the loop calls. The key is the number of seconds after the start.
    """
    now = world.titan10.now().replace(microsecond=0) + MINUTE
    world.sandbox.clock.shift(60)
    object.__setattr__(world.titan10, "now", ticking(now))
    observed = Observed()

    async def tick() -> None:
        while True:
            before = own_time()
            await asyncio.sleep(0.01)
            observed.standstill = max(observed.standstill, own_time() - before - 0.01)

    async def work() -> None:
        began, own_began = time.monotonic(), own_time()
        for delay, call in (at or {}).items():
            asyncio.get_running_loop().call_later(delay, call)

        def note(report: LiveReport) -> None:
            observed.seconds[report.exchange] = time.monotonic() - began
            observed.own_seconds[report.exchange] = own_time() - own_began

        ticker = asyncio.create_task(tick())
        reports = await poll_together(world.titan10, list(SYMBOLS), on_report=note)
        ticker.cancel()
        observed.reports = {report.exchange: report for report in reports}

    asyncio.run(work())
    return observed


def healths(world: World) -> dict[str, Health]:
    return HealthStore(world.titan10.database).load_all()


@dataclass
class Scene:
    """A world after a first poll of its exchanges. `baseline`: the times of a poll without a fault."""

    world: World
    database: SlowDatabase
    baseline: Observed


@pytest.fixture
def scene(make_world: MakeWorld, database_url: str) -> Iterator[Scene]:  # noqa: F811
    world = make_world(SYMBOLS)
    with ExitStack() as stack:
        slow = stack.enter_context(through(database_url))
        database = Database(slow.url)
        stack.callback(database.close)
        object.__setattr__(world.titan10, "database", database)
        object.__setattr__(world.titan10, "now", ticking(MORNING))
        world.sandbox.clock.shift((MORNING - NOW).total_seconds())
        observe(world)
        # This process has the objects of all earlier tests. A garbage collection of these objects stops it for a third
        # of a second.
        gc.collect()
        gc.freeze()
        stack.callback(gc.unfreeze)
        baseline = observe(world)
        assert baseline.all_wrote()
        assert baseline.standstill < STANDSTILL
        yield Scene(world, slow, baseline)
        wait_for_breakers()


def wait_for_breakers() -> None:
    """Wait until no thread of a breaker is busy."""
    deadline = time.monotonic() + 20
    while any(map(is_at_work, threading.enumerate())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_at_work(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    is_idle = frame is None or frame.f_code.co_name == "_worker"  # the thread waits for work
    return thread.name.startswith("breaker") and not is_idle


@contextmanager
def locked(url: str, lock: Callable[[psycopg2.extensions.cursor], None]) -> Iterator[None]:
    """Hold the locks that `lock` takes in its own session while the context is open."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            lock(cursor)
            yield
    finally:
        connection.close()


def test_held_write_locks_of_four_exchanges_delay_only_these(
    scene: Scene, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LIVE_PATIENCE", timedelta(seconds=2.5))
    held = ["binance", "bybit", "coinbase", "kraken"]
    with locked(database_url, lambda cursor: [lock_exchange(cursor, exchange) for exchange in held] and None):
        observed = observe(scene.world)
    assert observed.standstill < STANDSTILL
    assert observed.own_seconds["okx"] < scene.baseline.own_seconds["okx"] + LATER
    assert observed.reports["okx"].inserted == 2
    for exchange in held:
        assert "another write" in str(observed.reports[exchange].error)
    assert healths(scene.world) == {}
    later = observe(scene.world)
    assert {name: report.inserted for name, report in later.reports.items()} == {**dict.fromkeys(held, 4), "okx": 2}


def test_a_poll_waits_for_another_write_of_its_exchange_and_then_goes_on(scene: Scene) -> None:
    def hold() -> None:
        with scene.world.titan10.database.transaction() as cursor:
            lock_exchange(cursor, "okx")
            is_held.set()
            is_over.wait()

    is_held, is_over, holder = threading.Event(), threading.Event(), threading.Thread(target=hold)
    holder.start()
    try:
        assert is_held.wait(120)
        observed = observe(scene.world, at={1.5: is_over.set})
    finally:
        is_over.set()
        holder.join()
    assert observed.all_wrote()
    assert observed.seconds["okx"] > 1
    assert observed.own_seconds["binance"] < scene.baseline.own_seconds["binance"] + LATER


def test_a_locked_breaker_delays_no_exchange(scene: Scene, database_url: str) -> None:
    store = HealthStore(scene.world.titan10.database)
    store.apply("binance", lambda health: after_failure(health, MORNING, pause=MINUTE, reason="a failure before"))
    before = healths(scene.world)

    def lock(cursor: psycopg2.extensions.cursor) -> None:
        cursor.execute("SELECT FROM exchange_health WHERE exchange = 'binance' FOR UPDATE")

    with locked(database_url, lock):
        observed = observe(scene.world)
        assert healths(scene.world) == before
    assert observed.standstill < STANDSTILL
    assert observed.all_wrote()
    for exchange in set(SYMBOLS) - {"binance"}:
        assert observed.own_seconds[exchange] < scene.baseline.own_seconds[exchange] + LATER
    # The poll that waited for the lock wrote its candles, but did not record its success. The next poll records it.
    observe(scene.world)
    assert healths(scene.world)["binance"].failures == 0


def test_a_database_stall_of_twelve_seconds_is_not_recorded_as_a_failure_of_an_exchange(scene: Scene) -> None:
    scene.database.stop_for(12)
    observed = observe(scene.world)
    assert observed.standstill < STANDSTILL
    assert observed.all_wrote()
    assert min(observed.seconds.values()) > 11
    for exchange, seconds in observed.own_seconds.items():
        assert seconds < 12 + scene.baseline.own_seconds[exchange] + LATER
    assert healths(scene.world) == {}


def test_a_database_stop_during_requests_is_not_recorded_as_a_failure_of_an_exchange(scene: Scene) -> None:
    for exchange in SYMBOLS:
        scene.world.sandbox.fault(exchange, "latency", ms=1000)
    observed = observe(scene.world, at={0.5: lambda: scene.database.stop_for(3)})
    assert observed.standstill < STANDSTILL
    assert observed.all_wrote()
    assert max(observed.own_seconds.values()) < 3 + 0.5 + 2 + LATER
    assert healths(scene.world) == {}


def test_a_standstill_of_this_process_is_not_a_failure_of_the_exchange(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "TIMEOUT_MS", 2000)
    for exchange in SYMBOLS:
        scene.world.sandbox.fault(exchange, "latency", ms=1000)
    observed = observe(scene.world, at={0.6: lambda: time.sleep(3)})
    assert observed.standstill > 2
    assert healths(scene.world) == {}
    for exchange, report in observed.reports.items():
        assert not report.failed
        assert set(report.postponed) <= set(SYMBOLS[exchange])
    assert any(report.postponed for report in observed.reports.values())
    scene.world.sandbox.clear_faults()
    monkeypatch.undo()
    later = observe(scene.world)
    assert not any(report.postponed for report in later.reports.values())


def test_the_first_poll_of_an_exchange_with_a_short_memory_stores_no_day_before_its_start(
    make_world: MakeWorld,  # noqa: F811
) -> None:
    """Such a day would stay live for ever. No run would settle it, because no run fetches days before the start."""
    world = make_world({"kraken": ["BTC/USD"]}, settings={"kraken": {"start": NOW.date()}})
    object.__setattr__(world.titan10, "now", ticking(MORNING))
    world.sandbox.clock.shift((MORNING - NOW).total_seconds())
    (report,) = live.poll_exchanges(world.titan10, ["kraken"])
    assert (report.inserted, report.error) == (120, None)
    (row,) = ledger.slices(world.titan10.database, "kraken", MINUTE_CANDLES, ["BTC/USD"], NOW.date() - DAY, NOW.date())
    assert (row.slice.day, row.present) == (NOW.date(), 120)
