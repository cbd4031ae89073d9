from __future__ import annotations

import logging
import multiprocessing
import re
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg2
import pytest

from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.errors import DatabaseUnavailable, MigrationError
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster.local.postgres_roles import SUPERUSER
from titan10_dagster.store import locks, statements
from titan10_dagster.store.database import Database
from titan10_dagster.store.migrations import migrate
from titan10_dagster_tests.store.making import Sql

PLAIN = sorted(path.stem for path in statements.folder("postgresql").glob("*.sql"))
TIMESCALEDB = sorted(path.stem for path in statements.folder("timescaledb").glob("*.sql"))


def test_it_is_safe_to_repeat(empty_database_url: str) -> None:
    assert migrate(empty_database_url) == PLAIN
    assert migrate(empty_database_url) == []


def test_timescaledb_is_used_where_the_server_has_it(empty_timescaledb_database_url: str) -> None:
    assert migrate(empty_timescaledb_database_url) == [*PLAIN, *TIMESCALEDB]
    assert migrate(empty_timescaledb_database_url) == []


def test_a_plain_database_gains_timescaledb_later(empty_timescaledb_database_url: str) -> None:
    assert migrate(empty_timescaledb_database_url, timescaledb=False) == PLAIN
    assert migrate(empty_timescaledb_database_url) == TIMESCALEDB


@pytest.fixture
def old_timescaledb(own_server: EmbeddedPostgres, open_folder: Path) -> EmbeddedPostgres:
    """A server that offers an older TimescaleDB than the oldest supported version.

    Only the files of the extension exist, because the extension is never executed.
    """
    extensions = open_folder / "share/extension"
    extensions.mkdir(parents=True)
    (extensions / "timescaledb.control").write_text("default_version = '2.17.2'\ntrusted = true\n")
    (extensions / "timescaledb--2.17.2.sql").write_text("SELECT 1;\n")
    superuser = own_server.url(role=SUPERUSER)
    _run(superuser, f"ALTER SYSTEM SET extension_control_path = '{open_folder}/share:$system'")
    # as if the library were preloaded
    _run(superuser, "ALTER DATABASE titan10 SET timescaledb.max_background_workers = 16")
    _run(superuser, "SELECT pg_reload_conf()")
    return own_server


