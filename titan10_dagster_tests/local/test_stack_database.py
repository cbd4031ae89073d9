"""The embedded database of a stack is restarted when it dies.

The database of database.url is never started or stopped.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from titan10_dagster import settings as titan10_settings
from titan10_dagster.local.stack_database import StackDatabase
from titan10_dagster_tests.local.servers import ask, kill_postmaster
from titan10_dagster_tests.processes import wait_until

PATIENCE = 120  # in seconds; enough for a busy machine


def embedded_settings(folder: Path, database: str = "") -> titan10_settings.Settings:
    (folder / "titan10.toml").write_text(
        f"{database}\n[server]\nport = 0\npostgres_port = 0\n"
        '[exchanges.binance]\nsymbols = ["BTC/USDT"]\nstart = 2026-01-01\n'
    )
    return titan10_settings.load(folder)


def test_a_server_that_cannot_start_is_tried_less_and_less_often_and_reported_once(open_folder: Path) -> None:
    said: list[str] = []
    database = StackDatabase(embedded_settings(open_folder), said.append)
    server = database.server
    assert server is not None
    server.start()
    os.kill(int((server.files.cluster / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    wait_until(lambda: not server.running(), PATIENCE)
    configuration = server.files.cluster / "postgresql.conf"
    good = configuration.read_text()
    configuration.write_text(f"{good}no_such_parameter = 1\n")
    end = time.monotonic() + 10
    while time.monotonic() < end:
        database.revive()
        time.sleep(0.05)
    assert len([words for words in said if "PostgreSQL ended: starting it again in 1 s" in words]) == 1
    assert len(said) == 2
    assert "no_such_parameter" in said[1]
    configuration.write_text(good)
    wait_until(lambda: database.revive() or server.running(), PATIENCE)
    database.stop()


def test_a_killed_server_is_revived_with_what_was_committed(open_folder: Path) -> None:
    said: list[str] = []
    database = StackDatabase(embedded_settings(open_folder), said.append)
    database.start()
    assert database.server is not None
    ask(database.url, "CREATE TABLE kept AS SELECT 7 AS seven")
    kill_postmaster(database.server)
    before = database.url
    moved: list[bool] = []

    def running() -> bool:
        moved.append(database.revive())
        return database.server is not None and database.server.running()

    wait_until(running, PATIENCE)
    assert ask(database.url, "SELECT seven FROM kept") == 7
    assert any(moved) == (database.url != before)
    assert len([sentence for sentence in said if "PostgreSQL ended" in sentence]) == 1
    database.stop()
    assert not database.server.running()


def test_a_database_of_the_settings_is_neither_started_nor_revived(tmp_path: Path) -> None:
    said: list[str] = []
    settings = embedded_settings(tmp_path, '[database]\nurl = "postgresql://me@127.0.0.1:1/x"')
    database = StackDatabase(settings, said.append)
    database.start()
    assert database.url == "postgresql://me@127.0.0.1:1/x"
    assert not database.revive()
    assert database.stop_command() == []
    database.stop()
    assert said == []
