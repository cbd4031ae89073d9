"""Connections to PostgreSQL, in a small pool. A connection that may be broken is closed and not used again.

All sessions use UTC, and have timeouts, so that no process waits forever for a dead server or for a lock. If the server
cannot be reached, DatabaseUnavailable is raised. Callers use `retrying` to repeat a whole transaction. Rows are named
tuples.
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
from titan10_dagster.store import running_statements
from titan10_dagster.store.server_errors import sentence, translated
from titan10_dagster.store.urls import connection_parameters, shown

Connection = psycopg2.extensions.connection
Cursor = psycopg2.extensions.cursor

log = logging.getLogger(__name__)

T = TypeVar("T")

# URLs that lead to a PostgreSQL server and not to a connection pooler. A process checks each URL once, when
# the first connection is opened.
_direct: set[str] = set()

# Timeouts are in milliseconds. A write of an exchange waits until another write of this exchange has ended. Therefore
# the lock timeout is longer than the longest write.
SESSION: Mapping[str, str] = {
    "timezone": "UTC",
    "statement_timeout": "600000",
    "lock_timeout": "300000",
    "idle_in_transaction_session_timeout": "600000",
    # These settings are for the server's side of the connection. If the client's machine disappears, the server
    # releases the client's locks within a minute instead of hours.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    # The JIT compiler is off. If a table has no statistics, PostgreSQL overestimates the cost of a query, and compiles
    # the query. This compilation takes more time than it saves.
    "jit": "off",
    # The role or the database may have other values for the next two settings, and these values would cause errors.
    # With an idle timeout, idle sessions would lose their locks. With another isolation level, a writer that waited for
    # a lock would not see what the previous holder of the lock has written.
    "idle_session_timeout": "0",
    "default_transaction_isolation": r"read\ committed",  # the backslash escapes the space
}
_CONNECTION: Mapping[str, Any] = {
    "connect_timeout": 10,
    "application_name": "titan10",
    "client_encoding": "utf8",  # the role, the database or PGCLIENTENCODING may set another encoding
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}

# libpq's message for an invalid parameter value. The error has no code, because no server was contacted.
_IMPOSSIBLE = re.compile(r"(connection to .+ failed: )?invalid \w+ value\b")

# `connect` gives each session this setting. If it is missing in a session, a pooler has dropped the session's settings;
# see `_refuse_pooler`.
_MARK = "titan10.session"
# PgBouncer's message for a connection that sets session settings.
_POOLER = "unsupported startup parameter"
_DIRECT = (
    "Titan-10 has its own connection pool, and its time-outs and locks need direct sessions. "
    "Set database.url to the PostgreSQL server itself, usually port 5432, and not to the pooler."
)


def connect(url: str, session: Mapping[str, str] = SESSION) -> Connection:
    """Open a connection to `url`, which begins with postgresql:// or postgresql+psycopg2://.

    `session`: settings of the session. If the URL contains a setting of the same name, the value in the URL is used.

    Raises DatabaseUnavailable if the server does not answer or refuses the connection. Raises SettingsError if the URL
    is invalid or leads to a connection pooler. Error messages never contain the password.
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
            raise SettingsError(f"{why}. This address leads to a connection pooler. {_DIRECT}") from None
        raise SettingsError(why) if _IMPOSSIBLE.match(str(error)) else DatabaseUnavailable(why) from None
    running_statements.register(connection)
    if url not in _direct:
        with translated_errors():
            _refuse_pooler(connection, parameters)
        _direct.add(url)
    return connection


