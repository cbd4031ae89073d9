"""A lock that ends with its process shows whether the process is alive. The host's name does not matter."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from titan10_dagster.store import presence
from titan10_dagster.store.database import Database
from titan10_dagster.store.presence import is_present, present
from titan10_dagster_tests.processes import wait_until
from titan10_dagster_tests.store.making import Sql

NAME = "somewhere 17 4711 elsewhere"
HOLDERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
PROGRAM = """
import sys, time
from titan10_dagster.store.presence import present
with present(*sys.argv[1:]):
    print(flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def in_less_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "BEAT", 0.2)
    monkeypatch.setattr(presence, "PATIENCE", 2)


def seen_now(url: str) -> bool:
    with Database(url).session() as cursor:
        return presence._is_held(cursor, NAME)


def test_it_is_seen_as_long_as_it_lasts(url: str) -> None:
    assert not is_present(url, NAME)
    with present(url, NAME):
        wait_until(lambda: seen_now(url), 60)
        assert is_present(url, NAME)
        assert not is_present(url, "another")
    assert not is_present(url, NAME)


def test_a_killed_process_is_no_longer_present(url: str) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM, url, NAME], stdout=subprocess.PIPE) as process:
        wait_until(lambda: seen_now(url), 60)
        process.kill()
    assert not is_present(url, NAME)


def test_a_process_that_briefly_lost_its_connection_counts_as_present(
    url: str, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "PATIENCE", 30)  # like the real value, because a busy machine connects slowly
    with present(url, NAME):
        for _ in range(3):
            wait_until(lambda: seen_now(url), 60)
            assert sql.one(HOLDERS)
            assert is_present(url, NAME)


def test_simultaneous_checks_do_not_take_each_other_for_the_process(url: str) -> None:
    seen: list[bool] = []
    threads = [threading.Thread(target=lambda: seen.append(is_present(url, NAME))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [False] * 4


def test_without_the_database_every_process_counts_as_present(free_port: Callable[[], int]) -> None:
    away = f"postgresql://me@127.0.0.1:{free_port()}/x"
    assert is_present(away, NAME)
    with present(away, NAME):
        pass


def test_a_host_that_vanishes_is_noticed_by_the_server_within_minutes(sql: Sql) -> None:
    idle, interval, count = (int(sql.one(f"SHOW tcp_keepalives_{name}")) for name in ("idle", "interval", "count"))
    assert 0 < idle + interval * count <= 120
