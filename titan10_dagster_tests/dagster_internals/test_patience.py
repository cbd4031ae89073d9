"""Which storage calls are repeated, and after which errors."""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import Iterator

import psycopg2
import pytest
import sqlalchemy as sa
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy.exc import OperationalError, ProgrammingError

from titan10_dagster.dagster_internals import patience
from titan10_dagster.dagster_internals.patience import may_pass, patient, patiently
from titan10_dagster.dagster_internals.storage import (
    PatientEventLogStorage,
    PatientRunStorage,
    PatientScheduleStorage,
)

LOST = OperationalError("SELECT 1", {}, psycopg2.OperationalError("server closed the connection unexpectedly"))


class Counter:
    """A storage that is unavailable for a number of calls."""

    def __init__(self, failures: int, error: Exception = LOST) -> None:
        self.calls, self.failures, self.error = 0, failures, error

    def read(self) -> int:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return self.calls

    def read_all(self) -> int:
        return self.read()

    @property
    def version(self) -> int:
        return self.read()

    @functools.cached_property
    def tables(self) -> int:
        return self.read()

    def stream(self) -> Iterator[int]:
        yield from ()
        raise self.error


@patient
class Patient(Counter):
    """A Counter with repeated calls."""


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 3.0)


def test_methods_and_properties_repeat_what_failed() -> None:
    assert Patient(1).read() == 2
    assert Patient(1).read_all() == 2
    assert Patient(1).version == 2
    storage = Patient(1)
    assert (storage.tables, storage.tables) == (2, 2)


def test_a_generator_cannot_be_repeated() -> None:
    with pytest.raises(OperationalError):
        next(Patient(1).stream())


def test_nested_calls_repeat_once_and_the_time_is_limited() -> None:
    storage, began = Patient(10**6), time.monotonic()
    with pytest.raises(OperationalError, match="server closed"):
        storage.read_all()
    assert 2 < time.monotonic() - began < 10


def test_the_first_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger=patience.__name__):
        Patient(2).read()
    (record,) = caplog.records
    assert "Dagster's database cannot be used now" in record.getMessage()
    assert "server closed the connection" in record.getMessage()


def test_an_error_that_stays_is_raised_at_once() -> None:
    storage = Patient(1, ProgrammingError("SELECT 1", {}, psycopg2.ProgrammingError("no such column")))
    with pytest.raises(ProgrammingError):
        storage.read()
    assert storage.calls == 1


@pytest.mark.parametrize(
    "refusal",
    [
        'FATAL:  password authentication failed for user "titan10"',
        'FATAL:  database "x" does not exist',
        'FATAL:  no pg_hba.conf entry for host "10.0.0.1"',
    ],
)
def test_a_refused_login_is_not_repeated(refusal: str) -> None:
    error = OperationalError("connect", {}, psycopg2.OperationalError(refusal))
    assert not may_pass(error)
    wrapped = DagsterPostgresException("too many retries for DB connection")
    wrapped.__cause__ = error
    assert not may_pass(wrapped)


@pytest.mark.parametrize(
    ("statement", "passes"),
    [
        ("SET TRANSACTION READ ONLY; CREATE TABLE t (n int)", True),  # like a standby after a failover
        ("SET statement_timeout = 10; SELECT pg_sleep(5)", False),  # like the UI's limit for statements
        ("SELECT * FROM no_such_table", False),
    ],
)
def test_errors_of_a_real_server_are_classified(database_url: str, statement: str, passes: bool) -> None:
    url = f"postgresql+psycopg2://{database_url.partition('://')[2]}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError) as caught:
        connection.exec_driver_sql(statement)
    assert may_pass(caught.value) is passes
    engine.dispose()


@pytest.mark.parametrize("storage", [PatientRunStorage, PatientEventLogStorage, PatientScheduleStorage])
def test_no_public_call_of_dagsters_storages_is_left_out(storage: type) -> None:
    """A new method in a new version of Dagster must be patient, or must be listed here with a reason."""
    own = {"add_run", "add_backfill", "store_event"}  # these methods repeat their calls themselves
    generators = {"index_transaction"}  # a context manager: the caller's block cannot be repeated
    for name in dir(storage):
        member = inspect.getattr_static(storage, name)
        if name.startswith("_") or name in own or not inspect.isfunction(member):
            continue
        if inspect.isgeneratorfunction(inspect.unwrap(member)):
            assert name in generators, f"{storage.__name__}.{name} is a new generator: its callers are not patient"
        else:
            assert member.__wrapped__, name


def test_patiently_is_usable_for_any_call() -> None:
    counter = Counter(1)
    assert patiently(counter.read) == 2
