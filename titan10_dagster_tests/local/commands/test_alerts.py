from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from titan10_dagster.local.commands.alerts import send_test, show_alerts
from titan10_dagster.planning.alerts import Alert, Kind
from titan10_dagster.settings import AlertSettings, DatabaseSettings, Settings
from titan10_dagster.store.alerts import AlertStore
from titan10_dagster.store.database import Database
from titan10_dagster_tests.json_fields import documented_fields

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
SHUT = Alert(Kind.BREAKER, "okx", "okx is shut.", NOW, NOW)
# this alert is sent only after 15 minutes
LATE = Alert(Kind.LIVE, "binance", "binance is late.", NOW, NOW + timedelta(minutes=5))

Show = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def show(database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Show:
    """Run the command with these alerts, and return its output and its messages."""

    def run(*alerts: Alert, urls: tuple[str, ...] = (), as_json: bool = False) -> tuple[str, list[str]]:
        db = Database(database_url)
        AlertStore(db).keep(alerts)
        db.close()
        named = AlertSettings(urls=tuple(map(SecretStr, urls)))
        settings = Settings(data=tmp_path, database=DatabaseSettings(url=SecretStr(database_url)), alerts=named)
        messages: list[str] = []
        show_alerts(settings, messages.append, as_json=as_json)
        return capsys.readouterr().out, messages

    return run


def test_due_alerts_and_alerts_that_may_end_by_themselves_are_listed_differently(show: Show) -> None:
    printed, _ = show(SHUT, LATE)
    assert printed.splitlines() == [
        "2024-03-10 12:00 UTC  breaker (not sent)  okx is shut.",
        "2024-03-10 12:00 UTC  live (not sent yet: the problem may end by itself)  binance is late.",
    ]
    rows = json.loads(show(as_json=True)[0])
    assert [(row["exchange"], row["due"]) for row in rows] == [("okx", True), ("binance", False)]
    assert all(set(row) == documented_fields("`titan10 alerts --json`") for row in rows)


def test_the_configured_services_are_shown_or_their_absence(show: Show) -> None:
    assert show() == ("There are no alerts.\n", ["No alert recipients are configured (alerts.urls)."])
    _, messages = show(urls=("file:///tmp/alerts", "tgram://s3cret/12"))
    assert messages == ["Alerts are sent by file, tgram."]


def test_a_test_message_has_a_result_for_each_recipient(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    urls = (SecretStr(f"file://{tmp_path}/alerts"),)
    settings = Settings(data=tmp_path, database=DatabaseSettings(), alerts=AlertSettings(urls=urls))
    assert send_test(settings, as_json=True)
    (row,) = json.loads(capsys.readouterr().out)
    assert row == {"service": "file", "taken": True}
    assert set(row) == documented_fields("`titan10 alerts --test --json`")
