"""Landed slices on their way to the database."""

from __future__ import annotations

from datetime import date

import pytest

from titan10_dagster.ingest import store
from titan10_dagster.ingest.days import ledger_rows
from titan10_dagster.ingest.fetch import fetch_and_land
from titan10_dagster.ingest.store import judged_slices, refresh_rollups, store_slices
from titan10_dagster.store.writer import WriteReport
from titan10_dagster_tests.world import MakeWorld

DAY = date(2024, 2, 1)


def test_landed_slices_are_stored_and_settled(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT", "ETH/USDT"]})
    slices = world.titan10.slices("binance", [DAY])
    fetch_and_land(world.titan10, "binance", slices)
    assert store_slices(world.titan10, slices).inserted == 2 * 1440
    assert world.equals_truth("binance", DAY, DAY)
    assert {row.state for row in ledger_rows(world.titan10, slices).values()} == {"settled"}


def test_slices_that_did_not_land_are_left_out(make_world: MakeWorld) -> None:
    titan10 = make_world({"binance": ["BTC/USDT"]}).titan10
    assert list(judged_slices(titan10, titan10.slices("binance", [DAY]))) == []
    assert store_slices(titan10, []).inserted == 0


def test_storing_again_changes_nothing(make_world: MakeWorld) -> None:
    titan10 = make_world({"binance": ["BTC/USDT"]}).titan10
    slices = titan10.slices("binance", [DAY])
    fetch_and_land(titan10, "binance", slices)
    store_slices(titan10, slices)
    again = store_slices(titan10, slices)
    assert (again.inserted, again.restated) == (0, 0)


def test_rollups_that_cannot_be_refreshed_cost_no_candle(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    titan10 = make_world({"binance": ["BTC/USDT"]}).titan10

    def refused(*_: object) -> None:
        raise store.StoreError("no room")

    monkeypatch.setattr(store.rollups, "refresh", refused)
    refresh_rollups(titan10, WriteReport({}))
    assert "the rollups were not refreshed" in caplog.text
