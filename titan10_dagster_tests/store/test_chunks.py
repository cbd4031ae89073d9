from __future__ import annotations

from datetime import timedelta

import pytest

from titan10_dagster.store.chunks import Chunks
from titan10_dagster.store.database import Database
from titan10_dagster_tests.store.making import DAY, Sql

ONE = timedelta(days=1)
LOCKS = "SELECT count(*) FROM pg_locks WHERE mode = 'RowExclusiveLock' AND relation = ANY(%s::text[]::regclass[])"


def test_a_plain_table_has_no_chunks_to_create(database_url: str) -> None:
    db = Database(database_url)
    with db.transaction() as cursor:
        chunks = Chunks(db, cursor)
        chunks.prepare([DAY])
        assert chunks.timescaledb is False
        assert chunks.ready == set()
    db.close()


def test_the_chunks_of_the_days_are_created_empty_and_locked_until_the_end(timescaledb: Database) -> None:
    sql = Sql(timescaledb)
    with timescaledb.transaction() as cursor:
        Chunks(timescaledb, cursor).prepare([DAY, DAY + 20 * ONE])
        names = [name for (name,) in sql("SELECT chunk::text FROM show_chunks('candles') AS chunk")]
        assert len(names) == 2
        assert sql.one(LOCKS, [names]) == 2
    assert sql.one(LOCKS, [names]) == 0
    assert sql.one("SELECT count(*) FROM candles") == 0


def test_days_that_were_prepared_are_not_prepared_again(timescaledb: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with timescaledb.transaction() as cursor:
        chunks = Chunks(timescaledb, cursor)
        chunks.prepare([DAY])
        monkeypatch.setattr(chunks, "cursor", None)  # from now on, a query would fail
        chunks.prepare([DAY])
        assert chunks.ready == {DAY}
