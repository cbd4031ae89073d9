"""The asset `system/health`."""

from __future__ import annotations

import dagster as dg

from titan10_dagster.defs.compose import compose
from titan10_dagster.operate.status import flat, health_report
from titan10_dagster_tests.world import MakeWorld


def test_the_asset_shows_a_row_for_each_exchange(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"], "okx": ["BTC/USDT"]})
    result = compose(world.titan10).resolve_job_def("health").execute_in_process(instance=world.instance)
    assert result.success
    event = world.instance.get_latest_materialization_event(dg.AssetKey(["system", "health"]))
    assert event is not None
    materialization = event.asset_materialization
    assert materialization is not None
    shown = materialization.metadata["exchanges"]
    assert isinstance(shown, dg.TableMetadataValue)
    assert [record.data["exchange"] for record in shown.records] == ["binance", "okx"]
    assert set(shown.records[0].data) == {"exchange", *flat(health_report(world.titan10, world.titan10.now())[1])}
