"""Connections to PostgreSQL: a small pool that drops a connection as soon as it may be broken.

Sessions use UTC and have timeouts, so that no process waits forever for a dead peer or for a lock. A server that cannot
be reached raises DatabaseUnavailable; callers use `retrying` to run a whole transaction again. Rows are named tuples.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import BoundedSemaphore, Lock
from typing import Any, TypeVar

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from psycopg2.extras import NamedTupleCursor
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from titan10_dagster.errors import DatabaseUnavailable, SettingsError, StoreError, WriteUnderWay
from titan10_dagster.store.server_errors import sentence, translated
from titan10_dagster.store.urls import connection_parameters, shown

Connection = psycopg2.extensions.connection
Cursor = psycopg2.extensions.cursor

log = logging.getLogger(__name__)

T = TypeVar("T")

_direct: set[str] = set()  # URLs of servers, as opposed to poolers; each process checks a URL once

# Milliseconds. The lock timeout outlasts the longest write: writers of one exchange wait for each other.
SESSION: Mapping[str, str] = {
    "timezone": "UTC",
    "statement_timeout": "600000",
    "lock_timeout": "300000",
    "idle_in_transaction_session_timeout": "600000",
    # Set on the server: if the client's machine vanishes, its locks are released within a minute, not after hours.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    # For tables that were never analysed, bad estimates start the JIT compiler, which costs more than it saves.
    "jit": "off",
    # Settings of the role or the database that would harm: locks of idle sessions would be released, and a writer that
    # waited for a lock would not see what the holder of the lock had written. The backslash keeps the space.
    "idle_session_timeout": "0",
    "default_transaction_isolation": r"read\ committed",
}
_CONNECTION: Mapping[str, Any] = {
    "connect_timeout": 10,
    "application_name": "titan10",
    "client_encoding": "utf8",  # the default comes from the role, the database or PGCLIENTENCODING
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}

# libpq's message for an invalid parameter value. There is no error code for it, because no server was contacted.
_IMPOSSIBLE = re.compile(r"(connection to .+ failed: )?invalid \w+ value\b")

# A setting that proves that the settings of a session arrived; see `_refuse_pooler`.
_MARK = "titan10.session"
# PgBouncer's message for a connection that sets session settings.
_POOLER = "unsupported startup parameter"
_DIRECT = (
    "Titan-10 keeps a few connections open itself, and needs its own sessions for time-outs and locks. "
    "Set database.url to the PostgreSQL server itself, usually port 5432, and not to the pooler."
)


def connect(url: str, session: Mapping[str, str] = SESSION) -> Connection:
    """Open a connection to `url`, postgresql:// or postgresql+psycopg2://. Settings in the URL win over ours.

    Raises DatabaseUnavailable if the server does not answer or refuses. Raises SettingsError if the URL is invalid or
    leads to a connection pooler. Messages never contain the password.
    """
    parameters = connection_parameters(url)
    settings = " ".join(f"-c {name}={value}" for name, value in {**session, _MARK: "on"}.items())
    parameters["options"] = f"{settings} {parameters.get('options', '')}"
    try:
        connection = psycopg2.connect(
            connection_factory=Connection, cursor_factory=NamedTupleCursor, **{**_CONNECTION, **parameters}
        )
    except psycopg2.Error as error:
        why = f"cannot connect to {shown(parameters)}: {sentence(error)}"
        if _POOLER in str(error):
            raise SettingsError(f"{why}. This is a connection pooler. {_DIRECT}") from None
        raise SettingsError(why) if _IMPOSSIBLE.match(str(error)) else DatabaseUnavailable(why) from None
    if url not in _direct:
        with translated_errors():
            _refuse_pooler(connection, parameters)
        _direct.add(url)
    return connection


def _refuse_pooler(connection: Connection, parameters: Mapping[str, Any]) -> None:
    """Reject a connection that dropped the settings of `connect`.

    A pooler such as PgBouncer with `ignore_startup_parameters = options` drops them. Then there would be no time-outs,
    tables of Dagster would be created in another schema, and locks would stay with sessions of other clients.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s, true)", [_MARK])
        marked = cursor.fetchone()
    connection.rollback()
    if marked is None or marked[0] != "on":
        connection.close()
        raise SettingsError(f"{shown(parameters)} is a connection pooler that drops session settings. {_DIRECT}")


