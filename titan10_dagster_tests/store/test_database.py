from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from titan10_dagster.candles.fetched import JudgedSlice
from titan10_dagster.errors import DatabaseUnavailable, SettingsError, StoreError
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster.store import writer
from titan10_dagster.store.database import Database, retrying
from titan10_dagster.store.migrations import migrate
from titan10_dagster.store.urls import connection_parameters, shown
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.databases import execute
from titan10_dagster_tests.store.making import DAY, Sql, a_slice, judged

SECRET = "s3cr:et@/?#%& ü"
QUOTED = "s3cr%3Aet%40%2F%3F%23%25%26%20%C3%BC"


def test_what_a_transaction_did_is_there_when_it_ends(db: Database, sql: Sql) -> None:
    with db.transaction() as cursor:
        cursor.execute("CREATE TABLE kept (n int)")
    assert sql("SELECT * FROM kept") == []


def test_what_a_transaction_did_is_gone_when_something_is_raised(db: Database, sql: Sql) -> None:
    def run() -> None:
        with db.transaction() as cursor:
            cursor.execute("CREATE TABLE kept (n int)")
            raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        run()
    assert sql.one("SELECT to_regclass('kept')") is None


def test_a_statement_that_is_wrong_is_a_store_error_and_the_connection_stays_good(db: Database, sql: Sql) -> None:
    with pytest.raises(StoreError, match="no_such_table") as caught:
        sql("SELECT * FROM no_such_table")
    assert not isinstance(caught.value, DatabaseUnavailable)
    assert sql.one("SELECT 1") == 1


def test_a_statement_that_takes_too_long_is_not_tried_again(db: Database) -> None:
    with pytest.raises(StoreError, match="statement timeout") as caught, db.transaction() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 10; SELECT pg_sleep(5)")
    assert not isinstance(caught.value, DatabaseUnavailable)


def test_sessions_use_utc_and_every_wait_has_a_limit(db: Database, sql: Sql) -> None:
    assert sql.one("SHOW timezone") == "UTC"
    assert sql.one("SELECT now()").tzinfo == UTC
    assert sql.one("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()") == "titan10"
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        assert sql.one(f"SHOW {name}") != "0"


@pytest.mark.parametrize(
    ("setting", "harmful", "ours"),
    [
        ("client_encoding", "LATIN1", "UTF8"),
        ("default_transaction_isolation", "repeatable read", "read committed"),
        ("idle_in_transaction_session_timeout", "1s", "10min"),
        ("idle_session_timeout", "1s", "0"),
        ("lock_timeout", "1ms", "5min"),
        ("statement_timeout", "1ms", "10min"),
        ("timezone", "Asia/Kathmandu", "UTC"),
    ],
)
def test_harmful_settings_of_the_database_have_no_effect(
    empty_database_url: str, setting: str, harmful: str, ours: str
) -> None:
    name = empty_database_url.rpartition("/")[2]
    execute(empty_database_url, f"ALTER DATABASE {name} SET {setting} = '{harmful}'")
    db = Database(empty_database_url)
    assert Sql(db).one(f"SHOW {setting}") == ours
    db.close()


def test_no_more_connections_are_open_than_allowed(url: str) -> None:
    db = Database(url, max_connections=2)
    together: list[int] = []
    two_inside = threading.Barrier(2, timeout=60)

    def look() -> None:
        with db.transaction() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> ''"
                           " AND application_name = 'titan10'")  # fmt: skip
            together.append(int((cursor.fetchone() or (0,))[0]))
            two_inside.wait()

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    db.close()
    assert len(together) == 6
    assert max(together) == 2


def test_a_connection_that_died_while_it_lay_idle_is_replaced(db: Database, sql: Sql) -> None:
    before = sql.one("SELECT pg_backend_pid()")
    other = Database(db._url)
    with other.transaction() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [before])
    other.close()
    assert sql.one("SELECT pg_backend_pid()") != before


def test_a_connection_that_was_asked_whether_it_works_still_opens_transactions(db: Database, sql: Sql) -> None:
    def create_and_fail() -> None:
        with db.transaction() as cursor:
            cursor.execute("CREATE TABLE undone (x int)")
            raise ValueError("undo")

    assert sql.one("SELECT 1") == 1
    with pytest.raises(ValueError, match="undo"):
        create_and_fail()
    assert sql.one("SELECT to_regclass('undone')") is None


def test_a_read_is_repeated_if_its_idle_connection_has_died(db: Database) -> None:
    (before,) = db.query("SELECT pg_backend_pid() AS pid")
    other = Database(db._url)
    other.query("SELECT pg_terminate_backend(%s)", [before.pid])
    other.close()
    (after,) = db.query("SELECT pg_backend_pid() AS pid")
    assert after.pid != before.pid


