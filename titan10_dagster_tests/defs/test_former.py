"""Exchanges that were removed from the settings while their days are requested."""

from __future__ import annotations

import dagster as dg
import pytest

from titan10_dagster.dagster_internals.storage import URL_VARIABLE
from titan10_dagster.defs.compose import compose
from titan10_dagster.defs.former import KINDS, former_exchanges
from titan10_dagster.defs.partitions import RANGE_END, RANGE_START, daily_keys
from titan10_dagster_tests.dagster_internals.running_backfills import COMPLETED, REQUESTED, fault_of_target
from titan10_dagster_tests.dagster_internals.test_backfills import add_backfill
from titan10_dagster_tests.instances import dagsters_url, instance  # noqa: F401
from titan10_dagster_tests.world import MakeWorld


@dg.asset(key=["kraken", "markets"])
def markets() -> None:
    """An asset that is never materialized."""


def test_exchanges_of_unfinished_backfills_and_runs_are_found(instance: dg.DagsterInstance) -> None:  # noqa: F811
    assert former_exchanges([]) == ()
    add_backfill(instance, "binance", REQUESTED)
    add_backfill(instance, "okx", REQUESTED)
    add_backfill(instance, "bybit", COMPLETED)
    job = dg.Definitions(assets=[markets]).resolve_implicit_global_asset_job_def()
    run = instance.create_run_for_job(
        job, status=dg.DagsterRunStatus.STARTED, asset_selection=frozenset({dg.AssetKey(["kraken", "markets"])})
    )
    assert former_exchanges(["binance"]) == ("kraken", "okx")
    instance.report_run_canceled(run)
    assert former_exchanges(["binance"]) == ("okx",)


def test_an_asset_of_no_exchange_does_not_become_a_former_exchange(
    make_world: MakeWorld,
    instance: dg.DagsterInstance,  # noqa: F811
) -> None:
    """If two assets had the same key, the code location would not load, and no run would start."""
    definitions = compose(make_world({"binance": ["BTC/USDT"]}).titan10)
    keys = frozenset(definitions.resolve_all_asset_keys())
    assert dg.AssetKey(["rollups", "ohlcv"]) in keys
    job = definitions.resolve_implicit_global_asset_job_def()
    instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, asset_selection=keys)
    assert former_exchanges(["binance"]) == ()


def test_a_code_location_loads_without_tables_and_without_a_database(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in (empty_database_url, "postgresql://127.0.0.1:9/nowhere", ""):
        monkeypatch.setenv(URL_VARIABLE, url)
        assert former_exchanges([]) == ()


def test_a_running_backfill_is_valid_only_with_the_former_exchange(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    days = ["2024-02-01", "2024-02-02"]
    without, with_former = compose(world.titan10, ()), compose(world.titan10, ("okx",))
    for key in daily_keys("okx"):
        assert "no longer does" in (fault_of_target(without, key, days) or "")
        assert fault_of_target(with_former, key, days) is None


def test_its_run_fails_with_one_sentence_and_the_run_of_another_exchange_succeeds(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    definitions = compose(world.titan10, ("okx",))
    results = {}
    for exchange in ("binance", "okx"):
        results[exchange] = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            asset_selection=daily_keys(exchange),
            tags={RANGE_START: "2024-02-01", RANGE_END: "2024-02-02"},
            run_config={"ops": {f"{exchange}__candles": {"config": {"symbols": None}}}},
            raise_on_error=False,
        )
    assert results["binance"].success
    (failure,) = [event for event in results["okx"].all_events if event.is_step_failure]
    stated = failure.step_failure_data.user_failure_data
    assert stated is not None
    assert stated.description is not None
    assert stated.description.startswith("okx was removed from titan10.toml, or switched off")


def test_former_exchanges_have_the_checks_of_the_others_and_policies_of_their_own(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    graph = compose(world.titan10, ("kraken", "okx")).resolve_asset_graph()
    names = {
        key.name
        for key in graph.asset_check_keys
        if key.asset_key.path[0] == "binance" and key.asset_key.path[1] in KINDS
    }
    for former in ("kraken", "okx"):
        assert names == {key.name for key in graph.asset_check_keys if key.asset_key.path[0] == former}
    policies = {graph.get(dg.AssetKey([name, "candles"])).backfill_policy for name in ("binance", "kraken", "okx")}
    assert len(policies) == 3
