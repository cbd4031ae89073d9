"""Days of a closed market that the exchange answers with "unknown symbol" become final."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.slices import Slice, days, midnight, to_ms
from titan10_dagster.ingest.backlog import open_slices
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import ledger_rows, read_days
from titan10_dagster.ingest.fetch import fetch_and_land, plan_days
from titan10_dagster.ingest.markets import refresh_markets
from titan10_dagster.ingest.store import store_slices
from titan10_dagster.store import ledger
from titan10_dagster_tests.world import MakeWorld, World, ticking

SYMBOL = "ETH/USDT"
STORED = date(2024, 3, 5)  # the only day that is stored before the market closes
FIRST, LAST = date(2024, 3, 4), date(2024, 3, 9)
CLOSED = datetime(2024, 3, 6, 0, 0, tzinfo=UTC)


def a_world(make_world: MakeWorld) -> tuple[World, IngestContext]:
    world = make_world({"binance": ["BTC/USDT", SYMBOL]})
    refresh_markets(world.titan10, "binance")
    fetch(world.titan10, slices_of(world.titan10, STORED, STORED))
    return world, world.titan10


def close(world: World) -> None:
    world.sandbox.fault("binance", "delist", symbol=SYMBOL, time=to_ms(CLOSED), candles="unknown_symbol")


def slices_of(titan10: IngestContext, first: date, last: date) -> list[Slice]:
    return titan10.slices("binance", days(first, last), [SYMBOL])


def fetch(titan10: IngestContext, slices: Sequence[Slice]) -> int:
    """Fetch and store what a repair of the slices would request, and return how many slices that were."""
    plan = plan_days(titan10, read_days(titan10, slices), repair=True)
    fetch_and_land(titan10, "binance", plan.fetch)
    store_slices(titan10, slices)
    return len(plan.fetch)


def reasons(titan10: IngestContext) -> list[tuple[Reason, datetime, datetime]]:
    rows = ledger.gaps(titan10.database, "binance", symbol=SYMBOL, start=midnight(FIRST), end=midnight(LAST))
    return [(row.gap.reason, row.gap.start, row.gap.end) for row in rows]


def test_days_around_the_last_candle_of_a_closed_market_are_final(make_world: MakeWorld) -> None:
    world, titan10 = a_world(make_world)
    close(world)
    refresh_markets(titan10, "binance")
    slices = slices_of(titan10, FIRST, LAST)
    assert fetch(titan10, slices) == len(slices) - 1
    assert {row.state for row in ledger_rows(titan10, slices).values()} == {"settled"}
    assert {reason for reason, _, end in reasons(titan10) if end <= midnight(STORED)} == {Reason.BEYOND_HORIZON}
    assert {reason for reason, start, _ in reasons(titan10) if start >= CLOSED} == {Reason.DELISTED}


def test_two_repairs_later_nothing_of_a_closed_market_is_open_or_requested(make_world: MakeWorld) -> None:
    world, titan10 = a_world(make_world)
    close(world)
    refresh_markets(titan10, "binance")
    slices = slices_of(titan10, FIRST, LAST)
    fetch(titan10, slices)
    for hours in (7, 14):
        object.__setattr__(titan10, "now", ticking(titan10.now() + timedelta(hours=hours)))
        before = len(world.candle_requests("binance"))
        assert fetch(titan10, slices) == 0
        assert len(world.candle_requests("binance")) == before
    assert [row for row in open_slices(titan10) if row.slice.series.symbol == SYMBOL] == []


def test_a_market_that_the_list_calls_active_stays_open(make_world: MakeWorld) -> None:
    world, titan10 = a_world(make_world)
    world.sandbox.fault("binance", "unknown_symbol", symbol=SYMBOL)
    slices = slices_of(titan10, FIRST, LAST)
    fetch(titan10, slices)
    assert len([row for row in open_slices(titan10) if row.slice.series.symbol == SYMBOL]) == len(slices) - 1


def test_a_market_without_a_stored_candle_has_no_delisting(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT", SYMBOL]})
    titan10 = world.titan10
    close(world)
    refresh_markets(titan10, "binance")
    slices = slices_of(titan10, FIRST, LAST)
    fetch(titan10, slices)
    assert {row.state for row in ledger_rows(titan10, slices).values()} == {"partial"}
