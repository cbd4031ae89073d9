"""Missing data: open slices, and days without ledger rows."""

from __future__ import annotations

from datetime import date, timedelta

from titan10_dagster.ingest.backlog import days_without_row, listed_series, open_slices
from titan10_dagster.ingest.markets import refresh_markets
from titan10_dagster_tests.world import NOW, START, MakeWorld

DAY = date(2024, 2, 1)


def test_a_symbol_that_the_exchange_does_not_list_owes_nothing(make_world: MakeWorld) -> None:
    titan10 = make_world({"binance": ["BTC/USDT", "BTC/USTD"]}).titan10
    refresh_markets(titan10, "binance")
    series = listed_series(titan10, ["binance"])
    assert {series_.symbol: first for series_, first in series.items()} == {"BTC/USDT": START}


def test_days_never_fetched_are_history(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    assert not world.backfill("binance", DAY).failed
    missing = days_without_row(world.titan10)
    assert missing.holes == ()
    stretches = [(part.stretch.first, part.stretch.last) for part in missing.history]
    yesterday = NOW.date() - timedelta(days=1)
    assert stretches == [(START, DAY - timedelta(days=1)), (DAY + timedelta(days=1), yesterday)]


def test_a_slice_with_unexplained_gaps_is_open(make_world: MakeWorld) -> None:
    world = make_world({"coinbase": ["ALGO/USD"]})
    world.backfill("coinbase", DAY)
    (open_slice,) = open_slices(world.titan10)
    assert (open_slice.slice.day, open_slice.state) == (DAY, "settled")
