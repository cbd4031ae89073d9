"""Backfills from an archive, through Dagster, into a real database: candles, ledger, provenance."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from titan10_dagster.defs.compose import compose
from titan10_dagster.defs.partitions import RANGE_END, RANGE_START, daily_keys
from titan10_dagster.store.database import Database
from titan10_dagster_tests.integration.results import metadata
from titan10_dagster_tests.world import MakeWorld, World, make_world  # noqa: F401

FIRST, LAST = date(2024, 1, 2), date(2024, 1, 24)
SOURCES = {"binance": {"sources": ("archive", "rest")}}


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    with database.transaction() as cursor:
        cursor.execute(query)
        return [tuple(row) for row in cursor.fetchall()]


def a_world(make_world: MakeWorld) -> World:  # noqa: F811
    return make_world({"binance": ["BTC/USDT", "ETH/USDT"]}, settings=SOURCES)


def test_a_backfill_reads_the_archive_and_stores_the_truth(make_world: MakeWorld) -> None:  # noqa: F811
    world = a_world(make_world)
    assert not world.backfill("binance", FIRST, LAST).failed
    assert world.equals_truth("binance", FIRST, LAST)
    served = world.sandbox.files["binance"].served
    assert sum("monthly" in path for path in served) == 4  # for each of two symbols, a file and its digest
    # REST is requested only for the day with an outage. The files do not have these candles either.
    assert {entry["since"] // 86_400_000 for entry in world.candle_requests("binance")} <= set(range(19_700, 19_800))
    sources = rows(world.titan10.database, "SELECT source, count(*) FROM slice_ledger GROUP BY source ORDER BY source")
    assert dict(sources)["archive"] == 42  # type: ignore[arg-type]


def test_every_stretch_of_candles_names_its_file(make_world: MakeWorld) -> None:  # noqa: F811
    world = a_world(make_world)
    world.backfill("binance", FIRST, LAST)
    found = rows(
        world.titan10.database,
        "SELECT symbol, url, checked_against, left(digest, 7), stretch_end - stretch_start FROM provenance",
    )
    assert {symbol for symbol, *_ in found} == {"BTC/USDT", "ETH/USDT"}
    assert all(url.startswith("http://127.0.0.1") and "klines" in url for _, url, *_ in found)  # type: ignore[attr-defined]
    assert {(checked, digest) for _, _, checked, digest, _ in found} == {("sha256 file", "sha256:")}
    assert sum((length for *_, length in found), timedelta(0)) == timedelta(days=42)  # type: ignore[misc]
    assert len(found) <= 2 * 4  # each month is one stretch, which the day with an outage divides
    [(source,)] = rows(
        world.titan10.database,
        "SELECT candle_source('binance', 'BTC/USDT', '1m', '2024-01-03 12:00Z')",
    )
    assert str(source).endswith("BTCUSDT-1m-2024-01.zip")


def test_the_config_of_a_run_fixes_the_sources(make_world: MakeWorld) -> None:  # noqa: F811
    """The settings have only REST as a source, and the run reads the archive."""
    world = make_world({"binance": ["BTC/USDT"]})
    config = {"sources": ["archive"]}
    run = (
        compose(world.titan10)
        .resolve_implicit_global_asset_job_def()
        .execute_in_process(
            instance=world.instance,
            asset_selection=daily_keys("binance"),
            tags={RANGE_START: "2024-01-15", RANGE_END: "2024-01-24"},
            run_config={"ops": {"binance__candles": {"config": config}}},
        )
    )
    assert run.success
    assert world.equals_truth("binance", date(2024, 1, 15), date(2024, 1, 24))
    assert world.candle_requests("binance") == []
    assert {source for (source,) in rows(world.titan10.database, "SELECT source FROM slice_ledger")} == {"archive"}


def test_the_metadata_of_a_partition_counts_sources_and_files(make_world: MakeWorld) -> None:  # noqa: F811
    world = a_world(make_world)
    world.sandbox.files["binance"].defect("missing", match="ETHUSDT")
    world.backfill("binance", date(2024, 1, 2), date(2024, 1, 10))
    shown = metadata(world, "binance/candles").values()
    assert [found["slices_by_source"] for found in shown].count({"archive": 1, "rest": 1}) >= 8  # a day has an outage
    assert all(found["files"] == 1 for found in shown if found["slices_by_source"] != {"rest": 2})


def test_a_second_backfill_requests_no_file(make_world: MakeWorld) -> None:  # noqa: F811
    world = a_world(make_world)
    world.backfill("binance", FIRST, LAST)
    requested = len(world.sandbox.files["binance"].served)
    assert not world.backfill("binance", FIRST, LAST, refresh=True).failed
    assert len(world.sandbox.files["binance"].served) == requested
    assert world.equals_truth("binance", FIRST, LAST)


def test_rest_delivers_candles_that_the_archive_lacks(make_world: MakeWorld) -> None:  # noqa: F811
    world = a_world(make_world)
    world.sandbox.files["binance"].defect("missing", match="ETHUSDT")
    assert not world.backfill("binance", FIRST, LAST).failed
    assert world.equals_truth("binance", FIRST, LAST)
    [(note,)] = rows(
        world.titan10.database,
        "SELECT DISTINCT left(note, 9) FROM slice_ledger WHERE symbol = 'ETH/USDT' AND day < '2024-01-20'",
    )
    assert note == "archive: "


@pytest.mark.parametrize("defect", ["conflicts", "none", "off_grid"])
def test_rest_delivers_candles_that_break_a_rule_in_the_archive(make_world: MakeWorld, defect: str) -> None:  # noqa: F811
    world = make_world({"binance": ["BTC/USDT"]}, settings=SOURCES)
    world.sandbox.files["binance"].defect(defect)
    assert not world.backfill("binance", date(2024, 1, 15)).failed
    assert world.equals_truth("binance", date(2024, 1, 15), date(2024, 1, 15))
    assert rows(world.titan10.database, "SELECT quarantined FROM slice_ledger") == [(0,)]


@pytest.mark.parametrize("defect", ["conflicts", "none", "off_grid"])
def test_daily_files_deliver_candles_that_break_a_rule_in_a_monthly_file(
    make_world: MakeWorld,  # noqa: F811
    defect: str,
) -> None:
    world = make_world({"binance": ["BTC/USDT"]}, settings=SOURCES)
    world.sandbox.files["binance"].defect(defect, match="monthly")
    first, last = date(2024, 1, 1), date(2024, 1, 10)
    assert not world.backfill("binance", first, last).failed
    assert world.equals_truth("binance", first, last)
    assert world.candle_requests("binance") == []
