"""Repeats calls of Dagster's storages until the database answers.

If the database is unavailable, Dagster's own storage raises an error after about 11 s, and the step that made the call
fails. However, a crash recovery or a failover of PostgreSQL can take longer. With `patient`, a call of a storage method
is repeated for up to two minutes if it fails with an error that can be temporary. Such errors are a lost connection,
and a server that is starting, recovering, read-only or out of disk space.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from threading import local
from typing import Any, TypeVar

import psycopg2
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_exponential_jitter

from titan10_dagster.store.running_statements import interrupted, raise_if_interrupted

log = logging.getLogger(__name__)

T = TypeVar("T")
Storage = TypeVar("Storage", bound=type)

PATIENCE_SECONDS = 120.0
READ_ONLY = "25006"  # SQLSTATE of a write on a standby, for example in a session that was opened before a failover
# SQLSTATE of the UI's statement time-out. The query is not repeated, because it would time out again.
QUERY_CANCELED = "57014"
# Messages of errors with which PostgreSQL rejects a connection for a permanent reason. These errors have no SQLSTATE.
REFUSALS = ("authentication failed", "does not exist", "no pg_hba.conf entry", "is not permitted to log in")

_state = local()  # `repeating`: whether the current thread is in a patient call


def patient(storage: Storage) -> Storage:
    """Wrap the inherited methods and properties of a class, so that a call is repeated after a temporary error.

    Private methods, generators, and methods that the class defines itself are not wrapped.
    """
    for name in dir(storage):
        if name.startswith("_") or name in vars(storage):
            continue
        member = inspect.getattr_static(storage, name)
        if isinstance(member, property) and member.fget is not None:
            setattr(storage, name, property(_patient_function(member.fget)))
        elif isinstance(member, functools.cached_property):
            cached = functools.cached_property(_patient_function(member.func))
            cached.__set_name__(storage, name)
            setattr(storage, name, cached)
        elif inspect.isfunction(member) and not inspect.isgeneratorfunction(inspect.unwrap(member)):
            setattr(storage, name, _patient_function(member))
    return storage


def patiently(call: Callable[[], T]) -> T:
    """Call `call` and return its result. After an error that can be temporary, repeat the call for up to two minutes.

    If calls of this function are nested, only the outermost call is repeated. Otherwise the time limits would multiply.
    """
    if getattr(_state, "repeating", False):
        return call()
    _state.repeating = True
    try:
        return _retrying()(call)
    except (DBAPIError, DagsterPostgresException):
        raise_if_interrupted()
        raise
    finally:
        _state.repeating = False


def may_pass(error: BaseException) -> bool:
    """Return whether the error can be temporary, so that the same call possibly succeeds later."""
    return any(_may_pass(cause) for cause in _causes(error))


def is_read_only(error: BaseException | None) -> bool:
    """Return whether the server rejected a write because the server is read-only."""
    return getattr(error, "pgcode", None) == READ_ONLY


def _retrying() -> Retrying:
    return Retrying(
        retry=retry_if_exception(lambda error: may_pass(error) and not interrupted.is_set()),
        stop=stop_after_delay(PATIENCE_SECONDS),
        wait=wait_exponential_jitter(multiplier=0.2, max=5),
        before_sleep=_log_first_failure,
        reraise=True,
    )


def _patient_function(function: Callable[..., T]) -> Callable[..., T]:
    @functools.wraps(function)
    def repeat(*args: Any, **options: Any) -> T:
        return patiently(lambda: function(*args, **options))

    return repeat


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, DagsterPostgresException):  # an error without a cause means that no connection could be opened
        return error.__cause__ is None
    if isinstance(error, psycopg2.Error):  # SQLAlchemy does not wrap errors while it sets the isolation level
        return _driver_error_may_pass(error)
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error, OperationalError | InterfaceError):
        return _driver_error_may_pass(error.orig)
    return error.connection_invalidated or is_read_only(error.orig)


def _driver_error_may_pass(error: BaseException | None) -> bool:
    if is_read_only(error):
        return True
    if not isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return False
    if getattr(error, "pgcode", None) == QUERY_CANCELED:
        return False
    return not any(refusal in str(error) for refusal in REFUSALS)


def _log_first_failure(state: RetryCallState) -> None:
    if state.attempt_number == 1 and state.outcome is not None:
        reason = " ".join(str(state.outcome.exception()).split())[:300]
        log.warning(
            "Dagster's database cannot be used now: %s. The call is repeated for up to %.0f s", reason, PATIENCE_SECONDS
        )
