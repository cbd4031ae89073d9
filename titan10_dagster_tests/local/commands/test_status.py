"""`titan10 status`: the running processes, the address of the database, and a row for each exchange."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from titan10_dagster.local.commands.status import show_status
from titan10_dagster.local.stack import demo_folder
from titan10_dagster.local.stack_lock import StackLock
from titan10_dagster.planning.alerts import Alert, Kind
from titan10_dagster.settings import DatabaseSettings, ExchangeSettings, Settings
from titan10_dagster.store.alerts import AlertStore
from titan10_dagster.store.breakers import HealthStore
from titan10_dagster.store.database import Database
from titan10_dagster.store.identities import EventKind, record_event
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.json_fields import documented_fields
from titan10_dagster_tests.local.test_cli import Project, exchange, project, working
from titan10_dagster_tests.store.making import DAY, a_slice, candles, judged, without

__all__ = ["exchange", "project", "working"]

Show = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    data = tmp_path / "data"
    data.mkdir()
    exchange = ExchangeSettings(symbols=("BTC/USDT", "ETH/USDT"), start=date(2024, 1, 1))
    return Settings(data=data, database=DatabaseSettings(url=SecretStr(database_url)), exchanges={"binance": exchange})


@pytest.fixture
def show(settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Show:
    """Run the command, and return its output and its messages."""

    def run(*, as_json: bool = False) -> tuple[str, list[str]]:
        messages: list[str] = []
        show_status(settings, tmp_path, messages.append, as_json=as_json)
        return capsys.readouterr().out, messages

    return run


def as_json(show: Show) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(show(as_json=True)[0])
    return found


def test_stored_and_missing_candles_are_counted_for_each_exchange(show: Show, settings: Settings) -> None:
    whole, short = a_slice("BTC/USDT"), a_slice("ETH/USDT")
    assert settings.database.url is not None
    db = Database(settings.database.url.get_secret_value())
    write_slices(db, [judged(whole), judged(short, without(candles(short), 5, 6, 7))])
    db.close()
    status = as_json(show)
    (row,) = status["exchanges"]
    assert set(status) == documented_fields("`titan10 status --json`")
    assert set(row) == documented_fields("`exchanges` of `titan10 status --json`")
    assert (row["exchange"], row["enabled"], row["symbols"]) == ("binance", True, 2)
    assert (row["stored"], row["expected"]) == (2877, 2880)
    assert sum(row["missing"].values()) == 3
    table = show()[0]
    assert "2,877" in table
    assert str(DAY) in table


def test_the_database_is_shown_without_its_password(show: Show, settings: Settings) -> None:
    assert settings.database.url is not None
    password = settings.database.url.get_secret_value().split(":")[2].split("@")[0]
    for printed in (show()[0], show(as_json=True)[0]):
        assert f":{password}@" not in printed
    assert as_json(show)["embedded"] is False


def test_a_running_stack_is_named_while_it_runs(show: Show, settings: Settings) -> None:
    assert "No `titan10 up` runs in this folder." in show()[0]
    lock = StackLock(settings.data)
    lock.sign("http://127.0.0.1:3000")
    assert "titan10 is up at http://127.0.0.1:3000." in show()[0]
    assert as_json(show)["up"] is True
    lock.release()
    assert as_json(show)["url"] is None


def test_a_running_demo_is_mentioned_with_how_to_see_its_status(show: Show, tmp_path: Path) -> None:
    folder = demo_folder(tmp_path)
    folder.mkdir(parents=True)
    lock = StackLock(folder)
    lock.sign("http://127.0.0.1:3001")
    (message,) = show()[1]
    assert "A demo with its own database runs at http://127.0.0.1:3001" in message
    assert f"TITAN10_HOME={folder} titan10 status" in message
    lock.release()
    assert show()[1] == []


HOSTILE = "[/x] [red]\x1b[2J\x1b]0;title\x07"


def test_stored_texts_have_no_effect_on_the_terminal(working: Project, database_url: str) -> None:
    now = datetime.now(UTC)
    db = Database(database_url)
    HealthStore(db).apply("binance", lambda health: replace(health, last_error=HOSTILE, last_error_at=now))
    with db.transaction() as cursor:
        record_event(cursor, ("binance", "X", ""), EventKind.MARKET_CHANGED, HOSTILE, at=None, seen_at=now)
    AlertStore(db).keep([Alert(Kind.BREAKER, "binance", HOSTILE, now, now)])
    db.close()
    status, alerts = working.titan10("status"), working.titan10("alerts")
    for done in (status, alerts):
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout
    shown = "[/x] [red]\\x1b[2J\\x1b]0;title\\x07"
    assert status.stdout.count(shown) == 2  # the last error and the event
    assert alerts.stdout.count(shown) == 1
