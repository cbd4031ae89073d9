"""Live polling of sandbox exchanges. The test moves their clock."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.slices import SliceState, days, midnight, to_ms
from titan10_dagster.defs.compose import compose
from titan10_dagster.ingest.clients import health_of
from titan10_dagster.ingest.days import ledger_rows
from titan10_dagster.ingest.fetch import fetch_and_land
from titan10_dagster.ingest.live import LiveReport, poll_exchanges
from titan10_dagster.ingest.markets import refresh_markets
from titan10_dagster.operate.alerts import conditions
from titan10_dagster.planning.alerts import Kind
from titan10_dagster.planning.breaker import BreakerState
from titan10_dagster.settings import LiveSettings
from titan10_dagster.store import reader, writer
from titan10_dagster.store.breakers import HealthStore
from titan10_dagster.store.locks import lock_exchange
from titan10_dagster_tests.integration.driving import evaluate, go_to, run, tick
from titan10_dagster_tests.world import NOW, MakeWorld, World, ticking

TODAY = NOW.date()
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MORNING = midnight(TODAY) + 2 * HOUR + timedelta(seconds=5)
TWO = {"binance": ["BTC/USDT", "ETH/USDT"], "okx": ["BTC/USDT"]}


def go_on(world: World, span: timedelta) -> datetime:
    """Move the clocks forward by `span`, and return the new time."""
    now = world.titan10.now().replace(microsecond=0) + span
    world.sandbox.clock.shift(span.total_seconds())
    object.__setattr__(world.titan10, "now", ticking(now))
    return now


def poll(world: World) -> dict[str, LiveReport]:
    return {report.exchange: report for report in poll_exchanges(world.titan10, list(world.titan10.settings.enabled))}


def finished(world: World, exchange: str, symbol: str, now: datetime) -> np.ndarray:
    """Today's candles of the exchange that have ended by `now`."""
    truth = world.truth(exchange, symbol, TODAY, TODAY)
    return truth[truth[:, 0] + 60_000 <= to_ms(now)]


def is_up_to_date(world: World, exchange: str, now: datetime) -> bool:
    return all(
        np.array_equal(world.stored(exchange, symbol, TODAY, TODAY), finished(world, exchange, symbol, now))
        for symbol in world.titan10.exchange(exchange).symbols
    )


def row(world: World, exchange: str, symbol: str) -> Any:
    (found,) = ledger_rows(world.titan10, world.titan10.slices(exchange, [TODAY], [symbol])).values()
    return found


def test_two_exchanges_grow_minute_by_minute_and_never_by_an_unfinished_candle(make_world: MakeWorld) -> None:
    world = make_world(TWO)
    go_to(world, MORNING)
    reports = poll(world)
    assert {name: report.inserted for name, report in reports.items()} == {"binance": 240, "okx": 120}
    for _ in range(3):
        now = go_on(world, MINUTE)
        for name in TWO:
            world.sandbox.clear_requests(name)
        reports = poll(world)
        assert {name: report.inserted for name, report in reports.items()} == {"binance": 2, "okx": 1}
        assert all(report.lag is not None and report.lag < timedelta(seconds=6) for report in reports.values())
        assert {name: len(world.candle_requests(name)) for name in TWO} == {"binance": 2, "okx": 1}
        assert is_up_to_date(world, "binance", now)
        assert is_up_to_date(world, "okx", now)
    assert (row(world, "okx", "BTC/USDT").state, row(world, "okx", "BTC/USDT").missing) == ("live", {})


def test_a_pause_of_hours_heals_page_by_page(make_world: MakeWorld) -> None:
    world = make_world({"okx": ["BTC/USDT"]})
    go_to(world, MORNING)
    poll(world)
    now = go_on(world, 10 * HOUR)
    inserted = []
    while not is_up_to_date(world, "okx", now):
        inserted.append(poll(world)["okx"].inserted)
        assert inserted[-1] > 0
    assert len(inserted) == 3
    assert sum(inserted) == 600
    assert row(world, "okx", "BTC/USDT").missing == {}


