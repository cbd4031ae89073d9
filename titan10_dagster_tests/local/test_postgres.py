"""A real server, with real binaries, in a real folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from titan10_dagster.errors import DatabaseUnavailable
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster_tests.local.servers import ask


def test_what_was_written_is_there_after_a_stop_and_a_start(server: EmbeddedPostgres) -> None:
    ask(server.url(), "CREATE TABLE kept AS SELECT 7 AS seven")
    server.stop()
    assert not server.running()
    assert ask(server.start(), "SELECT seven FROM kept") == 7


def test_the_database_is_owned_by_a_role_that_is_not_a_superuser(running: EmbeddedPostgres) -> None:
    assert ask(running.url(), "SELECT current_user || current_database()") == "titan10titan10"
    assert not ask(running.url(), "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")


def test_a_second_start_joins_the_server_and_the_last_to_stop_ends_it(server: EmbeddedPostgres) -> None:
    another = EmbeddedPostgres(server.files.folder)
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


def test_a_url_is_not_given_while_nothing_runs(open_folder: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="does not run"):
        EmbeddedPostgres(open_folder / "postgres").url()
