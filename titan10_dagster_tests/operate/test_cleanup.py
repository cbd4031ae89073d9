from __future__ import annotations

import os
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from titan10_dagster.candles.slices import Slice
from titan10_dagster.ingest.fetch import fetch_and_land
from titan10_dagster.ingest.store import store_slices
from titan10_dagster.landing.leftovers import Kind
from titan10_dagster.operate.cleanup import Freed, clear_archives, clear_landing
from titan10_dagster.settings import HousekeepingSettings, TimescaleSettings
from titan10_dagster_tests.world import DAY, NOW, MakeWorld, World

MONDAY = NOW.date() - 2 * DAY


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world({"binance": ["BTC/USDT", "ETH/USDT"]})


def slices(world: World) -> list[Slice]:
    return world.titan10.slices("binance", [MONDAY])


def fetch(world: World, *, store: bool) -> list[Path]:
    """Land the day, store it if `stored` is True, and return the files."""
    fetch_and_land(world.titan10, "binance", slices(world))
    if store:
        store_slices(world.titan10, slices(world))
    paths = [world.titan10.landing.path(slice_) for slice_ in slices(world)]
    for path in paths:
        age(path, NOW)
    return paths


def age(path: Path, instant: datetime) -> Path:
    os.utime(path, (instant.timestamp(), instant.timestamp()))
    return path


def later(world: World, days: float) -> None:
    instant = NOW + timedelta(days=days)
    object.__setattr__(world.titan10, "now", lambda: instant)


def test_landed_files_go_ninety_days_after_they_landed_if_the_database_has_them(world: World) -> None:
    paths = fetch(world, store=True)
    later(world, 89)
    assert clear_landing(world.titan10)[Kind.LANDED] == Freed()
    later(world, 91)
    freed = clear_landing(world.titan10)[Kind.LANDED]
    assert freed.files == 2
    assert freed.bytes > 10_000
    assert not any(path.exists() for path in paths)
    assert world.equals_truth("binance", MONDAY, MONDAY)


def test_a_landed_file_that_was_never_stored_stays_for_ever(world: World) -> None:
    paths = fetch(world, store=False)
    later(world, 1000)
    clear_landing(world.titan10)
    assert all(path.exists() for path in paths)


def start_on(world: World, day: date) -> None:
    exchanges = world.titan10.settings.exchanges
    exchanges["binance"] = exchanges["binance"].model_copy(update={"start": day})


def test_a_file_never_stored_is_kept_even_if_the_exchange_starts_later(world: World) -> None:
    paths = fetch(world, store=False)
    start_on(world, MONDAY + DAY)
    later(world, 1000)
    clear_landing(world.titan10)
    assert all(path.exists() for path in paths)


def test_a_stored_file_is_removed_after_its_retention_even_if_the_exchange_starts_later(world: World) -> None:
    fetch(world, store=True)
    start_on(world, MONDAY + DAY)
    later(world, 91)
    assert clear_landing(world.titan10)[Kind.LANDED].files == 2


def test_a_file_of_a_day_past_retention_goes_whether_it_was_stored_or_not(world: World) -> None:
    paths = fetch(world, store=False)
    keep = world.titan10.settings.model_copy(update={"timescaledb": TimescaleSettings(retention_days=100)})
    object.__setattr__(world.titan10, "settings", keep)
    later(world, 95)
    assert clear_landing(world.titan10)[Kind.LANDED].files == 0
    later(world, 100)
    assert clear_landing(world.titan10)[Kind.LANDED].files == 2
    assert not any(path.exists() for path in paths)


def test_a_file_landed_again_since_the_ledger_settled_its_slice_stays(world: World) -> None:
    fetch(world, store=True)
    later(world, 1)
    paths = fetch(world, store=False)
    later(world, 1000)
    clear_landing(world.titan10)
    assert all(path.exists() for path in paths)


def test_a_day_whose_file_was_cleared_away_costs_no_request_and_is_green(world: World) -> None:
    assert not world.backfill("binance", MONDAY).failed
    for slice_ in slices(world):
        age(world.titan10.landing.path(slice_), NOW)
    later(world, 91)
    assert clear_landing(world.titan10)[Kind.LANDED].files == 2
    requests = len(world.candle_requests("binance"))
    assert not world.backfill("binance", MONDAY).failed
    assert len(world.candle_requests("binance")) == requests


