"""Runs of many days are resumed, repeated and refreshed, and every day has a status."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np

from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.slices import days, to_ms
from titan10_dagster.ingest.days import read_days
from titan10_dagster.ingest.fetch import fetch_and_land, plan_days
from titan10_dagster.ingest.store import store_slices
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster_tests.integration.results import asked_slice, metadata, statuses
from titan10_dagster_tests.world import MakeWorld, World, ticking

FIRST, LAST = date(2024, 2, 1), date(2024, 2, 4)
SYMBOLS = ["BTC/USDT", "ETH/USDT"]


def counts_and_versions(world: World) -> list[tuple[object, ...]]:
    """Return every candle with the transaction that wrote it. This shows a rewrite even if no value changes."""
    with world.titan10.database.transaction() as cursor:
        cursor.execute("SELECT symbol, time, xmin::text FROM candles ORDER BY 1, 2")
        return list(cursor.fetchall())


def test_a_second_backfill_requests_nothing_and_changes_no_row(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    assert not world.backfill("binance", FIRST, LAST).failed
    before = counts_and_versions(world)
    world.sandbox.clear_requests("binance")
    assert not world.backfill("binance", FIRST, LAST).failed
    assert not world.sandbox.requests("binance")
    assert counts_and_versions(world) == before


def test_a_refresh_fetches_again_and_keeps_both_values_of_a_rewritten_candle(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    assert not world.backfill("binance", FIRST, LAST).failed
    at = datetime(2024, 2, 2, 3, 4, tzinfo=UTC)
    old = world.sandbox.truth("binance", "BTC/USDT", at, at + timedelta(minutes=1))[0]
    world.sandbox.fault("binance", "restate", symbol="BTC/USDT", time=at.isoformat())
    new = world.sandbox.truth("binance", "BTC/USDT", at, at + timedelta(minutes=1))[0]
    assert not np.array_equal(old, new)
    world.sandbox.clear_requests("binance")
    assert not world.backfill("binance", FIRST, LAST, refresh=True).failed
    assert world.candle_requests("binance")
    assert world.equals_truth("binance", FIRST, LAST)
    with world.titan10.database.transaction() as cursor:
        cursor.execute(
            "SELECT symbol, time, old_open, old_high, old_low, old_close, old_volume,"
            " new_open, new_high, new_low, new_close, new_volume FROM restatements"
        )
        assert cursor.fetchall() == [("BTC/USDT", at, *old[1:].tolist(), *new[1:].tolist())]


def test_a_refetch_that_comes_back_short_loses_no_candle(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    assert not world.backfill("binance", FIRST).failed
    stored = world.stored("binance", "BTC/USDT", FIRST, FIRST)
    world.sandbox.fault("binance", "lost_rows", rows=30)
    assert not world.backfill("binance", FIRST, refresh=True).failed
    assert np.array_equal(world.stored("binance", "BTC/USDT", FIRST, FIRST), stored)


def test_every_missing_minute_is_in_the_ledger_with_a_reason(make_world: MakeWorld) -> None:
    world = make_world({"coinbase": ["ALGO/USD"]})
    assert not world.backfill("coinbase", FIRST, LAST).failed
    truth = world.truth("coinbase", "ALGO/USD", FIRST, LAST)
    with world.titan10.database.transaction() as cursor:
        cursor.execute("SELECT count(*), min(reason), max(reason) FROM missing_minutes")
        assert cursor.fetchall() == [(4 * 1440 - len(truth), Reason.UNKNOWN, Reason.UNKNOWN)]
    assert not statuses(world, "coinbase/candles", "complete")[str(FIRST)]


def test_days_before_the_exchanges_start_are_green_and_cost_nothing(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS, "okx": SYMBOLS}, settings={"okx": {"start": LAST}})
    done = world.backfill("okx", FIRST, LAST)
    assert not done.failed
    assert not done.incomplete
    assert set(metadata(world, "okx/ohlcv")) == {str(day) for day in days(FIRST, LAST)}
    assert all(
        asked_slice(world, entry["symbol"], entry["since"]).day == LAST for entry in world.candle_requests("okx")
    )
    assert not len(world.stored("okx", "BTC/USDT", FIRST, LAST - timedelta(days=1)))
    assert world.equals_truth("okx", LAST, LAST)


def test_a_day_that_was_fetched_while_it_ran_is_fetched_whole_later(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    noon, later = datetime(2024, 2, 1, 12, tzinfo=UTC), datetime(2024, 2, 2, 12, tzinfo=UTC)
    for now in (noon, later):
        world.sandbox.clock.stop_at(to_ms(now))
        object.__setattr__(world.titan10, "now", ticking(now))
        slices = world.titan10.slices("binance", [FIRST])
        plan = plan_days(world.titan10, read_days(world.titan10, slices))
        fetch_and_land(world.titan10, "binance", plan.fetch)
        store_slices(world.titan10, read_days(world.titan10, slices).unstored())
    assert world.equals_truth("binance", FIRST, FIRST)


def test_a_landed_file_that_is_older_than_what_is_stored_changes_nothing(make_world: MakeWorld, tmp_path: Path) -> None:
    world = make_world({"binance": SYMBOLS})
    assert not world.backfill("binance", FIRST).failed
    former = world.titan10
    world.titan10 = replace(world.titan10, landing=LandingZone(tmp_path / "another"))
    world.sandbox.fault("binance", "restate", symbol="BTC/USDT", time="2024-02-01T03:04:00+00:00")
    assert not world.backfill("binance", FIRST, refresh=True).failed
    world.titan10 = former
    assert not world.backfill("binance", FIRST).failed
    assert world.equals_truth("binance", FIRST, FIRST)
