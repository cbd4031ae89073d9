"""A real server, of real binaries, in a real folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from titan10_dagster.dagster_internals.database import dagster_url, ensure_dagster_schema
from titan10_dagster.dagster_internals.storage import PooledPostgresStorage
from titan10_dagster.errors import DatabaseUnavailable, SettingsError
from titan10_dagster.local import postgres_files
from titan10_dagster.local.ports import free_port
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster_tests.databases import passable_folder

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server to another account")


@pytest.fixture(scope="module")
def running() -> Iterator[EmbeddedPostgres]:
    """For those who only look at it."""
    with passable_folder() as folder:
        server = EmbeddedPostgres(folder / "postgres")
        server.start()
        yield server
        server.stop()


@pytest.fixture
def server(open_folder: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(open_folder / "postgres")
    server.start()
    yield server
    server.stop()


def ask(url: str, statement: str) -> Any:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None


def pid_of(server: EmbeddedPostgres) -> int:
    return int((server.cluster / "postmaster.pid").read_text().splitlines()[0])


def kill_postmaster(server: EmbeddedPostgres) -> None:
    pid = pid_of(server)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not server.running(), 120)


def wait_until(what: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_was_written_is_there_after_a_stop_and_a_start(server: EmbeddedPostgres) -> None:
    ask(server.url(), "CREATE TABLE kept AS SELECT 7 AS seven")
    server.stop()
    assert not server.running()
    assert ask(server.start(), "SELECT seven FROM kept") == 7


def test_the_database_is_owned_by_a_role_that_is_no_superuser(running: EmbeddedPostgres) -> None:
    assert ask(running.url(), "SELECT current_user || current_database()") == "titan10titan10"
    assert not ask(running.url(), "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")


def test_it_listens_on_the_loopback_address_only_and_wants_the_password(running: EmbeddedPostgres) -> None:
    superuser = running.url("postgres", "postgres")
    assert ask(superuser, "SHOW listen_addresses") == "127.0.0.1"
    assert ask(superuser, "SHOW unix_socket_directories") == ""
    password = (running.folder / "password").read_text()
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(running.url().replace(password, "wrong"))


def test_the_password_is_in_one_file_that_others_cannot_read(running: EmbeddedPostgres) -> None:
    password = (running.folder / "password").read_text()
    assert len(password) >= 32
    assert (running.folder / "password").stat().st_mode & 0o077 == 0
    files = [path for path in running.folder.rglob("*") if path.is_file()]
    assert [path.name for path in files if password.encode() in path.read_bytes()] == ["password"]


def test_a_second_start_joins_the_server_and_the_last_to_stop_ends_it(server: EmbeddedPostgres) -> None:
    another = EmbeddedPostgres(server.folder)
    assert another.start() == server.url()
    server.stop()
    assert another.running()
    another.stop()
    assert not another.running()


def test_two_processes_that_start_at_once_share_one_server(open_folder: Path) -> None:
    program = (
        "import sys, pathlib; from titan10_dagster.local.postgres import EmbeddedPostgres\n"
        "server = EmbeddedPostgres(pathlib.Path(sys.argv[1])); print(server.start(), flush=True)\n"
        "sys.stdin.read(); server.stop()"
    )
    command = [sys.executable, "-c", program, str(open_folder / "postgres")]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as two:
        urls = {process.stdout.readline() for process in (one, two) if process.stdout}
        assert len(urls) == 1
        for process in (one, two):
            process.communicate(timeout=120)
    assert not (open_folder / "postgres/cluster/postmaster.pid").exists()


def test_processes_that_look_for_a_place_at_the_same_instant_find_the_same_one(open_folder: Path) -> None:
    program = (
        "import sys, pathlib; from titan10_dagster.local.postgres_files import find_place\n"
        "print(flush=True); sys.stdin.readline()\n"
        "print(find_place(pathlib.Path(sys.argv[1]), lambda _: None).folder, flush=True)"
    )
    command = [sys.executable, "-c", program, str(open_folder / "postgres")]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with ExitStack() as running:
        several = [running.enter_context(subprocess.Popen(command, **pipes)) for _ in range(4)]
        for process in several:
            process.stdout.readline()  # it has imported what it needs
        for process in several:
            process.stdin.write("\n")
            process.stdin.flush()
        found = {process.stdout.readline() for process in several}
        for process in several:
            process.communicate(timeout=120)
    assert len(found) == 1


def test_a_server_killed_with_sigkill_recovers_what_was_committed(server: EmbeddedPostgres) -> None:
    ask(server.url(), "CREATE TABLE kept AS SELECT generate_series(1, 10000)")
    kill_postmaster(server)
    assert ask(server.start(), "SELECT count(*) FROM kept") == 10000


def test_a_pid_file_whose_number_is_another_process_now_stops_no_start(server: EmbeddedPostgres) -> None:
    kill_postmaster(server)
    pid_file = server.cluster / "postmaster.pid"
    # PostgreSQL takes a live process of its own account for a server; a stranger's it sees through.
    identity = {} if server.place.account is None else {"user": server.place.account.uid}
    with subprocess.Popen(["sleep", "60"], **identity) as heir:
        lines = pid_file.read_text().splitlines(keepends=True)
        pid_file.write_text("".join([f"{heir.pid}\n", *lines[1:]]))
        assert not server.running()
        assert ask(server.start(), "SELECT 1") == 1
        heir.kill()


def test_an_initialisation_that_was_killed_halfway_is_begun_anew(open_folder: Path) -> None:
    half = open_folder / "postgres/cluster.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(open_folder / "postgres")
    assert ask(server.start(), "SELECT 1") == 1
    server.stop()
    assert not half.exists()


def test_a_port_that_somebody_else_listens_on_is_passed_over_aloud(open_folder: Path) -> None:
    said: list[str] = []
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        server = EmbeddedPostgres(open_folder / "postgres", port=taken, say=said.append)
        assert ask(server.start(), "SELECT 1") == 1
        server.stop()
    assert len(said) == 1
    assert said[0].startswith(f"Port {taken} is taken")


def test_a_port_that_is_free_is_taken(open_folder: Path) -> None:
    port = free_port()
    server = EmbeddedPostgres(open_folder / "postgres", port=port)
    assert f":{port}/" in server.start()
    server.stop()
    assert f":{port}/" in server.start(), "its own connections that linger do not occupy the port"
    server.stop()


def test_data_of_another_major_version_is_refused_with_what_to_do(server: EmbeddedPostgres) -> None:
    server.stop()
    (server.cluster / "PG_VERSION").write_text("17\n")
    with pytest.raises(DatabaseUnavailable, match=r"created by PostgreSQL 17, but PostgreSQL 18"):
        server.start()


def test_a_server_that_cannot_start_says_why(server: EmbeddedPostgres) -> None:
    server.stop()
    with (server.cluster / "postgresql.conf").open("a") as configuration:
        configuration.write("no_such_parameter = 1\n")
    with pytest.raises(DatabaseUnavailable, match="no_such_parameter"):
        server.start()


def test_starts_that_fail_say_the_same_and_leave_the_log_of_the_server_that_died(server: EmbeddedPostgres) -> None:
    kill_postmaster(server)
    died = server.log.read_text()
    with (server.cluster / "postgresql.conf").open("a") as configuration:
        configuration.write("no_such_parameter = 1\n")
    told = set()
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable, match="no_such_parameter") as refused:
            server.start()
        told.add(str(refused.value))
    assert len(told) == 1
    assert "no_such_parameter" in server.log.read_text()
    assert server.log.with_suffix(".log.1").read_text().startswith(died)


def test_a_url_is_not_given_while_nothing_runs(open_folder: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="does not run"):
        EmbeddedPostgres(open_folder / "postgres").url()


@needs_root
def test_root_hands_the_server_to_an_account_that_exists(running: EmbeddedPostgres) -> None:
    assert running.place.account is not None
    assert running.place.account.name in postgres_files.ACCOUNTS
    assert running.cluster.stat().st_uid == running.place.account.uid


@needs_root
def test_a_folder_the_account_cannot_reach_is_replaced_and_its_parents_stay_as_they_are(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_files, "SYSTEM_FOLDER", open_folder / "system")
    closed = open_folder / "home"
    closed.mkdir(mode=0o700)
    said: list[str] = []
    server = EmbeddedPostgres(closed / "clone/.titan10/postgres", say=said.append)
    assert ask(server.start(), "SELECT 1") == 1
    server.stop()
    assert server.folder.is_relative_to(open_folder / "system")
    assert closed.stat().st_mode & 0o777 == 0o700
    assert len(said) == 1
    assert str(server.folder) in said[0]


@needs_root
def test_binaries_the_account_cannot_reach_are_copied_once(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = postgres_files.installed_binaries()
    package = installed.parent.parent
    closed = open_folder / "home"
    closed.mkdir(mode=0o700)
    for folder in (package, package.with_name(f"{package.name}.libs")):
        if folder.exists():
            shutil.copytree(folder, closed / folder.name, symlinks=True)
    monkeypatch.setattr(postgres_files, "SYSTEM_FOLDER", open_folder / "system")
    monkeypatch.setattr(postgres_files, "installed_binaries", lambda: closed / package.name / "pginstall/bin")
    for _ in range(2):
        server = EmbeddedPostgres(open_folder / "postgres")
        assert ask(server.start(), "SELECT 1") == 1
        server.stop()
    assert server.place.binaries.is_relative_to(open_folder / "system")
    assert len(list((open_folder / "system").iterdir())) == 1


def test_dagsters_url_names_driver_and_schema_and_keeps_what_was_there() -> None:
    url = dagster_url("postgresql://me:p%40ss@host:5433/candles?sslmode=require&options=-cjit%3Doff")
    assert url == (
        "postgresql+psycopg2://me:p%40ss@host:5433/candles"
        "?sslmode=require&options=-cjit%3Doff%20-csearch_path%3Ddagster"
    )


def test_dagsters_tables_are_in_a_schema_of_their_own(empty_database_url: str) -> None:
    for _ in range(2):
        ensure_dagster_schema(empty_database_url)
    for _ in range(2):  # the second time it finds its tables, and alembic's stamp
        storage = PooledPostgresStorage(dagster_url(empty_database_url))
        storage.run_storage.get_runs_count()
    tables = "tablename IN ('runs', 'event_logs', 'alembic_version')"
    schemas = f"SELECT string_agg(DISTINCT schemaname, ',') FROM pg_tables WHERE {tables}"
    assert ask(empty_database_url, schemas) == "dagster"


def test_an_unreachable_database_is_named_without_its_password(free_port: Callable[[], int]) -> None:
    port = free_port()
    with pytest.raises(DatabaseUnavailable, match=f"cannot connect to the database x at 127.0.0.1:{port}") as caught:
        ensure_dagster_schema(f"postgresql://me:sesame@127.0.0.1:{port}/x")
    assert "sesame" not in str(caught.value)


def test_a_password_that_is_not_percent_encoded_is_told_and_not_repeated() -> None:
    with pytest.raises(SettingsError, match="percent-encoded") as caught:
        ensure_dagster_schema("postgresql://me:Sesame/open@127.0.0.1:5432/x")
    assert "Sesame" not in str(caught.value)