def test_an_exchange_that_is_configured_no_more_keeps_what_was_never_stored_and_stops_nothing(
    make_world: MakeWorld,
) -> None:
    world = make_world({"binance": ["BTC/USDT", "ETH/USDT"], "okx": ["BTC/USDT"]})
    paths = fetch(world, store=False)
    (landed,) = world.titan10.slices("okx", [MONDAY])
    fetch_and_land(world.titan10, "okx", [landed])
    store_slices(world.titan10, [landed])
    age(world.titan10.landing.path(landed), NOW)
    del world.titan10.settings.exchanges["binance"]
    later(world, 1000)
    assert clear_landing(world.titan10)[Kind.LANDED].files == 1
    assert all(path.exists() for path in paths)


def test_files_of_killed_writers_and_unreadable_files_are_removed_after_their_retention(world: World) -> None:
    (path, _) = fetch(world, store=True)
    torn, corrupt = path.with_name(f".{path.name}.0badcafe.tmp"), path.with_name(f"{path.name}.corrupt")
    for broken in (torn, corrupt):
        broken.write_bytes(b"PAR1")
        age(broken, NOW)
    later(world, 2)
    assert clear_landing(world.titan10)[Kind.TEMPORARY].files == 1
    assert (torn.exists(), corrupt.exists()) == (False, True)
    later(world, 31)
    assert clear_landing(world.titan10)[Kind.UNREADABLE] == Freed(1, 4)
    assert path.exists()


@pytest.mark.parametrize("stored", [True, False])
def test_a_former_file_goes_only_when_the_database_has_each_of_its_candles(world: World, stored: bool) -> None:
    (path, _) = fetch(world, store=stored)
    whole = world.titan10.landing.read(slices(world)[0])
    assert whole is not None
    world.titan10.landing.write(type(whole)(whole.record, whole.candles.cut(10, 1440)))
    (former,) = path.parent.glob("*.old")
    age(former, NOW)
    later(world, 31)
    assert clear_landing(world.titan10)[Kind.SUPERSEDED].files == (1 if stored else 0)
    assert former.exists() is not stored


def test_nothing_is_cleared_away_where_the_settings_keep_it_for_ever(world: World) -> None:
    keep = HousekeepingSettings(landing_days=0, evidence_days=0)
    settings = world.titan10.settings.model_copy(update={"housekeeping": keep})
    object.__setattr__(world.titan10, "settings", settings)
    paths = fetch(world, store=True)
    later(world, 5000)
    clear_landing(world.titan10)
    assert all(path.exists() for path in paths)


def test_a_night_clears_so_much_and_the_next_one_the_rest(world: World) -> None:
    paths = fetch(world, store=True)
    later(world, 91)
    assert [clear_landing(world.titan10, most=1)[Kind.LANDED].files for _ in range(3)] == [1, 1, 0]
    assert not any(path.exists() for path in paths)


def test_an_empty_folder_goes_when_nothing_was_written_to_it_for_a_day(world: World) -> None:
    (path, *_) = fetch(world, store=True)
    later(world, 91)
    clear_landing(world.titan10)
    assert path.parent.is_dir()
    age(path.parent, NOW)
    clear_landing(world.titan10)
    assert not path.parent.exists()


def test_a_landing_zone_that_was_never_used_is_clear(world: World) -> None:
    assert set(clear_landing(world.titan10).values()) == {Freed()}


def test_archive_files_are_removed_by_the_settings(world: World) -> None:
    folder = world.titan10.settings.archives / "host"
    folder.mkdir(parents=True)
    for name, days in (("old.zip", 31), ("young.zip", 29)):
        for path in (folder / name, folder / f"{name}.source.json"):
            path.write_bytes(b"0" * 100)
            age(path, NOW - days * DAY)
    assert clear_archives(world.titan10) == Freed(1, 100)
    assert sorted(path.name for path in folder.iterdir()) == ["young.zip", "young.zip.source.json"]
