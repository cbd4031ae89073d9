"""The files that a start writes into the folder of a server: passwords, configuration, and a complete cluster."""

from __future__ import annotations

from pathlib import Path

import psycopg2
import pytest

from titan10_dagster.errors import DatabaseUnavailable
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster_tests.local.servers import ask


def test_the_server_listens_on_the_loopback_address_only_and_requires_the_password(running: EmbeddedPostgres) -> None:
    superuser = running.url("postgres", "postgres")
    assert ask(superuser, "SHOW listen_addresses") == "127.0.0.1"
    assert ask(superuser, "SHOW unix_socket_directories") == ""
    password = (running.files.folder / "password").read_text()
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(running.url().replace(password, "wrong"))


def test_the_password_is_in_one_file_that_others_cannot_read(running: EmbeddedPostgres) -> None:
    password = (running.files.folder / "password").read_text()
    assert len(password) >= 32
    assert (running.files.folder / "password").stat().st_mode & 0o077 == 0
    files = [path for path in running.files.folder.rglob("*") if path.is_file()]
    assert [path.name for path in files if password.encode() in path.read_bytes()] == ["password"]


def test_an_initialisation_that_was_killed_halfway_is_repeated(open_folder: Path) -> None:
    half = open_folder / "postgres/cluster.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(open_folder / "postgres")
    assert ask(server.start(), "SELECT 1") == 1
    server.stop()
    assert not half.exists()


def test_data_of_another_major_version_is_refused_with_what_to_do(server: EmbeddedPostgres) -> None:
    server.stop()
    (server.files.cluster / "PG_VERSION").write_text("17\n")
    with pytest.raises(DatabaseUnavailable, match=r"created by PostgreSQL 17, but PostgreSQL 18"):
        server.start()
