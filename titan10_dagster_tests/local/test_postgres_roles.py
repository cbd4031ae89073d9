"""The rights of the roles of the embedded PostgreSQL and of the containers, on real servers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import errors

from titan10_dagster.local.postgres import DATABASE, EmbeddedPostgres
from titan10_dagster.local.postgres_cluster import SUPERUSER_PASSWORD
from titan10_dagster.local.postgres_roles import SUPERUSER
from titan10_dagster.store.migrations import migrate
from titan10_dagster_tests.databases import passable_folder
from titan10_dagster_tests.instances import ROOT
from titan10_dagster_tests.store.test_servers import Node, hand_over


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with passable_folder() as folder:
        embedded = EmbeddedPostgres(folder / "postgres")
        migrate(embedded.start())
        execute(embedded.url(), "CREATE ROLE visitor LOGIN PASSWORD 'x'", "GRANT titan10_reader TO visitor")
        yield embedded
        embedded.stop()


def execute(url: str, *statements: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)


def visitors_url(server: EmbeddedPostgres) -> str:
    return f"postgresql://visitor:x@{server.url().partition('@')[2]}"


def test_the_owners_password_is_not_the_superusers(server: EmbeddedPostgres) -> None:
    owners = server.url().replace(f"//{DATABASE}:", f"//{SUPERUSER}:")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(owners)
    execute(server.url(role=SUPERUSER), "SELECT 1")


FORBIDDEN = (
    "COPY (SELECT 1) TO PROGRAM 'cat > /dev/null'",
    "CREATE TEMPORARY TABLE x (y text); COPY x FROM PROGRAM 'id'",
    "SELECT pg_read_file('/etc/passwd')",
    "ALTER ROLE titan10 SUPERUSER",
    "GRANT pg_execute_server_program TO titan10",
    "ALTER SYSTEM SET jit = on",
)


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_owner_runs_no_programs_and_reads_no_files(server: EmbeddedPostgres, statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        execute(server.url(), statement)


def test_the_role_of_the_containers_has_the_same_limits(free_port: Callable[[], int]) -> None:
    """`create-roles.sh` runs on a new server, as the container of the database runs it."""
    if shutil.which("psql") is None:
        pytest.skip("no psql, so this was NOT tested")
    with passable_folder() as folder:
        hand_over(folder)
        node = Node(folder / "database", free_port())
        node.initialise()
        node.start()
        try:
            node.execute("CREATE DATABASE titan10")
            names = {"TITAN10_PASSWORD": "secret", "POSTGRES_USER": "postgres", "POSTGRES_DB": "titan10"}
            address = {"PGHOST": "127.0.0.1", "PGPORT": str(node.port)}
            script = ROOT / "deploy/create-roles.sh"
            subprocess.run(["sh", script], env={**os.environ, **names, **address}, check=True, capture_output=True)
            url = f"postgresql://titan10@127.0.0.1:{node.port}/titan10"
            assert migrate(url)
            for statement in FORBIDDEN:
                with pytest.raises(errors.InsufficientPrivilege):
                    execute(url, statement)
            node.execute("CREATE ROLE visitor LOGIN", "GRANT titan10_reader TO visitor")
            with pytest.raises(errors.InsufficientPrivilege):
                execute(url.replace("//titan10@", "//visitor@"), "SELECT pg_advisory_lock(7310424201)")
            execute(url, "SELECT pg_advisory_lock(7310424201)")
        finally:
            node.stop()


def test_a_reader_takes_no_advisory_locks(server: EmbeddedPostgres) -> None:
    for function in ("lock", "lock_shared", "xact_lock", "xact_lock_shared"):
        for prefix in ("pg_advisory", "pg_try_advisory"):
            with pytest.raises(errors.InsufficientPrivilege):
                execute(visitors_url(server), f"SELECT {prefix}_{function}(7310424201)")
            execute(server.url(), f"SELECT {prefix}_{function}(7310424201)")


def test_readers_leave_connections_to_the_owner(server: EmbeddedPostgres) -> None:
    with ExitStack() as open_connections:

        def connect_all() -> None:
            for _ in range(160):
                open_connections.enter_context(closing(psycopg2.connect(visitors_url(server))))

        with pytest.raises(psycopg2.OperationalError, match="reserved"):
            connect_all()
        for _ in range(40):
            open_connections.enter_context(closing(psycopg2.connect(server.url())))


def test_a_server_of_version_0_1_0_gets_a_password_of_its_own_for_the_superuser(server: EmbeddedPostgres) -> None:
    file = server.files.folder / SUPERUSER_PASSWORD
    shared, own = (server.files.folder / "password").read_text(), file.read_text()
    execute(server.url(role=SUPERUSER), f"ALTER ROLE {SUPERUSER} PASSWORD '{shared}'")
    file.unlink()
    restart(server)
    assert file.read_text() not in (shared, own)
    assert file.stat().st_mode & 0o777 == 0o600
    execute(server.url(role=SUPERUSER), "SELECT 1")


def test_a_start_that_is_killed_while_it_changes_the_password_is_finished_later(server: EmbeddedPostgres) -> None:
    file = server.files.folder / SUPERUSER_PASSWORD
    file.rename(file.with_name(f"{file.name}.new"))
    restart(server)
    execute(server.url(role=SUPERUSER), "SELECT 1")


def restart(server: EmbeddedPostgres) -> None:
    server.stop()
    server.start()


def test_files_with_passwords_are_the_servers_alone(server: EmbeddedPostgres) -> None:
    for name in ("password", SUPERUSER_PASSWORD):
        assert Path(server.files.folder / name).stat().st_mode & 0o777 == 0o600
    assert server.files.folder.stat().st_mode & 0o777 == 0o700
