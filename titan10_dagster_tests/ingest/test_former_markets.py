"""Days of a former market are final, and nothing is requested for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.slices import Slice, days, midnight
from titan10_dagster.ingest.backlog import open_slices, slices_to_check_later
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import ledger_rows, read_days
from titan10_dagster.ingest.fetch import fetch_and_land, plan_days
from titan10_dagster.ingest.former_markets import begin_of_markets, of_a_former_market
from titan10_dagster.ingest.markets import refresh_markets
from titan10_dagster.ingest.store import store_slices
from titan10_dagster_tests.world import MakeWorld, World, ticking

SYMBOL = "BTC/USDT"
OLDER, STORED, CHANGED = date(2024, 3, 3), date(2024, 3, 4), date(2024, 3, 6)
HOUR = timedelta(hours=1)


def slices_of(titan10: IngestContext, first: date, last: date) -> list[Slice]:
    return titan10.slices("binance", days(first, last), [SYMBOL])


def fetch(titan10: IngestContext, slices: Sequence[Slice]) -> int:
    """Fetch and store the slices that a repair would request. Return the number of these slices."""
    plan = plan_days(titan10, read_days(titan10, slices), repair=True)
    fetch_and_land(titan10, "binance", plan.fetch)
    store_slices(titan10, read_days(titan10, slices).unstored())
    return len(plan.fetch)


def changed_world(make_world: MakeWorld, *, absent: timedelta) -> tuple[World, IngestContext]:
    """A world with a stored day without its first minutes. Afterwards the symbol belongs to another market."""
    world = make_world({"binance": [SYMBOL]})
    start = midnight(STORED)
    world.sandbox.fault("binance", "absent", symbol=SYMBOL, time=start, until=start + absent)
    refresh_markets(world.titan10, "binance")
    fetch(world.titan10, slices_of(world.titan10, STORED, STORED + timedelta(days=1)))
    return world, world.titan10


def change(world: World) -> None:
    at = midnight(CHANGED)
    world.sandbox.fault("binance", "new_id", symbol=SYMBOL, market_id="BTCV2USDT", prices=9.9, time=at)
    refresh_markets(world.titan10, "binance")
    world.sandbox.clear_requests("binance")


def test_what_a_former_market_lacks_is_final_and_its_candles_and_files_stay(make_world: MakeWorld) -> None:
    world, titan10 = changed_world(make_world, absent=HOUR)
    change(world)
    former = slices_of(titan10, OLDER, STORED)
    object.__setattr__(titan10, "now", ticking(titan10.now() + 7 * HOUR))
    assert {open_slice.slice for open_slice in open_slices(titan10)} == {former[1]}
    files = {slice_: titan10.landing.identity(slice_) for slice_ in former}
    assert fetch(titan10, former) == len(former)
    assert world.candle_requests("binance") == []
    rows = ledger_rows(titan10, former)
    counts = [(row.state, row.present, row.missing.get(Reason.BEYOND_HORIZON)) for row in rows.values()]
    assert counts == [("settled", 0, 1440), ("settled", 1380, 60)]
    assert "belong to the market BTCUSDT" in str(rows[former[1]].note)
    assert titan10.landing.identity(former[1]) == files[former[1]]
    assert open_slices(titan10) == []
    assert fetch(titan10, former) == 0


def test_a_broken_candle_of_a_former_market_is_final(make_world: MakeWorld) -> None:
    world = make_world({"binance": [SYMBOL]})
    titan10 = world.titan10
    world.sandbox.fault("binance", "zero_price")
    refresh_markets(titan10, "binance")
    stored = slices_of(titan10, STORED, STORED)
    fetch(titan10, stored)
    broken = ledger_rows(titan10, stored)[stored[0]].missing
    assert set(broken) == {Reason.QUARANTINED}
    change(world)
    object.__setattr__(titan10, "now", ticking(titan10.now() + 7 * HOUR))
    assert fetch(titan10, stored) == 1
    assert ledger_rows(titan10, stored)[stored[0]].missing == {Reason.BEYOND_HORIZON: broken[Reason.QUARANTINED]}
    assert open_slices(titan10) == []


def test_a_day_that_only_landed_before_the_change_is_stored_first_and_then_final(make_world: MakeWorld) -> None:
    world, titan10 = changed_world(make_world, absent=HOUR)
    landed = slices_of(titan10, OLDER, OLDER)
    world.sandbox.fault("binance", "absent", symbol=SYMBOL, time=midnight(OLDER), until=midnight(OLDER) + HOUR)
    fetch_and_land(titan10, "binance", landed)
    change(world)
    fetch_and_land(titan10, "binance", landed)
    assert read_days(titan10, landed).unstored() == landed
    store_slices(titan10, landed)
    assert ledger_rows(titan10, landed)[landed[0]].present == 1380
    object.__setattr__(titan10, "now", ticking(titan10.now() + 7 * HOUR))
    fetch(titan10, landed)
    row = ledger_rows(titan10, landed)[landed[0]]
    assert (row.present, row.missing) == (1380, {Reason.BEYOND_HORIZON: 60})
    assert world.candle_requests("binance") == []


def test_a_halt_of_a_former_market_is_not_checked_later(make_world: MakeWorld) -> None:
    world, titan10 = changed_world(make_world, absent=5 * HOUR)
    object.__setattr__(titan10, "now", ticking(titan10.now() + 7 * HOUR))
    stored = slices_of(titan10, STORED, STORED)
    fetch(titan10, stored)
    assert ledger_rows(titan10, stored)[stored[0]].missing[Reason.HALTED] == 300
    assert [checked.slice for checked in slices_to_check_later(titan10)] == stored
    change(world)
    assert slices_to_check_later(titan10) == []


def test_only_days_before_the_change_are_of_the_former_market(make_world: MakeWorld) -> None:
    world, titan10 = changed_world(make_world, absent=HOUR)
    slices = slices_of(titan10, OLDER, CHANGED)
    assert of_a_former_market(titan10, "binance", slices) == {}
    assert begin_of_markets(titan10, [slices[0].series]) == {}
    change(world)
    found = of_a_former_market(titan10, "binance", slices)
    assert list(found) == slices[:-1]
    assert begin_of_markets(titan10, [slices[0].series]) == {slices[0].series: midnight(CHANGED)}
