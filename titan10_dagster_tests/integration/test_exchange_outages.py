"""The sandbox's coinbase is down for some minutes of a day. It also leaves out minutes without trades."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.slices import midnight, to_ms
from titan10_dagster.ingest.inspection import unaccounted_slices
from titan10_dagster.sandbox.truth import outage
from titan10_dagster.sandbox.venues.registry import venue
from titan10_dagster_tests.integration.driving import go_to, run, tick
from titan10_dagster_tests.integration.results import metadata, statuses
from titan10_dagster_tests.store.making import Sql
from titan10_dagster_tests.world import NOW, MakeWorld, World

DAY = date(2024, 2, 8)
BUSY, QUIET = ("BTC/USD", "ETH/USD"), "ALGO/USD"
OBSERVATION_SPACING = NOW + timedelta(hours=6, minutes=1)


def down() -> list[int]:
    """Return the minutes in which coinbase was down."""
    stretch = outage(venue("coinbase"), (DAY - date(1970, 1, 1)).days)
    assert stretch
    return list(range(*stretch))


def missing(world: World, symbol: str) -> dict[str, list[int]]:
    """Return the missing minutes of a symbol of coinbase, by reason."""
    minutes: dict[str, list[int]] = {}
    with world.titan10.database.transaction() as cursor:
        cursor.execute("SELECT reason, time FROM missing_minutes WHERE symbol = %s ORDER BY time", [symbol])
        for reason, time in cursor.fetchall():
            minutes.setdefault(reason, []).append((time - midnight(DAY)) // timedelta(minutes=1))
    return minutes


def look_again(world: World) -> None:
    """Execute the repair of coinbase six hours later."""
    go_to(world, OBSERVATION_SPACING)
    (request,) = [request for request in tick(world) if request.tags["titan10/repair"] == "coinbase"]
    assert run(world, request)


def without_trades(world: World) -> list[int]:
    """Return the minutes in which coinbase was up, but the quiet pair had no trades."""
    times = world.truth("coinbase", QUIET, DAY, DAY)[:, 0].astype(int)
    traded = set(((times - to_ms(midnight(DAY))) // 60_000).tolist())
    return sorted(set(range(1440)) - traded - set(down()))


def test_outages_and_minutes_without_trades_differ_after_the_second_fetch(make_world: MakeWorld) -> None:
    world = make_world({"coinbase": [*BUSY, QUIET], "binance": ["BTC/USDT"]})
    for exchange in ("binance", "coinbase"):
        assert not world.backfill(exchange, DAY).failed
    assert missing(world, "BTC/USD") == {Reason.UNKNOWN: down()}
    assert statuses(world, "coinbase/ohlcv", "explained")[str(DAY)] is False
    look_again(world)
    assert statuses(world, "coinbase/ohlcv", "explained")[str(DAY)] is True
    for symbol in BUSY:
        assert missing(world, symbol) == {Reason.OUTAGE: down()}
    assert missing(world, QUIET) == {Reason.OUTAGE: down(), Reason.NO_TRADES: without_trades(world)}
    assert metadata(world, "coinbase/ohlcv")[str(DAY)]["missing_outage"] == 3 * len(down())
    assert not unaccounted_slices(world.titan10, "coinbase", [DAY])
    assert not tick(world)


def test_an_exchange_stored_later_proves_the_outage(make_world: MakeWorld) -> None:
    world = make_world({"coinbase": [*BUSY, QUIET], "binance": ["BTC/USDT"]})
    assert not world.backfill("coinbase", DAY).failed
    look_again(world)
    assert missing(world, "BTC/USD") == {Reason.HALTED: down()}
    assert not world.backfill("binance", DAY).failed
    assert missing(world, "BTC/USD") == {Reason.OUTAGE: down()}
    assert not unaccounted_slices(world.titan10, "coinbase", [DAY])


def test_a_failed_outage_classification_fails_no_backfill_and_runs_again_after_the_next(
    make_world: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world = make_world({"coinbase": list(BUSY), "binance": ["BTC/USDT"]})
    assert not world.backfill("coinbase", DAY).failed
    look_again(world)
    sql = Sql(world.titan10.database)
    sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$")
    sql(
        "CREATE TRIGGER refuse BEFORE DELETE ON gaps FOR EACH ROW"
        " WHEN (OLD.exchange = 'coinbase') EXECUTE FUNCTION refuse()"
    )
    assert not world.backfill("binance", DAY).failed
    assert "outages were not classified" in caplog.text
    sql("DROP TRIGGER refuse ON gaps")
    assert not world.backfill("binance", DAY + timedelta(days=1)).failed
    assert missing(world, "BTC/USD") == {Reason.OUTAGE: down()}
    assert not sql("SELECT * FROM outage_evidence")
