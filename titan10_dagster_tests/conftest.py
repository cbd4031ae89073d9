"""Fixtures for all tests: real servers, a fresh database for each test, free ports, real candles.

`TITAN10_TEST_POSTGRES_URL`     a PostgreSQL role that may create databases; without it, the embedded server is used
`TITAN10_TEST_TIMESCALEDB_URL`  the same with TimescaleDB; without it, these tests are skipped with a message
`TITAN10_TEST_DATA`             a folder of real candles; without it, these tests are skipped with a message
"""

from __future__ import annotations

import gc
import os
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from psycopg2 import sql

from titan10_dagster.local.ports import free_port as find_free_port
from titan10_dagster_tests.alone import alone, one_of_many
from titan10_dagster_tests.databases import (
    copied_database,
    created_database,
    execute,
    new_name,
    passable_folder,
    template_database,
    throwaway_server,
)
from titan10_dagster_tests.order import arrange

# Property tests have no time limit, because the machine may be busy. They use the same examples each time, so that a
# failure is caused by the change under test; `make nightly` draws new examples. Fixtures serve all examples of a test.
settings.register_profile(
    "same",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
# Hypothesis also draws numbers and texts that it finds in the imported modules. So the examples would depend on the
# tests that ran before in the same process. Hypothesis has no setting for this.
assert callable(providers._get_local_constants)
providers._get_local_constants = providers.Constants

settings.register_profile("others", settings.get_profile("same"), derandomize=False, max_examples=1000)
settings.load_profile("same")


def pytest_configure() -> None:
    """Let SIGINT end the processes that tests start, also where a script runs the tests in the background.

    A shell starts a background job with SIGINT ignored, and the children of the job ignore SIGINT too. Dagster's
    processes handle SIGTERM like SIGINT, so they would ignore both signals. Then a test that stops a process would wait
    for ever.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.disable()  # until all tests are imported; see below


def pytest_collection_finish() -> None:
    """Let the garbage collector leave out all modules and tests, because they stay until the end.

    Each collection would examine two million objects. This would take a third of the time for importing the tests, and
    later half a second in each full collection.
    """
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """Let Python delete the modules when it ends. A library of the tests warns of objects that are not deleted."""
    gc.unfreeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Prevent other processes of pytest-xdist from running tests at the same time as a test that is marked `alone`.

    The wait is outside the time-out of a test.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        return (yield)
    folder = Path(tempfile.gettempdir()) / f"titan10-tests-{run}"
    folder.mkdir(exist_ok=True)
    with alone(folder) if item.get_closest_marker("alone") else one_of_many(folder):
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests and group them, before pytest-xdist reads the groups."""
    arrange(items)


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A function that returns a TCP port of 127.0.0.1 on which nothing listens."""
    return find_free_port


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder that other accounts may pass through, unlike pytest's own.

    Tests that start the embedded PostgreSQL as root need this folder, because the server then runs as another account.
    """
    with passable_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server without TimescaleDB, as the URL of a role that may create databases."""
    given = os.environ.get("TITAN10_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    with throwaway_server() as url:
        yield url


@pytest.fixture(scope="session")
def timescaledb_url() -> str:
    """A PostgreSQL server with TimescaleDB, as the URL of a role that may create databases and extensions."""
    given = os.environ.get("TITAN10_TEST_TIMESCALEDB_URL")
    if not given:
        pytest.skip("no TimescaleDB: TITAN10_TEST_TIMESCALEDB_URL is not set, so this was NOT tested")
    return given


@pytest.fixture
def database_url(postgres_url: str, _postgres_template: str) -> Iterator[str]:
    """A fresh, migrated database without TimescaleDB, dropped afterwards."""
    with copied_database(postgres_url, _postgres_template) as url:
        yield url


@pytest.fixture
def timescaledb_database_url(timescaledb_url: str, _timescaledb_template: str) -> Iterator[str]:
    """A fresh, migrated database with TimescaleDB, dropped afterwards."""
    with copied_database(timescaledb_url, _timescaledb_template) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """A fresh, empty database, dropped afterwards."""
    with created_database(postgres_url, new_name("empty")) as url:
        yield url


@pytest.fixture
def empty_timescaledb_database_url(timescaledb_url: str) -> Iterator[str]:
    """A fresh database with nothing but the extension TimescaleDB, dropped afterwards."""
    with created_database(timescaledb_url, new_name("empty")) as url:
        execute(url, sql.SQL("CREATE EXTENSION IF NOT EXISTS timescaledb"))
        yield url


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real candles."""
    given = os.environ.get("TITAN10_TEST_DATA")
    if not given or not Path(given).is_dir():
        pytest.skip("no real candles: TITAN10_TEST_DATA is not set to a folder, so this was NOT tested")
    return Path(given)


@pytest.fixture(scope="session")
def _postgres_template(postgres_url: str) -> Iterator[str]:
    with template_database(postgres_url, extension=None) as name:
        yield name


@pytest.fixture(scope="session")
def _timescaledb_template(timescaledb_url: str) -> Iterator[str]:
    with template_database(timescaledb_url, extension="timescaledb") as name:
        yield name
