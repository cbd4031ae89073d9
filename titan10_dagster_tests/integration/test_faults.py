"""Every fault of an exchange against the real assets, with exactly the designed outcome."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import cycle
from typing import Any

import dagster as dg
import numpy as np
import pytest

from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.slices import to_ms
from titan10_dagster.errors import DatabaseUnavailable
from titan10_dagster.ingest import fetch as ingest_fetch
from titan10_dagster.ingest.days import ledger_rows
from titan10_dagster.ingest.markets import refresh_markets
from titan10_dagster.planning.breaker import BreakerState
from titan10_dagster.store import ledger
from titan10_dagster.store.breakers import HealthStore
from titan10_dagster_tests.world import NOW, MakeWorld, World, ticking

DAY = date(2024, 2, 1)
MINUTE_MS = 60_000
EXCHANGES = ["binance", "bybit", "coinbase", "okx"]
SYMBOLS = {
    "binance": ["BTC/USDT", "ETH/USDT"],
    "bybit": ["BTC/USDT", "ETH/USDT"],
    "coinbase": ["BTC/USD", "ETH/USD"],
    "kraken": ["BTC/USD", "ETH/USD"],
    "okx": ["BTC/USDT", "ETH/USDT"],
}

PASSING: list[tuple[str, dict[str, Any]]] = [
    ("http_429", {"count": 1, "retry_after": 1}),
    ("http_500", {"count": 3}),
    ("http_502", {"count": 3}),
    ("http_504", {"count": 2}),
    ("maintenance", {"count": 2}),
    ("html_200", {"count": 3}),
    ("truncated", {"count": 3}),
    ("empty_body", {"count": 3}),
    ("empty_object", {"count": 3}),
    ("null_data", {"count": 3}),
    ("reset", {"count": 3}),
    ("stall", {"count": 2, "seconds": 0.2}),
    ("short_body", {"count": 3}),
    ("duplicates", {}),
    ("disorder", {}),
    ("page_third", {}),
    ("empty_page", {"count": 1}),
]


def latest_evaluations(world: World, asset: str, check: str) -> list[dg.AssetCheckEvaluation]:
    """Return the newest result of a check for a whole run."""
    key = dg.AssetCheckKey(dg.AssetKey(asset.split("/")), check)
    records = world.instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
    found = []
    for record in sorted(records, key=lambda record: record.id):
        event = record.event.dagster_event if record.event is not None else None
        if event is not None and event.asset_check_evaluation_data.partition is None:
            found = [event.asset_check_evaluation_data]
    return found


def world_of(make_world: MakeWorld, exchange: str, **options: Any) -> World:
    return make_world({exchange: SYMBOLS[exchange]}, **options)


# Each kind of fault is tested on one exchange, and each exchange with some kinds. exchanges/test_fetching.py tests all
# combinations.
IN_TURN = [(exchange, kind, options) for exchange, (kind, options) in zip(cycle(EXCHANGES), PASSING, strict=False)]


@pytest.mark.parametrize(("exchange", "kind", "options"), IN_TURN, ids=[f"{kind}-{name}" for name, kind, _ in IN_TURN])
def test_a_fault_that_passes_costs_requests_but_no_candle(
    make_world: MakeWorld, exchange: str, kind: str, options: dict[str, Any]
) -> None:
    world = world_of(make_world, exchange)
    world.sandbox.fault(exchange, kind, **options)
    done = world.backfill(exchange, DAY)
    assert not done.failed, done.messages
    assert not done.incomplete
    assert any(kind in entry["faults"] for entry in world.sandbox.requests(exchange))
    assert world.equals_truth(exchange, DAY, DAY)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_ban_opens_the_breaker_and_stops_all_requests_until_its_end(make_world: MakeWorld, exchange: str) -> None:
    world = world_of(make_world, exchange)
    world.sandbox.fault(exchange, "http_418", retry_after=600)
    done = world.backfill(exchange, DAY)
    assert done.failed == (DAY,)
    health = HealthStore(world.titan10.database).load(exchange)
    assert health.state is BreakerState.OPEN
    assert health.open_until is not None
    assert health.open_until >= NOW + timedelta(seconds=600)
    world.sandbox.wait_for_silence()
    before = len(world.sandbox.requests(exchange))
    again = world.backfill(exchange, DAY)
    assert again.failed == (DAY,)
    assert "paused until" in again.messages[0]
    assert len(world.sandbox.requests(exchange)) == before


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("kind", ["http_451", "http_403"])
def test_a_refusal_fails_the_day_and_is_not_retried(make_world: MakeWorld, exchange: str, kind: str) -> None:
    world = world_of(make_world, exchange)
    refresh_markets(world.titan10, exchange)
    world.sandbox.clear_requests(exchange)
    world.sandbox.fault(exchange, kind)
    done = world.backfill(exchange, DAY)
    assert done.failed == (DAY,)
    # After the first refusal, only requests that were already in progress arrive.
    assert len(world.sandbox.requests(exchange)) <= 16
    assert not len(world.stored(exchange, SYMBOLS[exchange][0], DAY, DAY))


def test_an_exchange_that_fails_for_good_fails_the_run_and_the_next_run_finishes_it(make_world: MakeWorld) -> None:
    world = world_of(make_world, "binance")
    world.sandbox.fault("binance", "http_500")
    done = world.backfill("binance", DAY)
    assert done.failed == (DAY,)
    assert "An unknown error occurred while processing the request" in done.messages[0]
    world.sandbox.clear_faults()
    later = world.titan10.now() + timedelta(hours=1)
    object.__setattr__(world.titan10, "now", ticking(later))
    assert not world.backfill("binance", DAY).failed
    assert world.equals_truth("binance", DAY, DAY)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_one_unknown_symbol_stops_no_other(make_world: MakeWorld, exchange: str) -> None:
    world = world_of(make_world, exchange)
    good, bad = SYMBOLS[exchange]
    world.sandbox.fault(exchange, "unknown_symbol", symbol=bad)
    done = world.backfill(exchange, DAY)
    assert not done.failed
    assert done.incomplete == (DAY,)
    assert np.array_equal(world.stored(exchange, good, DAY, DAY), world.truth(exchange, good, DAY, DAY))
    rows = ledger_rows(world.titan10, world.titan10.slices(exchange, [DAY]))
    assert {slice_.series.symbol: row.state for slice_, row in rows.items()} == {good: "settled", bad: "partial"}
    world.sandbox.clear_faults()
    world.sandbox.clear_requests(exchange)
    assert not world.backfill(exchange, DAY).incomplete
    assert {entry["symbol"] for entry in world.candle_requests(exchange)} == {bad}
    assert world.equals_truth(exchange, DAY, DAY)


def test_a_symbol_that_the_exchange_does_not_list_stops_no_other(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT", "BTC/USTD"]})
    later = DAY + timedelta(days=3)
    for last in (DAY, later, later):  # no run fails, even if days are missing only for the unknown symbol
        done = world.backfill("binance", DAY, last)
        assert not done.failed, done.messages
        assert done.incomplete
        assert not done.shut_out
    stored, truth = world.stored("binance", "BTC/USDT", DAY, later), world.truth("binance", "BTC/USDT", DAY, later)
    assert np.array_equal(stored, truth)


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize(
    "kind", ["high_below_low", "null_value", "nan_value", "negative_volume", "zero_price", "conflicting_duplicate"]
)
def test_a_broken_candle_is_quarantined_and_the_rest_of_the_day_is_stored(
    make_world: MakeWorld, exchange: str, kind: str
) -> None:
    world = world_of(make_world, exchange)
    symbol = SYMBOLS[exchange][0]
    world.sandbox.fault(exchange, kind, symbol=symbol, count=1)
    done = world.backfill(exchange, DAY)
    assert not done.failed, done.messages
    stored, truth = world.stored(exchange, symbol, DAY, DAY), world.truth(exchange, symbol, DAY, DAY)
    lost = set(truth[:, 0]) - set(stored[:, 0])
    assert len(lost) == 1
    assert np.array_equal(stored, truth[~np.isin(truth[:, 0], list(lost))])
    (row,) = ledger_rows(world.titan10, world.titan10.slices(exchange, [DAY], [symbol])).values()
    assert row.missing[Reason.QUARANTINED] == 1
    assert row.quarantined >= 1


def test_a_candle_off_the_grid_is_quarantined(make_world: MakeWorld) -> None:
    world = world_of(make_world, "binance")
    symbol = SYMBOLS["binance"][0]
    world.sandbox.fault("binance", "off_grid", symbol=symbol, count=1)
    assert not world.backfill("binance", DAY).failed
    stored = world.stored("binance", symbol, DAY, DAY)
    assert not (stored[:, 0] % MINUTE_MS).any()
    (row,) = ledger_rows(world.titan10, world.titan10.slices("binance", [DAY], [symbol])).values()
    assert row.quarantined == 1


def test_of_a_slice_full_of_broken_candles_all_valid_ones_are_stored(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT", "ETH/USDT", "SOL/USDT"]})
    for index in range(200, 220):
        world.sandbox.fault("binance", "high_below_low", symbol="BTC/USDT", index=index)
    done = world.backfill("binance", DAY)
    assert not done.failed
    stored, truth = world.stored("binance", "BTC/USDT", DAY, DAY), world.truth("binance", "BTC/USDT", DAY, DAY)
    assert len(stored) == 1400  # each of the two pages has lost 20 rows
    assert np.array_equal(stored, truth[np.isin(truth[:, 0], stored[:, 0])])
    for symbol in ("ETH/USDT", "SOL/USDT"):
        assert np.array_equal(world.stored("binance", symbol, DAY, DAY), world.truth("binance", symbol, DAY, DAY))
    world.sandbox.clear_faults()
    assert not world.backfill("binance", DAY, refresh=True).incomplete
    assert world.equals_truth("binance", DAY, DAY)


def test_of_a_quiet_day_only_the_broken_row_is_quarantined(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]}, settings={"binance": {"timeframe": "1h"}})
    world.sandbox.fault("binance", "high_below_low", count=1)
    assert not world.backfill("binance", DAY).incomplete
    assert len(world.stored("binance", "BTC/USDT", DAY, DAY)) == 23


def test_a_change_of_format_is_an_error_that_says_so_and_a_refresh_heals_it(make_world: MakeWorld) -> None:
    world = world_of(make_world, "binance")
    for index in range(800):
        world.sandbox.fault("binance", "high_below_low", index=index)
    assert not world.backfill("binance", DAY).failed
    (evaluation,) = latest_evaluations(world, "binance/candles", "valid")
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "Most rows of this run are broken" in str(evaluation.description)
    rows = ledger_rows(world.titan10, world.titan10.slices("binance", [DAY])).values()
    assert all(row.present + sum(row.missing.values()) == row.expected == 1440 for row in rows)
    assert {row.quarantined for row in rows} == {1440 - row.present for row in rows}
    world.sandbox.clear_faults()
    assert not world.backfill("binance", DAY, refresh=True).failed
    assert world.equals_truth("binance", DAY, DAY)


def test_the_candle_that_is_still_running_is_not_stored(make_world: MakeWorld) -> None:
    just_after_midnight = datetime(2024, 2, 2, 0, 0, 20, tzinfo=UTC)
    world = world_of(make_world, "binance", clock=just_after_midnight)
    object.__setattr__(world.titan10, "now", ticking(just_after_midnight))
    assert not world.backfill("binance", DAY).failed
    stored = world.stored("binance", "BTC/USDT", DAY, DAY + timedelta(days=1))
    assert np.array_equal(stored, world.truth("binance", "BTC/USDT", DAY, DAY))


def test_an_undeclared_horizon_is_found_and_explained(make_world: MakeWorld) -> None:
    world = world_of(make_world, "binance")
    world.sandbox.fault("binance", "horizon", rows=720)
    done = world.backfill("binance", DAY)
    assert not done.failed
    for row in ledger_rows(world.titan10, world.titan10.slices("binance", [DAY])).values():
        assert (row.state, row.missing) == ("settled", {Reason.BEYOND_HORIZON: 1440})


def test_days_beyond_krakens_horizon_are_green_empty_explained_and_free(make_world: MakeWorld) -> None:
    world = world_of(make_world, "kraken")
    last = DAY + timedelta(days=4)
    done = world.backfill("kraken", DAY, last)
    assert not done.failed
    assert not world.sandbox.requests("kraken")
    (row, *_) = ledger.coverage(world.titan10.database, "kraken")
    assert row.missing == {Reason.BEYOND_HORIZON: 5 * 1440}


def test_what_kraken_still_has_of_yesterday_is_fetched(make_world: MakeWorld) -> None:
    world = world_of(make_world, "kraken")
    yesterday = world.titan10.now().date() - timedelta(days=1)
    shortly_after = datetime(2024, 3, 10, 2, 0, 0, tzinfo=UTC)
    object.__setattr__(world.titan10, "now", ticking(shortly_after))
    world.sandbox.clock.stop_at(to_ms(shortly_after))
    done = world.backfill("kraken", yesterday)
    assert not done.failed, done.messages
    for symbol in SYMBOLS["kraken"]:
        stored, truth = (
            world.stored("kraken", symbol, yesterday, yesterday),
            world.truth("kraken", symbol, yesterday, yesterday),
        )
        reachable = truth[truth[:, 0] >= (shortly_after - timedelta(minutes=718)).timestamp() * 1000]
        assert len(reachable) > 500
        assert np.array_equal(stored[-len(reachable) :], reachable)
        (row,) = ledger_rows(world.titan10, world.titan10.slices("kraken", [yesterday], [symbol])).values()
        assert row.missing[Reason.BEYOND_HORIZON] > 800


def test_a_step_that_loses_the_database_is_tried_again(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(make_world, "binance")
    resolve, tries = ingest_fetch.resolve_slices, []

    def away_at_first(*arguments: Any) -> Any:
        tries.append(arguments)
        if len(tries) == 1:
            raise DatabaseUnavailable("the database cannot be used now")
        return resolve(*arguments)

    monkeypatch.setattr(ingest_fetch, "resolve_slices", away_at_first)
    assert not world.backfill("binance", DAY).failed
    assert len(tries) == 2
    assert world.equals_truth("binance", DAY, DAY)
