"""An exchange that deviates from the others is flagged on the days of the deviation, and its candles are kept."""

from __future__ import annotations

from datetime import date

from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.integration.results import statuses
from titan10_dagster_tests.store.making import a_slice, candles, judged
from titan10_dagster_tests.world import MakeWorld

FIRST, LAST = date(2024, 2, 1), date(2024, 2, 2)


def test_each_day_has_its_own_result_and_nothing_is_held_back(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    # both pairs have equal prices; in the sandbox, the prices of the pairs differ widely
    for exchange in ("kraken", "okx"):
        others = a_slice(day=FIRST, exchange=exchange)
        write_slices(world.titan10.database, [judged(others, candles(others, price=90_000.0))])
    assert not world.backfill("binance", FIRST, LAST).failed
    assert world.equals_truth("binance", FIRST, LAST)
    found = statuses(world, "binance/ohlcv", "near_others")
    assert (found[str(FIRST)], found[str(LAST)]) == (False, True)
