"""If an archive is enabled, the repair sensor or the autopilot requests the days that REST no longer serves."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from titan10_dagster.candles.gaps import Reason
from titan10_dagster.planning.autopilot import Order
from titan10_dagster.settings import AutopilotSettings
from titan10_dagster.store import ledger
from titan10_dagster_tests.integration.driving import go_to, run, tick
from titan10_dagster_tests.world import MakeWorld, World

NOW = datetime(2025, 4, 20, 12, tzinfo=UTC)
FIRST, LAST = date(2025, 3, 10), date(2025, 3, 13)


def a_world(make_world: MakeWorld) -> World:
    """Return a world of Gate without its archive.

    Gate serves 10,000 minutes by REST, so days of March are beyond its horizon.
    """
    world = make_world({"gate": ["BTC/USDT", "ETH/USDT"]}, clock=NOW, settings={"gate": {"start": FIRST}})
    go_to(world, NOW)
    world.backfill("gate", FIRST, LAST)
    assert missing(world) == {Reason.BEYOND_HORIZON: 2 * 4 * 1440}
    return world


def missing(world: World) -> dict[Reason, int]:
    counts: dict[Reason, int] = {}
    for row in ledger.coverage(world.titan10.database, "gate", FIRST, LAST):
        for reason, count in row.missing.items():
            counts[reason] = counts.get(reason, 0) + count
    return {reason: count for reason, count in counts.items() if count}


def enable_archive(world: World, *, autopilot: bool = False) -> None:
    world.titan10.settings.exchanges["gate"].__dict__["sources"] = ("archive", "rest")
    world.titan10.settings.__dict__["autopilot"] = AutopilotSettings(enabled=autopilot, order=Order.OLDEST_FIRST)


def requested_days(world: World, sensor: str) -> set[str]:
    """Return the days from FIRST to LAST that the sensor requests.

    Later days have no ledger row and count as history.
    """
    days = set()
    for request in tick(world, sensor):
        first = date.fromisoformat(request.tags["dagster/asset_partition_range_start"])
        last = date.fromisoformat(request.tags["dagster/asset_partition_range_end"])
        while first <= min(last, LAST):
            days.add(str(first))
            first += timedelta(days=1)
    return days


def test_the_repair_sensor_requests_them_once_an_archive_is_enabled(make_world: MakeWorld) -> None:
    world = a_world(make_world)
    assert tick(world) == ()
    enable_archive(world)
    (request,) = tick(world)
    assert request.tags["dagster/asset_partition_range_start"] == str(FIRST)
    assert request.tags["dagster/asset_partition_range_end"] == str(LAST)
    assert run(world, request)
    assert missing(world) == {}
    assert world.equals_truth("gate", FIRST, LAST)
    go_to(world, NOW + timedelta(days=1, minutes=1))
    assert requested_days(world, "repair_gaps") == set()


@pytest.mark.parametrize("sensor", ["repair_gaps", "autopilot"])
def test_days_without_a_file_are_never_requested_again(make_world: MakeWorld, sensor: str) -> None:
    world = a_world(make_world)
    enable_archive(world, autopilot=sensor == "autopilot")
    world.sandbox.files["gate"].defect("missing")
    while requests := [request for request in tick(world, sensor) if _is_old(request.tags)]:
        for request in requests:
            assert run(world, request)
    assert missing(world) == {Reason.BEYOND_HORIZON: 2 * 4 * 1440}
    asked = len(world.sandbox.files["gate"].served)
    assert asked >= 2 * 4
    for days in (1, 7, 40):
        go_to(world, NOW + timedelta(days=days, minutes=5))
        assert requested_days(world, sensor) == set(), days


@pytest.mark.parametrize("defect", ["forbidden", "html", "truncated_bytes"])
def test_days_that_the_archive_could_not_serve_are_requested_a_day_later(make_world: MakeWorld, defect: str) -> None:
    """The page of a proxy or half a file say nothing about the candles of the archive. Gate publishes no digests."""
    world = a_world(make_world)
    enable_archive(world)
    world.sandbox.files["gate"].defect(defect)
    (request,) = tick(world)
    assert run(world, request)
    assert missing(world) == {Reason.BEYOND_HORIZON: 2 * 4 * 1440}
    go_to(world, NOW + timedelta(hours=6))
    assert requested_days(world, "repair_gaps") == set()
    world.sandbox.files["gate"].clear()
    go_to(world, NOW + timedelta(days=1, minutes=5))
    (request, *_) = [request for request in tick(world) if _is_old(request.tags)]
    assert run(world, request)
    assert missing(world) == {}


def test_the_autopilot_requests_them_if_it_is_enabled(make_world: MakeWorld) -> None:
    world = a_world(make_world)
    enable_archive(world, autopilot=True)
    assert tick(world) == ()
    while requests := tick(world, "autopilot"):
        for request in requests:
            assert run(world, request)
    assert missing(world) == {}
    assert world.equals_truth("gate", FIRST, LAST)


def _is_old(tags: object) -> bool:
    assert isinstance(tags, dict)
    return str(tags["dagster/asset_partition_range_start"]) <= str(LAST)
