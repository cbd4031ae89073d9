"""Real servers: PgBouncer, two servers with a failover, several hosts in a URL, another schema."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg2
import pytest

from titan10_dagster.errors import DatabaseUnavailable, MigrationError, SettingsError
from titan10_dagster.local.postgres_files import installed_binaries
from titan10_dagster.store import locks
from titan10_dagster.store.database import Database, retrying
from titan10_dagster.store.locks import lock_exchange
from titan10_dagster.store.migrations import migrate
from titan10_dagster.store.urls import connection_parameters
from titan10_dagster_tests.cost import least
from titan10_dagster_tests.databases import passable_folder
from titan10_dagster_tests.processes import wait_until

PROJECT = Path(__file__).parents[2]
PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def account() -> dict[str, object]:
    """Return arguments of `subprocess` that start a process as another user if the tests run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": ()}


def hand_over(*paths: Path) -> None:
    if os.geteuid() == 0:
        for path in paths:
            shutil.chown(path, "nobody")


# -- PgBouncer ---------------------------------------------------------------------------------------------------------


@contextmanager
def pgbouncer(url: str, port: int, *settings: str) -> Iterator[str]:
    """Run PgBouncer in front of the server of `url`.

    Yield the URL that leads through PgBouncer to the same database.
    """
    if PGBOUNCER is None:
        pytest.skip("no pgbouncer, so this was NOT tested")
    server = connection_parameters(url)
    if "password" not in server:
        pytest.skip("the server's URL has no password, so PgBouncer was NOT tested")
    with passable_folder() as folder:
        users, configuration = folder / "users.txt", folder / "pgbouncer.ini"
        users.write_text(f'"{server["user"]}" "{server["password"]}"\n')
        lines = [
            "[databases]",
            f"* = host={server['host']} port={server['port']}",
            "[pgbouncer]",
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =",
            f"auth_type = plain\nauth_file = {users}",
            *settings,
        ]
        configuration.write_text("\n".join(lines))
        hand_over(users, configuration, folder)
        process = subprocess.Popen(
            [PGBOUNCER, str(configuration)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **account()
        )
        through = f"postgresql://{server['user']}:{server['password']}@127.0.0.1:{port}/{server['dbname']}"
        try:
            wait_for_connection(through)
            yield through
        finally:
            process.terminate()
            process.wait(timeout=30)


def wait_for_connection(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg2.connect(url).close()
        except psycopg2.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


@pytest.mark.parametrize("mode", ["session", "transaction"])
@pytest.mark.parametrize("ignored", ["", "ignore_startup_parameters = options"])
def test_a_pooler_is_refused_with_what_to_do(
    empty_database_url: str, free_port: Callable[[], int], mode: str, ignored: str
) -> None:
    with pgbouncer(empty_database_url, free_port(), f"pool_mode = {mode}", ignored) as through:
        with pytest.raises(SettingsError, match="connection pooler") as refused:
            migrate(through)
        assert "Set database.url to the PostgreSQL server itself" in str(refused.value)
        with pytest.raises(SettingsError, match="connection pooler"), Database(through).transaction():
            pass
    with closing(Database(empty_database_url)) as db, db.transaction() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        assert cursor.fetchone() == (0,)


# -- failover ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    """A PostgreSQL server of the embedded binaries, with replication."""

    folder: Path
    port: int

    def run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(installed_binaries() / program), *arguments],
            cwd=self.folder.parent,
            capture_output=True,
            text=True,
            check=False,
            **account(),  # type: ignore[call-overload]
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"

    def initialise(self) -> None:
        self.run("initdb", "-D", str(self.folder), "-A", "trust", "-U", "postgres", "--no-sync", "--no-instructions")
        with (self.folder / "postgresql.conf").open("a") as file:
            file.write("listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\n")

    def copy_from(self, other: Node) -> None:
        self.run("pg_basebackup", "-D", str(self.folder), "-R", "-c", "fast", "-d", other.url)

    def start(self) -> None:
        log = self.folder.parent / f"{self.port}.log"
        self.run("pg_ctl", "start", "-D", str(self.folder), "-w", "-l", str(log), "-o", f"-p {self.port}")

    def stop(self) -> None:
        self.run("pg_ctl", "stop", "-D", str(self.folder), "-m", "immediate", "-w")

    def promote(self) -> None:
        self.run("pg_ctl", "promote", "-D", str(self.folder), "-w")

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def execute(self, *statements: str) -> None:
        with closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            for statement in statements:
                connection.cursor().execute(statement)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())


