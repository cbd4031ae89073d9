"""The choice of a source for a slice: the order in the settings, the range of each source, and the final reason."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from titan10_dagster.candles.fetched import FetchedSlice, Source
from titan10_dagster.candles.slices import Slice, days
from titan10_dagster.ingest.markets import refresh_markets
from titan10_dagster.ingest.sources import CandleSource, assign, bring, sources_of
from titan10_dagster.store.markets import MarketStore
from titan10_dagster_tests.world import MakeWorld, World

NOW = datetime(2025, 4, 20, 12, tzinfo=UTC)


def a_world(make_world: MakeWorld, exchange: str, sources: tuple[str, ...]) -> World:
    settings = {exchange: {"start": date(2025, 1, 1), "sources": sources}}
    world = make_world({exchange: ["BTC/USDT"]}, clock=NOW, settings=settings)
    object.__setattr__(world.titan10, "now", lambda: NOW)
    refresh_markets(world.titan10, exchange)
    return world


def sources(world: World, exchange: str) -> list[CandleSource]:
    return sources_of(world.titan10, exchange, MarketStore(world.titan10.database).load(exchange))


def planned(world: World, exchange: str, first: date, last: date) -> Mapping[Source, list[int]]:
    slices = world.titan10.slices(exchange, days(first, last))
    plan = assign(sources(world, exchange), slices)
    return {source.source: [slice_.day.day for slice_ in taken] for source, taken in plan}


def brought(world: World, exchange: str, first: date, last: date) -> tuple[dict[int, FetchedSlice], Any]:
    landed: dict[Slice, FetchedSlice] = {}
    slices = world.titan10.slices(exchange, days(first, last))
    done = bring(sources(world, exchange), slices, lambda fetched: landed.update({fetched.record.slice: fetched}))
    return {slice_.day.day: fetched for slice_, fetched in landed.items()}, done


def test_the_archive_has_the_old_days_and_rest_the_newest(make_world: MakeWorld) -> None:
    world = a_world(make_world, "binance", ("archive", "rest"))
    assert planned(world, "binance", date(2025, 4, 17), date(2025, 4, 19)) == {
        Source.ARCHIVE: [17, 18],
        Source.REST: [19],
    }


def test_rest_first_leaves_to_the_archive_what_the_exchange_no_longer_serves(make_world: MakeWorld) -> None:
    world = a_world(make_world, "gate", ("rest", "archive"))
    assert planned(world, "gate", date(2025, 4, 11), date(2025, 4, 19)) == {
        Source.REST: [13, 14, 15, 16, 17, 18, 19],
        Source.ARCHIVE: [11, 12],
    }


def test_with_rest_first_each_day_comes_from_the_source_that_has_it(make_world: MakeWorld) -> None:
    world = a_world(make_world, "gate", ("rest", "archive"))
    landed, done = brought(world, "gate", date(2025, 4, 11), date(2025, 4, 19))
    found = {day: fetched.record.source for day, fetched in landed.items()}
    assert found == {
        **dict.fromkeys(range(11, 14), Source.ARCHIVE),  # REST serves only a part of the 13th
        **dict.fromkeys(range(14, 20), Source.REST),
    }
    assert not done.left
    assert done.spent[Source.ARCHIVE].files == 3


def test_what_no_source_has_is_explained_by_rest_with_the_reason_of_the_archive(make_world: MakeWorld) -> None:
    world = a_world(make_world, "gate", ("rest", "archive"))
    world.sandbox.files["gate"].defect("missing")
    landed, _ = brought(world, "gate", date(2025, 4, 11), date(2025, 4, 11))
    record = landed[11].record
    assert record.source is Source.REST
    assert record.horizon is not None
    assert str(record.note).startswith("archive: ")
    assert record.requests == 0


def test_without_rest_the_rest_is_left(make_world: MakeWorld) -> None:
    world = a_world(make_world, "binance", ("archive",))
    landed, done = brought(world, "binance", date(2025, 4, 18), date(2025, 4, 19))
    assert sorted(landed) == [18]
    assert [(slice_.day.day, reason) for slice_, reason in done.left.items()] == [
        (19, "the archive has not published the day yet")
    ]
    assert not world.candle_requests("binance")
