"""Clients get their share of the pace, and one breaker for all processes."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from titan10_dagster.errors import Banned
from titan10_dagster.exchanges.pacing import SAFE_SHARE
from titan10_dagster.ingest.clients import breaker_of, health_of, healths_of, live_share_of, open_client
from titan10_dagster.planning.breaker import BreakerState, Health
from titan10_dagster.settings import LiveSettings
from titan10_dagster_tests.world import NOW, MakeWorld


def test_a_ban_is_seen_by_every_breaker_of_the_exchange(make_world: MakeWorld) -> None:
    titan10 = make_world({"binance": ["BTC/USDT"], "okx": ["BTC/USDT"]}).titan10
    assert health_of(titan10, "binance").state is BreakerState.CLOSED
    until = NOW + timedelta(minutes=30)
    asyncio.run(breaker_of(titan10, "binance").learn(Banned("banned", exchange="binance", until=until)))
    health = health_of(titan10, "binance")
    assert (health.state, health.open_until) == (BreakerState.OPEN, until)
    assert healths_of(titan10) == {"binance": health, "okx": Health("okx")}


@pytest.mark.parametrize("enabled", [True, False])
def test_days_are_fetched_with_what_live_polling_leaves(make_world: MakeWorld, enabled: bool) -> None:
    world = make_world({"binance": ["BTC/USDT"]}, settings={"binance": {"paced": True}})
    settings = world.titan10.settings.model_copy(update={"live": LiveSettings(enabled=enabled)})
    object.__setattr__(world.titan10, "settings", settings)
    reserved = live_share_of(world.titan10, "binance") if enabled else 0.0
    default = open_client(world.titan10, "binance", [])
    explicit = open_client(world.titan10, "binance", [], pace_share=SAFE_SHARE - reserved)
    assert default.pacer._interval == pytest.approx(explicit.pacer._interval)