def test_an_exchange_that_is_down_does_not_hinder_the_other(make_world: MakeWorld) -> None:
    world = make_world(TWO)
    go_to(world, MORNING)
    poll(world)
    world.sandbox.fault("okx", "outage")
    now = MORNING
    for _ in range(5):
        now = go_on(world, MINUTE)
        reports = poll(world)
        assert reports["okx"].error or reports["okx"].failed
        assert reports["binance"].inserted == 2
    assert HealthStore(world.titan10.database).load("okx").state is BreakerState.OPEN
    world.sandbox.clear_requests("okx")
    poll(world)
    assert not world.sandbox.requests("okx")
    world.sandbox.clear_faults()
    now = go_on(world, 2 * MINUTE)
    assert poll(world)["okx"].inserted == 7
    assert is_up_to_date(world, "okx", now)
    assert HealthStore(world.titan10.database).load("okx").state is BreakerState.CLOSED


def test_a_half_open_breaker_lets_a_single_request_try(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT", "ETH/USDT", "SOL/USDT"]})
    go_to(world, MORNING)
    poll(world)
    world.sandbox.fault("binance", "outage")
    for _ in range(5):
        go_on(world, MINUTE)
        poll(world)
    go_on(world, 2 * MINUTE)
    world.sandbox.clear_requests("binance")
    report = poll(world)["binance"]
    assert report.error
    assert len(report.postponed) == 2
    # The request can be for either symbol. aiohttp repeats a GET request if its connection was reset.
    assert len({entry["symbol"] for entry in world.sandbox.requests("binance")}) == 1
    world.sandbox.clear_faults()
    go_on(world, 3 * MINUTE)
    assert poll(world)["binance"].inserted == 3 * 10


def test_a_symbol_that_fails_does_not_hinder_the_others(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT", "ETH/USDT", "BTC/USTD"]})
    go_to(world, MORNING)
    world.sandbox.fault("binance", "http_400", symbol="ETH/USDT")
    report = poll(world)["binance"]
    assert set(report.failed) == {"ETH/USDT", "BTC/USTD"}
    assert report.inserted == 120
    world.sandbox.clear_faults()
    assert poll(world)["binance"].inserted == 120


def test_a_ban_opens_the_breaker_and_earlier_answers_are_kept(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    go_to(world, MORNING)
    world.sandbox.fault("binance", "http_418", retry_after=600, after=1)
    assert poll(world)["binance"].inserted == 120
    go_on(world, MINUTE)
    assert poll(world)["binance"].error
    world.sandbox.clear_requests("binance")
    world.sandbox.clear_faults()
    go_on(world, 5 * MINUTE)
    assert "paused until" in str(poll(world)["binance"].error)
    assert not world.sandbox.requests("binance")
    go_on(world, 5 * MINUTE)
    assert poll(world)["binance"].inserted == 11


def test_a_refusal_is_probed_less_and_less_often_raises_an_alert_and_ends_with_the_first_answer(
    make_world: MakeWorld,
) -> None:
    world = make_world({"okx": ["BTC/USDT", "ETH/USDT"]})
    go_to(world, MORNING)
    poll(world)
    for before in (4, 2):  # the day between these two days is missing
        world.backfill("okx", TODAY - before * DAY)
    assert evaluate(world).run_requests
    world.sandbox.clear_requests("okx")
    world.sandbox.fault("okx", "http_451")
    shut_at = []
    for minute in range(125):
        go_on(world, MINUTE)
        assert "set a proxy" in str(poll(world)["okx"].error)
        if minute % 20 == 0:
            assert not evaluate(world).run_requests
        shut_at += [
            minute for condition in conditions(world.titan10, world.titan10.now()) if condition.kind is Kind.BREAKER
        ]
    assert len(world.sandbox.requests("okx")) <= 2 * 4  # the test requests come after 10, 20 and 40 minutes
    assert shut_at[0] in (60, 61)
    assert shut_at == list(range(shut_at[0], 125))
    world.sandbox.clear_faults()
    now = go_on(world, 10 * MINUTE)
    poll(world)
    poll(world)
    assert health_of(world.titan10, "okx").state is BreakerState.CLOSED
    assert is_up_to_date(world, "okx", now)
    assert evaluate(world).run_requests
    assert not conditions(world.titan10, now)


def shut_out(make_world: MakeWorld) -> World:
    """A world of two symbols. The exchange has just banned this machine for a minute during a poll."""
    world = make_world({"binance": ["BTC/USDT", "ETH/USDT"]})
    go_to(world, MORNING)
    poll(world)
    go_on(world, MINUTE)
    world.sandbox.fault("binance", "http_418", retry_after=60, count=1)
    assert poll(world)["binance"].error
    return world


def test_a_symbol_that_is_rejected_does_not_keep_an_exchange_shut_that_is_well_again(make_world: MakeWorld) -> None:
    world = shut_out(make_world)
    world.sandbox.fault("binance", "http_400", symbol="BTC/USDT")
    for _ in range(3):  # the test request may be for the rejected symbol
        go_on(world, 3 * MINUTE)
        report = poll(world)["binance"]
    assert set(report.failed) == {"BTC/USDT"}
    assert report.inserted
    assert health_of(world.titan10, "binance").state is BreakerState.CLOSED


def test_a_symbol_that_always_fails_does_not_keep_the_breaker_open(make_world: MakeWorld) -> None:
    world = shut_out(make_world)
    world.sandbox.fault("binance", "http_500", symbol="BTC/USDT")
    for _ in range(24):  # the test request may be for either symbol
        go_on(world, HOUR + MINUTE)
        if poll(world)["binance"].inserted:
            break
    assert health_of(world.titan10, "binance").state is BreakerState.CLOSED


def test_a_broken_live_candle_is_quarantined(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    go_to(world, MORNING)
    world.sandbox.fault("binance", "high_below_low", count=1)
    assert poll(world)["binance"].inserted == 119
    assert row(world, "binance", "BTC/USDT").missing == {Reason.QUARANTINED: 1}


def test_candles_of_a_late_poll_were_not_known_before_its_request(make_world: MakeWorld) -> None:
    world = make_world({"okx": ["BTC/USDT"]})
    go_to(world, MORNING)
    poll(world)
    poll(world)
    series, last = world.titan10.slices("okx", [TODAY])[0].series, MORNING.replace(second=0) - MINUTE
    (had,) = reader.candles(world.titan10.database, series, last, last + MINUTE)["volume"]
    world.sandbox.fault("okx", "restate", symbol="BTC/USDT", time=to_ms(last))
    world.sandbox.fault("okx", "high_below_low", count=1)
    asked = go_on(world, 10 * HOUR)
    poll(world)
    covered = row(world, "okx", "BTC/USDT").covered_until
    assert covered < asked - 5 * HOUR  # the poll fetches only a page of 300 candles
    with world.titan10.database.transaction() as cursor:
        cursor.execute("SELECT seen_at FROM restatements UNION ALL SELECT last_seen FROM quarantine")
        seen = [instant for (instant,) in cursor.fetchall()]
    assert len(seen) == 2
    assert all(asked <= instant < asked + MINUTE for instant in seen)
    before = reader.candles(world.titan10.database, series, last, last + MINUTE, as_of=asked - MINUTE)
    assert before["volume"].tolist() == [had]


def test_the_settlement_of_the_day_completes_what_was_polled(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT", "ETH/USDT"]})
    go_to(world, MORNING)
    poll(world)
    world.sandbox.fault("binance", "lost_rows", rows=3, count=1)
    go_on(world, HOUR)
    poll(world)
    world.sandbox.clear_faults()
    assert row(world, "binance", "BTC/USDT").state == SliceState.LIVE
    go_to(world, midnight(TODAY) + DAY + 2 * HOUR)
    done = world.backfill("binance", TODAY)
    assert not done.failed, done.messages
    assert not done.incomplete
    assert world.equals_truth("binance", TODAY, TODAY)
    assert (row(world, "binance", "BTC/USDT").state, row(world, "binance", "BTC/USDT").missing) == ("settled", {})
    with world.titan10.database.transaction() as cursor:
        cursor.execute("SELECT count(*) FROM restatements")
        assert cursor.fetchall() == [(0,)]


def test_a_polled_day_that_was_never_settled_is_fetched_whole_by_the_gap_sensor(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT", "ETH/USDT"]})
    go_to(world, MORNING)
    poll(world)
    go_to(world, midnight(TODAY) + DAY + 2 * HOUR)
    assert not tick(world)
    go_to(world, midnight(TODAY) + DAY + 3 * HOUR)
    (request,) = tick(world)
    assert run(world, request)
    assert world.equals_truth("binance", TODAY, TODAY)
    assert row(world, "binance", "BTC/USDT").state == SliceState.SETTLED


def test_polling_and_a_backfill_together_keep_the_exchanges_limit(make_world: MakeWorld) -> None:
    symbols = ["BTC/USD", "ETH/USD", "SOL/USD"]
    world = make_world({"coinbase": symbols}, settings={"coinbase": {"paced": True}}, enforce_limits=True)
    settings = world.titan10.settings.model_copy(update={"live": LiveSettings(enabled=True)})
    object.__setattr__(world.titan10, "settings", settings)
    refresh_markets(world.titan10, "coinbase")
    go_to(world, MORNING)
    world.sandbox.clock.run_from(to_ms(MORNING))
    polls: list[LiveReport] = []
    over = threading.Event()

    def keep_polling() -> None:
        while not over.wait(timeout=1):
            polls.append(poll(world)["coinbase"])

    polling = threading.Thread(target=keep_polling)
    polling.start()
    done = fetch_and_land(
        world.titan10, "coinbase", world.titan10.slices("coinbase", days(TODAY - 3 * DAY, TODAY - DAY))
    )
    over.set()
    polling.join()
    assert not done.failed
    assert len(polls) > 1
    assert not any(report.error or report.failed for report in polls)
    assert {entry["status"] for entry in world.sandbox.requests("coinbase")} == {200}


def test_polling_goes_over_midnight_without_losing_a_candle(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]})
    go_to(world, midnight(TODAY) + DAY - timedelta(seconds=90))
    while poll(world)["binance"].inserted:
        pass
    for _ in range(4):
        go_on(world, MINUTE)
        assert poll(world)["binance"].inserted == 1
    tomorrow = TODAY + DAY
    assert np.array_equal(
        world.stored("binance", "BTC/USDT", TODAY, TODAY), world.truth("binance", "BTC/USDT", TODAY, TODAY)
    )
    assert len(world.stored("binance", "BTC/USDT", tomorrow, tomorrow)) == 2


@pytest.mark.alone
def test_a_long_write_of_one_exchange_holds_up_the_polls_of_no_other_and_not_its_own_for_long(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LIVE_PATIENCE", timedelta(seconds=1))
    world = make_world(TWO)
    go_to(world, MORNING)
    for name in TWO:
        refresh_markets(world.titan10, name)
    with world.titan10.database.transaction() as cursor:
        lock_exchange(cursor, "binance")
        began = time.monotonic()
        reports = poll(world)
        assert time.monotonic() - began < 10
    assert reports["okx"].inserted == 120
    busy = reports["binance"]
    assert busy.error == "another write of binance is under way; the next poll fetches the candles of this poll again"
    assert (busy.inserted, busy.series, set(busy.postponed)) == (0, 0, set(TWO["binance"]))
    assert poll(world)["binance"].inserted == 240


def test_candles_that_kraken_deletes_soon_are_polled_at_once(make_world: MakeWorld) -> None:
    world = make_world({"kraken": ["BTC/USD"]})
    go_to(world, MORNING)
    assert poll(world)["kraken"].inserted > 700


@pytest.mark.alone
def test_a_requested_rest_delays_no_other_exchange_and_postponed_symbols_come_first_later(
    make_world: MakeWorld,
) -> None:
    symbols = ["BTC/USD", "ETH/USD", "SOL/USD"]
    world = make_world({"kraken": symbols, **TWO}, settings={"kraken": {"paced": True}})
    for name in world.titan10.settings.enabled:
        refresh_markets(world.titan10, name)
    go_to(world, MORNING)
    world.sandbox.fault("kraken", "http_429", retry_after=300, count=1)
    began = time.monotonic()
    reports = poll(world)
    assert time.monotonic() - began < 30
    assert (reports["binance"].inserted, reports["okx"].inserted) == (240, 120)
    assert reports["kraken"].error is None
    assert reports["kraken"].postponed
    world.sandbox.clear_requests("kraken")
    go_on(world, 10 * MINUTE)
    assert not poll(world)["kraken"].postponed
    assert {entry["symbol"] for entry in world.sandbox.requests("kraken")} == set(symbols)


def test_the_job_reports_every_exchange_by_an_observation(make_world: MakeWorld) -> None:
    world = make_world(TWO)
    go_to(world, MORNING)
    world.sandbox.fault("okx", "outage")
    result = compose(world.titan10).resolve_job_def("live").execute_in_process(instance=world.instance)
    assert result.success
    seen = {}
    for name in TWO:
        (record,) = world.instance.fetch_observations(dg.AssetKey([name, "ohlcv"]), limit=10).records
        assert record.asset_observation is not None
        seen[name] = {key: value.value for key, value in record.asset_observation.metadata.items()}
    assert seen["binance"]["rows"] == 240
    assert float(str(seen["binance"]["lag_seconds"])) < 10
    assert "error" in seen["okx"] or "failed_symbols" in seen["okx"]


def test_the_schedule_requests_a_poll_of_its_own_minute(make_world: MakeWorld, tmp_path: Path) -> None:
    world = make_world(TWO)
    go_to(world, MORNING)
    definitions = compose(world.titan10)
    schedule = definitions.resolve_schedule_def("poll_live")
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:

        def tick(at: datetime) -> list[dg.RunRequest]:
            with dg.build_schedule_context(
                instance=instance,
                scheduled_execution_time=at,
                repository_def=definitions.get_repository_def(),
                resources={"titan10": world.titan10},
            ) as context:
                return list(schedule.evaluate_tick(context).run_requests or ())

        assert len(tick(MORNING.replace(second=0))) == 1
        assert not tick(MORNING - 2 * MINUTE)
        instance.create_run_for_job(definitions.resolve_job_def("live"))
        assert not tick(MORNING.replace(second=0))


def test_a_candle_published_late_by_an_exchange_with_a_short_horizon_arrives_with_a_later_poll(
    make_world: MakeWorld,
) -> None:
    world = make_world({"kraken": ["BTC/USD"]})
    go_to(world, MORNING)
    hidden = {"time": MORNING - HOUR, "until": MORNING - HOUR + 20 * MINUTE}
    hidden = {name: instant.replace(second=0) for name, instant in hidden.items()}
    world.sandbox.fault("kraken", "absent", **hidden)
    poll(world)
    now = go_on(world, HOUR)
    poll(world)
    assert row(world, "kraken", "BTC/USD").missing == {Reason.UNKNOWN: 20}
    world.sandbox.fault("kraken", "absent", back=True, **hidden)
    now = go_on(world, HOUR)
    before = len(world.candle_requests("kraken"))
    poll(world)
    assert len(world.candle_requests("kraken")) == before + 1
    assert is_up_to_date(world, "kraken", now)
    assert row(world, "kraken", "BTC/USD").missing == {}
