"""Planning and landing the days of an exchange, without Dagster."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from titan10_dagster.candles.slices import Slice
from titan10_dagster.errors import FetchError, LandingError
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import ledger_rows, read_days
from titan10_dagster.ingest.fetch import absent_files, fetch_and_land, plan_days
from titan10_dagster.ingest.markets import refresh_markets
from titan10_dagster.ingest.store import store_slices
from titan10_dagster_tests.world import MakeWorld, World, ticking

DAY = date(2024, 2, 1)


def a_world(make_world: MakeWorld) -> tuple[World, IngestContext, list[Slice]]:
    world = make_world({"binance": ["BTC/USDT", "ETH/USDT"]})
    return world, world.titan10, world.titan10.slices("binance", [DAY])


def test_everything_unknown_is_planned_and_lands_as_the_exchange_gave_it(make_world: MakeWorld) -> None:
    world, titan10, slices = a_world(make_world)
    plan = plan_days(titan10, read_days(titan10, slices))
    assert list(plan.fetch) == slices
    done = fetch_and_land(titan10, "binance", plan.fetch)
    assert {slice_: rows for slice_, (_, rows) in done.landed.items()} == dict.fromkeys(slices, 1440)
    for slice_ in slices:
        landed = titan10.landing.read(slice_)
        assert landed is not None
        truth = world.truth("binance", slice_.series.symbol, DAY, DAY)
        assert np.array_equal(landed.candles.values.T, truth[:, 1:])


def test_a_landed_slice_is_resumed_and_a_settled_one_is_left_alone(make_world: MakeWorld) -> None:
    _, titan10, slices = a_world(make_world)
    fetch_and_land(titan10, "binance", slices)
    assert list(plan_days(titan10, read_days(titan10, slices)).landed) == slices
    store_slices(titan10, slices)
    days = read_days(titan10, slices)
    assert list(plan_days(titan10, days).settled) == slices
    assert list(plan_days(titan10, days, refresh=True).fetch) == slices


def test_a_symbol_that_fails_lands_empty_and_unanswered(make_world: MakeWorld) -> None:
    world, titan10, slices = a_world(make_world)
    world.sandbox.fault("binance", "unknown_symbol", symbol="ETH/USDT")
    done = fetch_and_land(titan10, "binance", slices)
    assert set(done.failed) == {"ETH/USDT"}
    record, rows = done.landed[slices[1]]
    assert (record.answered, rows) == (False, 0)
    assert record.note == str(done.failed["ETH/USDT"])
    assert absent_files(titan10, slices) == []


def test_a_symbol_that_fails_does_not_replace_what_landed_before(make_world: MakeWorld) -> None:
    world, titan10, slices = a_world(make_world)
    fetch_and_land(titan10, "binance", slices)
    world.sandbox.fault("binance", "unknown_symbol", symbol="ETH/USDT")
    done = fetch_and_land(titan10, "binance", slices)
    assert slices[1] not in done.landed
    landed = titan10.landing.read(slices[1])
    assert landed is not None
    assert len(landed.candles) == 1440


def test_an_exchange_that_fails_is_in_the_ledger_of_every_slice(make_world: MakeWorld) -> None:
    world, titan10, slices = a_world(make_world)
    world.sandbox.fault("binance", "http_500")
    with pytest.raises(FetchError):
        fetch_and_land(titan10, "binance", slices)
    rows = ledger_rows(titan10, slices)
    assert {row.state for row in rows.values()} == {"partial"}
    assert set(rows) == set(slices)
    assert all(row.note for row in rows.values())


def test_files_that_are_gone_are_named(make_world: MakeWorld) -> None:
    _, titan10, slices = a_world(make_world)
    fetch_and_land(titan10, "binance", slices)
    titan10.landing.path(slices[0]).unlink()
    assert absent_files(titan10, slices) == slices[:1]


def test_on_landed_gets_each_slice_once(make_world: MakeWorld) -> None:
    _, titan10, slices = a_world(make_world)
    seen: list[Slice] = []
    object.__setattr__(titan10, "on_landed", lambda fetched: seen.append(fetched.record.slice))
    fetch_and_land(titan10, "binance", slices)
    assert sorted(seen) == sorted(slices)


def test_a_repair_fetches_settled_slices_with_open_gaps_again(make_world: MakeWorld) -> None:
    world = make_world({"coinbase": ["ALGO/USD"]})
    titan10 = world.titan10
    slices = titan10.slices("coinbase", [DAY])
    fetch_and_land(titan10, "coinbase", slices)
    store_slices(titan10, slices)
    days = read_days(titan10, slices)
    assert days.ledger[slices[0]].unexplained > 0
    assert plan_days(titan10, days).fetch == ()
    assert list(plan_days(titan10, days, repair=True).fetch) == slices
    object.__setattr__(titan10, "now", ticking(titan10.now() + timedelta(hours=7)))
    fetch_and_land(titan10, "coinbase", slices)
    assert list(plan_days(titan10, read_days(titan10, slices), repair=True).landed) == slices


def test_a_landing_zone_that_cannot_be_written_raises_and_is_noted_in_the_ledger(make_world: MakeWorld) -> None:
    _, titan10, slices = a_world(make_world)
    titan10.landing.root.parent.mkdir(parents=True, exist_ok=True)
    titan10.landing.root.write_text("a file where the folder should be")
    with pytest.raises(LandingError):
        fetch_and_land(titan10, "binance", slices)
    rows = ledger_rows(titan10, slices)
    assert set(rows) == set(slices)
    assert all(row.present == 0 and "Not a directory" in str(row.note) for row in rows.values())


def test_a_symbol_that_is_not_listed_yet_stops_no_other_symbol_while_the_market_list_fails(
    make_world: MakeWorld,
) -> None:
    world = make_world({"binance": ["BTC/USDT", "NEW/USDT"]})
    titan10 = world.titan10
    refresh_markets(titan10, "binance")
    world.sandbox.fault("binance", "http_500", path="markets")
    slices = titan10.slices("binance", [DAY])
    done = fetch_and_land(titan10, "binance", slices)
    assert "no new list could be read" in str(done.failed["NEW/USDT"])
    store_slices(titan10, slices)
    states = {row.slice.series.symbol: row.state for row in ledger_rows(titan10, slices).values()}
    assert states == {"BTC/USDT": "settled", "NEW/USDT": "partial"}
