"""The assets of an exchange: the symbols that a run fetches, and the markets that are shown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import dagster as dg
import pytest

from titan10_dagster.defs.assets import checked_symbols, summary
from titan10_dagster.defs.compose import compose
from titan10_dagster.defs.partitions import PARTITION, daily_keys
from titan10_dagster.errors import SettingsError
from titan10_dagster.ingest.days import ledger_rows, read_days
from titan10_dagster.ingest.fetch import plan_days
from titan10_dagster_tests.integration.results import statuses
from titan10_dagster_tests.world import MakeWorld, World

FIRST = date(2024, 2, 1)
SYMBOLS = ["BTC/USDT", "ETH/USDT"]
DAY = {PARTITION: "2024-02-01"}


def test_the_symbols_of_a_run_are_those_of_its_config_or_all() -> None:
    assert checked_symbols("binance", SYMBOLS, None) == SYMBOLS
    assert checked_symbols("binance", SYMBOLS, ["ETH/USDT"]) == ["ETH/USDT"]
    with pytest.raises(SettingsError, match=r"titan10\.toml: ADA/USDT\. exchanges\.binance\.symbols"):
        checked_symbols("binance", SYMBOLS, ["ETH/USDT", "ADA/USDT"])
    with pytest.raises(SettingsError, match="The list `symbols` in the configuration of the run is empty"):
        checked_symbols("binance", SYMBOLS, [])


def metadata_of_markets(world: World) -> Mapping[str, dg.MetadataValue[Any]]:
    """Materialize `binance/markets`, and return the metadata of the materialization."""
    job = compose(world.titan10).resolve_implicit_global_asset_job_def()
    key = dg.AssetKey(["binance", "markets"])
    assert job.execute_in_process(instance=world.instance, asset_selection=[key]).success
    event = world.instance.get_latest_materialization_event(key)
    assert event is not None
    assert event.asset_materialization is not None
    return event.asset_materialization.metadata


def test_the_markets_asset_names_the_symbols_that_the_exchange_does_not_list(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT", "NOSUCH/USDT"]})
    shown = metadata_of_markets(world)
    assert shown["unlisted"].value == ["NOSUCH/USDT"]
    table = shown["configured"]
    assert isinstance(table, dg.TableMetadataValue)
    assert [record.data["symbol"] for record in table.records] == ["BTC/USDT"]


def test_the_markets_asset_names_the_records_that_cannot_be_read(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    world.sandbox.fault("binance", "bad_markets")
    shown = metadata_of_markets(world)
    skipped = shown["skipped_records"].value
    assert isinstance(skipped, list)
    assert len(skipped) == 4
    assert shown["unlisted"].value == []


def test_the_plan_of_a_run_is_one_sentence(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    plan = plan_days(world.titan10, read_days(world.titan10, world.titan10.slices("binance", [FIRST])))
    assert summary(plan).startswith("2 slices to fetch; 0 are settled, 0 are in the landing zone")


def test_only_the_requested_symbols_are_fetched(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    assert not world.backfill("binance", FIRST, symbols=["ETH/USDT"]).failed
    assert {entry["symbol"] for entry in world.candle_requests("binance")} == {"ETH/USDT"}
    known = ledger_rows(world.titan10, world.titan10.slices("binance", [FIRST]))
    assert {slice_.series.symbol for slice_ in known} == {"ETH/USDT"}


def test_symbols_that_were_not_requested_are_reported_as_missing(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    assert not world.backfill("binance", FIRST, symbols=["ETH/USDT"]).failed
    assert not statuses(world, "binance/candles", "complete")[str(FIRST)]
    assert not statuses(world, "binance/ohlcv", "accounted_for")[str(FIRST)]


def test_a_symbol_that_is_not_configured_is_refused_in_a_sentence(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    done = world.backfill("binance", FIRST, symbols=["ADA/USDT"])
    assert done.failed == (FIRST,)
    assert "exchanges.binance.symbols in titan10.toml is BTC/USDT, ETH/USDT" in done.messages[0]
    assert not world.candle_requests("binance")


@pytest.mark.parametrize(
    ("config", "tags", "sentence"),
    [
        ({"symbols": ["BCT/USDT"]}, DAY, "The run requests symbols that are not in titan10.toml: BCT/USDT"),
        ({"sources": ["rests"]}, DAY, "sources: 'rests' is not a source of candles"),
        ({}, {}, "The run has no days. Choose a partition"),
    ],
)
def test_a_run_that_cannot_be_fails_with_one_sentence(
    make_world: MakeWorld, config: dict[str, object], tags: dict[str, str], sentence: str
) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    job = compose(world.titan10).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        asset_selection=daily_keys("binance"),
        run_config={"ops": {"binance__candles": {"config": config}}},
        tags=tags,
        raise_on_error=False,
    )
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    stated = failed.step_failure_data.user_failure_data
    assert stated is not None
    assert (stated.description or "").startswith(sentence)
    assert not world.sandbox.requests("binance")