def test_a_read_that_ends_its_own_session_is_not_repeated_for_ever(db: Database) -> None:
    assert db.query("SELECT 1 AS number")[0].number == 1
    with pytest.raises(DatabaseUnavailable):
        db.query("SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(60)")
    assert db.query("SELECT 1 AS number")[0].number == 1


def test_a_read_leaves_no_transaction_open_even_if_it_is_wrong(db: Database) -> None:
    with pytest.raises(StoreError, match="no_such_table"):
        db.query("SELECT * FROM no_such_table")
    (session,) = db.query("SELECT pg_backend_pid() AS pid")
    other = Database(db._url)
    (seen,) = other.query("SELECT state FROM pg_stat_activity WHERE pid = %s", [session.pid])
    other.close()
    assert seen.state == "idle"


def test_a_connection_that_dies_in_a_transaction_raises_database_unavailable(db: Database, sql: Sql) -> None:
    with pytest.raises(DatabaseUnavailable), db.transaction() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert sql.one("SELECT 1") == 1


def test_a_server_that_is_not_there_is_unavailable_and_its_message_keeps_the_password(
    free_port: Callable[[], int],
) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"market at 127\.0\.0\.1") as caught:
        Database(f"postgresql://quant:{QUOTED}@127.0.0.1:{free_port()}/market").has_timescaledb()
    assert "s3cr" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg2", "postgres"])
def test_a_password_of_special_characters_arrives_whole(scheme: str) -> None:
    parameters = connection_parameters(f"{scheme}://quant:{QUOTED}@[::1]:5433/market?sslmode=disable")
    assert parameters == {
        "user": "quant",
        "password": SECRET,
        "host": "::1",
        "port": "5433",
        "dbname": "market",
        "sslmode": "disable",
    }
    assert "s3cr" not in shown(parameters)


def test_a_url_without_user_or_host_is_as_good_as_libpq_finds_it() -> None:
    assert connection_parameters("postgresql:///market?host=/run/pg") == {"dbname": "market", "host": "/run/pg"}
    assert connection_parameters("postgresql://localhost") == {"host": "localhost"}


@pytest.mark.parametrize(
    "url",
    [
        "mysql://quant:s3cret@localhost/market",
        "quant:s3cret@localhost/market",
        "postgresql://quant:s3/cret@localhost/market",
        "postgresql://quant:12/s3cret@localhost/market",
        "postgresql://quant:s3cret@localhost/market?nonsense",
        "postgresql://quant:s3cret/market",
        "postgresql://quant@localhost:s3cret/market",
        "postgresql://quant@localhost:65536/market",
        "",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError, match="percent-encoded") as caught:
        connection_parameters(url)
    assert "s3" not in str(caught.value)
    assert "cret" not in str(caught.value)


def test_several_hosts_have_a_port_each_or_the_usual_one() -> None:
    assert connection_parameters("postgresql://quant@one:5433,two/market")["port"] == "5433,"


def test_a_database_shows_itself_without_its_password() -> None:
    assert repr(Database(f"postgresql://quant:{QUOTED}@db:5432/market")) == "<Database the database market at db:5432>"


def test_retrying_ends_with_the_reason() -> None:
    def unavailable() -> None:
        raise DatabaseUnavailable("still away")

    with pytest.raises(DatabaseUnavailable, match="still away"):
        retrying(unavailable, seconds=0.3)


def test_retrying_does_not_repeat_what_will_not_pass() -> None:
    calls = []

    def refused() -> None:
        calls.append(1)
        raise StoreError("no")

    with pytest.raises(StoreError):
        retrying(refused)
    assert len(calls) == 1


def crash(server: EmbeddedPostgres) -> None:
    """Stop the server like `pg_ctl stop -m immediate`, and start it again a little later on the same port."""
    pid = int((server.files.cluster / "postmaster.pid").read_text().splitlines()[0])
    port = int(server.url().rsplit(":", 1)[1].split("/")[0])
    os.kill(pid, signal.SIGQUIT)
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                break
        time.sleep(0.02)
    threading.Timer(1.0, server.start).start()


def test_a_write_survives_a_server_that_crashes_in_the_middle_of_it(
    own_server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_BATCH", 8 * 1440)
    url = own_server.start()
    migrate(url)
    db = Database(url)
    attempts: list[datetime] = []

    def slices() -> Iterator[JudgedSlice]:
        attempts.append(datetime.now(UTC))
        for n in range(40):
            if n == 35 and len(attempts) == 1:
                crash(own_server)
            yield judged(a_slice(day=DAY - timedelta(days=n)))

    report = retrying(lambda: write_slices(db, slices()))
    assert len(attempts) > 1
    assert report.inserted == 40 * 1440
    assert Sql(db).one("SELECT count(*) FROM candles") == 40 * 1440
    db.close()
