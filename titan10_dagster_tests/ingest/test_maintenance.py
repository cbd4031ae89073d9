"""Maintenance of stored data on plain PostgreSQL; `store/` tests it on TimescaleDB."""

from __future__ import annotations

from datetime import date

from titan10_dagster.ingest.maintenance import apply_policies, catch_up_rollups, drop_old_candles, read_storage
from titan10_dagster.settings import TimescaleSettings
from titan10_dagster_tests.world import NOW, MakeWorld

OLD, RECENT = date(2024, 2, 1), date(2024, 3, 1)


def test_without_timescaledb_there_are_no_chunks_and_no_policies(make_world: MakeWorld) -> None:
    titan10 = make_world({"binance": ["BTC/USDT"]}).titan10
    catch_up_rollups(titan10)
    assert apply_policies(titan10) == []
    assert read_storage(titan10) is None


def test_candles_are_kept_for_ever_by_default(make_world: MakeWorld) -> None:
    titan10 = make_world({"binance": ["BTC/USDT"]}).titan10
    assert drop_old_candles(titan10) is None


def test_only_candles_past_their_retention_are_dropped(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    for day in (OLD, RECENT):
        assert not world.backfill("binance", day).failed
    kept = TimescaleSettings(retention_days=(NOW.date() - RECENT).days)
    object.__setattr__(world.titan10, "settings", world.titan10.settings.model_copy(update={"timescaledb": kept}))
    dropped = drop_old_candles(world.titan10)
    assert dropped is not None
    assert dropped.before == RECENT
    assert len(world.stored("binance", "BTC/USDT", OLD, OLD)) == 0
    assert world.equals_truth("binance", RECENT, RECENT)
