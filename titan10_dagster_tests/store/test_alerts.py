from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from titan10_dagster.planning.alerts import Alert, Kind
from titan10_dagster.store.alerts import AlertStore
from titan10_dagster.store.database import Database
from titan10_dagster_tests.store.making import FETCHED, Sql

HOUR = timedelta(hours=1)
GAPS = Alert(Kind.GAPS, "binance", "candles are missing", FETCHED, FETCHED + HOUR)
LIVE = Alert(Kind.LIVE, "okx", "no live candles", FETCHED + HOUR, FETCHED + HOUR, frozenset({"abc", "def"}))


def test_open_alerts_come_back_as_they_were_stored(db: Database) -> None:
    store = AlertStore(db)
    store.keep([LIVE, GAPS])
    assert store.open() == [GAPS, LIVE]
    later = replace(LIVE, last_seen=LIVE.last_seen + HOUR, over_at=LIVE.last_seen + HOUR, notified_over=frozenset("x"))
    store.keep([later])
    assert store.open() == [GAPS, later]


def test_alerts_that_are_done_stay_in_the_table_and_are_no_longer_open(db: Database, sql: Sql) -> None:
    store = AlertStore(db)
    store.keep([GAPS, LIVE])
    store.keep([], done=[GAPS])
    assert store.open() == [LIVE]
    assert sql("SELECT kind, done FROM alerts ORDER BY kind") == [("gaps", True), ("live", False)]


def test_alerts_that_were_never_sent_are_deleted(db: Database, sql: Sql) -> None:
    store = AlertStore(db)
    store.keep([GAPS, LIVE])
    store.keep([], forget=[GAPS])
    assert sql("SELECT kind FROM alerts") == [("live",)]


def test_an_alert_that_begins_again_closes_its_predecessor(db: Database) -> None:
    store = AlertStore(db)
    store.keep([LIVE])
    again = replace(LIVE, since=LIVE.since + 5 * HOUR, last_seen=LIVE.since + 5 * HOUR)
    store.keep([again])
    assert store.open() == [again]