@pytest.fixture
def nodes(free_port: Callable[[], int]) -> Iterator[tuple[Node, Node]]:
    """A primary and its standby, with streaming replication."""
    with passable_folder() as folder:
        hand_over(folder)
        primary, standby = Node(folder / "primary", free_port()), Node(folder / "standby", free_port())
        started: list[Node] = []
        try:
            primary.initialise()
            primary.start()
            started.append(primary)
            standby.copy_from(primary)
            standby.start()
            started.append(standby)
            yield primary, standby
        finally:
            for node in started:
                node.stop()


def url_of(nodes: tuple[Node, Node]) -> str:
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    return f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"


def test_a_write_is_repeated_on_the_new_primary_after_a_failover(nodes: tuple[Node, Node]) -> None:
    primary, standby = nodes
    with closing(Database(url_of(nodes))) as db:

        def write() -> str:
            with db.transaction() as cursor:
                cursor.execute("INSERT INTO kept SELECT inet_server_port()")
                cursor.execute("SELECT inet_server_port()")
                return str(cursor.fetchone()[0])  # type: ignore[index]

        primary.execute("CREATE TABLE kept (port int)")
        assert write() == str(primary.port)
        # From now on the old primary is read-only, also for the idle session of the pool. The standby has its data.
        primary.execute("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
        wait_until(lambda: primary.rows("SHOW default_transaction_read_only") == [("on",)], 60)
        time.sleep(1)  # by now the idle session is read-only too
        with pytest.raises(DatabaseUnavailable, match="a failover is under way"):
            write()
        promotion = threading.Timer(2, standby.promote)
        promotion.start()
        began = time.monotonic()
        assert retrying(write, seconds=60) == str(standby.port)
        promotion.join()
        assert time.monotonic() - began < 45
    assert standby.rows("SELECT port, count(*) FROM kept GROUP BY port ORDER BY port") == sorted(
        [(primary.port, 1), (standby.port, 1)]
    )


def test_migrations_and_dagsters_tables_find_the_primary_among_several_hosts(nodes: tuple[Node, Node]) -> None:
    from titan10_dagster.dagster_internals.database import dagster_url, ensure_dagster_schema
    from titan10_dagster.dagster_internals.storage import PooledPostgresStorage

    url = url_of((nodes[1], nodes[0]))  # the URL has the standby first
    assert migrate(url)
    ensure_dagster_schema(url)
    storage = PooledPostgresStorage(dagster_url(url))
    assert storage.run_storage.get_runs_count() == 0
    assert nodes[0].rows("SELECT count(*) > 20 FROM pg_tables WHERE schemaname = 'dagster'") == [(True,)]


# -- schemas and roles -------------------------------------------------------------------------------------------------


def in_schema(url: str, search_path: str) -> str:
    return f"{url}?options=-csearch_path%3D{search_path.replace(',', '%2C')}"


def execute(url: str, *statements: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)


def value_of(url: str, query: str) -> object:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]  # type: ignore[index]


def with_login(url: str, name: str, password: str) -> str:
    parameters = connection_parameters(url)
    return f"postgresql://{name}:{password}@{parameters['host']}:{parameters['port']}/{parameters['dbname']}"


@contextmanager
def role(url: str, rights: str) -> Iterator[str]:
    """Create a role with its own login for the database of `url`.

    The role and all its tables are dropped afterwards.
    """
    name = f"titan10_test_{os.getpid()}_{time.monotonic_ns()}"
    # The grant is needed since PostgreSQL 16: a role can act for a role that it creates only after granting this role
    # to itself.
    execute(url, f"CREATE ROLE {name} {rights} PASSWORD 'x'", f"GRANT {name} TO CURRENT_USER")
    try:
        yield name
    finally:
        execute(url, f"DROP OWNED BY {name} CASCADE", f"DROP ROLE {name}")


