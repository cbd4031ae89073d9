"""An archive is the only source of an exchange. Days that it does not have completely get a final state."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.slices import midnight
from titan10_dagster.ingest.backlog import reopened_by_archives
from titan10_dagster.ingest.fetch import fetch_and_land
from titan10_dagster.operate.alerts import conditions
from titan10_dagster.planning.missing_days import Stretch
from titan10_dagster.store import ledger
from titan10_dagster.store.ledger import LedgerRow
from titan10_dagster_tests.integration.driving import go_to, run, tick
from titan10_dagster_tests.world import MakeWorld, World

NOW = datetime(2025, 4, 20, 2, tzinfo=UTC)
FIRST, LAST = date(2025, 4, 10), date(2025, 4, 14)
DAY = timedelta(days=1)
RANGE_START = "dagster/asset_partition_range_start"


def a_world(make_world: MakeWorld, sources: tuple[str, ...] = ("archive",)) -> World:
    world = make_world({"binance": ["BTC/USDT"]}, clock=NOW, settings={"binance": {"start": FIRST, "sources": sources}})
    go_to(world, NOW)
    return world


def rows(world: World, first: date, last: date) -> dict[date, LedgerRow]:
    return {row.slice.day: row for row in read_rows(world, "binance", first, last)}


def read_rows(world: World, exchange: str, first: date, last: date) -> list[LedgerRow]:
    timeframe = world.titan10.exchange(exchange).timeframe
    return list(ledger.slices(world.titan10.database, exchange, timeframe, ["BTC/USDT"], first, last))


def test_a_day_without_a_file_becomes_final_and_is_not_requested_again(make_world: MakeWorld) -> None:
    world = a_world(make_world)
    world.sandbox.files["binance"].defect("missing", match="2025-04-12")
    world.backfill("binance", FIRST, LAST)
    row = rows(world, FIRST, LAST)[date(2025, 4, 12)]
    assert (row.state, row.missing) == ("settled", {Reason.BEYOND_HORIZON: 1440})
    assert str(row.note).endswith("is not in the archive; the settings list no other source")
    for days in (1, 2, 8, 40):
        go_to(world, NOW + days * DAY)
        assert not [request for request in tick(world) if request.tags[RANGE_START] <= str(LAST)]
    assert not [condition for condition in conditions(world.titan10, NOW + 40 * DAY) if condition.kind == "gaps"]


def test_a_file_that_lacks_minutes_is_final_and_its_candles_are_stored(make_world: MakeWorld) -> None:
    world = a_world(make_world)
    world.sandbox.files["binance"].defect("hole", match="2025-04-12")
    world.backfill("binance", FIRST, LAST)
    row = rows(world, FIRST, LAST)[date(2025, 4, 12)]
    assert row.state == "settled"
    assert row.present == 1380
    assert row.missing == {Reason.BEYOND_HORIZON: 60}
    assert row.source == "archive"


@pytest.mark.parametrize("defect", ["conflicts", "none"])
def test_rows_that_break_a_rule_become_final(make_world: MakeWorld, defect: str) -> None:
    world = a_world(make_world)
    day = date(2025, 4, 12)
    world.sandbox.files["binance"].defect(defect, match=str(day))
    world.backfill("binance", FIRST, LAST)
    row = rows(world, FIRST, LAST)[day]
    assert (row.state, row.present, row.missing) == ("settled", 1430, {Reason.QUARANTINED: 10})
    for days in (1, 2, 8, 40):
        go_to(world, NOW + days * DAY)
        for request in tick(world):
            run(world, request)
    assert rows(world, day, day)[day].missing == {Reason.BROKEN_AT_SOURCE: 10}
    go_to(world, NOW + 80 * DAY)
    assert not [request for request in tick(world) if request.tags[RANGE_START] == str(day)]


@pytest.mark.parametrize("sources", [("archive", "rest"), ("rest",)])
def test_rest_as_a_new_source_opens_the_days_again(make_world: MakeWorld, sources: tuple[str, ...]) -> None:
    world = a_world(make_world)
    world.sandbox.files["binance"].defect("missing", match="2025-04-12")
    world.backfill("binance", FIRST, LAST)
    world.titan10.settings.exchanges["binance"].__dict__["sources"] = sources
    go_to(world, NOW + DAY + timedelta(minutes=5))
    requests = [request for request in tick(world) if request.tags[RANGE_START] == "2025-04-12"]
    assert len(requests) == 1
    assert run(world, requests[0])
    assert world.equals_truth("binance", date(2025, 4, 12), date(2025, 4, 12))


@pytest.mark.parametrize("sources", [("archive", "rest"), ("rest",)])
def test_a_backfill_requests_days_before_the_archive_by_rest_if_rest_was_added(
    make_world: MakeWorld, sources: tuple[str, ...]
) -> None:
    day = date(2022, 11, 30)  # KuCoin's archive begins on the next day
    settings = {"kucoin": {"start": day, "sources": ("archive",)}}
    world = make_world({"kucoin": ["BTC/USDT"]}, clock=NOW, settings=settings)
    world.backfill("kucoin", day)
    assert [row.missing for row in read_rows(world, "kucoin", day, day)] == [{Reason.BEYOND_HORIZON: 1440}]
    assert not reopened_by_archives(world.titan10)
    world.titan10.settings.exchanges["kucoin"].__dict__["sources"] = sources
    assert [found.stretch for found in reopened_by_archives(world.titan10)] == [Stretch(day, day)]
    assert not world.backfill("kucoin", day).failed
    assert world.equals_truth("kucoin", day, day)
    assert not reopened_by_archives(world.titan10)


def test_the_sources_of_one_run_make_nothing_final(make_world: MakeWorld) -> None:
    world = a_world(make_world, ("archive", "rest"))
    world.sandbox.files["binance"].defect("missing", match="2025-04-12")
    of_run = world.titan10.with_sources("binance", ["archive"])
    slices = of_run.slices("binance", [date(2025, 4, 12)])
    fetch_and_land(of_run, "binance", slices)
    record = of_run.landing.record(slices[0])
    assert record is not None
    assert not record.answered


@pytest.mark.parametrize(("days", "alerts"), [(0, []), (3, []), (6, ["settlement"])])
def test_a_day_that_is_not_published_yet_is_no_problem(make_world: MakeWorld, days: int, alerts: list[str]) -> None:
    world = a_world(make_world)
    world.backfill("binance", date(2025, 4, 19), date(2025, 4, 19))
    assert rows(world, date(2025, 4, 19), date(2025, 4, 19))[date(2025, 4, 19)].state == "partial"
    at = midnight(date(2025, 4, 20)) + days * DAY + timedelta(hours=12)
    go_to(world, at)
    assert [condition.kind for condition in conditions(world.titan10, at) if condition.kind == "settlement"] == alerts
