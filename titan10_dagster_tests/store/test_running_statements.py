"""Statements that another thread ends: the server cancels them, or their connection is cut if the server does not
react.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import psycopg2
import pytest
from sqlalchemy.exc import OperationalError

from titan10_dagster.dagster_internals.patience import patiently
from titan10_dagster.dagster_internals.storage import engine
from titan10_dagster.errors import DatabaseUnavailable
from titan10_dagster.store import running_statements
from titan10_dagster.store.database import connect, translated_errors
from titan10_dagster.store.urls import sqlalchemy_url
from titan10_dagster_tests.processes import wait_until
from titan10_dagster_tests.slow_database import through

SLEEP = "SELECT pg_sleep(300)"


@pytest.fixture(autouse=True)
def not_interrupted() -> Iterator[None]:
    """Clear the interruption at the end. Otherwise it would affect all later statements of this process."""
    yield
    running_statements.interrupted.clear()


@contextmanager
def sleeping(execute: Callable[[str], object]) -> Iterator[list[BaseException]]:
    """Execute a long statement in a thread. Yield the list to which its error is added."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            execute(SLEEP)
        except Exception as error:  # noqa: BLE001  # the test examines it
            errors.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    yield errors
    thread.join(60)
    assert not thread.is_alive()


def wait_for_the_sleep(url: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True

    def sleeps() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT EXISTS (SELECT FROM pg_stat_activity"
                " WHERE datname = current_database() AND query = %s AND state = 'active')",
                [SLEEP],
            )
            return bool(cursor.fetchone()[0])  # type: ignore[index]

    wait_until(sleeps, 60)
    connection.close()


def test_a_running_statement_is_cancelled_and_its_connection_stays_usable(empty_database_url: str) -> None:
    connection, idle = connect(empty_database_url), connect(empty_database_url)
    with sleeping(connection.cursor().execute) as errors:
        wait_for_the_sleep(empty_database_url)
        running_statements.cancel_statements()
    assert isinstance(errors[0], psycopg2.errors.QueryCanceled)
    connection.rollback()
    for usable in (connection, idle):
        usable.cursor().execute("SELECT 1")
        usable.close()
    assert running_statements.running() == []
    running_statements.cancel_statements()


def test_a_statement_of_dagsters_storage_is_cancelled_too(empty_database_url: str) -> None:
    pool = engine(sqlalchemy_url(empty_database_url))
    with pool.connect() as connection:
        with sleeping(connection.exec_driver_sql) as errors:
            wait_for_the_sleep(empty_database_url)
            running_statements.cancel_statements()
        assert isinstance(errors[0].__cause__, psycopg2.errors.QueryCanceled)
    pool.dispose()


def test_a_statement_ends_although_its_server_does_not_react(empty_database_url: str) -> None:
    with through(empty_database_url) as slow:
        connection = connect(slow.url)
        with sleeping(connection.cursor().execute) as errors:
            wait_for_the_sleep(empty_database_url)
            slow.stop_for(2)
            running_statements.cancel_statements()
            for running in running_statements.running():
                running_statements.cut(running)
        assert isinstance(errors[0], psycopg2.OperationalError)
        with pytest.raises(psycopg2.InterfaceError):
            connection.cursor()


def test_after_a_signal_an_error_is_an_interruption_and_no_call_is_repeated() -> None:
    attempts = []
    running_statements.cancel_statements()

    def fail() -> None:
        attempts.append(1)
        raise OperationalError("SELECT 1", {}, psycopg2.OperationalError("connection lost"))

    with pytest.raises(KeyboardInterrupt), translated_errors():
        raise psycopg2.OperationalError("connection lost")
    with pytest.raises(KeyboardInterrupt):
        patiently(fail)
    assert len(attempts) == 1


def test_without_a_signal_an_error_stays_an_error() -> None:
    with pytest.raises(DatabaseUnavailable), translated_errors():
        raise psycopg2.OperationalError("connection lost")
