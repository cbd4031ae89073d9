"""An exchange that keeps only its newest candles returns fewer of them than usual."""

from __future__ import annotations

from datetime import timedelta

from titan10_dagster.candles.fetched import HORIZON_SLACK
from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.slices import midnight
from titan10_dagster.ingest.days import ledger_rows
from titan10_dagster_tests.integration.driving import go_to, run, tick
from titan10_dagster_tests.world import DAY, NOW, MakeWorld, World

KEPT = timedelta(minutes=720 - HORIZON_SLACK)  # Kraken serves its newest 720 candles
SETTLEMENT = NOW.replace(hour=2, second=0)
YESTERDAY = SETTLEMENT.date() - DAY


def missing(world: World) -> dict[Reason, int]:
    (row,) = ledger_rows(world.titan10, world.titan10.slices("kraken", [YESTERDAY])).values()
    return dict(row.missing)


def repair(world: World, minutes: int) -> int:
    """Advance the clocks, execute the due repairs, and return their number."""
    go_to(world, SETTLEMENT + timedelta(minutes=minutes))
    requests = tick(world)
    for request in requests:
        run(world, request)
    return len(requests)


def test_the_candles_before_a_short_page_are_requested_again_after_minutes(make_world: MakeWorld) -> None:
    world = make_world({"kraken": ["BTC/USD"]}, settings={"kraken": {"start": YESTERDAY}})
    go_to(world, SETTLEMENT)
    world.sandbox.fault("kraken", "page_third")
    world.backfill("kraken", YESTERDAY)
    beyond = (SETTLEMENT - KEPT - midnight(YESTERDAY)) // timedelta(minutes=1)
    short = missing(world)
    assert short[Reason.BEYOND_HORIZON] == beyond
    assert short[Reason.UNKNOWN] == 720 - 240 - HORIZON_SLACK + 1
    world.sandbox.clear_faults("kraken")
    assert repair(world, 4) == 0
    assert repair(world, 6) == 1
    assert missing(world) == {Reason.BEYOND_HORIZON: beyond + 6}
    assert tick(world) == ()


def test_the_minutes_before_a_listing_are_final_once_the_exchange_would_no_longer_serve_them(
    make_world: MakeWorld,
) -> None:
    listed = SETTLEMENT - timedelta(hours=6)
    trading = {("kraken", "BTC/USD"): (listed, None)}
    world = make_world({"kraken": ["BTC/USD"]}, settings={"kraken": {"start": YESTERDAY}}, trading=trading)
    go_to(world, SETTLEMENT)
    world.backfill("kraken", YESTERDAY)
    before = (listed - midnight(YESTERDAY)) // timedelta(minutes=1)
    assert missing(world)[Reason.UNKNOWN] > 0
    tries = sum(repair(world, minutes) for minutes in range(5, 720, 5))
    assert missing(world) == {Reason.BEYOND_HORIZON: before}
    assert tries <= 8
    assert world.equals_truth("kraken", YESTERDAY, YESTERDAY)
