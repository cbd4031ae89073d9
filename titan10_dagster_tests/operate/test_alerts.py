from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from titan10_dagster.candles.slices import midnight, to_ms
from titan10_dagster.ingest.live import poll_exchanges
from titan10_dagster.ingest.markets import refresh_markets
from titan10_dagster.operate.alerts import AlertReport, conditions, update_alerts
from titan10_dagster.operate.delivery import Notification
from titan10_dagster.planning.alerts import Kind
from titan10_dagster.planning.breaker import after_ban, after_probe_taken, after_success
from titan10_dagster.settings import AlertSettings, LiveSettings
from titan10_dagster.store.alerts import AlertStore
from titan10_dagster.store.breakers import HealthStore
from titan10_dagster_tests.integration.driving import go_to
from titan10_dagster_tests.world import DAY, NOW, MakeWorld, World

TODAY = NOW.date()
TICK = timedelta(minutes=5)


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    return tmp_path / "alerts of today.jsonl"


@pytest.fixture
def world(make_world: MakeWorld, letters: Path) -> World:
    world = make_world({"binance": ["BTC/USDT", "ETH/USDT"], "okx": ["BTC/USDT"]})
    change(world, alerts=AlertSettings(urls=(SecretStr(f"file://{letters.as_posix().replace(' ', '%20')}"),)))
    return world


def change(world: World, **settings: Any) -> None:
    object.__setattr__(world.titan10, "settings", world.titan10.settings.model_copy(update=settings))


def titles(letters: Path) -> list[str]:
    return [json.loads(line)["title"] for line in letters.read_text().splitlines()] if letters.exists() else []


def ban(world: World, exchange: str, at: datetime, span: timedelta) -> None:
    HealthStore(world.titan10.database).apply(exchange, lambda health: after_ban(health, at, at + span, "418"))


def unban(world: World, exchange: str, at: datetime) -> None:
    def change(health: Any) -> Any:
        return after_success(after_probe_taken(health, at, TICK), at)

    HealthStore(world.titan10.database).apply(exchange, change)


def test_a_new_installation_raises_no_alerts(world: World, letters: Path) -> None:
    for hours in range(0, 72, 6):
        assert update_alerts(world.titan10, NOW + timedelta(hours=hours)) == AlertReport(0, 0, 0)
    assert not letters.exists()


def test_a_ban_is_notified_once_and_so_is_its_end(world: World, letters: Path) -> None:
    ban(world, "okx", NOW, DAY)
    for n in range(24):
        update_alerts(world.titan10, NOW + n * TICK)
    assert titles(letters) == ["Titan-10: okx: exchange blocked"]
    unban(world, "okx", NOW + 2 * DAY)
    for n in range(4):
        update_alerts(world.titan10, NOW + 2 * DAY + n * TICK)
    assert titles(letters) == ["Titan-10: okx: exchange blocked", "Titan-10: okx: exchange blocked: ended"]
    assert AlertStore(world.titan10.database).open() == []


def test_undelivered_notifications_are_sent_at_the_next_tick(world: World, letters: Path) -> None:
    letters.mkdir()  # a folder with this name, so that no file can be written at the path
    ban(world, "okx", NOW, DAY)
    later = NOW + timedelta(hours=2)
    assert update_alerts(world.titan10, later) == AlertReport(1, 0, 1)
    letters.rmdir()
    assert update_alerts(world.titan10, later + TICK) == AlertReport(1, 1, 0)
    assert update_alerts(world.titan10, later + 2 * TICK) == AlertReport(1, 0, 0)
    assert len(titles(letters)) == 1


def test_a_process_killed_while_sending_sends_the_rest_later_and_repeats_nothing_recorded(world: World) -> None:
    def killed_after_the_first(wanted: Mapping[str, Sequence[Notification]]) -> Iterator[tuple[str, Notification]]:
        for url, notifications in wanted.items():
            for number, notification in enumerate(notifications):
                if number:
                    raise KeyboardInterrupt
                yield url, notification

    for exchange in ("binance", "okx"):
        ban(world, exchange, NOW, DAY)
    later = NOW + timedelta(hours=2)
    with pytest.raises(KeyboardInterrupt):
        update_alerts(world.titan10, later, deliver=killed_after_the_first)
    assert update_alerts(world.titan10, later + TICK).sent == 1


def test_an_address_added_later_is_notified_of_open_alerts(world: World, letters: Path, tmp_path: Path) -> None:
    ban(world, "okx", NOW, DAY)
    update_alerts(world.titan10, NOW + timedelta(hours=2))
    second = tmp_path / "second.jsonl"
    urls = (*world.titan10.settings.alerts.urls, SecretStr(f"file://{second}"))
    change(world, alerts=AlertSettings(urls=urls))
    update_alerts(world.titan10, NOW + timedelta(hours=2) + TICK)
    assert (len(titles(letters)), len(titles(second))) == (1, 1)


def test_alerts_are_recorded_without_recipients(world: World) -> None:
    change(world, alerts=AlertSettings())
    ban(world, "okx", NOW, DAY)
    assert update_alerts(world.titan10, NOW + timedelta(hours=2)) == AlertReport(1, 0, 0)
    (alert,) = AlertStore(world.titan10.database).open()
    assert (alert.subject, alert.is_due) == ("okx", True)
    unban(world, "okx", NOW + 2 * DAY)
    assert update_alerts(world.titan10, NOW + 2 * DAY) == AlertReport(0, 0, 0)
    assert AlertStore(world.titan10.database).open() == []


