from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import dagster as dg
import psutil
import psycopg2
import pytest
from dagster import DagsterInstance
from dagster._core.errors import DagsterRunAlreadyExists
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster_postgres.run_storage import PostgresRunStorage
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from titan10_dagster.dagster_internals.database import dagster_url, ensure_dagster_schema
from titan10_dagster.dagster_internals.storage import (
    URL_VARIABLE,
    PatientEventLogStorage,
    PooledPostgresStorage,
    engine,
)
from titan10_dagster.errors import SettingsError
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster.settings_values import DATABASE_SCHEMES
from titan10_dagster.store.urls import sqlalchemy_url

OTHERS = (
    "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend'"
)


@dg.asset
def something() -> None:
    """An asset. Each run of it stores events."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server for one test. The test may kill the server."""
    server = EmbeddedPostgres(tmp_path / "postgres")
    server.start()
    yield server
    server.stop()


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


def terminate(cursor: psycopg2.extensions.cursor) -> int:
    """End the connections of the test's instance, and return how many there were."""
    return len(asked(cursor, f"SELECT pg_terminate_backend(pid) {OTHERS}"))


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


def test_an_event_is_stored_even_if_the_connection_breaks_in_between(
    instance: DagsterInstance, watching: psycopg2.extensions.cursor
) -> None:
    assert ran(instance)
    (run,) = instance.get_runs()
    watching.execute("BEGIN; LOCK TABLE dagster.event_logs")
    reporting = Thread(target=instance.report_engine_event, args=("reported in the middle", run))
    reporting.start()
    deadline = time.monotonic() + 60
    while not asked(watching, f"SELECT pg_terminate_backend(pid) {OTHERS} AND wait_event_type = 'Lock'"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    watching.execute("COMMIT")
    reporting.join(60)
    assert not reporting.is_alive()
    assert [log.message for log in instance.all_logs(run.run_id)].count("reported in the middle") == 1


def test_an_event_is_stored_even_if_the_connection_breaks_between_its_check_and_its_use(
    instance: DagsterInstance, watching: psycopg2.extensions.cursor, dagsters_url: str
) -> None:
    """SQLAlchemy then sets the isolation level on a dead connection. It does not wrap the error of psycopg2."""
    assert ran(instance)
    (run,) = instance.get_runs()
    broken: list[int] = []

    def break_once(connection: psycopg2.extensions.connection, *_: object) -> None:
        if not broken:
            broken.append(connection.info.backend_pid)
            asked(watching, f"SELECT pg_terminate_backend({broken[0]}, 60000)")

    pool = engine(sqlalchemy_url(dagsters_url))
    event.listen(pool, "checkout", break_once)
    try:
        instance.report_engine_event("reported at once", run)
    finally:
        event.remove(pool, "checkout", break_once)
    assert broken
    assert [log.message for log in instance.all_logs(run.run_id)].count("reported at once") == 1


def test_closed_connections_are_opened_again(instance: DagsterInstance, watching: psycopg2.extensions.cursor) -> None:
    assert ran(instance)
    assert terminate(watching)
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
    # The tests' server never waits for the disk.
    watching.execute(f"ALTER DATABASE {database_url.rsplit('/', 1)[1]} SET synchronous_commit = on")
    terminate(watching)
    assert ran(instance)
    storage = instance.event_log_storage
    assert isinstance(storage, PatientEventLogStorage)
    with storage.index_connection() as connection:  # a process that claims a pool uses such a connection
        assert connection.execute(text("SHOW synchronous_commit")).scalar() == "on"
        assert connection.connection.driver_connection.autocommit


def test_the_ui_gets_no_stale_connection(instance: DagsterInstance, watching: psycopg2.extensions.cursor) -> None:
    instance.optimize_for_webserver(statement_timeout=5000, pool_recycle=3600, max_overflow=20)
    assert instance.get_runs_count() == 0
    assert instance.event_log_storage.get_maximum_record_id() is None
    assert instance.all_instigator_state() == []
    for _ in range(3):
        assert terminate(watching)
        assert instance.get_runs_count() == 0
        assert instance.event_log_storage.get_maximum_record_id() is None
        assert instance.all_instigator_state() == []


def test_the_ui_limits_the_time_of_its_statements(instance: DagsterInstance) -> None:
    instance.optimize_for_webserver(statement_timeout=5000, pool_recycle=3600, max_overflow=20)
    storage = instance.event_log_storage
    assert isinstance(storage, PatientEventLogStorage)
    with storage.index_connection() as connection:
        assert connection.execute(text("SHOW statement_timeout")).scalar() == "5s"


def test_reads_and_writes_wait_for_a_server_that_recovers(server: EmbeddedPostgres, tmp_path: Path) -> None:
    """The outage is as long as the crash recoveries in public reports.

    Dagster's own storage raises an error after 11 s.
    """
    url = server.url()
    ensure_dagster_schema(url)
    storage = {
        "custom": {
            "module": PooledPostgresStorage.__module__,
            "class": PooledPostgresStorage.__name__,
            "config": {"postgres_url": dagster_url(url)},
        }
    }
    with dg.instance_for_test(temp_dir=str(tmp_path), overrides={"storage": storage}) as instance:
        assert ran(instance)
        calls: list[tuple[str, Callable[[], object]]] = [
            ("runs", instance.get_runs_count),
            ("events", lambda: instance.event_log_storage.get_maximum_record_id()),
            ("ticks", instance.all_instigator_state),
            ("write", lambda: ran(instance)),
        ]
        postmaster = psutil.Process(int((server.files.cluster / "postmaster.pid").read_text().split()[0]))
        sessions = postmaster.children()
        postmaster.kill()
        assert psutil.wait_procs(sessions, timeout=30)[1] == []  # a session may notice the end of its server only later
        answers: dict[str, object] = {}
        waiting = [Thread(target=lambda name=name, call=call: answers.update({name: call()})) for name, call in calls]
        for thread in waiting:
            thread.start()
        time.sleep(15)
        assert answers == {}
        assert server.start() == url
        for thread in waiting:
            thread.join(60)
        assert answers["write"] is True
        assert answers["runs"] in {1, 2}
        assert set(answers) == {"runs", "events", "ticks", "write"}


def test_a_session_that_became_read_only_is_replaced(
    instance: DagsterInstance, watching: psycopg2.extensions.cursor, database_url: str
) -> None:
    """After a failover, the sessions of the former primary stay open and are read-only."""
    assert ran(instance)
    name = database_url.rsplit("/", 1)[1]
    watching.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    terminate(watching)
    assert instance.get_runs_count() == 1  # a new connection to the server, which is now read-only
    stale = set(asked(watching, f"SELECT pid {OTHERS}"))
    watching.execute("SET default_transaction_read_only = off")
    watching.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert ran(instance)
    assert not stale & set(asked(watching, f"SELECT pid {OTHERS}"))


def test_a_run_whose_insertion_was_not_confirmed_is_not_an_error(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = dg.DagsterRun(job_name="job")
    add, lost = PostgresRunStorage.add_run, []

    def add_and_lose_the_answer(storage: PostgresRunStorage, added: dg.DagsterRun) -> dg.DagsterRun:
        add(storage, added)
        if not lost:
            lost.append(added.run_id)
            raise OperationalError("INSERT", {}, psycopg2.OperationalError("server closed the connection"))
        return added

    monkeypatch.setattr(PostgresRunStorage, "add_run", add_and_lose_the_answer)
    assert instance.add_run(run) == run
    assert lost == [run.run_id]
    assert instance.get_runs_count() == 1
    with pytest.raises(DagsterRunAlreadyExists):  # without a lost answer, the second insertion is an error
        instance.add_run(run)


def test_without_a_database_dagsters_tools_use_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("DAGSTER_HOME", URL_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TITAN10_DATA", str(tmp_path / "data"))
    storage = PooledPostgresStorage.from_config_value(None, {})
    assert isinstance(storage, DagsterSqliteStorage)
    assert storage.base_dir == str(tmp_path / "data" / "dagster" / "without-database")
    assert storage.run_storage.get_runs_count() == 0


def test_a_stack_without_a_database_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with pytest.raises(SettingsError, match=f"{URL_VARIABLE} is not set: start Dagster with `titan10 up`"):
        PooledPostgresStorage.from_config_value(None, {})