def test_a_timescaledb_that_is_too_old_is_not_installed(
    old_timescaledb: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    assert migrate(old_timescaledb.url()) == PLAIN
    assert "the server has TimescaleDB 2.17.2, but 2.23 or newer is needed" in caplog.text
    assert not Database(old_timescaledb.url()).has_timescaledb()


def test_a_database_that_has_a_timescaledb_too_old_is_refused_with_what_to_do(
    old_timescaledb: EmbeddedPostgres,
) -> None:
    _run(old_timescaledb.url(role=SUPERUSER), "CREATE EXTENSION timescaledb")
    with pytest.raises(MigrationError, match=r"TimescaleDB 2\.17\.2, but 2\.23 or newer is needed.*ALTER EXTENSION"):
        migrate(old_timescaledb.url())
    _run(old_timescaledb.url(role=SUPERUSER), "DROP EXTENSION timescaledb")
    assert migrate(old_timescaledb.url()) == PLAIN


def test_two_that_start_at_once_do_it_once(empty_database_url: str) -> None:
    # multiprocessing's Pool is not used. It ends its processes by a signal, and it once waited for such a process for
    # ever.
    with ProcessPoolExecutor(3, multiprocessing.get_context("spawn")) as pool:
        applied = list(pool.map(migrate, [empty_database_url] * 3))
    assert sorted(applied) == [[], [], PLAIN]


def test_a_lock_left_behind_by_a_killed_yoyo_blocks_no_migration(empty_database_url: str) -> None:
    migrate(empty_database_url)
    _run(empty_database_url, "CREATE TABLE yoyo_lock (locked int PRIMARY KEY, ctime timestamp, pid int)")
    _run(empty_database_url, "INSERT INTO yoyo_lock VALUES (1, now(), 4711)")
    assert migrate(empty_database_url) == []


def test_a_migration_that_fails_leaves_nothing_behind(empty_database_url: str) -> None:
    _run(empty_database_url, "CREATE VIEW coverage AS SELECT 1")
    with pytest.raises(MigrationError, match="coverage"):
        migrate(empty_database_url)
    db = Database(empty_database_url)
    assert Sql(db).one("SELECT to_regclass('candles')") is None
    db.close()
    _run(empty_database_url, "DROP VIEW coverage")
    assert migrate(empty_database_url) == PLAIN


def test_a_server_that_is_not_there_is_unavailable_and_the_password_stays_secret() -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        migrate("postgresql://quant:s3cret@127.0.0.1:1/market")
    assert "s3cret" not in str(caught.value)


def test_passwords_and_statements_are_not_logged(
    empty_database_url: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    parts, password = urlsplit(empty_database_url), "kept-secret-7421"
    with _role(empty_database_url, f"LOGIN PASSWORD '{password}'") as role:
        _run(empty_database_url, f"GRANT CREATE ON SCHEMA public TO {role}")
        url = urlunsplit(parts._replace(netloc=f"{role}:{password}@{parts.hostname}:{parts.port}"))
        with caplog.at_level(logging.INFO):
            assert migrate(url) == PLAIN
    assert {record.name for record in caplog.records} == {"titan10_dagster.store.migrations"}
    assert caplog.text
    assert password not in caplog.text
    assert capsys.readouterr().out == ""


def test_a_url_with_a_driver_and_a_quoted_password_is_understood(empty_database_url: str) -> None:
    parts = urlsplit(empty_database_url)
    with _role(empty_database_url, "LOGIN PASSWORD 'p@ss/wörd%'") as role:
        _run(empty_database_url, f"GRANT CREATE ON SCHEMA public TO {role}")
        netloc = f"{role}:p%40ss%2Fw%C3%B6rd%25@{parts.hostname}:{parts.port}"
        assert migrate(urlunsplit(parts._replace(scheme="postgresql+psycopg2", netloc=netloc))) == PLAIN
        _run(empty_database_url, f"DROP OWNED BY {role} CASCADE")


def test_a_role_that_may_not_create_roles_goes_without_the_reader(
    own_server: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    _run(own_server.url(role=SUPERUSER), "ALTER ROLE titan10 NOCREATEROLE")
    with caplog.at_level(logging.INFO):
        assert migrate(own_server.url()) == PLAIN
    assert "titan10_reader was not made" in caplog.text


def test_the_reader_reads_and_writes_nothing(url: str, sql: Sql) -> None:
    tables = sql(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_name !~ 'yoyo'"
    )
    assert len(tables) > 10
    for (table,) in tables:
        rights = sql(
            "SELECT bool_and(has_table_privilege('titan10_reader', %s, 'SELECT')),"
            " bool_or(has_table_privilege('titan10_reader', %s, 'INSERT, UPDATE, DELETE, TRUNCATE'))",
            [table, table],
        )
        assert rights == [(True, False)], table


def test_every_table_and_column_explains_itself(sql: Sql) -> None:
    silent = sql(
        "SELECT relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'p') AND relname !~ 'yoyo'"
        " AND attnum >= 0 AND NOT attisdropped AND col_description(pg_class.oid, attnum) IS NULL"
        " UNION ALL SELECT relname, '' FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'v', 'p') AND relname !~ 'yoyo' AND obj_description(oid) IS NULL"
    )
    assert silent == []


def test_the_database_accepts_exactly_the_timeframes_of_the_code(sql: Sql) -> None:
    for timeframe in TIMEFRAMES.values():
        assert sql.one("SELECT timeframe_interval(%s)", [timeframe.name]) == timeframe.delta
    assert sql.one("SELECT timeframe_interval('7m')") is None


@pytest.mark.parametrize(
    "change",
    [
        "low = 0",
        "low = 11",
        "high = 9",
        "open = 12",
        "close = 7",
        "volume = -1",
        "price_scale = 'NaN'",
        "price_scale = 'Infinity'",
        "volume_scale = 0",
        "volume_scale = 'NaN'",
        "\"time\" = '2024-01-01 00:00:30Z'",
        "timeframe = '7m'",
    ],
)
def test_the_table_itself_refuses_a_candle_that_cannot_be(sql: Sql, change: str) -> None:
    sql("INSERT INTO candles VALUES ('binance', 'BTC/USDT', '1m', '2024-01-01', 10, 11, 8, 9, 0, 1, 1)")
    sql("UPDATE candles SET volume = 5")
    with pytest.raises(Exception, match=r"violates check constraint|not-null"):
        sql(f"UPDATE candles SET {change}")


def test_the_names_of_the_migrations_are_numbered_and_unlike() -> None:
    names = [path.stem for folder in ("postgresql", "timescaledb") for path in statements.folder(folder).glob("*.sql")]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"\d{4}_[a-z_]+", name) for name in names)


def test_the_locks_of_the_sql_are_those_of_the_code() -> None:
    migrations = "".join(path.read_text() for path in statements.folder("timescaledb").glob("*.sql"))
    assert set(re.findall(r"pg_advisory\w+\((\d+)\)", migrations)) == {str(locks.ROLLUPS)}
    assert len({locks.MIGRATIONS, locks.ROLLUPS, locks.POLICIES}) == 3


def test_every_statement_is_used_and_every_used_one_is_there() -> None:
    there = {path.stem for path in statements.folder("statements").glob("*.sql")}
    store = Path(statements.__file__).parent
    code = "".join(path.read_text() for path in store.glob("*.py"))
    assert {name for name in there if f'"{name}"' not in code} == set()
    assert set(re.findall(r'(?:statement|_query)\((?:db, )?"(\w+)"', code)) <= there


@contextmanager
def _role(url: str, rights: str) -> Iterator[str]:
    name = f"titan10_test_{uuid4().hex[:12]}"
    _run(url, f"CREATE ROLE {name} {rights}")
    _run(url, f"GRANT {name} TO CURRENT_USER")  # otherwise only a superuser may drop the role's tables
    try:
        yield name
    finally:
        _run(url, f"DROP OWNED BY {name}")
        _run(url, f"DROP ROLE {name}")


def _run(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    connection.cursor().execute(statement)
    connection.close()


def test_a_waiting_migration_names_the_process_it_waits_for_and_can_be_interrupted(
    empty_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg2.connect(empty_database_url) as holder, holder.cursor() as cursor:
        cursor.execute(f"SELECT pg_advisory_lock({locks.MIGRATIONS}), pg_backend_pid()")
        _, pid = cursor.fetchone() or (None, None)
        with caplog.at_level("WARNING"):
            waiting = Thread(target=migrate, args=(empty_database_url,))
            waiting.start()
            deadline = time.monotonic() + 60
            while "waiting for" not in caplog.text:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert f"(process {pid} of the server), which migrates this database; Ctrl-C ends this command" in caplog.text
        assert waiting.is_alive()
        cursor.execute(f"SELECT pg_advisory_unlock({locks.MIGRATIONS})")
        waiting.join(60)
    assert not waiting.is_alive()
    holder.close()