def _refuse_pooler(connection: Connection, parameters: Mapping[str, Any]) -> None:
    """Raise SettingsError if the connection does not have the session settings of `connect`.

    A pooler drops these settings, for example PgBouncer with `ignore_startup_parameters = options`. Without the
    settings, there would be no time-outs, and Dagster's tables would be created in another schema. A pooler also gives
    the same session to several clients one after the other, so a client could get the locks of another client.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s, true)", [_MARK])
        marked = cursor.fetchone()
    connection.rollback()
    if marked is None or marked[0] != "on":
        connection.close()
        raise SettingsError(f"{shown(parameters)} is a connection pooler that drops session settings. {_DIRECT}")


class Database:
    """A pool of at most `max_connections` connections that threads can share.

    If all connections are in use, a thread waits until a connection is free. If a connection fails, the idle
    connections are closed too, because they probably lead to the same dead server.
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
        """Return another pool of connections to the same server. The first call with this name creates the pool.

        A separate pool is for work that must never wait until a connection of this pool is free.
        """
        with self._lock:
            if name not in self._separate:
                self._separate[name] = Database(self._url, max_connections=max_connections, session=session)
            return self._separate[name]

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """Open a cursor in a transaction. The transaction is committed at the end, or rolled back after an exception.

        Raises DatabaseUnavailable after an error of the server if a repetition of the whole transaction may succeed.
        Raises StoreError after other errors of the server.
        """
        with self._permits:
            connection = self._begin()
            try:
                with translated_errors(), _committed(connection), connection.cursor() as cursor:
                    yield cursor
            except DatabaseUnavailable as error:
                self._close_idle_after(error, connection)
                raise
            finally:
                self._give_back(connection)

    def query(self, statement: str, parameters: Any = None) -> list[Any]:
        """Return the rows of one statement, as named tuples. The statement must only read.

        This takes one round trip to the server. A transaction needs two more round trips. Raises the same errors as
        `transaction`.
        """
        with self._permits:
            while True:
                connection, is_new = self._idle_or_new()
                try:
                    with translated_errors(), connection.cursor() as cursor:
                        cursor.execute(statement, parameters)
                        return cursor.fetchall()
                except DatabaseUnavailable as error:
                    # A connection from the pool does not work after a restart of the server. If the error closed such
                    # an old connection, the query is repeated with another connection.
                    if is_new or not connection.closed:
                        self._close_idle_after(error, connection)
                        raise
                finally:
                    self._give_back(connection)

    @contextmanager
    def separate_transaction(self) -> Iterator[Cursor]:
        """Open a short transaction on a new connection, while the caller has another transaction open.

        The connection does not come from the pool. Otherwise all threads could hold a connection, and wait forever for
        a second connection. The new connection is closed at the end.

        The short transaction waits for a lock for at most 10 s. Possibly the caller's own transaction holds this lock.
        The server cannot detect such a deadlock.
        """
        connection = connect(self._url, {**SESSION, "lock_timeout": "10000"})
        try:
            with translated_errors(), connection, connection.cursor() as cursor:
                yield cursor
        finally:
            self._drop(connection)

    @contextmanager
    def session(self) -> Iterator[Cursor]:
        """Open a cursor outside of a transaction, for statements that PostgreSQL rejects inside a transaction.

        Each statement is committed immediately. The connection is new and does not come from the pool. It is closed at
        the end, and the settings and locks of the session end with it.
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
        return bool(self.query("SELECT FROM pg_extension WHERE extname = 'timescaledb'"))

    def close(self) -> None:
        """Close the idle connections. The pool stays usable: the next transaction opens a new connection."""
        with self._lock:
            idle, self._idle = self._idle, []
            separate = list(self._separate.values())
        for connection in idle:
            self._drop(connection)
        for pool in separate:
            pool.close()

    def _begin(self) -> Connection:
        """Return a connection with an open transaction.

        After a restart of the server, idle connections do not work. For such a connection, the statement BEGIN fails.
        Then the connection is closed, and the next one is used. So no extra statement is needed to test a connection.
        """
        while True:
            connection, is_new = self._idle_or_new()
            try:
                with translated_errors():
                    _execute(connection, "BEGIN")
            except StoreError:
                self._drop(connection)
                if is_new:
                    raise
            else:
                return connection

    def _idle_or_new(self) -> tuple[Connection, bool]:
        """Return a connection without an open transaction, and whether the connection is new.

        The connection is in autocommit mode. Otherwise psycopg2 would begin a transaction before each query, which
        needs one more round trip to the server.
        """
        connection = self._pop()
        if connection is not None:
            return connection, False
        connection = connect(self._url, self._session)
        connection.autocommit = True
        return connection, True

    def _pop(self) -> Connection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: Connection) -> None:
        if connection.closed or connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
            self._drop(connection)
            return
        with self._lock:
            self._idle.append(connection)

    def _close_idle_after(self, error: DatabaseUnavailable, connection: Connection) -> None:
        """Close the connection and the idle connections. If the error is only a lock timeout, close nothing."""
        if not _is_lock(error):
            self._drop(connection)
            self.close()

    @staticmethod
    def _drop(connection: Connection) -> None:
        with suppress(psycopg2.Error):
            connection.close()


def _is_lock(error: DatabaseUnavailable) -> bool:
    """Return whether the error is a lock timeout. After a lock timeout the connection is still usable."""
    return isinstance(error, WriteUnderWay) or isinstance(error.__cause__, psycopg2.errors.LockNotAvailable)


@contextmanager
def _committed(connection: Connection) -> Iterator[None]:
    """Commit the open transaction of the connection at the end, or roll it back after an exception."""
    try:
        yield
    except BaseException:
        # An error of ROLLBACK is ignored. It means that the connection is lost. Then the server ends the transaction
        # itself, and `_give_back` closes the connection.
        with suppress(psycopg2.Error):
            _execute(connection, "ROLLBACK")
        raise
    _execute(connection, "COMMIT")


def _execute(connection: Connection, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def all_rows(cursor: Cursor) -> list[Any]:
    """Return the rows of a query, as named tuples."""
    return cursor.fetchall()


def single_row(cursor: Cursor) -> Any:
    """Return the row of a query that always returns exactly one row, as a named tuple."""
    row = cursor.fetchone()
    if row is None:
        raise StoreError(
            "the database returned no row for a query that always has one row; repeat the run or the command"
        )
    return row


@contextmanager
def translated_errors() -> Iterator[None]:
    """Replace an error of psycopg2 by DatabaseUnavailable if another attempt may succeed, and otherwise by StoreError.

    If a signal has told the command to end, replace the error by KeyboardInterrupt.
    """
    try:
        yield
    except psycopg2.Error as error:
        running_statements.raise_if_interrupted()
        raise translated(error) from error


def retrying(run: Callable[[], T], *, seconds: float = 120.0) -> T:
    """Call `run` and return its result. Repeat the call while it raises DatabaseUnavailable, for about `seconds`.

    `run` must be a whole transaction. The pauses between the calls grow from a fraction of a second to 15 seconds. The
    pauses are random, so that the writers of many exchanges do not all repeat their calls at the same time.
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
