"""The files of an embedded PostgreSQL: its cluster, its configuration, its passwords and its log."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from titan10_dagster.errors import DatabaseUnavailable
from titan10_dagster.local.ports import ADDRESS
from titan10_dagster.local.postgres_files import Place, refuse_other_version, run_as
from titan10_dagster.local.postgres_roles import SUPERUSER

# The name of the file with the superuser's password. A cluster that version 0.1.0 created gets this file at its next
# start.
SUPERUSER_PASSWORD = "superuser-password"
INITDB_OPTIONS = (
    f"--username={SUPERUSER}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",  # with this provider, text has the same order on every machine
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)

# Settings for bulk ingestion on a small machine: few checkpoints, no replication, little memory for each connection.
CONFIGURATION = """\
# Titan-10 writes this file before every start of the server. `ALTER SYSTEM` (postgresql.auto.conf) overrides it.
listen_addresses = '{address}'
port = {port}
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
max_connections = 200               # each process of Dagster holds a few connections, and each run is a process
reserved_connections = 50           # only titan10 can use these, even if readers hold all other connections
shared_buffers = '128MB'
work_mem = '16MB'
maintenance_work_mem = '128MB'
wal_level = 'minimal'               # there is no replication
max_wal_senders = 0
max_wal_size = '2GB'                # large, so that checkpoints start by time and not by volume, even in a backfill
checkpoint_timeout = '15min'
wal_buffers = '16MB'
jit = off                           # statements are short: compiling them costs more than it saves
timezone = 'UTC'
log_timezone = 'UTC'
log_min_error_statement = 'panic'   # statements may contain values that must not be logged
tcp_keepalives_idle = 60            # the locks of a killed client must not last for hours
"""


@dataclass(frozen=True)
class ClusterFiles:
    """The folder of one server. PostgreSQL's programs work on this folder as the server's account."""

    place: Place

    @property
    def folder(self) -> Path:
        """The folder of the server's files: the configured folder, or a folder below /var/lib/titan10."""
        return self.place.folder

    @property
    def cluster(self) -> Path:
        """The folder that PostgreSQL calls its data directory."""
        return self.folder / "cluster"

    @property
    def log(self) -> Path:
        """The log of the last start. The file `server.log.1` is the log of the server that ran before this start."""
        return self.folder / "server.log"

    def initialise(self) -> None:
        """Create the cluster if there is none.

        Raises:
            DatabaseUnavailable: initdb failed, or another major version of PostgreSQL created the cluster.
        """
        if self.cluster.exists():
            refuse_other_version(self.cluster, self.place.binaries)
            return
        for name in ("password", SUPERUSER_PASSWORD):
            if not (self.folder / name).exists():
                self.write(self.folder / name, secrets.token_urlsafe(24))
        # The cluster is created under a temporary name and then renamed, so a folder `cluster` is always complete.
        unfinished = self.folder / "cluster.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        options = [f"--pwfile={self.folder / SUPERUSER_PASSWORD}", *INITDB_OPTIONS]
        finished = self.run("initdb", "-D", str(unfinished), *options)
        if finished.returncode:
            raise DatabaseUnavailable(f"initdb failed in {self.folder}: {last_lines(finished.stderr)}")
        with (unfinished / "postgresql.conf").open("a") as configuration:
            configuration.write("include_if_exists = 'titan10.conf'\n")
        unfinished.rename(self.cluster)

    def configure(self, port: int) -> None:
        """Write the configuration for the next start of the server."""
        self.write(self.cluster / "titan10.conf", CONFIGURATION.format(address=ADDRESS, port=port))

    def password(self, role: str) -> str:
        """Return the password of the owner or of the superuser. Clusters of version 0.1.0 have only one password."""
        own = self.folder / SUPERUSER_PASSWORD
        file = own if role == SUPERUSER and own.exists() else self.folder / "password"
        return file.read_text()

    def write(self, path: Path, text: str) -> None:
        """Write a file that only the server's account can read."""
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(text)
        if self.place.account is not None:
            os.chown(path, self.place.account.uid, self.place.account.gid)

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs, and wait until it ends."""
        return run_as(self.place.account, str(self.place.binaries / program), *arguments, folder=self.folder)


def last_lines(text: str, count: int = 5) -> str:
    """Return the end of a text, such as the reason at the end of a log."""
    return "\n".join(text.strip().splitlines()[-count:])
