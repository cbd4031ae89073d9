"""The autopilot and the runs that it requests, until no history is missing."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from titan10_dagster.planning.autopilot import Order
from titan10_dagster.settings import AutopilotSettings
from titan10_dagster.store import ledger
from titan10_dagster_tests.integration.driving import evaluate, go_to, run, tick
from titan10_dagster_tests.world import NOW, MakeWorld, World

ONE, MINUTE = timedelta(days=1), timedelta(minutes=1)
YESTERDAY = NOW.date() - ONE
START = YESTERDAY - 9 * ONE


def fly(world: World, order: Order) -> list[tuple[str, date, date]]:
    """Tick the sensor and execute its requests until it requests nothing. Return the chunks in order."""
    world.titan10.settings.__dict__["autopilot"] = AutopilotSettings(enabled=True, order=order)
    chunks: list[tuple[str, date, date]] = []
    while requests := tick(world, "autopilot"):
        for request in requests:
            first, last = (request.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end"))
            chunks.append((request.tags["titan10/autopilot"], date.fromisoformat(first), date.fromisoformat(last)))
            assert run(world, request)
        assert len(chunks) < 20
    return chunks


@pytest.mark.parametrize("order", Order)
def test_it_completes_the_history_of_every_exchange_in_its_order_and_then_is_idle(
    make_world: MakeWorld, order: Order
) -> None:
    sizes = {"binance": {"start": START, "days_per_run": 4}, "kraken": {"start": START, "days_per_run": 5}}
    world = make_world({"binance": ["BTC/USDT", "ETH/USDT"], "kraken": ["BTC/USD"]}, settings=sizes)
    chunks = [(first, last) for name, first, last in fly(world, order) if name == "binance"]
    offsets = [((first - START).days, (last - START).days) for first, last in chunks]
    newest_first = order is Order.NEWEST_FIRST
    assert offsets == ([(6, 9), (2, 5), (0, 1)] if newest_first else [(0, 3), (4, 7), (8, 9)])
    assert world.equals_truth("binance", START, YESTERDAY)
    for row in ledger.coverage(world.titan10.database):
        assert (row.first, row.last, row.settled) == (START, YESTERDAY, 10)
    idle = evaluate(world, "autopilot")
    assert idle.skip_reason is not None
    assert "All history" in str(idle.skip_reason)


def test_a_chunk_that_failed_is_left_to_the_repairs(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT", "ETH/USDT"]}, settings={"binance": {"start": YESTERDAY - 2 * ONE}})
    world.sandbox.fault("binance", "http_400")
    (request,) = tick(world, "autopilot")
    assert not run(world, request)
    assert not tick(world, "autopilot")
    world.sandbox.clear_faults()
    go_to(world, NOW + 6 * MINUTE)
    assert not tick(world, "autopilot")
    for repair in tick(world, "repair_gaps"):
        assert run(world, repair)
    assert world.equals_truth("binance", YESTERDAY - 2 * ONE, YESTERDAY)


def test_only_the_history_of_a_symbol_added_later_is_fetched(make_world: MakeWorld) -> None:
    start = YESTERDAY - 2 * ONE
    world = make_world({"binance": ["BTC/USDT", "ETH/USDT"]}, settings={"binance": {"start": start}})
    assert not world.backfill("binance", start, YESTERDAY, symbols=["BTC/USDT"]).failed
    world.sandbox.clear_requests("binance")
    (request,) = tick(world, "autopilot")
    assert run(world, request)
    assert {entry["symbol"] for entry in world.candle_requests("binance")} == {"ETH/USDT"}
    assert not tick(world, "autopilot")
