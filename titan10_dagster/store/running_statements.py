"""Finds the statements that run now, so that a command can cancel them after a signal such as Ctrl-C.

While libpq waits for the server, Python cannot run its signal handlers. So a signal would have no effect until the
statement ends. This can take minutes if another process holds the lock of the exchange. Therefore another thread
cancels the statement, and then the signal handler runs. This module knows all open connections, including the
connections of Dagster's storage.
"""

from __future__ import annotations

import os
import socket
from contextlib import closing, suppress
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:  # commands that use no database do not need to import psycopg2
    from psycopg2.extensions import connection as PsycopgConnection  # noqa: N812  # a class
CONNECT_SECONDS = 5

interrupted = Event()  # this event is set as soon as a signal has told the command to end

_open: WeakSet[PsycopgConnection] = WeakSet()
_lock = Lock()


def register(connection: PsycopgConnection) -> None:
    """Add a new connection to the known connections. Connections that no longer exist are removed automatically."""
    with _lock:
        _open.add(connection)


def running() -> list[PsycopgConnection]:
    """Return the connections on which a statement runs now."""
    from psycopg2.extensions import TRANSACTION_STATUS_ACTIVE

    with _lock:
        known = list(_open)
    active = []
    for connection in known:
        if not connection.closed and connection.info.transaction_status == TRANSACTION_STATUS_ACTIVE:
            active.append(connection)
    return active


def cancel_statements() -> None:
    """Ask the servers to cancel the statements that run now, and return at once.

    Each cancellation has its own thread, because it waits for the server. After this call, every error of a statement
    counts as an interruption; see `raise_if_interrupted`.
    """
    interrupted.set()
    for connection in running():
        Thread(target=_cancel, args=(connection,), name="cancel", daemon=True).start()


def cut(connection: PsycopgConnection) -> None:
    """Shut down a connection to a server that does not react.

    The statement on this connection then ends with the error of a lost connection.
    """
    from psycopg2 import Error

    with suppress(Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as connected:
        connected.shutdown(socket.SHUT_RDWR)


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt if a signal has told this command to end. Call this function after a statement failed.

    The signal handler already raises an exception, but it does so while psycopg2 decodes the message of the error.
    psycopg2 prints this exception and does not pass it on. Therefore this function raises an exception again.
    """
    if interrupted.is_set():
        raise KeyboardInterrupt


def _cancel(connection: PsycopgConnection) -> None:
    """Cancel the statement that runs on this connection. A second connection is used for this.

    psycopg2's own method `cancel` is not used, because it keeps Python's global lock while it waits for the server.
    Then no thread of the process could run as long as the server does not answer.
    """
    import psycopg2

    with suppress(psycopg2.Error):  # possibly the statement or the connection has already ended, or the server is gone
        info = connection.info
        backend = info.backend_pid
        login = {"host": info.host, "port": info.port, "user": info.user, "password": info.password}
        parameters: dict[str, Any] = {**info.dsn_parameters, **login, "connect_timeout": CONNECT_SECONDS}
        parameters.pop("target_session_attrs", None)
        with closing(psycopg2.connect(**parameters)) as second:
            second.autocommit = True
            second.cursor().execute("SELECT pg_cancel_backend(%s)", [backend])
