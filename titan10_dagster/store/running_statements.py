"""The statements that run now, so that a signal can end them.

While libpq waits for the server, Python cannot run its signal handlers. Without help, Ctrl-C would wait as long as the
statement: minutes, if another process holds the lock of the exchange. Another thread can cancel the statement; then the
handler runs. This module knows all open connections, those of Dagster's storage included.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from threading import Lock, Thread
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:  # commands that use no database do not need to import it
    from psycopg2.extensions import connection as PsycopgConnection  # noqa: N812  # a class

_open: WeakSet[PsycopgConnection] = WeakSet()
_lock = Lock()


def register(connection: PsycopgConnection) -> None:
    """Remember a new connection until it is closed."""
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

    Each request has its own thread, because a server that does not answer blocks it.
    """
    for connection in running():
        Thread(target=_cancel, args=(connection,), name="cancel", daemon=True).start()


def cut(connection: PsycopgConnection) -> None:
    """Shut down a connection whose server does not react. Its statement ends with the error of a lost connection."""
    from psycopg2 import Error

    with suppress(Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as connected:
        connected.shutdown(socket.SHUT_RDWR)


def _cancel(connection: PsycopgConnection) -> None:
    from psycopg2 import Error

    with suppress(Error):  # the statement or the connection has ended meanwhile
        connection.cancel()
