"""The gap sensor and the runs that it requests, with a clock that jumps by days."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, datetime, timedelta

import numpy as np
import pytest
from dagster import DagsterRunStatus, RunRequest

from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.slices import days, midnight
from titan10_dagster.defs.compose import compose
from titan10_dagster.defs.partitions import RANGE_START
from titan10_dagster.defs.repairs import plan_of, request
from titan10_dagster.defs.requests import MOST_REMEMBERED
from titan10_dagster.errors import Banned
from titan10_dagster.exchanges.breaker import Breaker
from titan10_dagster.ingest.days import read_days
from titan10_dagster.ingest.fetch import fetch_and_land, plan_days
from titan10_dagster.planning.repairs import Repair
from titan10_dagster.store import ledger
from titan10_dagster.store.breakers import HealthStore
from titan10_dagster_tests.cost import least
from titan10_dagster_tests.integration.driving import go_to, run, tick
from titan10_dagster_tests.world import NOW, MakeWorld, World

FIRST, LAST = date(2024, 2, 1), date(2024, 2, 2)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
WHILE = timedelta(minutes=10)  # longer than a run, so that days that are due a day after a run are due at this time
SYMBOLS = ["BTC/USDT", "ETH/USDT"]


def missing(world: World, exchange: str) -> dict[Reason, int]:
    counts: dict[Reason, int] = {}
    for row in ledger.coverage(world.titan10.database, exchange):
        for reason, count in row.missing.items():
            counts[reason] = counts.get(reason, 0) + count
    return counts


def asked_for(world: World, exchange: str) -> set[str]:
    return {entry["symbol"] for entry in world.candle_requests(exchange)}


def test_rows_lost_from_an_answer_arrive_with_the_second_fetch(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    world.sandbox.fault("binance", "lost_rows", symbol="BTC/USDT", rows=30, count=1)
    assert not world.backfill("binance", FIRST, LAST).failed
    assert missing(world, "binance") == {Reason.UNKNOWN: 30}
    go_to(world, NOW + 5 * HOUR)
    assert not tick(world)
    go_to(world, NOW + 6 * HOUR + MINUTE)
    (request,) = tick(world)
    world.sandbox.clear_requests("binance")
    assert run(world, request)
    assert asked_for(world, "binance") == {"BTC/USDT"}
    assert missing(world, "binance") == {}
    assert world.equals_truth("binance", FIRST, LAST)
    go_to(world, NOW + 30 * HOUR)
    assert not tick(world)


def test_minutes_without_trades_are_final_after_the_second_fetch_and_never_requested_again(
    make_world: MakeWorld,
) -> None:
    world = make_world({"coinbase": ["BTC/USD", "ALGO/USD"]})
    assert not world.backfill("coinbase", FIRST, LAST).failed
    absent = 2 * 1440 - len(world.truth("coinbase", "ALGO/USD", FIRST, LAST))
    assert missing(world, "coinbase").get(Reason.UNKNOWN, 0) >= absent > 0
    go_to(world, NOW + 7 * HOUR)
    (request,) = tick(world)
    assert run(world, request)
    assert set(missing(world, "coinbase")) == {Reason.NO_TRADES}
    for later in (1, 7, 24, 24 * 30):
        go_to(world, NOW + (7 + later) * HOUR)
        assert not tick(world)
    assert world.equals_truth("coinbase", FIRST, LAST)


def test_a_symbol_that_failed_is_repaired_within_minutes(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    world.sandbox.fault("binance", "http_400", symbol="ETH/USDT")
    assert world.backfill("binance", FIRST, LAST).incomplete == (FIRST, LAST)
    assert not tick(world)
    go_to(world, NOW + 6 * MINUTE)
    (request,) = tick(world)
    run(world, request)
    assert missing(world, "binance") == {Reason.UNKNOWN: 2 * 1440}
    go_to(world, NOW + 8 * MINUTE)
    assert not tick(world)
    world.sandbox.clear_faults()
    world.sandbox.clear_requests("binance")
    go_to(world, NOW + 13 * MINUTE)
    (again,) = tick(world)
    assert again.run_key != request.run_key
    assert run(world, again)
    assert asked_for(world, "binance") == {"ETH/USDT"}
    assert world.equals_truth("binance", FIRST, LAST)
    go_to(world, NOW + 24 * HOUR)
    assert not tick(world)


def test_a_symbol_that_the_exchange_does_not_list_is_not_requested_repeatedly(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT", "BTC/USTD"]})
    assert world.backfill("binance", FIRST).incomplete == (FIRST,)
    for later in (HOUR, 24 * HOUR):
        go_to(world, NOW + later)
        assert not tick(world)


def test_a_quarantined_candle_is_replaced_when_the_exchange_corrects_it(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    world.sandbox.fault("binance", "high_below_low", symbol="BTC/USDT")
    assert not world.backfill("binance", FIRST).failed
    assert set(missing(world, "binance")) == {Reason.QUARANTINED}
    world.sandbox.clear_faults()
    go_to(world, NOW + 6 * HOUR + MINUTE)
    (request,) = tick(world)
    assert run(world, request)
    assert missing(world, "binance") == {}
    assert world.equals_truth("binance", FIRST, FIRST)


def live_through(world: World, day: date, start: datetime, days: int) -> list[int]:
    """Tick the sensor every twelve hours, and repair one day if the sensor plans it.

    Return the requests of each 24 hours.

    The other days that the sensor plans are left out, because they only take time.
    """
    counts = []
    for n in range(days):
        world.sandbox.clear_requests("binance")
        for hours in range(0, 24, 12):
            go_to(world, start + n * DAY + hours * HOUR)
            for repair in plan_of(world.titan10, world.instance).repairs:
                if repair.first <= day <= repair.last:
                    assert run(world, request(replace(repair, first=day, last=day), world.titan10.now()))
        counts.append(len(world.candle_requests("binance")))
    return counts


@pytest.mark.parametrize("published_after", [20 * HOUR, 4 * DAY, None])
def test_a_hole_of_a_busy_pair_is_checked_a_day_and_a_week_later_and_then_never_again(
    make_world: MakeWorld, published_after: timedelta | None
) -> None:
    day = NOW.date() - DAY
    world = make_world({"binance": ["BTC/USDT"]}, settings={"binance": {"start": day}})
    hidden = {"symbol": "BTC/USDT", "time": midnight(day) + 10 * HOUR, "until": midnight(day) + 10 * HOUR + 3 * MINUTE}
    world.sandbox.fault("binance", "absent", **hidden)
    assert not world.backfill("binance", day).failed
    a_day = len(world.candle_requests("binance"))
    assert live_through(world, day, NOW + 7 * HOUR, 1) == [a_day]
    assert missing(world, "binance") == {Reason.NO_TRADES: 3}
    later = NOW + DAY + 7 * HOUR + WHILE
    if published_after == 20 * HOUR:
        world.sandbox.fault("binance", "absent", **hidden, back=True)
    first_days = live_through(world, day, later, 5)
    assert first_days == [a_day, 0, 0, 0, 0]
    assert (missing(world, "binance") == {}) is (published_after == 20 * HOUR)
    if published_after == 4 * DAY:
        world.sandbox.fault("binance", "absent", **hidden, back=True)
    rest = live_through(world, day, later + 5 * DAY + WHILE, 10)
    second_check = [0] * 10 if published_after == 20 * HOUR else [0, 0, a_day, *[0] * 7]
    assert rest == second_check
    if published_after is None:
        assert missing(world, "binance") == {Reason.NO_TRADES: 3}
    else:
        assert world.equals_truth("binance", day, day)


def requests_of(world: World, day: date) -> list[RunRequest]:
    """Return the requests of a tick that begin with the day."""
    return [request for request in tick(world) if request.tags[RANGE_START] == str(day)]


def test_rows_that_come_broken_twice_are_checked_after_a_day_and_a_week_and_then_only_by_a_refresh(
    make_world: MakeWorld,
) -> None:
    world = make_world({"binance": SYMBOLS})
    world.sandbox.fault("binance", "high_below_low", symbol="BTC/USDT")
    assert not world.backfill("binance", FIRST).failed
    candles = sum(missing(world, "binance").values())
    second = NOW + 6 * HOUR + MINUTE
    day_later = second + 24 * HOUR + MINUTE
    for at in (second, day_later, day_later + 7 * 24 * HOUR + MINUTE):
        go_to(world, at - 2 * HOUR)
        assert not requests_of(world, FIRST)
        go_to(world, at)
        (request,) = requests_of(world, FIRST)
        assert run(world, request)
        assert missing(world, "binance") == {Reason.BROKEN_AT_SOURCE: candles}
    go_to(world, at + 30 * 24 * HOUR)
    assert not requests_of(world, FIRST)
    world.sandbox.clear_faults()
    assert not world.backfill("binance", FIRST, refresh=True).failed
    assert missing(world, "binance") == {}
    assert world.equals_truth("binance", FIRST, FIRST)


def test_a_broken_row_that_is_corrected_later_is_stored_automatically(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    world.sandbox.fault("binance", "high_below_low", symbol="BTC/USDT")
    assert not world.backfill("binance", FIRST).failed
    go_to(world, NOW + 6 * HOUR + MINUTE)
    (request,) = requests_of(world, FIRST)
    assert run(world, request)
    world.sandbox.clear_faults()
    go_to(world, NOW + 31 * HOUR)
    (request,) = requests_of(world, FIRST)
    assert run(world, request)
    assert missing(world, "binance") == {}
    assert world.equals_truth("binance", FIRST, FIRST)


def test_nothing_is_requested_while_the_breaker_is_open(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    world.sandbox.fault("binance", "lost_rows", count=1)
    assert not world.backfill("binance", FIRST).failed
    go_to(world, NOW + 7 * HOUR)
    now = world.titan10.now()
    breaker = Breaker("binance", HealthStore(world.titan10.database), world.titan10.now)
    asyncio.run(breaker.learn(Banned("a ban", exchange="binance", until=now + HOUR)))
    assert not tick(world)
    go_to(world, NOW + 8 * HOUR + MINUTE)
    assert tick(world)


def test_days_missed_because_of_a_ban_are_fetched_after_its_end(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    world.sandbox.fault("binance", "http_418", retry_after=600, after=2, count=1)
    assert world.backfill("binance", FIRST, LAST).failed == (FIRST, LAST)
    assert missing(world, "binance") == {Reason.UNKNOWN: 4 * 1440}
    asked = len(world.candle_requests("binance"))
    go_to(world, NOW + 9 * MINUTE)
    assert not tick(world)
    go_to(world, NOW + 11 * MINUTE)
    (request,) = tick(world)
    assert run(world, request)
    assert len(world.candle_requests("binance")) > asked
    assert missing(world, "binance") == {}
    assert world.equals_truth("binance", FIRST, LAST)


@pytest.mark.parametrize("cause", ["a gap", "a failed symbol"])
def test_a_repair_that_meets_a_ban_is_repeated_right_after_its_end(make_world: MakeWorld, cause: str) -> None:
    """A ban is no answer about the candles, so the next repair must not wait as long as the gap is old."""
    world = make_world({"binance": SYMBOLS})
    if cause == "a gap":
        world.sandbox.fault("binance", "lost_rows", symbol="BTC/USDT", count=1)
    else:
        world.sandbox.fault("binance", "http_500", symbol="BTC/USDT")
    world.backfill("binance", FIRST)
    world.sandbox.clear_faults()
    assert missing(world, "binance") != {}
    go_to(world, NOW + 7 * HOUR)
    world.sandbox.fault("binance", "http_418", retry_after=600, count=1)
    (request,) = tick(world)
    assert not run(world, request)
    go_to(world, NOW + 7 * HOUR + 9 * MINUTE)
    assert not tick(world)
    go_to(world, NOW + 7 * HOUR + 11 * MINUTE)
    (request,) = tick(world)
    assert run(world, request)
    assert missing(world, "binance") == {}
    assert world.equals_truth("binance", FIRST, FIRST)


def test_a_repair_that_died_after_landing_only_stores_what_it_landed(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    world.sandbox.fault("binance", "lost_rows", symbol="BTC/USDT", count=1)
    assert not world.backfill("binance", FIRST).failed
    go_to(world, NOW + 7 * HOUR)
    (request,) = tick(world)
    slices = world.titan10.slices("binance", [FIRST], ["BTC/USDT"])
    fetch_and_land(world.titan10, "binance", slices)
    world.sandbox.clear_requests("binance")
    assert run(world, request)
    assert not world.sandbox.requests("binance")
    assert world.equals_truth("binance", FIRST, FIRST)


def test_a_run_fetches_again_only_the_slices_with_open_gaps(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    world.sandbox.fault("binance", "lost_rows", symbol="BTC/USDT", count=1)
    assert not world.backfill("binance", FIRST, LAST).failed
    slices = world.titan10.slices("binance", days(FIRST, LAST))
    plan = plan_days(world.titan10, read_days(world.titan10, slices), repair=True)
    assert [slice_.series.symbol for slice_ in plan.fetch] == ["BTC/USDT"]
    assert len(plan.settled) == 3
    assert not plan_days(world.titan10, read_days(world.titan10, slices)).fetch


def test_a_day_of_kraken_out_of_reach_gets_its_reason_without_a_request(make_world: MakeWorld) -> None:
    world = make_world({"kraken": ["BTC/USD", "ETH/USD"]})
    yesterday = NOW.date() - timedelta(days=1)
    go_to(world, datetime(2024, 3, 10, 2, 0, tzinfo=NOW.tzinfo))
    world.sandbox.fault("kraken", "http_400", symbol="ETH/USD")
    assert world.backfill("kraken", yesterday).incomplete == (yesterday,)
    go_to(world, NOW + 24 * HOUR)
    world.sandbox.clear_requests("kraken")
    (request,) = tick(world)
    assert run(world, request)
    assert not world.candle_requests("kraken")
    assert set(missing(world, "kraken")) == {Reason.BEYOND_HORIZON}
    assert not tick(world)
    stored = world.stored("kraken", "BTC/USD", yesterday, yesterday)
    assert np.isin(stored[:, 0], world.truth("kraken", "BTC/USD", yesterday, yesterday)[:, 0]).all()


@pytest.mark.alone
def test_a_tick_over_ten_thousand_slices_with_gaps_and_hundreds_of_earlier_repairs_costs_no_two_seconds(
    make_world: MakeWorld,
) -> None:
    symbols = [f"S{n}/USDT" for n in range(100)]
    world = make_world({"binance": symbols}, settings={"binance": {"start": date(2018, 1, 1)}})
    with world.titan10.database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO slice_ledger
            SELECT 'binance', format('S%%s/USDT', n), '1m', date '2018-01-01' + day, 'settled', 1440, 1440 - open, open,
                0, 0, 0, 0, 0, 0, 0, %(at)s, 'rest', 2, 0, 1.0, NULL
            FROM generate_series(0, 99) AS n, generate_series(0, 1999) AS day,
                LATERAL (SELECT 3 * ((day + n) %% 20 = 0)::int) AS mark (open)
            """,
            {"at": NOW - 7 * HOUR},
        )
        cursor.execute(
            """
            INSERT INTO gaps
            SELECT exchange, symbol, timeframe, day + interval '1 hour' * n, day + interval '1 hour' * n
                + interval '1 min', 1, CASE WHEN n < 4 THEN 'unknown' ELSE 'no_trades' END, 1, fetched_at, fetched_at
            FROM slice_ledger, generate_series(1, 6) AS n
            WHERE unknown > 0
            """
        )
    job = compose(world.titan10).resolve_job_def("repair")
    for n in range(MOST_REMEMBERED + 20):
        first = date(2018, 1, 1) + n * timedelta(days=1)
        one = request(Repair("binance", first, first, tuple(symbols[:50]), expiring=False), NOW)
        world.instance.create_run_for_job(
            job, tags=one.tags, run_config=one.run_config, status=DagsterRunStatus.FAILURE
        )
    cost = least(lambda: plan_of(world.titan10, world.instance))
    assert cost.processor < 2
    assert cost.clock < 20
    plan = plan_of(world.titan10, world.instance)
    assert plan.repairs
    assert plan.postponed > 8_000
    # requested at this moment: 50 symbols, each with a gap every 20 days
    assert plan.waiting == MOST_REMEMBERED * 50 // 20


@pytest.mark.parametrize("checks", [0, 1])
def test_days_before_a_later_start_are_not_checked_again(make_world: MakeWorld, checks: int) -> None:
    """Their runs would fetch nothing, so the checks would never end."""
    world = make_world({"binance": SYMBOLS})
    world.sandbox.fault("binance", "high_below_low", symbol="BTC/USDT")
    assert not world.backfill("binance", FIRST).failed
    for number in range(1 + checks):
        go_to(world, NOW + (7 + 25 * number) * HOUR)
        (request,) = requests_of(world, FIRST)
        assert run(world, request)
    assert set(missing(world, "binance")) == {Reason.BROKEN_AT_SOURCE}
    world.titan10.settings.exchanges["binance"].__dict__["start"] = LAST
    for later in (2, 9, 40):
        go_to(world, NOW + later * DAY)
        assert not requests_of(world, FIRST)