class Database:
    """A pool of at most `max_connections` connections, safe to share between threads.

    If all connections are busy, a thread waits for one. After a connection fails, the idle connections are closed too,
    because they most likely lead to the same dead server.
    """

    def __init__(self, url: str, *, max_connections: int = 4, session: Mapping[str, str] = SESSION) -> None:
        self._url = url
        self._session = session
        self._separate: dict[str, Database] = {}
        self._permits = BoundedSemaphore(max_connections)
        self._idle: list[Connection] = []
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"<Database {shown(connection_parameters(self._url))}>"

    def separate_pool(self, name: str, *, max_connections: int, session: Mapping[str, str]) -> Database:
        """Return a separate pool of connections to the same server, for work that must never wait for this pool.

        Each name has one pool, which is created at its first use.
        """
        with self._lock:
            if name not in self._separate:
                self._separate[name] = Database(self._url, max_connections=max_connections, session=session)
            return self._separate[name]

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """Open a cursor in a transaction that is committed at the end, and rolled back after an exception.

        Raises DatabaseUnavailable if repeating the whole transaction may help, and StoreError for all other errors of
        the server.
        """
        with self._permits:
            connection = self._take()
            try:
                with translated_errors(), connection, connection.cursor() as cursor:
                    yield cursor
            except DatabaseUnavailable as error:
                if not _is_lock(error):
                    self._drop(connection)
                    self.close()
                raise
            finally:
                self._give_back(connection)

    @contextmanager
    def separate_transaction(self) -> Iterator[Cursor]:
        """Open a short transaction in addition to the current one, on its own connection that is closed at the end.

        The connection does not come from the pool, because threads that hold one connection and wait for another could
        wait forever. For the same reason the transaction waits for a lock only briefly: the server cannot detect that
        the open transaction waits for it.
        """
        connection = connect(self._url, {**SESSION, "lock_timeout": "10000"})
        try:
            with translated_errors(), connection, connection.cursor() as cursor:
                yield cursor
        finally:
            self._drop(connection)

    @contextmanager
    def session(self) -> Iterator[Cursor]:
        """Open a cursor outside of any transaction, for statements that PostgreSQL refuses inside one.

        Each statement commits at once. The connection does not come from the pool. It is closed at the end, which also
        ends the settings and locks of the session.
        """
        connection = connect(self._url)
        try:
            connection.autocommit = True
            with translated_errors(), connection.cursor() as cursor:
                yield cursor
        finally:
            self._drop(connection)

    def has_timescaledb(self) -> bool:
        """Return whether the extension is installed in this database."""
        with self.transaction() as cursor:
            cursor.execute("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') AS installed")
            return bool(single_row(cursor).installed)

    def close(self) -> None:
        """Close the idle connections. The database stays usable: the next transaction opens a new one."""
        with self._lock:
            idle, self._idle = self._idle, []
            separate = list(self._separate.values())
        for connection in idle:
            self._drop(connection)
        for pool in separate:
            pool.close()

    def _take(self) -> Connection:
        while (connection := self._pop()) is not None:
            if _answers(connection):
                return connection
            self._drop(connection)
        return connect(self._url, self._session)

    def _pop(self) -> Connection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: Connection) -> None:
        if connection.closed or connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
            self._drop(connection)
            return
        with self._lock:
            self._idle.append(connection)

    @staticmethod
    def _drop(connection: Connection) -> None:
        with suppress(psycopg2.Error):
            connection.close()


def _is_lock(error: DatabaseUnavailable) -> bool:
    """Return whether the error is a lock timeout. After a lock timeout the connection is still usable."""
    return isinstance(error, WriteUnderWay) or isinstance(error.__cause__, psycopg2.errors.LockNotAvailable)


def _answers(connection: Connection) -> bool:
    """Return whether an idle connection still works: the server may have been restarted meanwhile.

    The question is asked outside of a transaction, which takes one round trip instead of three.
    """
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        connection.autocommit = False
    except psycopg2.Error:
        return False
    return True


def all_rows(cursor: Cursor) -> list[Any]:
    """Return the rows of a query, as named tuples."""
    return cursor.fetchall()


def single_row(cursor: Cursor) -> Any:
    """Return the only row of a query that always has a row, as a named tuple."""
    row = cursor.fetchone()
    if row is None:
        raise StoreError("the database returned no row where there must be one; run it again")
    return row


@contextmanager
def translated_errors() -> Iterator[None]:
    """Translate psycopg2's errors: DatabaseUnavailable if another attempt may help, else StoreError."""
    try:
        yield
    except psycopg2.Error as error:
        raise translated(error) from error


def retrying(run: Callable[[], T], *, seconds: float = 120.0) -> T:
    """Call `run` and return its result; repeat it while it raises DatabaseUnavailable, for about `seconds`.

    `run` must be a whole transaction. The pauses grow from a fraction of a second to 15 seconds, with jitter, so that
    the writers of many exchanges do not come back all at once.
    """
    attempts = Retrying(
        retry=retry_if_exception_type(DatabaseUnavailable),
        wait=wait_random_exponential(multiplier=0.5, max=15),
        stop=stop_after_delay(seconds),
        before_sleep=_log_retry,
        reraise=True,
    )
    return attempts(run)


def _log_retry(state: RetryCallState) -> None:
    if state.outcome is not None:
        log.warning("%s; trying again", state.outcome.exception())
