from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Thread

import dagster as dg
import psycopg2
import pytest
from dagster import DagsterInstance
from sqlalchemy import text

from titan10_dagster.dagster_internals.storage import PatientEventLogStorage, PooledPostgresStorage
from titan10_dagster.settings_values import DATABASE_SCHEMES

OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@dg.asset
def something() -> None:
    """An asset whose run makes events."""


@pytest.fixture
def watching(database_url: str) -> Iterator[psycopg2.extensions.cursor]:
    connection = psycopg2.connect(database_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


def asked(cursor: psycopg2.extensions.cursor, query: str) -> list[tuple[int]]:
    cursor.execute(query)
    return list(cursor.fetchall())


def ran(instance: DagsterInstance) -> bool:
    return dg.materialize([something], instance=instance).success


def test_runs_one_after_the_other_share_their_connections(
    instance: DagsterInstance, watching: psycopg2.extensions.cursor
) -> None:
    assert ran(instance)
    before = set(asked(watching, f"SELECT pid {OTHERS}"))
    assert 0 < len(before) <= 4
    for _ in range(3):
        assert ran(instance)
    assert set(asked(watching, f"SELECT pid {OTHERS}")) == before


@pytest.mark.parametrize("scheme", DATABASE_SCHEMES)
def test_a_database_may_be_named_as_everywhere_else(dagsters_url: str, scheme: str) -> None:
    named = scheme + dagsters_url.partition("://")[2]
    assert PooledPostgresStorage(named).run_storage.get_runs_count() == 0


def test_an_event_is_stored_although_the_server_went_away_in_the_middle(
    instance: DagsterInstance, watching: psycopg2.extensions.cursor
) -> None:
    assert ran(instance)
    (run,) = instance.get_runs()
    watching.execute("BEGIN; LOCK TABLE dagster.event_logs")
    telling = Thread(target=instance.report_engine_event, args=("told in the middle", run))
    telling.start()
    deadline = time.monotonic() + 60
    while not asked(watching, f"SELECT pg_terminate_backend(pid) {OTHERS} AND wait_event_type = 'Lock'"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    watching.execute("COMMIT")
    telling.join(60)
    assert not telling.is_alive()
    assert [log.message for log in instance.all_logs(run.run_id)].count("told in the middle") == 1


def test_a_server_that_forgot_the_connections_is_connected_to_anew(
    instance: DagsterInstance, watching: psycopg2.extensions.cursor
) -> None:
    assert ran(instance)
    assert asked(watching, f"SELECT pg_terminate_backend(pid) {OTHERS}")
    assert ran(instance)
    assert instance.get_runs_count() == 2


def test_an_event_is_stored_whole_or_not_at_all(
    instance: DagsterInstance, watching: psycopg2.extensions.cursor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise ValueError("the second half of it")

    before = asked(watching, "SELECT count(*) FROM dagster.event_logs")
    monkeypatch.setattr(instance.event_log_storage, "_store_asset_event", full_disk)
    with pytest.raises(ValueError, match="the second half of it"):
        instance.report_runless_asset_event(dg.AssetMaterialization("something"))
    assert asked(watching, "SELECT count(*) FROM dagster.event_logs") == before


def test_only_events_do_not_wait_for_the_disk(
    instance: DagsterInstance, watching: psycopg2.extensions.cursor, database_url: str
) -> None:
    # The tests' server waits for no disk, whoever asks.
    watching.execute(f"ALTER DATABASE {database_url.rsplit('/', 1)[1]} SET synchronous_commit = on")
    asked(watching, f"SELECT pg_terminate_backend(pid) {OTHERS}")
    assert ran(instance)
    storage = instance.event_log_storage
    assert isinstance(storage, PatientEventLogStorage)
    with storage.index_connection() as connection:  # as who claims a pool has it
        assert connection.execute(text("SHOW synchronous_commit")).scalar() == "on"
        assert connection.connection.driver_connection.autocommit
