"""`system/storage` in Dagster, and days past their retention."""

from __future__ import annotations

from datetime import date, timedelta

from titan10_dagster.defs.compose import compose
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.days import read_days
from titan10_dagster.ingest.inspection import unaccounted_slices
from titan10_dagster.settings import TimescaleSettings
from titan10_dagster.store import ledger
from titan10_dagster_tests.world import NOW, MakeWorld, World

FIRST, LAST = date(2024, 2, 1), date(2024, 2, 3)


def keep(world: World, days: int) -> IngestContext:
    settings = world.titan10.settings.model_copy(update={"timescaledb": TimescaleSettings(retention_days=days)})
    object.__setattr__(world.titan10, "settings", settings)
    return world.titan10


def test_days_past_their_retention_go_and_are_not_fetched_again(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    assert not world.backfill("binance", FIRST, LAST).failed
    titan10 = keep(world, (NOW.date() - LAST).days)
    job = compose(titan10).resolve_job_def("storage")
    assert job.execute_in_process(instance=world.instance).success
    (row,) = ledger.coverage(titan10.database, "binance")
    assert (row.first, row.slices) == (LAST, 1)
    assert titan10.exchange("binance").start == LAST
    assert read_days(titan10, titan10.slices("binance", [FIRST, LAST])).unstored() == []
    world.sandbox.clear_requests("binance")
    assert not world.backfill("binance", FIRST, LAST - timedelta(days=1), refresh=True).failed
    assert world.candle_requests("binance") == []
    assert len(world.stored("binance", "BTC/USDT", FIRST, LAST - timedelta(days=1))) == 0
    assert world.equals_truth("binance", LAST, LAST)
    assert unaccounted_slices(titan10, "binance", [FIRST, LAST]) == []


def test_without_a_retention_everything_stays(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    assert not world.backfill("binance", FIRST).failed
    job = compose(world.titan10).resolve_job_def("storage")
    done = job.execute_in_process(instance=world.instance)
    assert done.success
    (check,) = done.get_asset_check_evaluations()
    assert check.passed
    assert world.equals_truth("binance", FIRST, FIRST)
