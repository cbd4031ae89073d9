"""Runs over many days: resumed, repeated, refreshed, and with a status for every day."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import numpy as np

from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.slices import Slice, days, to_ms
from titan10_dagster.defs.partitions import daily
from titan10_dagster.ingest.days import ledger_rows, read_days
from titan10_dagster.ingest.fetch import fetch_and_land, plan_days
from titan10_dagster.ingest.store import store_slices
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster_tests.world import MakeWorld, World, ticking

FIRST, LAST = date(2024, 2, 1), date(2024, 2, 4)
SYMBOLS = ["BTC/USDT", "ETH/USDT"]


def counts_and_versions(world: World) -> list[tuple[object, ...]]:
    """Every candle with the transaction that wrote it, so that a rewrite shows even if it changes no value."""
    with world.titan10.database.transaction() as cursor:
        cursor.execute("SELECT symbol, time, xmin::text FROM candles ORDER BY 1, 2")
        return list(cursor.fetchall())


def statuses(world: World, asset: str, check: str) -> dict[str | None, bool]:
    """The latest status of a check by partition."""
    history = world.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey(asset.split("/")), check), limit=1000
    )
    latest = {record.partition: record.status.value for record in sorted(history, key=lambda record: record.id)}
    assert "PLANNED" not in latest.values()
    return {partition: status == "SUCCEEDED" for partition, status in latest.items()}


def shown(world: World, asset: str, check: str) -> dict[str, set[str]]:
    """What the UI shows of a check: the partitions of each status."""
    key = dg.AssetCheckKey(dg.AssetKey(asset.split("/")), check)
    partitions = daily()
    state = world.instance.event_log_storage.get_asset_check_state([(key, partitions)])[key]
    return {
        status.value: set(subset.value.get_partition_keys()) for status, subset in state.subsets.items() if subset.size
    }


def metadata(world: World, asset: str) -> dict[str, dict[str, object]]:
    """The metadata of the latest materialization of each partition."""
    records = world.instance.fetch_materializations(dg.AssetKey(asset.split("/")), limit=1000).records
    found: dict[str, dict[str, object]] = {}
    for record in records:
        assert record.asset_materialization is not None
        values = {key: value.value for key, value in record.asset_materialization.metadata.items()}
        found.setdefault(record.partition_key or "", values)
    return found


def test_a_second_backfill_asks_for_nothing_and_changes_no_row(make_world: MakeWorld) -> None:
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


def test_what_a_dead_run_landed_is_stored_without_asking_again(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    slices = world.titan10.slices("binance", days(FIRST, LAST))
    fetch_and_land(world.titan10, "binance", slices[:5])
    world.sandbox.clear_requests("binance")
    assert not world.backfill("binance", FIRST, LAST).failed
    asked = {asked_slice(world, entry["symbol"], entry["since"]) for entry in world.candle_requests("binance")}
    assert not asked & set(slices[:5])
    assert world.equals_truth("binance", FIRST, LAST)


def asked_slice(world: World, symbol: str, since: int) -> Slice:
    (slice_,) = world.titan10.slices("binance", [datetime.fromtimestamp(since / 1000, UTC).date()], [symbol])
    return slice_


def test_every_day_of_a_range_run_has_its_own_status_and_metadata(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    world.sandbox.fault("binance", "high_below_low", symbol="BTC/USDT", count=1, index=10)
    assert not world.backfill("binance", FIRST, LAST).failed
    keys = {str(day) for day in days(FIRST, LAST)}
    for asset, check in (
        ("candles", "valid"),
        ("candles", "on_grid"),
        ("candles", "complete"),
        ("ohlcv", "accounted_for"),
        ("ohlcv", "explained"),
        ("ohlcv", "near_others"),
    ):
        assert keys <= set(statuses(world, f"binance/{asset}", check)), (asset, check)
    assert shown(world, "binance/candles", "on_grid") == {"SUCCEEDED": keys}
    assert {status: len(days) for status, days in shown(world, "binance/candles", "valid").items()} == {
        "SUCCEEDED": 3,
        "FAILED": 1,
    }
    valid = statuses(world, "binance/candles", "valid")
    assert sorted(valid[key] for key in keys) == [False, True, True, True]
    candles, ohlcv = metadata(world, "binance/candles"), metadata(world, "binance/ohlcv")
    assert set(candles) == set(ohlcv) == keys
    assert {row["expected"] for row in ohlcv.values()} == {2 * 1440}
    assert sum(int(str(row["quarantined"])) for row in ohlcv.values()) == 1
    assert sum(int(str(row["requests"])) for row in candles.values()) == len(world.candle_requests("binance"))


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


def test_a_database_that_was_written_past_the_store_is_told(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    assert not world.backfill("binance", FIRST).failed
    with world.titan10.database.transaction() as cursor:
        cursor.execute("DELETE FROM candles WHERE symbol = 'BTC/USDT' AND time = '2024-02-01 05:00+00'")
    assert not world.backfill("binance", FIRST).failed
    assert statuses(world, "binance/ohlcv", "accounted_for")[str(FIRST)] is False


def test_only_the_symbols_asked_for_are_fetched(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    assert not world.backfill("binance", FIRST, symbols=["ETH/USDT"]).failed
    assert {entry["symbol"] for entry in world.candle_requests("binance")} == {"ETH/USDT"}
    known = ledger_rows(world.titan10, world.titan10.slices("binance", [FIRST]))
    assert {slice_.series.symbol for slice_ in known} == {"ETH/USDT"}


def test_a_run_of_one_day_has_a_status_for_it(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    assert not world.backfill("binance", FIRST).failed
    for asset, check in (("candles", "valid"), ("candles", "complete"), ("ohlcv", "accounted_for")):
        assert shown(world, f"binance/{asset}", check) == {"SUCCEEDED": {str(FIRST)}}


def test_symbols_that_were_not_asked_for_are_told_as_missing(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    assert not world.backfill("binance", FIRST, symbols=["ETH/USDT"]).failed
    assert not statuses(world, "binance/candles", "complete")[str(FIRST)]
    assert not statuses(world, "binance/ohlcv", "accounted_for")[str(FIRST)]


def test_a_symbol_that_is_not_configured_is_refused_in_a_sentence(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    done = world.backfill("binance", FIRST, symbols=["ADA/USDT"])
    assert done.failed == (FIRST,)
    assert "exchanges.binance.symbols in titan10.toml names BTC/USDT, ETH/USDT" in done.messages[0]
    assert not world.candle_requests("binance")


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


def test_a_refresh_in_which_a_symbol_fails_is_told_as_incomplete(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    assert not world.backfill("binance", FIRST).failed
    world.sandbox.fault("binance", "unknown_symbol", symbol="ETH/USDT")
    assert world.backfill("binance", FIRST, refresh=True).incomplete == (FIRST,)
