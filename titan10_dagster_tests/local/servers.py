"""Helpers of the tests of the embedded server: statements, process ids, and a kill."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from typing import Any

import psycopg2

from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster_tests.processes import wait_until


def ask(url: str, statement: str) -> Any:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None


def pid_of(server: EmbeddedPostgres) -> int:
    return int((server.files.cluster / "postmaster.pid").read_text().splitlines()[0])


def kill_postmaster(server: EmbeddedPostgres) -> None:
    pid = pid_of(server)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not server.running(), 120)
