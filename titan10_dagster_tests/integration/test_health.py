"""The health report of exchanges that were backfilled, polled and refused."""

from __future__ import annotations

from datetime import date, timedelta

import dagster as dg
import pytest

from titan10_dagster.defs.compose import compose
from titan10_dagster.ingest.live import poll_exchanges
from titan10_dagster.ingest.markets import refresh_markets
from titan10_dagster.operate.status import ExchangeHealth, facts, health_report
from titan10_dagster.planning.breaker import BreakerState
from titan10_dagster_tests.integration.driving import go_to
from titan10_dagster_tests.world import NOW, MakeWorld, World

FIRST, LAST = date(2024, 3, 7), date(2024, 3, 9)


def report(world: World) -> dict[str, ExchangeHealth]:
    return {one.exchange: one for one in health_report(world.titan10, world.titan10.now())}


def test_it_tells_what_was_done_and_what_is_missing(make_world: MakeWorld) -> None:
    start = {"start": FIRST}
    world = make_world(
        {"binance": ["BTC/USDT", "ETH/USDT"], "okx": ["BTC/USDT"]}, settings={"binance": start, "okx": start}
    )
    world.backfill("binance", FIRST, LAST)
    world.sandbox.fault("okx", "http_418", retry_after=600)
    poll_exchanges(world.titan10, ["binance", "okx"])
    seen = report(world)
    assert (seen["binance"].history.complete_to, seen["binance"].history.unasked) == (LAST, 0)
    assert (seen["okx"].history.complete_to, seen["okx"].history.unasked) == (None, 3)
    assert seen["binance"].requests == len(world.sandbox.requests("binance"))
    assert 0 < seen["binance"].budget_used < 0.01
    assert timedelta(0) < (seen["binance"].live_lag or timedelta(0)) < timedelta(hours=13)
    assert seen["okx"].live_lag is None
    assert seen["okx"].health.state is BreakerState.OPEN
    assert "418" in str(seen["okx"].health.last_error)
    assert seen["binance"].health.last_error is None


def test_lag_grows_while_nothing_is_polled(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    go_to(world, NOW)
    poll_exchanges(world.titan10, ["binance"])
    lag = report(world)["binance"].live_lag
    go_to(world, NOW + timedelta(hours=1))
    later = report(world)["binance"].live_lag
    assert lag is not None
    assert later is not None
    assert (later - lag).total_seconds() == pytest.approx(3600, abs=1)


def test_a_symbol_that_is_not_listed_is_named_and_misses_no_days(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT", "BTC/USTD"]}, settings={"binance": {"start": FIRST}})
    refresh_markets(world.titan10, "binance")
    seen = report(world)["binance"]
    assert (seen.unlisted, seen.history.unasked) == (("BTC/USTD",), 3)


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
    assert set(shown.records[0].data) == {"exchange", *facts(report(world)["okx"])}
