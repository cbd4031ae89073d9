from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from titan10_dagster.candles.slices import midnight
from titan10_dagster.store.database import Database
from titan10_dagster.store.policies import BATCH, PARALLEL_SETUP_COST, Policies, apply
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import DAY, Sql, a_slice, candles, judged, without

DEFAULT = Policies(chunk=timedelta(days=7), compress_after=timedelta(days=7))
OTHER = Policies(chunk=timedelta(days=14), compress_after=timedelta(days=30))

CHUNK = "SELECT time_interval FROM timescaledb_information.dimensions WHERE hypertable_name = 'candles'"
AFTER = (
    "SELECT config ->> 'compress_after' FROM timescaledb_information.jobs"
    " WHERE hypertable_name = 'candles' AND proc_name = 'policy_compression'"
)
BATCH_NOW = "SELECT current_setting('timescaledb.compression_batch_size_limit')"
WORKERS_NOW = "SELECT current_setting('parallel_setup_cost')"
STATUSES = "SELECT _timescaledb_functions.chunk_status(chunk) FROM show_chunks('candles') AS chunk ORDER BY chunk"
COMPRESSED, PARTIAL = 1, 9


@pytest.fixture
def migrated(timescaledb_database_url: str) -> Database:
    return Database(timescaledb_database_url)


def reconnect(db: Database) -> Sql:
    db.close()  # settings of ALTER ROLE apply only to later connections
    return Sql(db)


def test_the_defaults_are_what_the_migrations_made_but_for_what_holds_in_sessions(migrated: Database) -> None:
    assert apply(migrated, DEFAULT) == [
        f"at most {BATCH} candles are compressed together",
        "short queries run without parallel workers",
    ]
    sql = reconnect(migrated)
    assert (sql.one(BATCH_NOW), sql.one(WORKERS_NOW)) == (str(BATCH), str(PARALLEL_SETUP_COST))
    assert apply(migrated, DEFAULT) == []
    migrated.close()


def test_changed_settings_change_the_database_once(migrated: Database) -> None:
    apply(migrated, DEFAULT)
    sql = reconnect(migrated)
    assert apply(migrated, OTHER) == ["new chunks are 14 days long", "chunks are compressed after 30 days"]
    assert apply(migrated, OTHER) == []
    assert (sql.one(CHUNK), sql(AFTER)) == (timedelta(days=14), [("30 days",)])
    migrated.close()


def test_two_that_start_at_once_make_one_policy(timescaledb_database_url: str) -> None:
    databases = [Database(timescaledb_database_url) for _ in range(3)]
    threads = [threading.Thread(target=apply, args=(db, OTHER)) for db in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert Sql(databases[0])(AFTER) == [("30 days",)]
    for db in databases:
        db.close()


def test_plain_postgresql_has_nothing_to_set(database_url: str) -> None:
    db = Database(database_url)
    assert apply(db, OTHER) == []
    db.close()


def test_the_policy_compresses_again_what_a_repair_left_partial(timescaledb: Database) -> None:
    apply(timescaledb, DEFAULT)
    sql = reconnect(timescaledb)
    (job,) = sql.one("SELECT ARRAY[job_id] FROM timescaledb_information.jobs WHERE proc_name = 'policy_compression'")
    sql("SELECT alter_job(%s, scheduled => false)", [job])
    slice_ = a_slice()
    write_slices(timescaledb, [judged(slice_, without(candles(slice_), 5, 600))])
    with timescaledb.session() as session:
        session.execute("CALL run_job(%s)", [job])
        assert sql(STATUSES) == [(COMPRESSED,)]
        write_slices(timescaledb, [judged(slice_)])
        assert sql(STATUSES) == [(PARTIAL,)]
        session.execute("CALL run_job(%s)", [job])
    assert sql(STATUSES) == [(COMPRESSED,)]
    assert sql.one("SELECT count(*) FROM ohlcv WHERE time >= %s", [midnight(DAY)]) == 1440
