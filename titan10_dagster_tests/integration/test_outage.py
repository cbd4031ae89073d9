"""The requests of the sensors after the machine was off for days, run after run, until the data is complete."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import partial

import dagster as dg
import pytest

from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.slices import midnight, to_ms
from titan10_dagster.defs import autopilot, repairs
from titan10_dagster.ingest.live import poll_exchanges
from titan10_dagster.store import ledger
from titan10_dagster_tests.cost import least
from titan10_dagster_tests.integration.driving import go_to, run, tick
from titan10_dagster_tests.world import NOW, MakeWorld, World

LAST_DAY_ON = date(2024, 3, 1)
BACK = datetime(2024, 3, 10, 3, 30, 5, tzinfo=NOW.tzinfo)  # eight days later, half past three in the morning
YESTERDAY = date(2024, 3, 9)
ONE, MINUTE = timedelta(days=1), timedelta(minutes=1)
SYMBOLS = {"binance": ["BTC/USDT", "ETH/USDT"], "kraken": ["BTC/USD"], "okx": ["BTC/USDT"]}


def settle(world: World, day: date) -> None:
    """Run the daily settlement of 02:00."""
    go_to(world, midnight(day + ONE) + timedelta(hours=2))
    for name in world.titan10.settings.enabled:
        assert not world.backfill(name, day).failed


def heal(world: World) -> list[dg.RunRequest]:
    """Tick the sensor every five minutes and execute its requests, until it requests nothing.

    Return all requests in order.
    """
    requests: list[dg.RunRequest] = []
    now = BACK
    while ticked := tick(world):
        for request in ticked:
            assert run(world, request)
        requests.extend(ticked)
        assert len(requests) < 20
        now += 5 * MINUTE
        go_to(world, now)
    return requests


def test_all_missed_days_are_fetched_after_downtime_and_expiring_days_come_first(make_world: MakeWorld) -> None:
    world = make_world(SYMBOLS)
    settle(world, LAST_DAY_ON - ONE)
    settle(world, LAST_DAY_ON)
    go_to(world, BACK)
    requests = heal(world)
    first, *rest = requests
    assert first.tags["titan10/repair"] == "kraken"
    assert first.tags["dagster/priority"] == "1"
    assert {request.tags["titan10/repair"] for request in rest} == {"binance", "okx"}
    for name in ("binance", "okx"):
        assert world.equals_truth(name, LAST_DAY_ON - ONE, YESTERDAY)
    for row in ledger.coverage(world.titan10.database):
        assert (row.first, row.last, row.settled) == (LAST_DAY_ON - ONE, YESTERDAY, 10)
        assert set(row.missing) == ({Reason.BEYOND_HORIZON} if row.series.exchange == "kraken" else set())


def test_kraken_gives_what_it_still_has_of_yesterday_and_live_polling_the_rest(make_world: MakeWorld) -> None:
    world = make_world({"kraken": ["BTC/USD"]})
    settle(world, LAST_DAY_ON)
    go_to(world, BACK)
    heal(world)
    poll_exchanges(world.titan10, ["kraken"])
    stored = world.stored("kraken", "BTC/USD", YESTERDAY, YESTERDAY + ONE)
    truth = world.truth("kraken", "BTC/USD", YESTERDAY, YESTERDAY + ONE)
    horizon, now = to_ms(BACK - 715 * MINUTE), to_ms(BACK)
    within = truth[(truth[:, 0] >= horizon) & (truth[:, 0] + 60_000 <= now)]
    assert len(within) > 700
    assert set(within[:, 0]) <= set(stored[:, 0])


def test_a_symbol_added_later_has_holes_only_since_its_own_first_day(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT", "ETH/USDT"]})
    go_to(world, midnight(LAST_DAY_ON) + timedelta(hours=2))
    assert not world.backfill("binance", LAST_DAY_ON - ONE, symbols=["BTC/USDT"]).failed
    settle(world, LAST_DAY_ON)
    go_to(world, midnight(LAST_DAY_ON + 2 * ONE) + timedelta(hours=4))
    (request,) = tick(world)
    assert run(world, request)
    firsts = {row.series.symbol: row.first for row in ledger.coverage(world.titan10.database)}
    assert firsts == {"BTC/USDT": LAST_DAY_ON - ONE, "ETH/USDT": LAST_DAY_ON}
    assert not tick(world)


def test_days_of_a_settlement_that_failed_completely_are_fetched_later(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT", "ETH/USDT"]})
    settle(world, LAST_DAY_ON - ONE)
    go_to(world, midnight(LAST_DAY_ON + ONE) + timedelta(hours=2))
    world.sandbox.fault("binance", "http_400")
    assert world.backfill("binance", LAST_DAY_ON).failed
    world.sandbox.clear_faults()
    assert not tick(world)
    go_to(world, midnight(LAST_DAY_ON + ONE) + timedelta(hours=3, minutes=1))
    (request,) = tick(world)
    assert run(world, request)
    assert world.equals_truth("binance", LAST_DAY_ON - ONE, LAST_DAY_ON)


@pytest.mark.alone
def test_ten_thousand_missing_days_cost_neither_sensor_two_seconds(make_world: MakeWorld) -> None:
    symbols = [f"S{n}/USDT" for n in range(20)]
    exchanges = ("binance", "okx")
    started = {"start": NOW.date() - 5_001 * ONE}
    world = make_world(dict.fromkeys(exchanges, symbols), settings=dict.fromkeys(exchanges, started))
    with world.titan10.database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO slice_ledger
            SELECT exchange, format('S%%s/USDT', n), '1m', %(day)s, 'settled', 1440, 1440, 0, 0, 0, 0, 0, 0, 0, 0,
                %(day)s::date + interval '26 hours', 'rest', 2, 0, 1.0, NULL
            FROM unnest(%(exchanges)s) AS exchange, generate_series(0, 19) AS n
            """,
            {"exchanges": list(exchanges), "day": NOW.date() - 2_501 * ONE},
        )
    plan = repairs.plan_of(world.titan10, world.instance)
    history = autopilot.plan_of(world.titan10, world.instance)
    assert sum(repair.days for repair in plan.repairs) == 62
    assert plan.postponed == (5_000 - 62) * 20
    assert history.missing == dict.fromkeys(exchanges, 2_500)
    for sensor in (repairs, autopilot):
        cost = least(partial(sensor.plan_of, world.titan10, world.instance))
        assert cost.processor < 2
        assert cost.clock < 20
