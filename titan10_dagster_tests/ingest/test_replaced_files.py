"""Files that an archive replaced after they were read."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np

from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.ingest.replaced_files import check_files
from titan10_dagster.operate.alerts import recent_events
from titan10_dagster_tests.world import NOW, MakeWorld, World, make_world, ticking  # noqa: F401

FIRST, LAST = date(2024, 1, 9), date(2024, 1, 18)
MONTH = timedelta(days=31)
DAYS = 10


def a_world(make_world: MakeWorld) -> World:  # noqa: F811
    world = make_world({"binance": ["BTC/USDT", "ETH/USDT"]}, settings={"binance": {"sources": ("archive", "rest")}})
    assert not world.backfill("binance", FIRST, LAST).failed
    assert world.equals_truth("binance", FIRST, LAST)
    world.sandbox.files["binance"].served.clear()
    return world


def later(world: World, by: timedelta) -> IngestContext:
    return replace(world.titan10, now=ticking(NOW + by))


def rows(world: World, query: str) -> list[tuple[Any, ...]]:
    with world.titan10.database.transaction() as cursor:
        cursor.execute(query)
        return [tuple(row) for row in cursor.fetchall()]


def test_files_that_are_as_before_cost_one_request_a_month(make_world: MakeWorld) -> None:  # noqa: F811
    world = a_world(make_world)
    served = world.sandbox.files["binance"].served
    assert check_files(later(world, timedelta(days=3)), "binance").checked == 0
    assert served == []
    found = check_files(later(world, MONTH), "binance")
    assert (found.checked, found.replaced, found.absent, found.failed) == (2, (), (), {})
    assert len(served) == 2
    assert not any(path.endswith(".CHECKSUM") for path in served)
    assert check_files(later(world, MONTH + timedelta(days=1)), "binance").checked == 0
    assert rows(world, "SELECT count(*) FROM restatements") == [(0,)]


def test_a_replaced_file_is_read_again_and_its_values_are_restatements(make_world: MakeWorld) -> None:  # noqa: F811
    world = a_world(make_world)
    world.sandbox.files["binance"].defect("replaced", match="BTCUSDT-1m-2024-01")
    found = check_files(later(world, MONTH), "binance")
    (replaced,) = found.replaced
    assert found.checked == 2
    assert len(replaced.slices) == DAYS
    assert (replaced.restated, replaced.inserted) == (DAYS * 1440, 0)

    stored, truth = (get("binance", "BTC/USDT", FIRST, LAST) for get in (world.stored, world.truth))
    assert np.array_equal(stored[:, :5], truth[:, :5])
    assert np.allclose(stored[:, 5], truth[:, 5] * 2 + 1)
    found_sources = rows(
        world,
        """
        SELECT r.old_source, r.source, old.url = new.url AS same_url, old.digest <> new.digest AS other_digest, count(*)
        FROM restatements AS r
        JOIN source_files AS old ON old.id = r.old_file
        JOIN source_files AS new ON new.id = r.new_file
        GROUP BY 1, 2, 3, 4
        """,
    )
    assert found_sources == [("archive", "archive", True, True, DAYS * 1440)]
    assert np.array_equal(
        world.stored("binance", "ETH/USDT", FIRST, LAST), world.truth("binance", "ETH/USDT", FIRST, LAST)
    )

    events = recent_events(world.titan10, "binance", NOW + MONTH)
    assert any(
        "replaced its file http://127.0.0.1" in text and f"Candles with other values: {DAYS * 1440:,};" in text
        for text in events
    )

    again = check_files(later(world, 2 * MONTH), "binance")
    assert (again.checked, again.replaced) == (2, ())


def test_a_file_that_is_gone_leaves_its_candles(make_world: MakeWorld) -> None:  # noqa: F811
    world = a_world(make_world)
    world.sandbox.files["binance"].defect("missing", match="ETHUSDT")
    found = check_files(later(world, MONTH), "binance")
    assert [url.rpartition("/")[2] for url in found.absent] == ["ETHUSDT-1m-2024-01.zip"]
    assert world.equals_truth("binance", FIRST, LAST)


def test_a_replaced_file_that_cannot_be_read_is_checked_again_next_time(make_world: MakeWorld) -> None:  # noqa: F811
    world = a_world(make_world)
    files = world.sandbox.files["binance"]
    files.defect("replaced", match="BTCUSDT")
    files.defect("stale_digest", match="BTCUSDT")
    (replaced,) = check_files(later(world, MONTH), "binance").replaced
    assert replaced.slices == ()
    assert world.equals_truth("binance", FIRST, LAST)
    files.clear()
    files.defect("replaced", match="BTCUSDT")
    (replaced,) = check_files(later(world, MONTH), "binance").replaced
    assert replaced.restated == DAYS * 1440


def test_without_an_archive_nothing_is_checked(make_world: MakeWorld) -> None:  # noqa: F811
    world = make_world({"binance": ["BTC/USDT"]})
    assert check_files(later(world, MONTH), "binance").checked == 0
    assert world.sandbox.files["binance"].served == []


def test_files_of_a_former_address_do_not_displace_the_others(make_world: MakeWorld) -> None:  # noqa: F811
    world = a_world(make_world)
    with world.titan10.database.transaction() as cursor:
        cursor.execute(
            "UPDATE source_files SET url = 'https://mirror.example/E.zip', checked_at = checked_at - interval '1 d'"
            " WHERE url LIKE '%ETHUSDT%'"
        )
    assert check_files(later(world, MONTH), "binance", most=1).checked == 1


def test_files_that_are_gone_do_not_displace_the_others(make_world: MakeWorld) -> None:  # noqa: F811
    world = a_world(make_world)
    world.sandbox.files["binance"].defect("missing", match="BTCUSDT")
    names = []
    for _ in range(2):
        check_files(later(world, MONTH), "binance", most=1)
        names.append(world.sandbox.files["binance"].served[-1].rpartition("/")[2])
    assert sorted(names) == ["BTCUSDT-1m-2024-01.zip", "ETHUSDT-1m-2024-01.zip"]
