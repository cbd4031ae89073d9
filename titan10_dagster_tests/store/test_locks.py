from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from titan10_dagster.errors import WriteUnderWay
from titan10_dagster.store import locks
from titan10_dagster.store.database import Database
from titan10_dagster.store.locks import lock_exchange


def test_each_lock_has_its_own_number() -> None:
    assert len({locks.MIGRATIONS, locks.ROLLUPS, locks.POLICIES}) == 3


def test_writers_of_one_exchange_take_turns_and_those_of_others_do_not_wait(db: Database) -> None:
    order: list[str] = []

    def write(exchange: str) -> None:
        with db.transaction() as cursor:
            lock_exchange(cursor, exchange)
            order.append(exchange)

    with db.transaction() as cursor:
        lock_exchange(cursor, "binance")
        threads = [threading.Thread(target=write, args=(name,)) for name in ("binance", "okx")]
        for thread in threads:
            thread.start()
        threads[1].join(timeout=120)
        assert order == ["okx"]
    threads[0].join(timeout=120)
    assert order == ["okx", "binance"]


def test_a_live_writer_raises_an_error_after_its_patience(db: Database) -> None:
    with db.transaction() as holder:
        lock_exchange(holder, "binance")
        with pytest.raises(WriteUnderWay, match="another write of binance is under way"), db.transaction() as cursor:
            lock_exchange(cursor, "binance", patience=timedelta(milliseconds=100))
