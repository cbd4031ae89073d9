"""The alert sensor: it always runs, and its message describes the tick."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr

from titan10_dagster.defs.alerts import sentence
from titan10_dagster.defs.compose import compose
from titan10_dagster.operate.alerts import AlertReport
from titan10_dagster.planning.breaker import after_ban
from titan10_dagster.settings import AlertSettings
from titan10_dagster.store.breakers import HealthStore
from titan10_dagster_tests.integration.driving import evaluate
from titan10_dagster_tests.world import DAY, MakeWorld, World


@pytest.fixture
def world(make_world: MakeWorld, tmp_path: Path) -> World:
    world = make_world({"binance": ["BTC/USDT", "ETH/USDT"], "okx": ["BTC/USDT"]})
    change(world, AlertSettings(urls=(SecretStr(f"file://{tmp_path}/alerts.jsonl"),)))
    return world


def change(world: World, alerts: AlertSettings) -> None:
    settings = world.titan10.settings.model_copy(update={"alerts": alerts})
    object.__setattr__(world.titan10, "settings", settings)


def test_a_tick_reports_what_it_sent(world: World) -> None:
    began = datetime.now(UTC) - DAY
    HealthStore(world.titan10.database).apply("okx", lambda health: after_ban(health, began, began + 2 * DAY, "418"))
    object.__setattr__(world.titan10, "now", lambda: datetime.now(UTC))
    ticked = evaluate(world, "send_alerts")
    assert ticked.run_requests == []
    assert "1 notifications were sent" in str(ticked.skip_reason)


def test_the_sensor_runs_without_recipients(world: World) -> None:
    change(world, AlertSettings())
    sensor = compose(world.titan10).resolve_sensor_def("send_alerts")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING


def test_the_sentence_of_a_tick_counts_alerts_and_failures() -> None:
    assert sentence(AlertReport(0, 0, 0)) == "There are no problems that need you."
    assert "2 were not accepted" in sentence(AlertReport(3, 1, 2))