def test_a_notified_alert_ends_after_its_recipients_were_removed(world: World) -> None:
    ban(world, "okx", NOW, DAY)
    assert update_alerts(world.titan10, NOW + timedelta(hours=2)).sent == 1
    change(world, alerts=AlertSettings())
    unban(world, "okx", NOW + 2 * DAY)
    update_alerts(world.titan10, NOW + 2 * DAY)
    assert AlertStore(world.titan10.database).open() == []


def test_no_address_stands_in_the_database(world: World) -> None:
    ban(world, "okx", NOW, DAY)
    update_alerts(world.titan10, NOW + timedelta(hours=2))
    with world.titan10.database.transaction() as cursor:
        cursor.execute("SELECT told FROM alerts")
        ((notified,),) = cursor.fetchall()
    assert [len(notifications) for notifications in notified] == [16]
    assert "file" not in str(notified)


def test_polling_without_new_candles_raises_an_alert_and_working_polling_does_not(world: World) -> None:
    change(world, live=LiveSettings(enabled=True))
    for _ in range(3):  # okx serves 300 candles per page
        assert all(report.error is None for report in poll_exchanges(world.titan10, ["binance", "okx"]))
    assert conditions(world.titan10, NOW + timedelta(minutes=50)) == []
    late = conditions(world.titan10, NOW + timedelta(minutes=70))
    assert [(condition.kind, condition.subject) for condition in late] == [(Kind.LIVE, "binance"), (Kind.LIVE, "okx")]


def test_polling_of_long_candles_raises_no_alert_while_the_next_candle_is_unfinished(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["BTC/USDT"]}, settings={"binance": {"timeframe": "4h"}})
    change(world, alerts=AlertSettings(), live=LiveSettings(enabled=True))
    (report,) = poll_exchanges(world.titan10, ["binance"])  # the poll receives the candle that ended at 12:00
    assert report.error is None
    assert conditions(world.titan10, midnight(TODAY) + timedelta(hours=16, minutes=50)) == []
    (late,) = conditions(world.titan10, midnight(TODAY) + timedelta(hours=17, minutes=10))
    assert late.kind is Kind.LIVE


def test_a_day_missed_by_the_settlement_raises_an_alert_after_six(world: World) -> None:
    go_to(world, midnight(TODAY) + timedelta(hours=2, minutes=1))
    for exchange in ("binance", "okx"):
        assert not world.backfill(exchange, TODAY - DAY).failed
    assert conditions(world.titan10, midnight(TODAY) + timedelta(hours=7)) == []
    go_to(world, midnight(TODAY + DAY) + timedelta(hours=2, minutes=1))
    assert not world.backfill("binance", TODAY).failed
    assert conditions(world.titan10, midnight(TODAY + DAY) + timedelta(hours=5)) == []
    (missed,) = conditions(world.titan10, midnight(TODAY + DAY) + timedelta(hours=6))
    assert (missed.kind, missed.subject) == (Kind.SETTLEMENT, "okx")
    assert str(TODAY) in missed.message


def test_a_symbol_that_was_added_owes_no_day_before_the_first_that_it_was_there_for(world: World) -> None:
    for days in (2, 1, 0):
        go_to(world, midnight(TODAY - days * DAY) + timedelta(hours=2, minutes=1))
        for exchange in ("binance", "okx"):
            symbols = ["BTC/USDT"] if days else None  # ETH/USDT is fetched from today on
            assert not world.backfill(exchange, TODAY - (days + 1) * DAY, symbols=symbols).failed
    assert conditions(world.titan10, midnight(TODAY) + timedelta(hours=7)) == []
    go_to(world, midnight(TODAY + DAY) + timedelta(hours=2, minutes=1))
    for exchange in ("binance", "okx"):
        assert not world.backfill(exchange, TODAY, symbols=["BTC/USDT"]).failed
    (missed,) = conditions(world.titan10, midnight(TODAY + DAY) + timedelta(hours=7))
    assert missed.message.startswith(f"binance: the candles of ETH/USDT on {TODAY} could not be fetched completely.")


def test_candles_missing_for_days_raise_one_alert_per_exchange(world: World, letters: Path) -> None:
    world.sandbox.fault("binance", "http_400", symbol="ETH/USDT")
    world.backfill("binance", TODAY - 3 * DAY, TODAY - 2 * DAY)
    assert Kind.GAPS not in {condition.kind for condition in conditions(world.titan10, NOW + 2 * DAY)}
    start = NOW + 4 * DAY
    for n in range(13 * 12):
        update_alerts(world.titan10, start + n * TICK)
    (line,) = [line for line in letters.read_text().splitlines() if "binance: candles missing" in line]
    assert "ETH/USDT" in line
    assert "BTC/USDT" not in line


def test_an_exchange_whose_symbols_are_all_closed_owes_no_live_candles(make_world: MakeWorld) -> None:
    world = make_world({"binance": ["ADA/USDT"], "okx": ["BTC/USDT"]})
    change(world, alerts=AlertSettings(), live=LiveSettings(enabled=True))
    assert all(report.error is None for report in poll_exchanges(world.titan10, ["binance", "okx"]))
    world.sandbox.fault("binance", "delist", symbol="ADA/USDT", time=to_ms(NOW), candles="unknown_symbol")
    for days in (1, 2, 3):
        at = midnight(TODAY + days * DAY) + timedelta(hours=2, minutes=1)
        go_to(world, at)
        refresh_markets(world.titan10, "binance")
        for exchange in ("binance", "okx"):
            world.backfill(exchange, TODAY, at.date() - DAY)
            poll_exchanges(world.titan10, [exchange])
    at = midnight(TODAY + 3 * DAY) + timedelta(hours=12)
    assert [(condition.kind, condition.subject) for condition in conditions(world.titan10, at)] == [(Kind.LIVE, "okx")]
