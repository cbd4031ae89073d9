"""The comparison of archive and REST. A sandbox exchange serves both over HTTP."""

from __future__ import annotations

from datetime import date
from itertools import chain

import pytest

from titan10_dagster.candles.slices import midnight, to_ms
from titan10_dagster.errors import SettingsError
from titan10_dagster.ingest.reconcile import reconcile
from titan10_dagster_tests.world import MakeWorld, World, make_world  # noqa: F401

FIRST, LAST = date(2024, 1, 9), date(2024, 1, 18)
SYMBOLS = ("BTC/USDT", "ETH/USDT")
# The defect of issue 475 of binance-public-data: stretches of up to 50 minutes on a few days, 398 rows together.
STRUCK = {
    ("BTC/USDT", date(2024, 1, 11)): 50,
    ("BTC/USDT", date(2024, 1, 9)): 50,
    ("BTC/USDT", date(2024, 1, 10)): 49,
    ("BTC/USDT", date(2024, 1, 17)): 50,
    ("ETH/USDT", date(2024, 1, 11)): 50,
    ("ETH/USDT", date(2024, 1, 9)): 50,
    ("ETH/USDT", date(2024, 1, 10)): 50,
    ("ETH/USDT", date(2024, 1, 18)): 49,
}
TABLES = ("candles", "restatements", "slice_ledger", "gaps", "source_files", "source_stretches", "markets")


def a_world(make_world: MakeWorld) -> World:  # noqa: F811
    world = make_world({"binance": SYMBOLS}, settings={"binance": {"sources": ("archive", "rest")}})
    assert not world.backfill("binance", FIRST, LAST).failed
    return world


def struck_times(symbol: str, day: date) -> range:
    start = to_ms(midnight(day)) + 13 * 3_600_000
    return range(start, start + STRUCK[symbol, day] * 60_000, 60_000)


def everything_stored(world: World) -> list[object]:
    """Return the version of each row of the tables, and the paths of the landed files."""
    found: list[object] = sorted(world.titan10.settings.landing.rglob("*"))
    with world.titan10.database.transaction() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT xmin::text, ctid::text FROM {table} ORDER BY 1, 2")
            found += cursor.fetchall()
    return found


def test_a_full_comparison_finds_exactly_the_known_rows(make_world: MakeWorld) -> None:  # noqa: F811
    world = a_world(make_world)
    before = everything_stored(world)
    for symbol, day in STRUCK:
        world.sandbox.files["binance"].rewrite(symbol, struck_times(symbol, day))
    forget_files(world)
    result = reconcile(world.titan10, "binance", FIRST, LAST, share=1)
    expected = set(chain.from_iterable(((symbol, ms) for ms in struck_times(symbol, day)) for symbol, day in STRUCK))
    assert len(expected) == 398
    found = [(d.slice.series.symbol, to_ms(d.time)) for d in result.differences]
    assert len(found) == 398
    assert set(found) == expected
    assert all(d.column == "volume" and d.archive == pytest.approx((d.rest or 0) + 1) for d in result.differences)
    rate = result.rate
    assert (rate.differing, rate.differing_days) == (398, 8)
    assert rate.interval == (rate.share, rate.share)
    assert result.settled == 20
    assert everything_stored(world) == before


def test_the_file_that_a_backfill_would_read_is_compared(make_world: MakeWorld) -> None:  # noqa: F811
    world = a_world(make_world)
    forget_files(world)
    world.sandbox.files["binance"].served.clear()
    result = reconcile(world.titan10, "binance", FIRST, LAST, share=0.1, seed=3)
    assert result.rate.days == 2
    served = world.sandbox.files["binance"].served
    assert served
    assert all("monthly" in path for path in served)
    assert result.rate.differing == 0


def test_a_day_that_a_source_does_not_bring_is_not_compared(make_world: MakeWorld) -> None:  # noqa: F811
    world = a_world(make_world)
    forget_files(world)
    world.sandbox.files["binance"].defect("missing", match="ETHUSDT")
    result = reconcile(world.titan10, "binance", FIRST, LAST, share=1)
    assert {slice_.series.symbol for slice_ in result.not_compared} == {"ETH/USDT"}
    assert all("not in the archive" in reason for reason in result.not_compared.values())
    assert (result.rate.days, result.rate.population) == (10, 10)


def test_a_day_is_not_compared_if_one_of_its_two_files_cannot_be_read(make_world: MakeWorld) -> None:  # noqa: F811
    """The days of OKX's files are in UTC+8, so a UTC day is in two files."""
    world = make_world({"okx": ["BTC/USDT"]}, settings={"okx": {"sources": ("archive", "rest")}})
    first, last = date(2024, 1, 15), date(2024, 1, 17)
    assert not world.backfill("okx", first, last).failed
    forget_files(world)
    world.sandbox.files["okx"].defect("unavailable", match="2024-01-17")
    result = reconcile(world.titan10, "okx", first, last, share=1)
    assert [comparison.slice.day for comparison in result.compared] == [first]
    assert result.rate.differing == 0
    assert [slice_.day for slice_ in result.not_compared] == [date(2024, 1, 16), last]
    assert all("could not be downloaded" in reason for reason in result.not_compared.values())


def test_minutes_that_only_rest_has_are_differences(make_world: MakeWorld) -> None:  # noqa: F811
    world = a_world(make_world)
    forget_files(world)
    day = date(2024, 1, 16)  # the monthly file has a hole in the middle of the month
    for match in ("monthly", f"BTCUSDT-1m-{day}"):
        world.sandbox.files["binance"].defect("hole", match=match)
    result = reconcile(world.titan10, "binance", day, day, share=1, symbols=["BTC/USDT"])
    assert {(d.column, d.archive) for d in result.differences} == {("candle", None)}
    assert result.rate.differing == 60


def test_an_exchange_without_files_is_refused(make_world: MakeWorld) -> None:  # noqa: F811
    world = make_world({"kraken": ["BTC/USD"]})
    with pytest.raises(SettingsError, match="publishes no candle files"):
        reconcile(world.titan10, "kraken", FIRST, LAST, share=1)


def test_a_licence_has_to_be_accepted_first(make_world: MakeWorld) -> None:  # noqa: F811
    world = make_world({"upbit": ["BTC/KRW"]})
    with pytest.raises(SettingsError, match="If you accept that"):
        reconcile(world.titan10, "upbit", FIRST, LAST, share=1)


def forget_files(world: World) -> None:
    """Delete the cached archive files, as the housekeeping does after some time."""
    for path in world.titan10.settings.archives.rglob("*"):
        if path.is_file():
            path.unlink()
