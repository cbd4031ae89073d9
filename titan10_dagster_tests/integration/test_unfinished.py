"""A step that failed because of the machine is finished later automatically, for days of any age."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from titan10_dagster.candles.fetched import FetchedSlice
from titan10_dagster.defs import checks, io_managers
from titan10_dagster.errors import DatabaseUnavailable, LandingError
from titan10_dagster.ingest.backlog import days_without_row, open_slices
from titan10_dagster.ingest.days import ledger_rows
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster.settings import AlertSettings
from titan10_dagster_tests.integration.driving import evaluate, go_to, run, tick
from titan10_dagster_tests.world import NOW, MakeWorld, World

# These days are long before any other day of the series. For the ledger alone, they are history that was never
# requested.
FIRST, LAST = date(2024, 1, 10), date(2024, 1, 12)
SYMBOLS = ["BTC/USDT", "ETH/USDT"]


def failing(times: int, call: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    """Return a function that raises the error at its first `times` calls and later calls `call`."""
    left = [times]

    def instead(*arguments: Any) -> Any:
        if left[0] > 0:
            left[0] -= 1
            raise error
        return call(*arguments)

    return instead


def repaired(world: World) -> list[tuple[str, str]]:
    """Tick the repair sensor, execute its requests, and return the days of each request."""
    ranges = []
    for request in tick(world):
        first, last = (
            request.tags["dagster/asset_partition_range_start"],
            request.tags["dagster/asset_partition_range_end"],
        )
        ranges.append((first, last))
        assert run(world, request)
    return ranges


AWAY = DatabaseUnavailable("the database cannot be used now: the server is in recovery mode")


def test_landed_days_that_were_not_stored_are_stored_even_if_they_are_the_oldest(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world({"binance": SYMBOLS})
    # The write fails in the first try of the step and in its only repetition.
    monkeypatch.setattr(io_managers, "store_slices", failing(2, io_managers.store_slices, AWAY))
    done = world.backfill("binance", FIRST, LAST)
    assert done.failed == (FIRST, FIRST + timedelta(days=1), LAST)
    assert "the server is in recovery mode" in done.messages[0]
    assert days_without_row(world.titan10).holes == ()
    world.sandbox.clear_requests("binance")
    assert repaired(world) == [(str(FIRST), str(LAST))]
    assert world.equals_truth("binance", FIRST, LAST)
    assert world.candle_requests("binance") == []
    assert tick(world) == ()


def test_a_check_that_cannot_be_executed_keeps_nothing_from_being_stored(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world({"binance": SYMBOLS})
    monkeypatch.setattr(checks, "inspect_slices", failing(2, checks.inspect_slices, AWAY))
    assert world.backfill("binance", FIRST, LAST).failed
    assert world.equals_truth("binance", FIRST, LAST)
    (run,) = world.instance.get_runs()
    assert checks.EXECUTED_AGAIN.items() <= run.tags.items()


def test_a_bug_in_a_check_keeps_nothing_from_being_stored_either(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world({"binance": SYMBOLS})
    monkeypatch.setattr(checks, "inspect_slices", failing(2, checks.inspect_slices, ZeroDivisionError()))
    assert world.backfill("binance", FIRST, LAST).failed
    assert world.equals_truth("binance", FIRST, LAST)


def test_a_store_step_that_fails_once_is_tried_again_within_its_run(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world({"binance": SYMBOLS})
    monkeypatch.setattr(io_managers, "store_slices", failing(1, io_managers.store_slices, AWAY))
    assert not world.backfill("binance", FIRST, LAST).failed
    assert world.equals_truth("binance", FIRST, LAST)


class FullDisk(LandingZone):
    """A landing zone on a disk that is full from the fourth file on, until space is freed."""

    room = 3

    def write(self, fetched: FetchedSlice) -> FetchedSlice:
        if self.room <= 0:
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise LandingError(f"cannot land {fetched.record.slice}: {full}") from full
        self.room -= 1
        return super().write(fetched)


def test_a_full_disk_is_retried_noted_and_repaired_when_there_is_room(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    disk = FullDisk(world.titan10.landing.root)
    object.__setattr__(world.titan10, "landing", disk)
    done = world.backfill("binance", FIRST, LAST)
    assert done.failed == (FIRST, FIRST + timedelta(days=1), LAST)
    assert "No space left on device" in done.messages[0]
    rows = ledger_rows(world.titan10, world.titan10.slices("binance", [FIRST, LAST]))
    assert {row.state.value for row in rows.values()} == {"partial"}
    assert all("No space left on device" in str(row.note) for row in rows.values())
    assert open_slices(world.titan10)
    disk.room = 100
    go_to(world, NOW + timedelta(minutes=10))
    assert repaired(world) == [(str(FIRST), str(LAST))]
    assert world.equals_truth("binance", FIRST, LAST)


def test_a_failed_run_of_some_symbols_is_repaired_for_these(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world({"binance": SYMBOLS})
    monkeypatch.setattr(io_managers, "store_slices", failing(2, io_managers.store_slices, AWAY))
    assert world.backfill("binance", FIRST, symbols=["ETH/USDT"]).failed
    (request,) = tick(world)
    assert request.run_config["ops"]["binance__candles"]["config"]["symbols"] == ["ETH/USDT"]


def test_days_that_stay_undone_after_a_failed_run_are_an_alert_until_they_are_stored(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = make_world({"binance": SYMBOLS})
    letters = tmp_path / "alerts.jsonl"
    alerts = AlertSettings(urls=(SecretStr(f"file://{letters}"),))
    object.__setattr__(world.titan10, "settings", world.titan10.settings.model_copy(update={"alerts": alerts}))
    monkeypatch.setattr(io_managers, "store_slices", failing(2, io_managers.store_slices, AWAY))
    assert world.backfill("binance", FIRST, LAST).failed
    failed = datetime.now(UTC)  # Dagster records the end of a run with the machine's clock

    def sent_after(hours: float) -> list[str]:
        """Tick the alert sensor every half hour, until `hours` after the failure.

        Return the titles of all messages so far.
        """
        while ticks[-1] < hours:
            ticks.append(ticks[-1] + 0.5)
            go_to(world, failed + timedelta(hours=ticks[-1]))
            evaluate(world, "send_alerts")
        return [json.loads(line)["title"] for line in letters.read_text().splitlines()] if letters.exists() else []

    ticks = [0.0]
    assert sent_after(13) == []
    assert sent_after(14.5) == ["Titan-10: binance: days not stored"]
    assert repaired(world) == [(str(FIRST), str(LAST))]
    assert sent_after(16) == ["Titan-10: binance: days not stored", "Titan-10: binance: days not stored: ended"]
    assert world.equals_truth("binance", FIRST, LAST)


def test_history_that_was_never_requested_is_left_to_backfills(make_world: MakeWorld) -> None:
    world = make_world({"binance": SYMBOLS})
    assert not world.backfill("binance", FIRST, LAST).failed
    assert tick(world) == ()
    assert "Nothing to repair now" in str(evaluate(world).skip_reason)
