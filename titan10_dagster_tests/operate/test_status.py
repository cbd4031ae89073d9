"""The health report of exchanges that were backfilled, polled and refused."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from titan10_dagster.ingest.live import poll_exchanges
from titan10_dagster.ingest.markets import refresh_markets
from titan10_dagster.operate.status import ExchangeHealth, flat, health_report
from titan10_dagster.planning.breaker import BreakerState
from titan10_dagster_tests.integration.driving import go_to
from titan10_dagster_tests.operate.test_alerts import change
from titan10_dagster_tests.world import NOW, MakeWorld, World

FIRST, LAST = date(2024, 3, 7), date(2024, 3, 9)


def report(world: World) -> dict[str, ExchangeHealth]:
    return {row.exchange: row for row in health_report(world.titan10, world.titan10.now())}


def test_it_reports_stored_days_missing_days_and_errors(make_world: MakeWorld) -> None:
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


def test_a_flat_row_has_only_plain_values(make_world: MakeWorld) -> None:
    """`titan10 status --json` and the asset's table use the row unchanged."""
    world = make_world({"binance": ["BTC/USDT"]})
    poll_exchanges(world.titan10, ["binance"])
    row = flat(report(world)["binance"])
    plain = str | int | float | date | list | dict | None
    assert all(isinstance(value, plain) for value in row.values()), row
    assert row["live_lag_seconds"] == pytest.approx(NOW.second, abs=60)
    assert row["stored"] > 0
    assert row["breaker"] == "closed"


def test_an_exchange_that_left_the_settings_is_shown_while_its_candles_are_stored(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"], "okx": ["BTC/USDT"]})
    world.backfill("okx", LAST)
    change(world, exchanges={"binance": world.titan10.settings.exchanges["binance"]})
    seen = report(world)
    assert (seen["okx"].enabled, seen["okx"].history.present) == (False, 1440)
