"""The server process: crashes, ports that are taken, starts that fail, and the logs that remain."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from titan10_dagster.errors import DatabaseUnavailable
from titan10_dagster.local.ports import free_port
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster_tests.local.servers import ask, kill_postmaster


def test_a_server_killed_with_sigkill_recovers_what_was_committed(server: EmbeddedPostgres) -> None:
    ask(server.url(), "CREATE TABLE kept AS SELECT generate_series(1, 10000)")
    kill_postmaster(server)
    assert ask(server.start(), "SELECT count(*) FROM kept") == 10000


def test_a_pid_file_whose_number_is_another_process_now_stops_no_start(server: EmbeddedPostgres) -> None:
    kill_postmaster(server)
    pid_file = server.files.cluster / "postmaster.pid"
    # PostgreSQL treats a living process of its own account as a server, and ignores other processes.
    identity = {} if server.files.place.account is None else {"user": server.files.place.account.uid}
    with subprocess.Popen(["sleep", "60"], **identity) as other:
        lines = pid_file.read_text().splitlines(keepends=True)
        pid_file.write_text("".join([f"{other.pid}\n", *lines[1:]]))
        assert not server.running()
        assert ask(server.start(), "SELECT 1") == 1
        other.kill()


def test_a_port_of_another_program_is_replaced_and_reported(open_folder: Path) -> None:
    said: list[str] = []
    with socket.socket() as other_program:
        other_program.bind(("127.0.0.1", 0))
        other_program.listen()
        taken = other_program.getsockname()[1]
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


def test_a_server_that_cannot_start_says_why(server: EmbeddedPostgres) -> None:
    server.stop()
    with (server.files.cluster / "postgresql.conf").open("a") as configuration:
        configuration.write("no_such_parameter = 1\n")
    with pytest.raises(DatabaseUnavailable, match="no_such_parameter"):
        server.start()


def test_starts_that_fail_say_the_same_and_leave_the_log_of_the_server_that_died(server: EmbeddedPostgres) -> None:
    kill_postmaster(server)
    died = server.files.log.read_text()
    with (server.files.cluster / "postgresql.conf").open("a") as configuration:
        configuration.write("no_such_parameter = 1\n")
    reasons = set()
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable, match="no_such_parameter") as refused:
            server.start()
        reasons.add(str(refused.value))
    assert len(reasons) == 1
    assert "no_such_parameter" in server.files.log.read_text()
    assert server.files.log.with_suffix(".log.1").read_text().startswith(died)