def test_tables_may_live_in_another_schema_that_the_role_owns(empty_database_url: str) -> None:
    with role(empty_database_url, "LOGIN") as owner, role(empty_database_url, "LOGIN") as reader:
        execute(empty_database_url, f"CREATE SCHEMA titan AUTHORIZATION {owner}")
        url = in_schema(with_login(empty_database_url, owner, "x"), "titan")
        assert "0001_tables" in migrate(url)
        assert migrate(url) == []
        assert value_of(empty_database_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
        assert value_of(empty_database_url, "SELECT to_regclass('titan.candles')") is not None
        if not value_of(empty_database_url, "SELECT count(*) FROM pg_roles WHERE rolname = 'titan10_reader'"):
            # The owner of these tables is not allowed to create roles. Usually a migration of another database has
            # already created the role.
            execute(empty_database_url, "CREATE ROLE titan10_reader NOLOGIN")
            migrate(url)
        execute(empty_database_url, f"GRANT titan10_reader TO {reader}")
        read = in_schema(with_login(empty_database_url, reader, "x"), "titan")
        for view in ("ohlcv", "coverage", "consensus", "latest", "alerts", "ohlcv_1h"):
            assert value_of(read, f"SELECT count(*) FROM {view}") == 0
        # The search path of a login, for example of Grafana, does not have to contain the schema.
        elsewhere = with_login(empty_database_url, reader, "x")
        views = value_of(elsewhere, "SELECT array_agg(viewname) FROM pg_views WHERE schemaname = 'titan'")
        assert isinstance(views, list)
        assert {"ohlcv", "latest", "provenance", "ohlcv_1w"} <= set(views)
        for view in views:
            assert value_of(elsewhere, f"SELECT count(*) >= 0 FROM titan.{view}") is True
        for function in ("ohlcv_filled('a', 'b', '1m', now(), now())", "candle_source('a', 'b', '1m', now())"):
            assert value_of(elsewhere, f"SELECT count(*) >= 0 FROM titan.{function}") is True


def test_a_schema_that_is_not_there_is_refused_with_what_to_do(empty_database_url: str) -> None:
    with pytest.raises(MigrationError, match="run CREATE SCHEMA"):
        migrate(in_schema(empty_database_url, "nowhere"))


def test_each_migration_run_repeats_the_grants(empty_database_url: str) -> None:
    migrate(empty_database_url)
    with role(empty_database_url, "LOGIN") as reader:
        execute(empty_database_url, "REVOKE SELECT ON ohlcv, candles FROM titan10_reader")
        execute(empty_database_url, f"GRANT titan10_reader TO {reader}")
        read = with_login(empty_database_url, reader, "x")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            value_of(read, "SELECT count(*) FROM ohlcv")
        assert migrate(empty_database_url) == []
        assert value_of(read, "SELECT count(*) FROM ohlcv") == 0


def test_a_reader_cannot_stop_the_writers(empty_database_url: str) -> None:
    migrate(empty_database_url)
    with role(empty_database_url, "LOGIN") as reader, closing(Database(empty_database_url)) as db:
        execute(empty_database_url, f"GRANT titan10_reader TO {reader}")
        with db.transaction() as cursor:
            lock_exchange(cursor, "binance")
        url = with_login(empty_database_url, reader, "x")
        with closing(psycopg2.connect(url)) as hostile, hostile.cursor() as cursor:
            for attempt in ("FOR UPDATE", "FOR SHARE", "FOR KEY SHARE"):
                with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                    cursor.execute(f"SELECT FROM write_locks WHERE exchange = 'binance' {attempt}")
                hostile.rollback()
            for mode in ("SHARE", "ROW EXCLUSIVE", "ACCESS EXCLUSIVE"):
                with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                    cursor.execute(f"LOCK TABLE write_locks IN {mode} MODE")
                hostile.rollback()
            # The lock that writers took in earlier versions, and all other locks that a reader can take.
            cursor.execute("SELECT pg_advisory_lock(hashtextextended('titan10 binance', 0))")
            cursor.execute("LOCK TABLE write_locks, candles, slice_ledger IN ACCESS SHARE MODE")

            def write() -> None:
                with db.transaction() as writing:
                    lock_exchange(writing, "binance", patience=timedelta(seconds=1))
                    writing.execute("INSERT INTO exchange_requests (exchange, hour, requests) VALUES ('x', now(), 1)")

            assert least(write).clock < 1


def test_a_migration_says_what_it_waits_for_and_ends_at_once(empty_database_url: str) -> None:
    with closing(psycopg2.connect(empty_database_url)) as other:
        other.cursor().execute("SELECT pg_advisory_lock(%s)", [locks.MIGRATIONS])
        program = f"from titan10_dagster.store.migrations import migrate\nmigrate({empty_database_url!r})"
        waiting = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, cwd=PROJECT)
        assert waiting.stderr is not None
        line = waiting.stderr.readline()
        assert "which migrates this database" in line
        assert f"process {other.info.backend_pid} of the server" in line
        began = time.monotonic()
        waiting.send_signal(signal.SIGINT)
        waiting.communicate(timeout=60)
        assert time.monotonic() - began < 2


def test_an_owner_without_login_is_refused_by_timescaledb_with_what_to_do(
    empty_timescaledb_database_url: str,
) -> None:
    url = empty_timescaledb_database_url
    with role(url, "NOLOGIN") as owner:
        execute(url, f"GRANT CREATE ON SCHEMA public TO {owner}")
        with pytest.raises(MigrationError, match=r"run ALTER ROLE \.\.\. LOGIN for it"):
            migrate(f"{url}?options=-crole%3D{owner}")
