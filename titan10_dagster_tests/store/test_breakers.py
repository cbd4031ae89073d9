from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from titan10_dagster.errors import DatabaseUnavailable
from titan10_dagster.planning.breaker import (
    BreakerState,
    Decision,
    Health,
    Permit,
    after_ban,
    after_failure,
    after_success,
    ask,
)
from titan10_dagster.planning.pace import Pace
from titan10_dagster.store.breakers import HealthStore
from titan10_dagster.store.database import Cursor, Database
from titan10_dagster_tests.cost import least

NOW = datetime(2024, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)


def test_the_breaker_of_an_unknown_exchange_is_closed(db: Database) -> None:
    assert HealthStore(db).load("binance") == Health("binance")


def test_what_is_applied_is_stored_and_returned(db: Database) -> None:
    store = HealthStore(db)
    banned = store.apply("binance", lambda health: after_ban(health, NOW, NOW + timedelta(hours=1), "418"))
    assert banned.state is BreakerState.OPEN
    assert store.load("binance") == banned
    assert store.load("kraken") == Health("kraken")


def test_every_field_comes_back(db: Database) -> None:
    later = NOW + timedelta(minutes=1)
    full = Health("binance", BreakerState.HALF_OPEN, NOW, 7, "5xx", later, NOW, Pace(0.3, later, later), "reset", later)
    HealthStore(db).apply("binance", lambda _: full)
    assert HealthStore(db).load("binance") == full


def test_a_change_that_fails_changes_nothing(db: Database) -> None:
    store = HealthStore(db)
    store.apply("binance", lambda health: replace(health, failures=2))
    with pytest.raises(ZeroDivisionError):
        store.apply("binance", lambda health: replace(health, failures=1 // 0))
    assert store.load("binance").failures == 2


def test_of_many_that_ask_at_once_one_has_the_probe(db: Database) -> None:
    store = HealthStore(db)
    store.apply("binance", lambda health: after_ban(health, NOW, NOW, "418"))
    permits: list[Permit] = []

    def ask_once() -> None:
        decisions = list[Decision]()

        def change(health: Health) -> Health:
            decision, after = ask(health, NOW + timedelta(seconds=1), timedelta(minutes=1))
            decisions.append(decision)
            return after

        store.apply("binance", change)
        permits.append(decisions[-1].permit)

    threads = [threading.Thread(target=ask_once) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(permits) == [Permit.PROBE, *[Permit.REFUSED] * 7]


def test_a_ban_is_stored_after_a_short_failure_of_the_database(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    store, tries = HealthStore(db), list[int]()
    pool = store.pool
    transaction = pool.transaction

    def away_at_first() -> AbstractContextManager[Cursor]:
        tries.append(len(tries))
        if len(tries) == 1:
            raise DatabaseUnavailable("the database cannot be used now")
        return transaction()

    monkeypatch.setattr(pool, "transaction", away_at_first)
    store.apply("binance", lambda health: after_ban(health, NOW, NOW + timedelta(hours=1), "418"))
    assert store.load("binance").state is BreakerState.OPEN


def test_a_change_that_changes_nothing_waits_for_no_lock(db: Database) -> None:
    store = HealthStore(db)
    store.apply("binance", lambda health: replace(health, failures=1))
    store.apply("binance", lambda health: after_success(health, NOW))
    with db.transaction() as cursor:
        cursor.execute("SELECT FROM exchange_health FOR UPDATE")
        assert store.apply("binance", lambda health: after_success(health, NOW)).failures == 0
        assert least(lambda: store.apply("binance", lambda health: after_success(health, NOW))).clock < 1


def test_a_change_waits_for_a_locked_row_without_a_connection_and_is_stored_after_it(db: Database) -> None:
    store = HealthStore(db)
    store.apply("binance", lambda health: replace(health, failures=1))

    def fail() -> None:
        store.apply("binance", lambda health: after_failure(health, NOW, threshold=50, pause=timedelta(minutes=1)))

    with db.transaction() as cursor:
        cursor.execute("SELECT FROM exchange_health FOR UPDATE")
        threads = [threading.Thread(target=fail) for _ in range(6)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        assert store.load("okx") == Health("okx")
        assert least(lambda: store.load("okx")).clock < 1
        assert all(thread.is_alive() for thread in threads)
    for thread in threads:
        thread.join()
    assert store.load("binance").failures == 7


def test_requests_are_counted_by_the_hour(db: Database) -> None:
    store, hour = HealthStore(db), NOW.replace(minute=0, second=0, microsecond=0)
    for requests in (3, 4):
        store.count_requests("binance", hour, requests)
    store.count_requests("okx", hour - timedelta(hours=2), 9)
    assert store.requests_since(hour) == {"binance": 7}
