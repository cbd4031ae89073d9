"""The classification of server errors, with errors of a real server."""

from __future__ import annotations

import psycopg2
import pytest
from psycopg2 import errors

from titan10_dagster.errors import DatabaseUnavailable, StoreError
from titan10_dagster.store.database import Database
from titan10_dagster.store.server_errors import translated
from titan10_dagster_tests.store.making import Sql

RAISE = "DO $$ BEGIN RAISE EXCEPTION 'as the server says it' USING ERRCODE = '{}'; END $$"


def error_of(db: Database, statement: str) -> StoreError:
    with pytest.raises(StoreError) as raised, db.transaction() as cursor:
        cursor.execute(statement)
    return raised.value


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("25006", "only allows reads: it is a standby, a failover is under way, or default_transaction_read_only"),
        ("53000", "does not have enough resources"),
        ("53100", "the disk of the database server is full"),
        ("53200", "does not have enough memory"),
        ("53300", "cannot be used now"),
        ("57P03", "cannot be used now"),
        ("40P01", "cannot be used now"),
    ],
)
def test_what_time_can_heal_is_repeated(db: Database, code: str, words: str) -> None:
    error = error_of(db, RAISE.format(code))
    assert isinstance(error, DatabaseUnavailable)
    assert words in str(error)
    assert "as the server says it" in str(error)


@pytest.mark.parametrize("code", ["53400", "57014", "58P01", "42501", "22003"])
def test_what_time_cannot_heal_is_not_repeated(db: Database, code: str) -> None:
    assert type(error_of(db, RAISE.format(code))) is StoreError


@pytest.mark.parametrize(
    ("code", "message", "advice"),
    [
        ("42501", "permission denied to create temporary tables in database", "GRANT TEMPORARY ON DATABASE"),
        ("42501", "permission denied for table preferences", "a URL with the role that owns the tables"),
        ("22P05", "character with byte sequence has no equivalent in encoding LATIN1", "ENCODING 'UTF8'"),
    ],
)
def test_a_database_that_lacks_something_gets_advice(db: Database, code: str, message: str, advice: str) -> None:
    error = error_of(db, RAISE.replace("as the server says it", message).format(code))
    assert type(error) is StoreError
    assert advice in str(error)
    assert message in str(error)


def test_an_upgraded_library_of_timescaledb_is_explained(db: Database) -> None:
    words = 'could not access file "$libdir/timescaledb-2.23.1": No such file or directory'
    error = error_of(db, f"DO $$ BEGIN RAISE EXCEPTION '{words}' USING ERRCODE = '58P01'; END $$")
    assert type(error) is StoreError
    assert "ALTER EXTENSION timescaledb UPDATE" in str(error)


def test_a_session_from_before_an_upgrade_of_timescaledb_is_opened_again() -> None:
    error = translated(errors.InternalError_('extension "timescaledb" has already loaded with another version'))
    assert isinstance(error, StoreError)
    error = translated(psycopg2.InternalError("timescaledb is already loaded with another version"))
    assert isinstance(error, DatabaseUnavailable)


def test_a_read_only_transaction_is_the_servers_and_drops_its_session(db: Database, sql: Sql) -> None:
    before = sql.one("SELECT pg_backend_pid()")
    error = error_of(db, "SET TRANSACTION READ ONLY; CREATE TABLE x ()")
    assert isinstance(error, DatabaseUnavailable)
    assert sql.one("SELECT pg_backend_pid()") != before
